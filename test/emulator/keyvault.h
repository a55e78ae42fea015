/*
 * keyvault.h - shared by the data-plane services of a vault: the caller, error bodies, paging.
 */
#ifndef EMULATOR_KEYVAULT_H
#define EMULATOR_KEYVAULT_H

#include "test/emulator/emulator.h"
#include "test/emulator/tokens.h"
#include "test/emulator/vault_store.h"

/* One request that passed the common checks: known API version, good token, no firewall. */
struct vault_call {
    struct emulator *emulator;
    struct request *request;
    struct response *response;
    struct vault *vault;
    const struct token *token;
    const char *api_version;
};

/* {"error":{"code","message","innererror":{"code"}}}; `inner` may be NULL. */
void keyvault_error(struct response *response, unsigned status, const char *code, const char *inner,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* What the vault calls itself as an audience. */
const char *keyvault_resource(const struct vault_call *call);

/* Checks a permission such as (KIND_SECRET, "get", PERMISSION_GET); false with the 403 set. */
bool keyvault_allow(struct vault_call *call, enum vault_kind kind, const char *verb, enum permission needed);

/* The window of a list of `maxresults` and `$skiptoken`; false with the 400 set. */
bool keyvault_page(struct vault_call *call, size_t total, size_t *ret_first, size_t *ret_end);
/* Responses with a page; takes `value`. The path of the list is made of the request's. */
void keyvault_respond_page(struct vault_call *call, cJSON *value, size_t end, size_t total);

/* A collection: keyvault_objects.c. */
void keyvault_serve_objects(struct vault_call *call, enum vault_kind kind);

#endif
