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

/* Takes what is kept in the place of the error `cause`, if all vaults of the object cannot answer: of its own
 * vault, or else of the first fallback vault of which something is kept. */
static bool take_stale(struct object_read *read, const struct error *cause)
{
    const struct object_read_context *context = read->context;
    if (!may_be_stale(read) || vault_failure_of(cause) != VAULT_FAILURE_UNAVAILABLE)
        return false;
    for (size_t i = 0; i < read->order.n && read->response == NULL; i++) {
        size_t vault = read->order.at[i];
        const struct vault_query query = query_of(read, vault);
        const struct vault_access *access = vault_tokens_access(context->tokens, vault);
        if (access->token == NULL)
            continue;
        read->response =
            vault_cache_serve_stale(context->cache, &query, access->token,
                                    context->freshness.stale_max_age_ms, cause, &read->stale_age_ms);
        read->served = vault;
    }
    read->stale = read->response != NULL;
    if (!read->stale)
        read->served = read->order.at[0];
    else if (read->served != read->order.at[0])
        read->cause = error_copy(cause);
    return read->stale;
}

static bool has_stale(const struct object_read *read)
{
    const struct object_read_context *context = read->context;
    for (size_t i = 0; i < read->order.n && may_be_stale(read); i++) {
        const struct vault_query query = query_of(read, read->order.at[i]);
        const struct vault_access *access = vault_tokens_access(context->tokens, read->order.at[i]);
        if (access->token != NULL &&
            vault_cache_has_stale(context->cache, &query, access->token, context->freshness.stale_max_age_ms))
            return true;
    }
    return false;
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

static void on_patience(void *arg)
{
    struct object_read *read = arg;
    cleanup_error struct error *error = NULL;

    read->patience = NULL;
    pending_error(read, &error);
    if (!take_stale(read, error))
        return; /* a vault has answered, or nothing is kept any more: the wait goes on */
    cancel(read);
    conclude(read);
}

/* Without memory for the timer the read waits as long as without outage mode. */
static void limit_wait(struct object_read *read)
{
    const struct object_read_context *context = read->context;
    uint64_t now = transport_now_ms(context->transport);
    uint64_t half = context->deadline_ms > now ? (context->deadline_ms - now) / 2 : 0;

    if (has_stale(read))
        read->patience = transport_after(context->transport,
                                         half < OBJECT_READ_STALE_WAIT_MS ? half : OBJECT_READ_STALE_WAIT_MS,
                                         on_patience, read, /* err= */ NULL);
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
    limit_wait(read);
    return 0;
}

void object_read_give_up(struct object_read *read)
{
    if (read->waiter == NULL && read->fallback == NULL)
        return;
    transport_stop(read->context->transport, &read->patience);
    pending_error(read, &read->error);
    cancel(read);
    if (read->operation == VAULT_GET_OBJECT && take_stale(read, read->error))
        error_free(steal_ptr(&read->error));
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
