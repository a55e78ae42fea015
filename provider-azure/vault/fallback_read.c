/*
 * fallback_read.c - one read from the first vault of several that can answer.
 */
#include "provider-azure/vault/fallback_read.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/vault/vault_failure.h"

/* One vault of the order. */
struct attempt {
    struct fallback_read *read;
    enum { ATTEMPT_WAITS, ATTEMPT_REQUESTED, ATTEMPT_ENDED } state;
    struct vault_waiter *waiter; /* REQUESTED */
    uint64_t since_ms;           /* REQUESTED: when, or the end of its last pause after a 429 */
    uint64_t deadline_ms;
    uint64_t late_ms;                /* 0: it is a suspect */
    struct vault_response *response; /* ENDED: this or the error */
    struct error *error;
};

struct fallback_read {
    struct fallback_read_input input;
    struct vault_query query;
    struct attempt attempts[VAULT_ORDER_MAX];
    uint64_t late_ms;
    struct transport_timer *timer; /* runs while an attempt can become late or too late */
    fallback_callback *callback;
    void *arg;
};

static uint64_t now_ms(const struct fallback_read *read)
{
    return transport_now_ms(read->input.transport);
}

static size_t vault_index(const struct attempt *attempt)
{
    const struct fallback_read *read = attempt->read;
    return read->input.order->at[attempt - read->attempts];
}

static const struct vault *vault_of(const struct attempt *attempt)
{
    return &attempt->read->input.vaults->at[vault_index(attempt)];
}

static void read_free(struct fallback_read *read)
{
    transport_stop(read->input.transport, &read->timer);
    for (size_t i = 0; i < read->input.order->n; i++) {
        struct attempt *attempt = &read->attempts[i];
        vault_waiter_cancel(&attempt->waiter);
        vault_response_unref(attempt->response);
        error_free(attempt->error);
    }
    free(read);
}

/* --- errors --- */

/* Adds to *err why this vault has not served the read; `cause` is borrowed. */
static void add_cause(const struct attempt *attempt, const struct error *cause, struct error **err)
{
    enum vault_failure failure = vault_failure_of(cause);

    if (*err == NULL) {
        *err = error_copy(cause);
        return;
    }
    /* The response of a vault says more than the silence of others. */
    struct error *former = *err;
    bool responded =
        vault_failure_of(former) == VAULT_FAILURE_UNAVAILABLE && failure != VAULT_FAILURE_UNAVAILABLE;
    enum vault_failure mark = responded ? failure : vault_failure_of(former);
    *err = NULL;
    (void)error_set(err, responded ? error_code(cause) : error_code(former), "%s; fallback vault %s: %s",
                    error_message(former), vault_of(attempt)->name, error_message(cause));
    (void)vault_failure_mark(err, mark);
    error_free(former);
}

/* The causes of the first `n` vaults. */
static struct error *collect_causes(const struct fallback_read *read, size_t n)
{
    struct error *collected = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct attempt *attempt = &read->attempts[i];
        cleanup_error struct error *pending = NULL;
        const struct error *cause = attempt->error;
        if (attempt->state == ATTEMPT_WAITS || attempt->response != NULL)
            continue;
        if (attempt->waiter != NULL) {
            (void)vault_waiter_pending_error(attempt->waiter, &pending);
            cause = pending;
        }
        if (cause != NULL)
            add_cause(attempt, cause, &collected);
    }
    return collected;
}

/* --- the end --- */

static void end(struct fallback_read *read, struct vault_response *response, size_t winner)
{
    fallback_callback *callback = read->callback;
    void *arg = read->arg;
    size_t n = response != NULL ? winner : read->input.order->n;
    cleanup_error struct error *causes = n > 0 ? collect_causes(read, n) : NULL;
    cleanup_error struct error *no_memory = NULL;
    size_t vault = vault_index(&read->attempts[winner]);
    bool requested = read->attempts[1].state != ATTEMPT_WAITS;

    if (response == NULL && causes == NULL)
        (void)error_no_memory(&no_memory, NULL);
    if (requested)
        azure_metrics_fallback_read(read->input.metrics, response == NULL ? "failed"
                                                         : winner > 0     ? "served"
                                                                          : "unused");
    if (response != NULL)
        (void)vault_response_ref(response);
    read_free(read);
    if (response != NULL)
        callback(response, vault, causes, NULL, arg);
    else
        callback(NULL, vault, NULL, causes != NULL ? causes : no_memory, arg);
}

/* --- one vault --- */

static void settle(struct fallback_read *read);

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct attempt *attempt = arg;

    attempt->waiter = NULL;
    attempt->state = ATTEMPT_ENDED;
    if (response != NULL && response->not_found != NULL && attempt != attempt->read->attempts) {
        attempt->error = error_copy(response->not_found);
        vault_response_unref(response);
    } else {
        attempt->response = response;
        attempt->error = error_copy(error);
    }
    settle(attempt->read);
}

/* -1 with err set on lack of memory; the attempt has ended with that error then. */
static int send_request(struct attempt *attempt, struct error **err)
{
    struct fallback_read *read = attempt->read;
    const struct fallback_read_input *input = &read->input;
    const struct vault_access *access = vault_tokens_access(input->tokens, vault_index(attempt));
    struct vault_query query = read->query;

    attempt->since_ms = now_ms(read);
    attempt->late_ms = input->suspects[vault_index(attempt)] ? 0 : read->late_ms;
    if (access->token == NULL) { /* of another audience than the vaults before it */
        attempt->state = ATTEMPT_ENDED;
        attempt->error = error_copy(access->error);
        if (access->error == NULL)
            (void)error_set(&attempt->error, GRPC_STATUS_UNAVAILABLE, "its token is not there yet");
        return 0;
    }
    query.vault_url = vault_of(attempt)->url;
    query.vault_host = vault_of(attempt)->host;
    attempt->waiter = vault_cache_get(input->cache, &query, access->identity, access->token, input->freshness,
                                      attempt->deadline_ms, on_response, attempt, &attempt->error);
    attempt->state = attempt->waiter != NULL ? ATTEMPT_REQUESTED : ATTEMPT_ENDED;
    if (attempt->waiter != NULL)
        return 0;
    if (err != NULL)
        *err = error_copy(attempt->error);
    return -1;
}

/* The time of the vault is over: others get what is left. The last one has all of the mount's. */
static void give_up(struct attempt *attempt)
{
    (void)vault_waiter_pending_error(attempt->waiter, &attempt->error);
    vault_waiter_cancel(&attempt->waiter);
    attempt->state = ATTEMPT_ENDED;
}

/* --- the order --- */

enum standing {
    STANDING_COUNTS, /* a good response */
    STANDING_FINAL,  /* no other vault may get a request */
    STANDING_NEXT,   /* it cannot answer, or has not for too long */
    STANDING_LATE,   /* the next one gets a request, but does not count yet */
    STANDING_IN_TIME,
};

static enum standing standing_of(struct attempt *attempt)
{
    const struct fallback_read *read = attempt->read;
    bool *suspect = &read->input.suspects[vault_index(attempt)];
    uint64_t now = now_ms(read);
    bool is_last = attempt - read->attempts + 1 == read->input.order->n;

    if (attempt->state == ATTEMPT_REQUESTED && now >= attempt->deadline_ms && !is_last)
        give_up(attempt);
    if (attempt->state == ATTEMPT_REQUESTED) {
        if (vault_waiter_is_throttled(attempt->waiter))
            attempt->since_ms = now;
        uint64_t waited = now - attempt->since_ms;
        if (waited >= 2 * attempt->late_ms) {
            *suspect = true;
            return STANDING_NEXT;
        }
        return waited >= attempt->late_ms ? STANDING_LATE : STANDING_IN_TIME;
    }
    if (attempt->response != NULL) {
        *suspect = false;
        return STANDING_COUNTS;
    }
    if (attempt->error != NULL && vault_failure_of(attempt->error) == VAULT_FAILURE_UNAVAILABLE) {
        *suspect = true;
        return STANDING_NEXT;
    }
    const struct vault_access *access = vault_tokens_access(read->input.tokens, vault_index(attempt));
    bool is_own = attempt == read->attempts;
    return access->token == NULL && !is_own ? STANDING_NEXT : STANDING_FINAL;
}

/* When the standing of an attempt changes by time alone. */
static uint64_t next_change_ms(const struct attempt *attempt)
{
    const struct fallback_read *read = attempt->read;
    uint64_t now = now_ms(read);
    uint64_t late = attempt->since_ms + attempt->late_ms;
    uint64_t change = now < late ? late : late + attempt->late_ms;
    if (change <= now || attempt->deadline_ms < change)
        change = attempt->deadline_ms;
    return change;
}

static void on_timer(void *arg)
{
    struct fallback_read *read = arg;
    read->timer = NULL;
    settle(read);
}

static void arm(struct fallback_read *read, uint64_t at_ms)
{
    uint64_t now = now_ms(read);
    transport_stop(read->input.transport, &read->timer);
    if (at_ms != UINT64_MAX) /* without memory for it the responses decide */
        read->timer = transport_after(read->input.transport, at_ms > now ? at_ms - now : 0, on_timer, read,
                                      /* err= */ NULL);
}

/* Sends the requests that are due, and ends the read when it is decided. */
static void settle(struct fallback_read *read)
{
    size_t n = read->input.order->n;
    uint64_t change = UINT64_MAX;
    bool waits = false; /* for an earlier vault, which may still respond */

    for (size_t i = 0; i < n; i++) {
        struct attempt *attempt = &read->attempts[i];
        if (attempt->state == ATTEMPT_WAITS)
            (void)send_request(attempt, /* err= */ NULL);
        enum standing standing = standing_of(attempt);
        if (standing == STANDING_COUNTS || (standing == STANDING_FINAL && !waits)) {
            end(read, attempt->response, i);
            return;
        }
        if (attempt->state == ATTEMPT_REQUESTED) {
            bool is_last = i + 1 == n;
            waits = true;
            if (!is_last && next_change_ms(attempt) < change)
                change = next_change_ms(attempt);
            if (standing == STANDING_LATE && !is_last && read->attempts[i + 1].state == ATTEMPT_WAITS)
                (void)send_request(&read->attempts[i + 1], /* err= */ NULL);
        }
        if (standing != STANDING_NEXT)
            break;
    }
    if (!waits) {
        end(read, NULL, 0);
        return;
    }
    arm(read, change);
}

/* --- the interface --- */

struct fallback_read *fallback_read_start(const struct fallback_read_input *input,
                                          fallback_callback *callback, void *arg, struct error **err)
{
    struct fallback_read *read = calloc(1, sizeof(*read));
    if (read == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *read = (struct fallback_read){.input = *input, .query = *input->query, .callback = callback, .arg = arg};
    uint64_t now = now_ms(read);
    uint64_t left = input->deadline_ms > now ? input->deadline_ms - now : 0;
    uint64_t share = left / (2 * (uint64_t)input->order->n);
    uint64_t reserve = share < FALLBACK_RESERVE_MS ? share : FALLBACK_RESERVE_MS;
    read->late_ms = share < FALLBACK_LATE_MS ? share : FALLBACK_LATE_MS;
    for (size_t i = 0; i < VAULT_ORDER_MAX; i++)
        read->attempts[i].read = read;
    for (size_t i = 0; i < input->order->n; i++)
        read->attempts[i].deadline_ms = input->deadline_ms - (input->order->n - 1 - i) * reserve;
    if (send_request(&read->attempts[0], err) < 0) {
        read_free(read);
        return NULL;
    }
    /* Its own vault may have no token, or be a suspect: the next one gets a request in the next turn. */
    uint64_t change = read->attempts[0].state == ATTEMPT_REQUESTED ? next_change_ms(&read->attempts[0]) : now;
    read->timer =
        transport_after(input->transport, change > now && read->attempts[0].late_ms > 0 ? change - now : 0,
                        on_timer, read, err);
    if (read->timer != NULL)
        return read;
    read_free(read);
    return NULL;
}

int fallback_read_pending_error(const struct fallback_read *read, struct error **err)
{
    size_t n = read->input.order->n;
    struct error *causes = collect_causes(read, n);
    bool may_respond = read->attempts[n - 1].state == ATTEMPT_WAITS;
    for (size_t i = 0; i < n; i++)
        may_respond = may_respond || read->attempts[i].response != NULL;
    if (may_respond) /* or has, and does not count yet */
        (void)vault_failure_mark(&causes, VAULT_FAILURE_OTHER);
    return causes != NULL ? error_move(err, &causes) : error_no_memory(err, NULL);
}

void fallback_read_cancel(struct fallback_read **read)
{
    struct fallback_read *gone = *read;
    *read = NULL;
    if (gone != NULL)
        read_free(gone);
}
