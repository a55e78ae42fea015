/*
 * vault_answer_private.h - what vault_answer.c and vault_list.c share.
 */
#ifndef PROVIDER_AZURE_VAULT_RESPONSE_PRIVATE_H
#define PROVIDER_AZURE_VAULT_RESPONSE_PRIVATE_H

#include "common/base/json.h"
#include "provider-azure/vault/vault_response.h"

/* An empty answer with one reference. NULL with err set on lack of memory. */
struct vault_answer *vault_answer_new(struct error **err);

/* An answer's body, which must be a JSON object. UNAVAILABLE: it came from something that is no vault.
 * RESOURCE_EXHAUSTED: lack of memory. */
cJSON *vault_json_parse(const char *json, size_t len, struct error **err);

/* Says of an error about the shape of the JSON whose it is: FAILED_PRECONDITION, "the vault's answer: ...".
 * Leaves all others as they are. */
void vault_answer_blame(struct error **err);

/* Path segment `index` of an object's id, "https://<vault>/secrets/<name>/<version>"; "" when there are
 * fewer. The caller frees; NULL on lack of memory. */
char *vault_id_segment(const char *id, int index);

#endif
