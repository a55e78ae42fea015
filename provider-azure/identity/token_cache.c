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
TAILQ_HEAD(waiter_list, token_waiter);
TAILQ_HEAD(entry_list, entry);

/* A question that is being made in another thread. It has all that the thread touches, and outlives an
 * acquisition that is given up. */
struct request_build {
    struct token_fetch *fetch; /* NULL: nobody waits any more */
    struct identity *identity; /* a reference; the thread only reads it */
    struct token_request_context context;
    struct token_request request;
    struct error *error;
    int result;
};

/* One request to the token service, and who waits for it. */
struct token_fetch {
    struct token_cache *cache;
    struct entry *entry;                        /* NULL once the answer is being delivered */
    struct identity *identity;                  /* a reference */
    struct token_proxy_waiter *endpoint_waiter; /* ENDPOINT: finding the way to the token proxy */
    struct request_build *build;                /* BUILD, in a thread */
    struct http_retry *http;                    /* REQUEST */
    bool new_assertion_sent;                    /* with another assertion than the first */
    uint64_t deadline_ms;
    uint64_t since_ms;
    struct waiter_list waiters; /* may be empty: background refresh */
};

struct entry {
    TAILQ_ENTRY(entry) link;
    uint8_t key[DIGEST_SHA256_LEN];
    struct token *token;       /* a reference, or NULL */
    struct token_fetch *fetch; /* or NULL */
    uint64_t refresh_not_before_ms;
};

struct token_cache {
    const struct network *network;
    struct entry_list entries; /* least recently used first */
    size_t n;
    struct transport_timer *sweep; /* when the next token ends */
};

struct token_waiter {
    TAILQ_ENTRY(token_waiter) link; /* in fetch->waiters, when that is set */
    struct token_cache *cache;
    struct token_fetch *fetch; /* NULL: the answer is known and comes with the timer */
    struct transport_timer *timer;
    struct token *token; /* the known answer, a reference */
    token_callback *callback;
    void *arg;
};

struct token_cache *token_cache_create(const struct network *network, struct error **err)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    cache->network = network;
    TAILQ_INIT(&cache->entries);
    return cache;
}

static void fetch_free(struct token_fetch *fetch)
{
    token_proxy_waiter_cancel(&fetch->endpoint_waiter);
    if (fetch->build != NULL)
        fetch->build->fetch = NULL;
    http_retry_cancel(&fetch->http);
    identity_unref(fetch->identity);
    free(fetch);
}

static void entry_remove(struct token_cache *cache, struct entry *entry)
{
    TAILQ_REMOVE(&cache->entries, entry, link);
    cache->n--;
    if (entry->fetch != NULL)
        fetch_free(entry->fetch);
    token_unref(entry->token);
    free(entry);
}

static bool usable(const struct token *token, int64_t now_unix)
{
    return token != NULL && token->expires_unix >= now_unix + TOKEN_MIN_LIFE_S;
}

/* --- what has ended is wiped --- */

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
        if (entry->fetch == NULL) {
            entry_remove(cache, entry);
        } else {
            token_unref(entry->token);
            entry->token = NULL;
        }
    }
    plan_sweep(cache);
}

/* --- entries --- */

static struct entry *find(struct token_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    struct entry *entry = NULL;
    TAILQ_FOREACH(entry, &cache->entries, link)
    {
        if (memcmp(entry->key, key, DIGEST_SHA256_LEN) == 0)
            return entry;
    }
    return NULL;
}

/* A new, empty entry at the end of the list. When the cache is full, the entries unused for longest that
 * nobody waits for go. */
static struct entry *add(struct token_cache *cache, const uint8_t key[DIGEST_SHA256_LEN], struct error **err)
{
    struct entry *next = NULL;
    for (struct entry *entry = TAILQ_FIRST(&cache->entries); cache->n >= TOKEN_CACHE_MAX && entry != NULL;
         entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (entry->fetch == NULL)
            entry_remove(cache, entry);
    }
    if (cache->n >= TOKEN_CACHE_IN_FLIGHT_MAX) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%d token requests are in flight already",
                  TOKEN_CACHE_IN_FLIGHT_MAX);
        return NULL;
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    memcpy(entry->key, key, DIGEST_SHA256_LEN);
    TAILQ_INSERT_TAIL(&cache->entries, entry, link);
    cache->n++;
    return entry;
}

/* Hands the outcome to everybody who waits. The waits may cancel each other or ask again while this runs. */
static void deliver(struct token_fetch *fetch, struct token *token, const struct error *error)
{
    struct token_waiter *waiter = NULL;
    while ((waiter = TAILQ_FIRST(&fetch->waiters)) != NULL) {
        token_callback *callback = waiter->callback;
        void *arg = waiter->arg;
        TAILQ_REMOVE(&fetch->waiters, waiter, link);
        free(waiter);
        callback(token != NULL ? token_ref(token) : NULL, error, arg);
    }
}

/* What came of it: exactly one of `token` and `failure`, both taken over. */
static void finish_fetch(struct token_fetch *fetch, struct token *token, struct error *failure)
{
    struct token_cache *cache = fetch->cache;
    const struct network *network = cache->network;
    struct entry *entry = fetch->entry;
    const char *mode = identity_mode_name(fetch->identity->ops->mode);
    int64_t now = transport_unix_s(network->transport);
    uint64_t now_ms = transport_now_ms(network->transport);

    if (token == NULL)
        error_wrap(&failure, "token for the %s", mode);
    azure_metrics_token(network->metrics, mode, token != NULL ? GRPC_STATUS_OK : error_code(failure),
                        (double)(now_ms - fetch->since_ms) / 1000.0);

    entry->fetch = NULL;
    fetch->entry = NULL;
    if (token != NULL && usable(token, now)) {
        token_unref(entry->token);
        entry->token = token_ref(token);
        /* A service may hand out the same token again until it ends: that is no reason to ask each time. */
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        plan_sweep(cache);
    } else if (entry->token != NULL && token == NULL) {
        log_warning(network->log, "background refresh of a token failed, the old one is used until it expires",
                    LOG_STR("mode", mode), LOG_ERR(failure));
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
    } else {
        entry_remove(cache, entry);
    }
    deliver(fetch, token, failure);
    token_unref(token);
    error_free(failure);
    fetch_free(fetch);
}

static int request_token(struct token_fetch *fetch, const struct token_proxy_endpoint *endpoint,
                         struct error **err);

/* A try whose answer was lost may have reached the service, which takes an assertion only once: what it
 * refuses then is asked again with a new one. True when that is under way. */
static bool retry_with_new_assertion(struct token_fetch *fetch, const struct error *failure, unsigned tries)
{
    struct error *ignored = NULL; /* the refusal is told */

    if (tries < 2 || fetch->new_assertion_sent || !fetch->identity->ops->build_in_thread ||
        error_code(failure) != GRPC_STATUS_UNAUTHENTICATED)
        return false;
    fetch->new_assertion_sent = true;
    int result = request_token(fetch, /* endpoint= */ NULL, &ignored);
    error_free(ignored);
    return result == 0;
}

static void on_reply(struct http_reply *reply, const struct error *error, unsigned tries, void *arg)
{
    struct token_fetch *fetch = arg;
    const struct identity *identity = fetch->identity;
    int64_t now = transport_unix_s(fetch->cache->network->transport);
    struct error *failure = NULL;
    struct token *token = NULL;

    fetch->http = NULL;
    if (reply != NULL) {
        token = identity->ops->parse_response(identity, reply, now, &failure);
        if (token == NULL && retry_with_new_assertion(fetch, failure, tries)) {
            error_free(failure);
            return;
        }
        if (token == NULL && tries > 1)
            error_wrap(&failure, "after %u tries", tries);
    } else {
        enum grpc_status code = error_code(error);
        failure = error_copy(error);
        if (identity->ops->no_response != NULL &&
            (code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED))
            error_wrap(&failure, "%s", identity->ops->no_response);
        if (identity->token_proxy != NULL)
            token_proxy_invalidate(identity->token_proxy);
    }
    finish_fetch(fetch, token, failure);
}

static int send_request(struct token_fetch *fetch, const struct token_request *request, struct error **err)
{
    const struct network *network = fetch->cache->network;
    const struct identity *identity = fetch->identity;
    /* Entra throttles applications, not everybody: one that is throttled must not stop the others. IMDS
     * throttles the node. */
    cleanup_free char *scope = NULL;

    if (*identity->authority != '\0' &&
        asprintf(&scope, "%s/%s", identity->tenant, identity->client_id) < 0) {
        scope = NULL;
        return error_no_memory(err, NULL);
    }
    struct http_retry_request http = {
        .service = request->service,
        .host = request->host,
        .throttle_scope = scope,
        .method = request->method,
        .url = request->url,
        .body = request->body.data,
        .body_len = request->body.len,
        .max_response_bytes = (size_t)256 * 1024,
        .proxy = request->proxy,
        .egress = identity->egress,
        .connect_to = request->connect_to,
        .ca_pem = request->ca_pem,
        .ca_pem_len = request->ca_pem_len,
        .policy = request->policy,
        .deadline_ms = fetch->deadline_ms,
    };
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS; i++)
        http.headers[i] = request->headers[i];
    fetch->http = http_retry_start(network, &http, on_reply, fetch, err);
    return fetch->http == NULL ? -1 : 0;
}

static void build_in_thread(void *arg)
{
    struct request_build *build = arg;
    const struct identity *identity = build->identity;
    build->result = identity->ops->build_request(identity, &build->context, &build->request, &build->error);
}

static void on_built(void *arg)
{
    struct request_build *build = arg;
    struct token_fetch *fetch = build->fetch;
    struct error *failure = steal_ptr(&build->error);

    if (fetch != NULL) {
        fetch->build = NULL;
        if (build->result == 0 && send_request(fetch, &build->request, &failure) == 0)
            fetch = NULL; /* under way */
    }
    token_request_finish(&build->request);
    identity_unref(build->identity);
    free(build);
    if (fetch != NULL)
        finish_fetch(fetch, NULL, failure);
    else
        error_free(failure);
}

/* Makes the question and sends it. `route` is that of an identity with a token proxy. */
static int request_token(struct token_fetch *fetch, const struct token_proxy_endpoint *endpoint,
                         struct error **err)
{
    const struct transport *transport = fetch->cache->network->transport;
    const struct identity *identity = fetch->identity;
    const struct token_request_context context = {.now_unix = transport_unix_s(transport),
                                                  .endpoint = endpoint};

    if (!identity->ops->build_in_thread) {
        struct token_request request = {0};
        int result = identity->ops->build_request(identity, &context, &request, err);
        if (result == 0)
            result = send_request(fetch, &request, err);
        token_request_finish(&request);
        return result;
    }
    struct request_build *build = calloc(1, sizeof(*build));
    if (build == NULL)
        return error_no_memory(err, NULL);
    *build =
        (struct request_build){.fetch = fetch, .identity = identity_ref(fetch->identity), .context = context};
    if (transport_work(transport, build_in_thread, on_built, build, err) < 0) {
        identity_unref(build->identity);
        free(build);
        return -1;
    }
    fetch->build = build;
    return 0;
}

static void on_endpoint(const struct token_proxy_endpoint *endpoint, const struct error *error, void *arg)
{
    struct token_fetch *fetch = arg;
    struct error *failure = NULL;

    fetch->endpoint_waiter = NULL;
    if (endpoint == NULL)
        finish_fetch(fetch, NULL, error_copy(error));
    else if (request_token(fetch, endpoint, &failure) < 0)
        finish_fetch(fetch, NULL, failure);
}

static int start_fetch(struct token_cache *cache, struct entry *entry, struct identity *identity,
                       uint64_t deadline_ms, struct error **err)
{
    struct token_fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return error_no_memory(err, NULL);
    *fetch = (struct token_fetch){
        .cache = cache,
        .entry = entry,
        .identity = identity_ref(identity),
        .deadline_ms = deadline_ms,
        .since_ms = transport_now_ms(cache->network->transport),
    };
    TAILQ_INIT(&fetch->waiters);
    int started = 0;
    if (identity->token_proxy != NULL) {
        fetch->endpoint_waiter =
            token_proxy_resolve(identity->token_proxy, deadline_ms, on_endpoint, fetch, err);
        started = fetch->endpoint_waiter != NULL ? 0 : -1;
    } else {
        started = request_token(fetch, /* endpoint= */ NULL, err);
    }
    if (started < 0) {
        fetch_free(fetch);
        return error_wrap(err, "token for the %s", identity_mode_name(identity->ops->mode));
    }
    entry->fetch = fetch;
    return 0;
}

static void on_known(void *arg)
{
    struct token_waiter *waiter = arg;
    token_callback *callback = waiter->callback;
    void *callback_arg = waiter->arg;
    struct token *token = waiter->token;
    free(waiter);
    callback(token, NULL, callback_arg);
}

/* The token is at hand: it is delivered from the next turn. */
static int serve(struct token_cache *cache, struct entry *entry, struct identity *identity,
                 struct token_waiter *waiter, struct error **err)
{
    const struct transport *transport = cache->network->transport;
    uint64_t now_ms = transport_now_ms(transport);

    waiter->timer = transport_after(transport, 0, on_known, waiter, err);
    if (waiter->timer == NULL)
        return -1;
    waiter->token = token_ref(entry->token);
    azure_metrics_token_lookup(cache->network->metrics, "hit");
    if (transport_unix_s(transport) >= entry->token->refresh_unix && entry->fetch == NULL &&
        now_ms >= entry->refresh_not_before_ms) {
        struct error *ignored = NULL; /* the old token still serves; the next get tries again */
        if (start_fetch(cache, entry, identity, now_ms + REFRESH_LIMIT_MS, &ignored) < 0)
            entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        error_free(ignored);
    }
    return 0;
}

static int join(struct token_cache *cache, struct entry *entry, struct identity *identity,
                uint64_t deadline_ms, struct token_waiter *waiter, struct error **err)
{
    if (entry->fetch != NULL) {
        struct token_fetch *fetch = entry->fetch;
        if (deadline_ms > fetch->deadline_ms)
            fetch->deadline_ms = deadline_ms;
        if (fetch->http != NULL)
            http_retry_extend(fetch->http, deadline_ms);
        azure_metrics_token_lookup(cache->network->metrics, "joined");
    } else {
        if (start_fetch(cache, entry, identity, deadline_ms, err) < 0)
            return -1;
        azure_metrics_token_lookup(cache->network->metrics, "miss");
    }
    waiter->fetch = entry->fetch;
    TAILQ_INSERT_TAIL(&entry->fetch->waiters, waiter, link);
    return 0;
}

struct token_waiter *token_cache_get(struct token_cache *cache, struct identity *identity,
                                     const struct token *rejected, uint64_t deadline_ms,
                                     token_callback *callback, void *arg, struct error **err)
{
    struct entry *entry = find(cache, identity->key);
    struct token_waiter *waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *waiter = (struct token_waiter){.cache = cache, .callback = callback, .arg = arg};
    if (entry == NULL)
        entry = add(cache, identity->key, err);
    if (entry == NULL) {
        free(waiter);
        return NULL;
    }
    TAILQ_REMOVE(&cache->entries, entry, link);
    TAILQ_INSERT_TAIL(&cache->entries, entry, link);
    if (entry->token != NULL &&
        (entry->token == rejected || !usable(entry->token, transport_unix_s(cache->network->transport)))) {
        token_unref(entry->token);
        entry->token = NULL;
    }

    int result = entry->token != NULL ? serve(cache, entry, identity, waiter, err)
                                      : join(cache, entry, identity, deadline_ms, waiter, err);
    if (result < 0) {
        if (entry->token == NULL && entry->fetch == NULL)
            entry_remove(cache, entry);
        free(waiter);
        return NULL;
    }
    return waiter;
}

int token_waiter_pending_error(const struct token_waiter *waiter, struct error **err)
{
    const struct token_fetch *fetch = waiter->fetch;
    if (fetch == NULL || fetch->http == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
    (void)http_retry_pending_error(fetch->http, err);
    return error_wrap(err, "token for the %s", identity_mode_name(fetch->identity->ops->mode));
}

void token_waiter_cancel(struct token_waiter **waiter)
{
    struct token_waiter *gone = *waiter;
    *waiter = NULL;
    if (gone == NULL)
        return;
    struct token_fetch *fetch = gone->fetch;
    if (fetch != NULL) {
        TAILQ_REMOVE(&fetch->waiters, gone, link);
        /* Nobody is interested any more, and there is no old token it would refresh. */
        if (TAILQ_EMPTY(&fetch->waiters) && fetch->entry != NULL && fetch->entry->token == NULL)
            entry_remove(gone->cache, fetch->entry);
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
        assert(entry->fetch == NULL || TAILQ_EMPTY(&entry->fetch->waiters));
        entry_remove(cache, entry);
    }
    transport_stop(cache->network->transport, &cache->sweep);
    free(cache);
}
