/*
 * vault_cache.c - joins identical vault reads and caches responses for republishes.
 *
 *     bucket ─▶ object (vault, type, name, version): the response served last, to any principal
 *                 └─▶ reader (one principal): the cached response
 *                       └─▶ flight: a request and the waiters for it
 */
#include "provider-azure/vault/vault_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Objects are found through a small hash table: a node's mounts may hold thousands. */
enum { BUCKETS = 512 };

struct reader;
struct flight;
TAILQ_HEAD(waiter_list, vault_waiter);
TAILQ_HEAD(reader_queue, reader);
LIST_HEAD(reader_list, reader);
LIST_HEAD(flight_list, flight);

struct object {
    LIST_ENTRY(object) in_bucket;
    uint8_t key[DIGEST_SHA256_LEN];
    struct reader_list readers;                         /* the object goes with its last reader */
    bool served;                                        /* the next two are set */
    uint64_t last_served_ms;                            /* when a response about it was served last */
    uint8_t last_served_fingerprint[DIGEST_SHA256_LEN]; /* and which: vault_response_fingerprint() */
};
LIST_HEAD(bucket, object);

/* Lives while it has a response or a flight. */
struct reader {
    LIST_ENTRY(reader) in_object;
    TAILQ_ENTRY(reader) in_cached; /* in cache->cached, while there is a response */
    struct vault_cache *cache;
    struct object *object;
    uint8_t principal[DIGEST_SHA256_LEN];
    struct flight_list flights; /* newest first */
    struct vault_response *response;
    uint8_t fingerprint[DIGEST_SHA256_LEN]; /* the response's */
    uint64_t expires_ms;
};

struct flight {
    LIST_ENTRY(flight) in_reader;
    struct reader *reader;
    struct vault_call *call;
    struct waiter_list waiters;
};

struct vault_cache {
    const struct network *network;
    struct token_cache *tokens;
    uint64_t ttl_ms;
    struct bucket buckets[BUCKETS];
    struct reader_queue cached; /* oldest first */
    size_t n_cached;
    size_t bytes;
    struct transport_timer *sweep; /* runs while something is cached */
};

struct vault_waiter {
    TAILQ_ENTRY(vault_waiter) link;
    struct waiter_list *list; /* the list it is in; NULL: the response comes with the timer */
    struct flight *flight;    /* the request it waits for; NULL while its waiters are called back */
    struct vault_cache *cache;
    struct transport_timer *timer;
    struct vault_response *response;
    vault_callback *callback;
    void *arg;
};

/* --- objects and readers --- */

static struct bucket *bucket_of(struct vault_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    return &cache->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS];
}

static void compute_key(const struct vault_query *query, uint8_t ret_key[DIGEST_SHA256_LEN])
{
    const uint8_t kind[] = {(uint8_t)query->type, (uint8_t)query->operation};
    const struct digest_field fields[] = {
        {kind, sizeof(kind)},
        {query->vault_url, strlen(query->vault_url)},
        {query->name, strlen(query->name)},
        {query->version, strlen(query->version)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_key);
}

static struct object *object_get(struct vault_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    struct bucket *bucket = bucket_of(cache, key);
    struct object *object = NULL;
    LIST_FOREACH(object, bucket, in_bucket)
    {
        if (memcmp(object->key, key, DIGEST_SHA256_LEN) == 0)
            return object;
    }
    object = calloc(1, sizeof(*object));
    if (object == NULL)
        return NULL;
    memcpy(object->key, key, DIGEST_SHA256_LEN);
    LIST_INIT(&object->readers);
    LIST_INSERT_HEAD(bucket, object, in_bucket);
    return object;
}

static void object_release(struct object *object)
{
    if (!LIST_EMPTY(&object->readers))
        return;
    LIST_REMOVE(object, in_bucket);
    free(object);
}

/* The principal's reader of the object, made when there is none. */
static struct reader *reader_get(struct vault_cache *cache, const uint8_t key[DIGEST_SHA256_LEN],
                                 const uint8_t principal[DIGEST_SHA256_LEN])
{
    struct object *object = object_get(cache, key);
    struct reader *reader = NULL;

    if (object == NULL)
        return NULL;
    LIST_FOREACH(reader, &object->readers, in_object)
    {
        if (memcmp(reader->principal, principal, DIGEST_SHA256_LEN) == 0)
            return reader;
    }
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        object_release(object);
        return NULL;
    }
    reader->cache = cache;
    reader->object = object;
    memcpy(reader->principal, principal, DIGEST_SHA256_LEN);
    LIST_INIT(&reader->flights);
    LIST_INSERT_HEAD(&object->readers, reader, in_object);
    return reader;
}

static void reader_release(struct reader *reader)
{
    struct object *object = reader->object;
    if (reader->response != NULL || !LIST_EMPTY(&reader->flights))
        return;
    LIST_REMOVE(reader, in_object);
    free(reader);
    object_release(object);
}

/* --- cached responses --- */

static void evict(struct reader *reader)
{
    struct vault_cache *cache = reader->cache;
    if (reader->response == NULL)
        return;
    TAILQ_REMOVE(&cache->cached, reader, in_cached);
    cache->n_cached--;
    cache->bytes -= vault_response_size(reader->response);
    vault_response_unref(steal_ptr(&reader->response));
}

static void evict_oldest(struct vault_cache *cache)
{
    struct reader *oldest = TAILQ_FIRST(&cache->cached);
    evict(oldest);
    reader_release(oldest);
}

static void on_sweep(void *arg);

/* Sets the timer for the oldest response: secrets do not stay in memory until the next read. */
static void arm_sweep(struct vault_cache *cache)
{
    const struct transport *transport = cache->network->transport;
    const struct reader *oldest = TAILQ_FIRST(&cache->cached);
    struct error *failure = NULL;

    if (oldest == NULL || cache->sweep != NULL)
        return;
    uint64_t now = transport_now_ms(transport);
    cache->sweep = transport_after(transport, oldest->expires_ms > now ? oldest->expires_ms - now : 0,
                                   on_sweep, cache, &failure);
    if (cache->sweep == NULL) { /* no memory for a timer: cache nothing rather than for ever */
        while (cache->n_cached > 0)
            evict_oldest(cache);
    }
    error_free(failure);
}

static void on_sweep(void *arg)
{
    struct vault_cache *cache = arg;
    uint64_t now = transport_now_ms(cache->network->transport);
    const struct reader *oldest = NULL;

    cache->sweep = NULL;
    while ((oldest = TAILQ_FIRST(&cache->cached)) != NULL && oldest->expires_ms <= now)
        evict_oldest(cache);
    arm_sweep(cache);
}

/* Caches the response in the place of an older one. The reader has a flight, so it does not go meanwhile. */
static void put(struct reader *reader, struct vault_response *response,
                const uint8_t fingerprint[DIGEST_SHA256_LEN])
{
    struct vault_cache *cache = reader->cache;
    size_t size = vault_response_size(response);

    evict(reader);
    if (cache->ttl_ms == 0 || size > VAULT_CACHE_MAX_BYTES)
        return;
    while (cache->n_cached > 0 &&
           (cache->n_cached >= VAULT_CACHE_MAX_RESPONSES || cache->bytes + size > VAULT_CACHE_MAX_BYTES))
        evict_oldest(cache);
    reader->response = vault_response_ref(response);
    memcpy(reader->fingerprint, fingerprint, DIGEST_SHA256_LEN);
    reader->expires_ms = response->read_ms + cache->ttl_ms;
    TAILQ_INSERT_TAIL(&cache->cached, reader, in_cached);
    cache->n_cached++;
    cache->bytes += size;
    arm_sweep(cache);
}

static bool may_serve(const struct reader *reader, const struct vault_freshness *freshness, uint64_t now_ms)
{
    const struct vault_response *response = reader->response;
    const struct object *object = reader->object;

    if (!freshness->republish || response == NULL || reader->expires_ms <= now_ms)
        return false;
    /* Another identity may have been served something else since. */
    if (response->read_ms < object->last_served_ms &&
        memcmp(reader->fingerprint, object->last_served_fingerprint, DIGEST_SHA256_LEN) != 0)
        return false;
    return response->read_ms > freshness->volume_served_ms ||
           now_ms - response->read_ms <= VAULT_CACHE_GRACE_MS;
}

/* --- flights --- */

/* The flight's reader may go with it. */
static void flight_free(struct flight *flight)
{
    struct reader *reader = flight->reader;
    LIST_REMOVE(flight, in_reader);
    vault_call_cancel(&flight->call);
    free(flight);
    reader_release(reader);
}

/* Updates the cache by a response or a failure. */
static void update_cache(struct reader *reader, struct vault_response *response, const struct error *error)
{
    struct object *object = reader->object;
    uint8_t fingerprint[DIGEST_SHA256_LEN];

    if (response == NULL || response->not_found != NULL) {
        enum grpc_status code = error_code(response != NULL ? response->not_found : error);
        if (code == GRPC_STATUS_NOT_FOUND || code == GRPC_STATUS_PERMISSION_DENIED ||
            code == GRPC_STATUS_UNAUTHENTICATED)
            evict(reader); /* the vault does not give it any more */
        return;
    }
    vault_response_fingerprint(response, fingerprint);
    if (!object->served || response->read_ms >= object->last_served_ms ||
        memcmp(fingerprint, object->last_served_fingerprint, DIGEST_SHA256_LEN) == 0)
        put(reader, response, fingerprint);
    else
        evict(reader);
    object->served = true;
    object->last_served_ms = transport_now_ms(reader->cache->network->transport);
    memcpy(object->last_served_fingerprint, fingerprint, DIGEST_SHA256_LEN);
}

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct flight *flight = arg;
    struct waiter_list waiters = TAILQ_HEAD_INITIALIZER(waiters);
    struct vault_waiter *waiter = NULL;

    flight->call = NULL;
    /* The waiters move to a list of their own: the flight goes away, and callbacks may cancel other waiters,
     * meanwhile. */
    TAILQ_CONCAT(&waiters, &flight->waiters, link);
    TAILQ_FOREACH(waiter, &waiters, link)
    {
        waiter->list = &waiters;
        waiter->flight = NULL;
    }
    update_cache(flight->reader, response, error);
    flight_free(flight);
    while ((waiter = TAILQ_FIRST(&waiters)) != NULL) {
        vault_callback *callback = waiter->callback;
        void *callback_arg = waiter->arg;
        TAILQ_REMOVE(&waiters, waiter, link);
        free(waiter);
        callback(response != NULL ? vault_response_ref(response) : NULL, error, callback_arg);
    }
    vault_response_unref(response);
}

/* A flight that brings what is fresh enough, or NULL. */
static struct flight *find_flight(const struct reader *reader, const struct vault_freshness *freshness,
                                  uint64_t now_ms)
{
    const struct object *object = reader->object;
    uint64_t window = VAULT_CACHE_JOIN_MS;
    struct flight *flight = NULL;

    if (freshness->republish && reader->cache->ttl_ms > window)
        window = reader->cache->ttl_ms;
    LIST_FOREACH(flight, &reader->flights, in_reader)
    {
        uint64_t sent = vault_call_sent_ms(flight->call);
        if (sent == VAULT_CALL_NOT_SENT ||
            ((!object->served || sent >= object->last_served_ms) && now_ms - sent <= window))
            return flight;
    }
    return NULL;
}

static struct flight *start_flight(struct reader *reader, const struct vault_query *query,
                                   struct identity *identity, struct token *token, uint64_t deadline_ms,
                                   struct error **err)
{
    struct vault_cache *cache = reader->cache;
    struct flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    flight->reader = reader;
    TAILQ_INIT(&flight->waiters);
    flight->call = vault_call_start(cache->network, cache->tokens, query, identity, token, deadline_ms,
                                    on_response, flight, err);
    if (flight->call == NULL) {
        free(flight);
        return NULL;
    }
    LIST_INSERT_HEAD(&reader->flights, flight, in_reader);
    return flight;
}

/* --- the interface --- */

static void on_cached(void *arg)
{
    struct vault_waiter *waiter = arg;
    vault_callback *callback = waiter->callback;
    void *callback_arg = waiter->arg;
    struct vault_response *response = waiter->response;
    free(waiter);
    callback(response, NULL, callback_arg);
}

static int serve_cached(struct reader *reader, struct vault_waiter *waiter, struct error **err)
{
    const struct network *network = reader->cache->network;
    waiter->timer = transport_after(network->transport, 0, on_cached, waiter, err);
    if (waiter->timer == NULL)
        return -1;
    waiter->response = vault_response_ref(reader->response);
    azure_metrics_object_lookup(network->metrics, "republished");
    return 0;
}

struct vault_waiter *vault_cache_get(struct vault_cache *cache, const struct vault_query *query,
                                     struct identity *identity, struct token *token,
                                     const struct vault_freshness *freshness, uint64_t deadline_ms,
                                     vault_callback *callback, void *arg, struct error **err)
{
    struct azure_metrics *metrics = cache->network->metrics;
    uint64_t now = transport_now_ms(cache->network->transport);
    uint8_t key[DIGEST_SHA256_LEN];

    compute_key(query, key);
    struct vault_waiter *waiter = calloc(1, sizeof(*waiter));
    struct reader *reader = waiter != NULL ? reader_get(cache, key, token->principal) : NULL;
    if (reader == NULL) {
        free(waiter);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *waiter = (struct vault_waiter){.cache = cache, .callback = callback, .arg = arg};
    if (may_serve(reader, freshness, now)) {
        if (serve_cached(reader, waiter, err) == 0)
            return waiter;
        free(waiter);
        return NULL;
    }
    struct flight *flight = find_flight(reader, freshness, now);
    if (flight != NULL) {
        vault_call_extend(flight->call, deadline_ms);
        azure_metrics_object_lookup(metrics, "joined");
    } else {
        flight = start_flight(reader, query, identity, token, deadline_ms, err);
        if (flight == NULL) {
            reader_release(reader);
            free(waiter);
            return NULL;
        }
        azure_metrics_object_lookup(metrics, "fetched");
    }
    waiter->flight = flight;
    waiter->list = &flight->waiters;
    TAILQ_INSERT_TAIL(&flight->waiters, waiter, link);
    return waiter;
}

int vault_waiter_pending_error(const struct vault_waiter *waiter, struct error **err)
{
    if (waiter->flight != NULL && waiter->flight->call != NULL)
        return vault_call_pending_error(waiter->flight->call, err);
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the response was not there in time");
}

void vault_waiter_cancel(struct vault_waiter **waiter)
{
    struct vault_waiter *gone = *waiter;
    *waiter = NULL;
    if (gone == NULL)
        return;
    if (gone->list != NULL)
        TAILQ_REMOVE(gone->list, gone, link);
    if (gone->flight != NULL && TAILQ_EMPTY(&gone->flight->waiters))
        flight_free(gone->flight); /* it was the last waiter */
    transport_stop(gone->cache->network->transport, &gone->timer);
    vault_response_unref(gone->response);
    free(gone);
}

struct vault_cache *vault_cache_create(const struct network *network, struct token_cache *tokens,
                                       uint64_t ttl_ms, struct error **err)
{
    struct vault_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    cache->network = network;
    cache->tokens = tokens;
    cache->ttl_ms = ttl_ms;
    TAILQ_INIT(&cache->cached);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&cache->buckets[i]);
    return cache;
}

void vault_cache_destroy(struct vault_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->n_cached > 0)
        evict_oldest(cache);
    transport_stop(cache->network->transport, &cache->sweep);
    free(cache);
}
