/*
 * object_read.c - one read of a mount.
 */
#include "provider-azure/vault/object_read.h"

#include "provider-azure/vault/vault_failure.h"

/* The query to one vault of the set. */
static struct vault_query query_of(const struct object_read *read, size_t vault)
{
    return (struct vault_query){
        .vault_url = read->context->vaults->at[vault].url,
        .vault_host = read->context->vaults->at[vault].host,
        .type = read->type,
        .operation = read->operation,
        .name = read->name,
        .version = read->version,
        .filter = read->filter,
        .flow = read->context->flow,
        .gives_way = read->context->freshness.republish,
        .since_ms = read->context->freshness.tried_ms,
    };
}

/* The read has a response or an error. */
static void conclude(struct object_read *read)
{
    transport_stop(read->context->transport, &read->patience);
    read->callback(read->arg);
}

/* --- what is kept for outages --- */

static bool may_be_stale(const struct object_read *read)
{
    const struct vault_freshness *freshness = &read->context->freshness;
    return freshness->stale_max_age_ms > 0 && !freshness->republish;
}

/* The vault of which the youngest value is kept: an earlier one may have been away for longer. False: there
 * is none. */
static bool find_stale(const struct object_read *read, size_t *ret_vault)
{
    const struct object_read_context *context = read->context;
    uint64_t youngest_ms = UINT64_MAX;

    for (size_t i = 0; i < read->order.n && may_be_stale(read); i++) {
        size_t vault = read->order.at[i];
        const struct vault_query query = query_of(read, vault);
        const struct vault_access *access = vault_tokens_access(context->tokens, vault);
        uint64_t age_ms = 0;
        if (access->token != NULL &&
            vault_cache_has_stale(context->cache, &query, access->token, context->freshness.stale_max_age_ms,
                                  &age_ms) &&
            age_ms < youngest_ms) {
            youngest_ms = age_ms;
            *ret_vault = vault;
        }
    }
    return youngest_ms != UINT64_MAX;
}

/* Takes what is kept in the place of the error `cause`, if all vaults of the object cannot answer. */
static bool take_stale(struct object_read *read, const struct error *cause)
{
    const struct object_read_context *context = read->context;
    size_t vault = read->order.at[0];

    if (vault_failure_of(cause) != VAULT_FAILURE_UNAVAILABLE || !find_stale(read, &vault))
        return false;
    const struct vault_query query = query_of(read, vault);
    read->response =
        vault_cache_serve_stale(context->cache, &query, vault_tokens_access(context->tokens, vault)->token,
                                context->freshness.stale_max_age_ms, cause, &read->stale_age_ms);
    if (read->response == NULL)
        return false;
    read->stale = true;
    read->served = vault;
    if (vault != read->order.at[0])
        read->cause = error_copy(cause);
    return true;
}

/* A refusal counts for the copies in all vaults of the object. */
static void refuse_stale(const struct object_read *read, bool not_found)
{
    for (size_t i = 0; i < read->order.n; i++) {
        const struct vault_query query = query_of(read, read->order.at[i]);
        const struct vault_access *access = vault_tokens_access(read->context->tokens, read->order.at[i]);
        if (access->token != NULL)
            vault_cache_refuse_stale(read->context->cache, &query, access->token, not_found);
    }
}

static void pending_error(const struct object_read *read, struct error **err)
{
    if (read->waiter != NULL)
        (void)vault_waiter_pending_error(read->waiter, err);
    else
        (void)fallback_read_pending_error(read->fallback, err);
}

static void cancel(struct object_read *read)
{
    vault_waiter_cancel(&read->waiter);
    fallback_read_cancel(&read->fallback);
}

static void limit_wait(struct object_read *read, uint64_t wait_ms);

static void on_patience(void *arg)
{
    struct object_read *read = arg;
    cleanup_error struct error *error = NULL;

    read->patience = NULL;
    pending_error(read, &error);
    if (!take_stale(read, error)) { /* a vault has responded, or has still to get a request */
        limit_wait(read, OBJECT_READ_STALE_AGAIN_MS);
        return;
    }
    cancel(read);
    conclude(read);
}

/* Without memory for the timer the read waits as long as without outage mode. */
static void limit_wait(struct object_read *read, uint64_t wait_ms)
{
    const struct object_read_context *context = read->context;
    uint64_t now = transport_now_ms(context->transport);
    uint64_t half = context->deadline_ms > now ? (context->deadline_ms - now) / 2 : 0;
    size_t vault = 0;

    if (half > 0 && find_stale(read, &vault))
        read->patience = transport_after(context->transport, half < wait_ms ? half : wait_ms, on_patience,
                                         read, /* err= */ NULL);
}

/* --- one vault --- */

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct object_read *read = arg;

    read->waiter = NULL;
    read->response = response;
    if (response == NULL && !take_stale(read, error))
        read->error = error_copy(error);
    conclude(read);
}

static int start_read(struct object_read *read)
{
    const struct object_read_context *context = read->context;
    const struct vault_access *access = vault_tokens_access(context->tokens, read->order.at[0]);
    const struct vault_query query = query_of(read, read->order.at[0]);

    if (access->token == NULL) {
        read->error = error_copy(access->error);
        return -1;
    }
    read->waiter =
        vault_cache_get(context->cache, &query, access->identity, access->token, &context->freshness,
                        context->deadline_ms, on_response, read, &read->error);
    return read->waiter == NULL ? -1 : 0;
}

/* --- several vaults --- */

static void on_fallback(struct vault_response *response, size_t vault, const struct error *cause,
                        const struct error *error, void *arg)
{
    struct object_read *read = arg;

    read->fallback = NULL;
    read->response = response;
    if (response != NULL) {
        read->served = vault;
        read->cause = error_copy(cause);
    } else if (!take_stale(read, error)) {
        read->error = error_copy(error);
    }
    if (response != NULL ? response->not_found != NULL : vault_failure_of(error) == VAULT_FAILURE_REFUSED)
        refuse_stale(read, response != NULL || error_code(error) == GRPC_STATUS_NOT_FOUND);
    conclude(read);
}

static int start_fallback(struct object_read *read)
{
    struct object_read_context *context = read->context;
    const struct vault_query query = query_of(read, read->order.at[0]);
    const struct fallback_read_input input = {
        .transport = context->transport,
        .metrics = context->metrics,
        .cache = context->cache,
        .vaults = context->vaults,
        .tokens = context->tokens,
        .order = &read->order,
        .query = &query,
        .freshness = &context->freshness,
        .deadline_ms = context->deadline_ms,
        .suspects = context->suspects,
    };
    read->fallback = fallback_read_start(&input, on_fallback, read, &read->error);
    return read->fallback == NULL ? -1 : 0;
}

/* --- the interface --- */

int object_read_start(struct object_read *read, struct object_read_context *context,
                      object_read_callback *callback, void *arg)
{
    read->context = context;
    read->callback = callback;
    read->arg = arg;
    read->served = read->order.at[0];
    if ((read->order.n > 1 ? start_fallback(read) : start_read(read)) < 0)
        return -1;
    limit_wait(read, OBJECT_READ_STALE_WAIT_MS);
    return 0;
}

void object_read_give_up(struct object_read *read)
{
    if (read->waiter == NULL && read->fallback == NULL)
        return;
    transport_stop(read->context->transport, &read->patience);
    pending_error(read, &read->error);
    cancel(read);
}

void object_read_hold(const struct object_read *read, uint64_t until_ms)
{
    const struct object_read_context *context = read->context;

    for (size_t i = 0; context != NULL && i < read->order.n; i++) {
        const struct vault_query query = query_of(read, read->order.at[i]);
        const struct vault_access *access = vault_tokens_access(context->tokens, read->order.at[i]);
        bool has_read = read->order.at[i] == read->served && !read->stale;
        if (access->token != NULL)
            vault_cache_hold(context->cache, &query, access->token, has_read ? read->response : NULL,
                             until_ms);
    }
}

void object_read_finish(struct object_read *read)
{
    if (read->context != NULL)
        transport_stop(read->context->transport, &read->patience);
    cancel(read);
    vault_response_unref(read->response);
    error_free(read->error);
    error_free(read->cause);
    vault_list_filter_unref(read->filter);
}
