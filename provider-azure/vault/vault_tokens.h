/*
 * vault_tokens.h - the tokens of one mount: one for each audience of its vaults, all requested at once.
 *
 *     start ─▶ TOKEN ────────────────────────▶ there, or failed ─▶ callback when all that are needed are
 *                └─ the token service does not know the resource (AADSTS500011):
 *                   RESOURCE: a vault names another one ─▶ TOKEN for that
 *
 * The token of an audience that only fallback vaults have is not waited for. Contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_TOKENS_H
#define PROVIDER_AZURE_VAULT_VAULT_TOKENS_H

#include "provider-azure/identity/token_cache.h"
#include "provider-azure/vault/vault_set.h"

struct vault_tokens;

/* Borrowed until the end. */
struct vault_tokens_input {
    const struct network *network;
    struct token_cache *cache;
    const struct vault_set *vaults;
    struct identity *const *identities; /* of each audience of the set */
    uint64_t deadline_ms;
};

/* What a read of a vault needs. At most one of token and error is set; neither while the token is awaited. */
struct vault_access {
    struct identity *identity;
    struct token *token;
    struct error *error;
};

/* Each audience that is needed has a token or an error. */
typedef void vault_tokens_callback(void *arg);

/* Requests all tokens. NULL with err set on lack of memory. */
struct vault_tokens *vault_tokens_start(const struct vault_tokens_input *input,
                                        vault_tokens_callback *callback, void *arg, struct error **err);

/* The access to a vault of the set; valid until the end. */
const struct vault_access *vault_tokens_access(const struct vault_tokens *tokens, size_t vault);

/* Ends the requests that run, without a callback; the error of each says what it waited for. */
void vault_tokens_give_up(struct vault_tokens *tokens);

/* Ends the requests that run, without a callback, and drops the tokens. Accepts NULL. */
void vault_tokens_destroy(struct vault_tokens *tokens);

#endif
