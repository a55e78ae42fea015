/*
 * token_cache.c - cached tokens, single flight, early refresh.
 */
#include "provider-azure/identity/token_cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A token that ends sooner than this is not handed out: it must survive the requests it is for. */
enum { TOKEN_MIN_LIFE_S = 10 };
/* Background refresh: its own limit, and the pause after a failed one. */
enum { REFRESH_LIMIT_MS = 60 * 1000, REFRESH_PAUSE_MS = 30 * 1000 };

struct entry;
TAILQ_HEAD(wait_list, token_wait);
TAILQ_HEAD(entry_list, entry);

/* A question that is being made in another thread. It has all that the thread touches, and outlives an
 * acquisition that is given up. */
struct preparation {
    struct acquisition *acquisition; /* NULL: nobody waits any more */
    struct identity *identity;       /* a reference; the thread only reads it */
    struct identity_moment moment;
    struct identity_question question;
    struct error *error;
    int result;
};

/* One request to the token service, and who waits for it. */
struct acquisition {
    struct token_cache *cache;
    struct entry *entry;                 /* NULL once the answer is being delivered */
    struct identity *identity;           /* a reference */
    struct token_proxy_wait *route_wait; /* ROUTE: finding the way to the token proxy */
    struct preparation *preparation;     /* PREPARE, aside */
    struct exchange *exchange;           /* ASK */
    bool asked_anew;                     /* with another assertion than the first */
    uint64_t deadline_ms;
    uint64_t since_ms;
    struct wait_list waits; /* may be empty: background refresh */
};

struct entry {
    TAILQ_ENTRY(entry) link;
    uint8_t key[DIGEST_LEN];
    struct token *token;             /* a reference, or NULL */
    struct acquisition *acquisition; /* or NULL */
    uint64_t refresh_not_before_ms;
};

struct token_cache {
    const struct network *network;
    struct entry_list entries; /* least recently used first */
    size_t n;
    struct transport_timer *sweep; /* when the next token ends */
};

struct token_wait {
    TAILQ_ENTRY(token_wait) link; /* in acquisition->waits, when that is set */
    struct token_cache *cache;
    struct acquisition *acquisition; /* NULL: the answer is known and comes with the timer */
    struct transport_timer *timer;
    struct token *token; /* the known answer, a reference */
    token_callback *callback;
    void *arg;
};

void token_unref(struct token *token)
{
    if (token == NULL || --token->refs > 0)
        return;
    secret_destroy(token->value);
    free(token);
}

static void no_memory(struct error **err)
{
    error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

struct token_cache *token_cache_create(const struct network *network, struct error **err)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        no_memory(err);
        return NULL;
    }
    cache->network = network;
    TAILQ_INIT(&cache->entries);
    return cache;
}

static void acquisition_free(struct acquisition *acquisition)
{
    token_proxy_wait_cancel(&acquisition->route_wait);
    if (acquisition->preparation != NULL)
        acquisition->preparation->acquisition = NULL;
    exchange_cancel(&acquisition->exchange);
    identity_unref(acquisition->identity);
    free(acquisition);
}

static void entry_remove(struct token_cache *cache, struct entry *entry)
{
    TAILQ_REMOVE(&cache->entries, entry, link);
    cache->n--;
    if (entry->acquisition != NULL)
        acquisition_free(entry->acquisition);
    token_unref(entry->token);
    free(entry);
}

static bool usable(const struct token *token, int64_t now_unix)
{
    return token != NULL && token->expires_unix >= now_unix + TOKEN_MIN_LIFE_S;
}

/* --- what has ended is wiped
 * ------------------------------------------------------------------------------------- */

/* The timer looks at least this often: the wall clock may be set, and it must not spin. */
enum { SWEEP_MIN_S = 1, SWEEP_MAX_S = 600 };

static void on_sweep(void *arg);

/* Sets the timer to the moment when the next token ends. Without memory for it, later calls try again. */
static void plan_sweep(struct token_cache *cache)
{
    const struct transport *transport = cache->network->transport;
    int64_t now = transport_unix_s(transport);
    int64_t delay_s = SWEEP_MAX_S;
    bool any = false;
    const struct entry *entry = NULL;
    TAILQ_FOREACH(entry, &cache->entries, link)
    {
        if (entry->token == NULL)
            continue;
        any = true;
        int64_t left = entry->token->expires_unix - TOKEN_MIN_LIFE_S + 1 - now;
        delay_s = left < delay_s ? left : delay_s;
    }
    transport_stop(transport, &cache->sweep);
    if (!any)
        return;
    delay_s = delay_s > SWEEP_MIN_S ? delay_s : SWEEP_MIN_S;
    cache->sweep = transport_after(transport, (uint64_t)delay_s * 1000, on_sweep, cache, NULL);
}

static void on_sweep(void *arg)
{
    struct token_cache *cache = arg;
    int64_t now = transport_unix_s(cache->network->transport);
    struct entry *next = NULL;

    cache->sweep = NULL;
    for (struct entry *entry = TAILQ_FIRST(&cache->entries); entry != NULL; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (usable(entry->token, now))
            continue;
        if (entry->acquisition == NULL) {
            entry_remove(cache, entry);
        } else {
            token_unref(entry->token);
            entry->token = NULL;
        }
    }
    plan_sweep(cache);
}

/* --- entries
 * ----------------------------------------------------------------------------------------------------- */

static struct entry *find(struct token_cache *cache, const uint8_t key[DIGEST_LEN])
{
    struct entry *entry = NULL;
    TAILQ_FOREACH(entry, &cache->entries, link)
    {
        if (memcmp(entry->key, key, DIGEST_LEN) == 0)
            return entry;
    }
    return NULL;
}

/* A new, empty entry at the end of the list. When the cache is full, the entries unused for longest that
 * nobody waits for go. */
static struct entry *add(struct token_cache *cache, const uint8_t key[DIGEST_LEN], struct error **err)
{
    struct entry *next = NULL;
    for (struct entry *entry = TAILQ_FIRST(&cache->entries); cache->n >= TOKEN_CACHE_MAX && entry != NULL;
         entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (entry->acquisition == NULL)
            entry_remove(cache, entry);
    }
    if (cache->n >= TOKEN_CACHE_IN_FLIGHT_MAX) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%d token requests are in flight already",
                  TOKEN_CACHE_IN_FLIGHT_MAX);
        return NULL;
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        no_memory(err);
        return NULL;
    }
    memcpy(entry->key, key, DIGEST_LEN);
    TAILQ_INSERT_TAIL(&cache->entries, entry, link);
    cache->n++;
    return entry;
}

/* Hands the outcome to everybody who waits. The waits may cancel each other or ask again while this runs. */
static void deliver(struct acquisition *acquisition, struct token *token, const struct error *error)
{
    struct token_wait *wait = NULL;
    while ((wait = TAILQ_FIRST(&acquisition->waits)) != NULL) {
        token_callback *callback = wait->callback;
        void *arg = wait->arg;
        TAILQ_REMOVE(&acquisition->waits, wait, link);
        free(wait);
        callback(token != NULL ? token_ref(token) : NULL, error, arg);
    }
}

/* What came of it: exactly one of `token` and `failure`, both taken over. */
static void conclude(struct acquisition *acquisition, struct token *token, struct error *failure)
{
    struct token_cache *cache = acquisition->cache;
    const struct network *network = cache->network;
    struct entry *entry = acquisition->entry;
    const char *mode = auth_mode_name(acquisition->identity->ops->mode);
    int64_t now = transport_unix_s(network->transport);
    uint64_t now_ms = transport_now_ms(network->transport);

    if (token == NULL)
        error_wrap(&failure, "token for the %s", mode);
    meter_token(network->meter, mode, token != NULL ? GRPC_STATUS_OK : error_code(failure),
                (double)(now_ms - acquisition->since_ms) / 1000.0);

    entry->acquisition = NULL;
    acquisition->entry = NULL;
    if (token != NULL && usable(token, now)) {
        token_unref(entry->token);
        entry->token = token_ref(token);
        /* A service may hand out the same token again until it ends: that is no reason to ask each time. */
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        plan_sweep(cache);
    } else if (entry->token != NULL && token == NULL) {
        log_warning(network->log, "background refresh of a token failed, the old one is used until it ends",
                    LOG_STR("mode", mode), LOG_ERR(failure));
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
    } else {
        entry_remove(cache, entry);
    }
    deliver(acquisition, token, failure);
    token_unref(token);
    error_free(failure);
    acquisition_free(acquisition);
}

static int ask(struct acquisition *acquisition, const struct token_proxy_route *route, struct error **err);

/* A try whose answer was lost may have reached the service, which takes an assertion only once: what it
 * refuses then is asked again with a new one. True when that is under way. */
static bool ask_anew(struct acquisition *acquisition, const struct error *failure, unsigned tries)
{
    struct error *ignored = NULL; /* the refusal is told */

    if (tries < 2 || acquisition->asked_anew || !acquisition->identity->ops->prepare_aside ||
        error_code(failure) != GRPC_STATUS_UNAUTHENTICATED)
        return false;
    acquisition->asked_anew = true;
    int result = ask(acquisition, /* route= */ NULL, &ignored);
    error_free(ignored);
    return result == 0;
}

static void on_answer(struct reply *reply, const struct error *error, unsigned tries, void *arg)
{
    struct acquisition *acquisition = arg;
    const struct identity *identity = acquisition->identity;
    int64_t now = transport_unix_s(acquisition->cache->network->transport);
    struct error *failure = NULL;
    struct token *token = NULL;

    acquisition->exchange = NULL;
    if (reply != NULL) {
        token = identity->ops->understand(identity, reply, now, &failure);
        if (token == NULL && ask_anew(acquisition, failure, tries)) {
            error_free(failure);
            return;
        }
        if (token == NULL && tries > 1)
            error_wrap(&failure, "after %u tries", tries);
    } else {
        enum grpc_status code = error_code(error);
        failure = error_copy(error);
        if (identity->ops->unanswered != NULL &&
            (code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED))
            error_wrap(&failure, "%s", identity->ops->unanswered);
        if (identity->token_proxy != NULL)
            token_proxy_doubt(identity->token_proxy);
    }
    conclude(acquisition, token, failure);
}

static int send_question(struct acquisition *acquisition, const struct identity_question *question,
                         struct error **err)
{
    const struct network *network = acquisition->cache->network;
    const struct identity *identity = acquisition->identity;
    /* Entra throttles applications, not everybody: one that is throttled must not stop the others. IMDS
     * throttles the node. */
    cleanup_free char *lane = NULL;

    if (*identity->authority != '\0' && asprintf(&lane, "%s/%s", identity->tenant, identity->client_id) < 0) {
        lane = NULL;
        no_memory(err);
        return -1;
    }
    struct exchange_request request = {
        .service = question->service,
        .host = question->host,
        .lane = lane,
        .method = question->method,
        .url = question->url,
        .body = question->body.data,
        .body_len = question->body.len,
        .max_response_bytes = (size_t)256 * 1024,
        .proxy = question->proxy,
        .route = identity->route,
        .connect_to = question->connect_to,
        .ca_pem = question->ca_pem,
        .ca_pem_len = question->ca_pem_len,
        .policy = question->policy,
        .deadline_ms = acquisition->deadline_ms,
    };
    for (size_t i = 0; i < EXCHANGE_MAX_HEADERS; i++)
        request.headers[i] = question->headers[i];
    acquisition->exchange = exchange_start(network, &request, on_answer, acquisition, err);
    return acquisition->exchange == NULL ? -1 : 0;
}

static void prepare_aside(void *arg)
{
    struct preparation *preparation = arg;
    const struct identity *identity = preparation->identity;
    preparation->result =
        identity->ops->prepare(identity, &preparation->moment, &preparation->question, &preparation->error);
}

static void on_prepared(void *arg)
{
    struct preparation *preparation = arg;
    struct acquisition *acquisition = preparation->acquisition;
    struct error *failure = steal_ptr(&preparation->error);

    if (acquisition != NULL) {
        acquisition->preparation = NULL;
        if (preparation->result == 0 && send_question(acquisition, &preparation->question, &failure) == 0)
            acquisition = NULL; /* under way */
    }
    identity_question_finish(&preparation->question);
    identity_unref(preparation->identity);
    free(preparation);
    if (acquisition != NULL)
        conclude(acquisition, NULL, failure);
    else
        error_free(failure);
}

/* Makes the question and sends it. `route` is that of an identity with a token proxy. */
static int ask(struct acquisition *acquisition, const struct token_proxy_route *route, struct error **err)
{
    const struct transport *transport = acquisition->cache->network->transport;
    const struct identity *identity = acquisition->identity;
    const struct identity_moment moment = {.now_unix = transport_unix_s(transport), .route = route};

    if (!identity->ops->prepare_aside) {
        struct identity_question question = {0};
        int result = identity->ops->prepare(identity, &moment, &question, err);
        if (result == 0)
            result = send_question(acquisition, &question, err);
        identity_question_finish(&question);
        return result;
    }
    struct preparation *preparation = calloc(1, sizeof(*preparation));
    if (preparation == NULL) {
        no_memory(err);
        return -1;
    }
    *preparation = (struct preparation){
        .acquisition = acquisition, .identity = identity_ref(acquisition->identity), .moment = moment};
    if (transport_work(transport, prepare_aside, on_prepared, preparation, err) < 0) {
        identity_unref(preparation->identity);
        free(preparation);
        return -1;
    }
    acquisition->preparation = preparation;
    return 0;
}

static void on_route(const struct token_proxy_route *route, const struct error *error, void *arg)
{
    struct acquisition *acquisition = arg;
    struct error *failure = NULL;

    acquisition->route_wait = NULL;
    if (route == NULL)
        conclude(acquisition, NULL, error_copy(error));
    else if (ask(acquisition, route, &failure) < 0)
        conclude(acquisition, NULL, failure);
}

static int acquire(struct token_cache *cache, struct entry *entry, struct identity *identity,
                   uint64_t deadline_ms, struct error **err)
{
    struct acquisition *acquisition = calloc(1, sizeof(*acquisition));
    if (acquisition == NULL) {
        no_memory(err);
        return -1;
    }
    *acquisition = (struct acquisition){
        .cache = cache,
        .entry = entry,
        .identity = identity_ref(identity),
        .deadline_ms = deadline_ms,
        .since_ms = transport_now_ms(cache->network->transport),
    };
    TAILQ_INIT(&acquisition->waits);
    int started = 0;
    if (identity->token_proxy != NULL) {
        acquisition->route_wait =
            token_proxy_find(identity->token_proxy, deadline_ms, on_route, acquisition, err);
        started = acquisition->route_wait != NULL ? 0 : -1;
    } else {
        started = ask(acquisition, /* route= */ NULL, err);
    }
    if (started < 0) {
        acquisition_free(acquisition);
        return error_wrap(err, "token for the %s", auth_mode_name(identity->ops->mode));
    }
    entry->acquisition = acquisition;
    return 0;
}

static void on_known(void *arg)
{
    struct token_wait *wait = arg;
    token_callback *callback = wait->callback;
    void *callback_arg = wait->arg;
    struct token *token = wait->token;
    free(wait);
    callback(token, NULL, callback_arg);
}

/* The token is at hand: it is delivered from the next turn. */
static int serve(struct token_cache *cache, struct entry *entry, struct identity *identity,
                 struct token_wait *wait, struct error **err)
{
    const struct transport *transport = cache->network->transport;
    uint64_t now_ms = transport_now_ms(transport);

    wait->timer = transport_after(transport, 0, on_known, wait, err);
    if (wait->timer == NULL)
        return -1;
    wait->token = token_ref(entry->token);
    meter_token_lookup(cache->network->meter, "hit");
    if (transport_unix_s(transport) >= entry->token->refresh_unix && entry->acquisition == NULL &&
        now_ms >= entry->refresh_not_before_ms) {
        struct error *ignored = NULL; /* the old token still serves; the next get tries again */
        if (acquire(cache, entry, identity, now_ms + REFRESH_LIMIT_MS, &ignored) < 0)
            entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        error_free(ignored);
    }
    return 0;
}

static int join(struct token_cache *cache, struct entry *entry, struct identity *identity,
                uint64_t deadline_ms, struct token_wait *wait, struct error **err)
{
    if (entry->acquisition != NULL) {
        struct acquisition *acquisition = entry->acquisition;
        if (deadline_ms > acquisition->deadline_ms)
            acquisition->deadline_ms = deadline_ms;
        if (acquisition->exchange != NULL)
            exchange_extend(acquisition->exchange, deadline_ms);
        meter_token_lookup(cache->network->meter, "joined");
    } else {
        if (acquire(cache, entry, identity, deadline_ms, err) < 0)
            return -1;
        meter_token_lookup(cache->network->meter, "miss");
    }
    wait->acquisition = entry->acquisition;
    TAILQ_INSERT_TAIL(&entry->acquisition->waits, wait, link);
    return 0;
}

struct token_wait *token_cache_get(struct token_cache *cache, struct identity *identity,
                                   const struct token *rejected, uint64_t deadline_ms,
                                   token_callback *callback, void *arg, struct error **err)
{
    struct entry *entry = find(cache, identity->key);
    struct token_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL) {
        no_memory(err);
        return NULL;
    }
    *wait = (struct token_wait){.cache = cache, .callback = callback, .arg = arg};
    if (entry == NULL)
        entry = add(cache, identity->key, err);
    if (entry == NULL) {
        free(wait);
        return NULL;
    }
    TAILQ_REMOVE(&cache->entries, entry, link);
    TAILQ_INSERT_TAIL(&cache->entries, entry, link);
    if (entry->token != NULL &&
        (entry->token == rejected || !usable(entry->token, transport_unix_s(cache->network->transport)))) {
        token_unref(entry->token);
        entry->token = NULL;
    }

    int result = entry->token != NULL ? serve(cache, entry, identity, wait, err)
                                      : join(cache, entry, identity, deadline_ms, wait, err);
    if (result < 0) {
        if (entry->token == NULL && entry->acquisition == NULL)
            entry_remove(cache, entry);
        free(wait);
        return NULL;
    }
    return wait;
}

int token_wait_why_not_yet(const struct token_wait *wait, struct error **err)
{
    const struct acquisition *acquisition = wait->acquisition;
    if (acquisition == NULL || acquisition->exchange == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
    (void)exchange_why_not_yet(acquisition->exchange, err);
    return error_wrap(err, "token for the %s", auth_mode_name(acquisition->identity->ops->mode));
}

void token_wait_cancel(struct token_wait **wait)
{
    struct token_wait *gone = *wait;
    *wait = NULL;
    if (gone == NULL)
        return;
    struct acquisition *acquisition = gone->acquisition;
    if (acquisition != NULL) {
        TAILQ_REMOVE(&acquisition->waits, gone, link);
        /* Nobody is interested any more, and there is no old token it would refresh. */
        if (TAILQ_EMPTY(&acquisition->waits) && acquisition->entry != NULL &&
            acquisition->entry->token == NULL)
            entry_remove(gone->cache, acquisition->entry);
    }
    transport_stop(gone->cache->network->transport, &gone->timer);
    token_unref(gone->token);
    free(gone);
}

size_t token_cache_count(const struct token_cache *cache)
{
    return cache->n;
}

void token_cache_destroy(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    struct entry *entry = NULL;
    while ((entry = TAILQ_FIRST(&cache->entries)) != NULL) {
        assert(entry->acquisition == NULL || TAILQ_EMPTY(&entry->acquisition->waits));
        entry_remove(cache, entry);
    }
    transport_stop(cache->network->transport, &cache->sweep);
    free(cache);
}
