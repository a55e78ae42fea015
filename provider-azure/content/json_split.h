/*
 * json_split.h - objectSplit: json: a secret that holds a JSON object, as one file for each member.
 */
#ifndef PROVIDER_AZURE_CONTENT_JSON_SPLIT_H
#define PROVIDER_AZURE_CONTENT_JSON_SPLIT_H

#include "common/base/json.h"
#include "provider-azure/content/content_files.h"

/* Files one secret may be split into: Key Vault's secrets end at 25 KiB. */
enum { JSON_SPLIT_MAX = 1000 };

/* Adds a file "<path>/<member>" for each member: a string is the text that it stands for, any other value is
 * written as it stands in the secret. The files borrow from `text` and from *ret_json, which the caller
 * frees with cJSON_Delete(), also after a failure. FAILED_PRECONDITION; no error quotes content. */
int json_split(const char *path, const char *text, size_t len, cJSON **ret_json, struct content_files *files,
               struct error **err);

#endif
