/*
 * vault_json.h - common to all JSON of Key Vault: the body of a response and the ids of objects.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_JSON_H
#define PROVIDER_AZURE_VAULT_VAULT_JSON_H

#include "common/base/json.h"

/* A secret has at most 25 KiB, a certificate some more; a page of 25 versions about 10 KiB. */
enum { VAULT_RESPONSE_MAX = 1024 * 1024 };

/* Values of a response that are read: a page of 25 objects with all tags has some thousand. The memory of a
 * tree with so many stays below 4 MiB. */
enum { VAULT_VALUES_MAX = 20000 };

/* Parses a response's body, which must be a JSON object, of which `members` are needed (ends with NULL).
 * `flags`: json_flags. The caller frees with cJSON_Delete(). UNAVAILABLE: the body does not come from a
 * vault. FAILED_PRECONDITION: it does, but cannot be used. RESOURCE_EXHAUSTED: lack of memory. */
cJSON *vault_json_parse(const char *json, size_t len, const char *const *members, unsigned flags,
                        struct error **err);

/* Attributes an error about the shape of the JSON (INVALID_ARGUMENT) to the vault: FAILED_PRECONDITION, "the
 * vault's response: ...". Leaves all others as they are. Returns -1. */
int vault_json_attribute(struct error **err);

/* The segments of an id's path: "https://<vault>/secrets/<name>/<version>". */
enum vault_id_segment { VAULT_ID_NAME = 1, VAULT_ID_VERSION = 2 };

/* One segment; "" when the id has fewer. The caller frees. NULL with err set on lack of memory. */
char *vault_id_segment(const char *id, enum vault_id_segment which, struct error **err);

#endif
