/*
 * vault_tokens.c - one token for each audience.
 */
#include "provider-azure/vault/vault_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/identity/entra.h"
#include "provider-azure/vault/vault_resource.h"

struct audience {
    struct vault_tokens *tokens;
    size_t index;
    struct vault_access access;
    struct token_waiter *waiter;     /* TOKEN */
    struct error *refusal;           /* of the cloud's resource; then the vaults' own is tried */
    struct vault_resource *resource; /* RESOURCE */
    size_t challenged;               /* the vault of the set that is to send a challenge */
};

struct vault_tokens {
    struct vault_tokens_input input;
    struct audience audiences[VAULT_AUDIENCES_MAX];
    size_t running;
    vault_tokens_callback *callback;
    void *arg;
};

/* Takes over `token` or `error`. */
static void finish(struct audience *audience, struct token *token, struct error *error)
{
    struct vault_tokens *tokens = audience->tokens;
    audience->access.token = token;
    audience->access.error = error;
    if (tokens->input.vaults->is_needed[audience->index] && --tokens->running == 0)
        tokens->callback(tokens->arg);
}

static void on_token(struct token *token, const struct error *error, void *arg);

static int get_token(struct audience *audience, struct error **err)
{
    const struct vault_tokens_input *input = &audience->tokens->input;
    audience->waiter = token_cache_get(input->cache, audience->access.identity, /* rejected= */ NULL,
                                       input->deadline_ms, on_token, audience, err);
    return audience->waiter == NULL ? -1 : 0;
}

/* --- the vault's own resource, once the cloud's is refused --- */

static int take_resource(struct audience *audience, const char *resource, struct error **err)
{
    const struct vault_tokens_input *input = &audience->tokens->input;
    struct identity *former = audience->access.identity;
    struct identity *identity = identity_for_resource(former, resource, err);
    if (identity == NULL)
        return -1;
    log_warning(
        input->network->log,
        "the token service does not know the cloud's resource of Key Vault, using the one that the vault names",
        LOG_STR("resource", former->resource), LOG_STR("vaultResource", resource),
        LOG_STR("vault", input->vaults->at[audience->challenged].host));
    audience->access.identity = identity;
    identity_unref(former);
    return get_token(audience, err);
}

static void on_resource(const char *resource, const struct error *error, void *arg);

/* Sends the next vault of the audience a request without a token, beginning with number `from`. False if
 * there is none. */
static bool request_challenge(struct audience *audience, size_t from)
{
    const struct vault_tokens_input *input = &audience->tokens->input;
    struct error *ignored = NULL; /* the refusal is reported then */

    while (from < input->vaults->n && vault_set_audience(input->vaults, from) != audience->index)
        from++;
    if (from == input->vaults->n)
        return false;
    audience->challenged = from;
    audience->resource =
        vault_resource_start(input->network, &input->vaults->at[from], audience->access.identity->egress,
                             input->deadline_ms, on_resource, audience, &ignored);
    error_free(ignored);
    return audience->resource != NULL;
}

static void on_resource(const char *resource, const struct error *error, void *arg)
{
    struct audience *audience = arg;
    struct error *failure = NULL;

    audience->resource = NULL;
    if (resource != NULL && strcmp(resource, audience->access.identity->resource) != 0 &&
        take_resource(audience, resource, &failure) == 0)
        return;
    if (error != NULL) {
        if (request_challenge(audience, audience->challenged + 1))
            return;
        failure = error_copy(audience->refusal);
        (void)error_wrap(&failure, "%s", error_message(error));
    }
    finish(audience, NULL, failure != NULL ? failure : error_copy(audience->refusal));
}

static void on_token(struct token *token, const struct error *error, void *arg)
{
    struct audience *audience = arg;

    audience->waiter = NULL;
    if (token == NULL && audience->refusal == NULL && entra_refused_resource(error)) {
        audience->refusal = error_copy(error);
        if (request_challenge(audience, 0))
            return;
    }
    finish(audience, token, error_copy(error));
}

/* --- the interface --- */

struct vault_tokens *vault_tokens_start(const struct vault_tokens_input *input,
                                        vault_tokens_callback *callback, void *arg, struct error **err)
{
    struct vault_tokens *tokens = calloc(1, sizeof(*tokens));
    if (tokens == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *tokens = (struct vault_tokens){.input = *input, .callback = callback, .arg = arg};
    for (size_t i = 0; i < input->vaults->n_audiences; i++) {
        struct audience *audience = &tokens->audiences[i];
        audience->tokens = tokens;
        audience->index = i;
        audience->access.identity = identity_ref(input->identities[i]);
        if (get_token(audience, err) < 0) {
            vault_tokens_destroy(tokens);
            return NULL;
        }
        tokens->running += input->vaults->is_needed[i] ? 1 : 0;
    }
    return tokens;
}

const struct vault_access *vault_tokens_access(const struct vault_tokens *tokens, size_t vault)
{
    return &tokens->audiences[vault_set_audience(tokens->input.vaults, vault)].access;
}

static void cancel(struct audience *audience)
{
    token_waiter_cancel(&audience->waiter);
    vault_resource_cancel(&audience->resource);
}

void vault_tokens_give_up(struct vault_tokens *tokens)
{
    for (size_t i = 0; i < tokens->input.vaults->n_audiences; i++) {
        struct audience *audience = &tokens->audiences[i];
        struct vault_access *access = &audience->access;
        if (audience->waiter != NULL)
            (void)token_waiter_pending_error(audience->waiter, &access->error);
        else if (access->token == NULL && access->error == NULL)
            error_set(&access->error, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
        cancel(audience);
    }
}

void vault_tokens_destroy(struct vault_tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(tokens->audiences); i++) {
        struct audience *audience = &tokens->audiences[i];
        cancel(audience);
        identity_unref(audience->access.identity);
        token_unref(audience->access.token);
        error_free(audience->access.error);
        error_free(audience->refusal);
    }
    free(tokens);
}
