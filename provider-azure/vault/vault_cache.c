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

#include "common/base/list.h"
#include "provider-azure/vault/cached_responses.h"
#include "provider-azure/vault/vault_failure.h"

/* Objects are found through a small hash table: a node's mounts may hold thousands. */
enum { BUCKETS = 512 };

struct reader;
struct flight;

struct object {
    struct list in_bucket;
    uint8_t key[DIGEST_SHA256_LEN];
    struct list readers;                                /* the object goes with its last reader */
    bool served;                                        /* the next two are set */
    uint64_t last_served_ms;                            /* when a response about it was served last */
    uint8_t last_served_fingerprint[DIGEST_SHA256_LEN]; /* and which: vault_response_fingerprint() */
};

/* Lives while it has a response or a flight. */
struct reader {
    struct list in_object;
    struct vault_cache *cache;
    struct object *object;
    uint8_t principal[DIGEST_SHA256_LEN];
    struct list flights; /* newest first */
    struct cached_response cached;
    uint8_t fingerprint[DIGEST_SHA256_LEN]; /* the response's */
};

struct flight {
    struct list in_reader;
    struct reader *reader;
    struct vault_call *call;
    struct list waiters;    /* struct vault_waiter */
    struct stale_key stale; /* with a stale store */
    bool names_version;
    uint64_t keep_ms; /* the longest that a waiter allows */
};

struct vault_cache {
    const struct network *network;
    struct token_cache *tokens;
    struct stale_store *stale; /* or NULL */
    struct cached_responses cached;
    struct list buckets[BUCKETS]; /* struct object */
    uint64_t refused_ms;          /* when a vault refused a read last, any */
    struct vault_lists lists;     /* of all mounts */
};

struct vault_waiter {
    struct list link;      /* in no list while the response comes with the timer */
    struct flight *flight; /* the request it waits for; NULL while its waiters are called back */
    struct vault_cache *cache;
    struct transport_timer *timer;
    struct vault_response *response;
    vault_callback *callback;
    void *arg;
};

/* --- objects and readers --- */

static struct list *bucket_of(struct vault_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    return &cache->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS];
}

static void compute_key(const struct vault_query *query, uint8_t ret_key[DIGEST_SHA256_LEN])
{
    const uint8_t kind[] = {(uint8_t)query->type, (uint8_t)query->operation};
    uint8_t filter[DIGEST_SHA256_LEN];
    vault_list_filter_digest(query->filter, filter);
    const struct digest_field fields[] = {
        {kind, sizeof(kind)},
        {query->vault_url, strlen(query->vault_url)},
        {query->name, strlen(query->name)},
        {query->version, strlen(query->version)},
        {filter, sizeof(filter)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_key);
}

/* The key of the same read in the stale store. */
static struct stale_key make_stale_key(const struct vault_query *query, const uint8_t key[DIGEST_SHA256_LEN],
                                       const uint8_t principal[DIGEST_SHA256_LEN])
{
    const uint8_t type = (uint8_t)query->type;
    const struct digest_field fields[] = {
        {query->vault_url, strlen(query->vault_url)},
        {&type, sizeof(type)},
        {query->name, strlen(query->name)},
    };
    struct stale_key made;

    memcpy(made.read, key, DIGEST_SHA256_LEN);
    memcpy(made.principal, principal, DIGEST_SHA256_LEN);
    digest_fields(fields, ARRAY_SIZE(fields), made.object);
    digest_fields(fields, 1, made.vault);
    return made;
}

static struct object *object_get(struct vault_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    struct list *bucket = bucket_of(cache, key);
    struct object *object = NULL;
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        object = container_of(link, struct object, in_bucket);
        if (memcmp(object->key, key, DIGEST_SHA256_LEN) == 0)
            return object;
    }
    object = calloc(1, sizeof(*object));
    if (object == NULL)
        return NULL;
    memcpy(object->key, key, DIGEST_SHA256_LEN);
    list_init(&object->readers);
    list_insert_before(bucket, &object->in_bucket);
    return object;
}

static void object_release(struct object *object)
{
    if (!list_empty(&object->readers))
        return;
    list_remove(&object->in_bucket);
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
    for (struct list *link = object->readers.next; link != &object->readers; link = link->next) {
        reader = container_of(link, struct reader, in_object);
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
    list_init(&reader->flights);
    list_insert_before(&object->readers, &reader->in_object);
    return reader;
}

static void reader_release(struct reader *reader)
{
    struct object *object = reader->object;
    if (reader->cached.response != NULL || !list_empty(&reader->flights))
        return;
    list_remove(&reader->in_object);
    free(reader);
    object_release(object);
}

static void on_expired(struct cached_response *place)
{
    reader_release(container_of(place, struct reader, cached));
}

/* --- cached responses --- */

static void put(struct reader *reader, struct vault_response *response,
                const uint8_t fingerprint[DIGEST_SHA256_LEN])
{
    memcpy(reader->fingerprint, fingerprint, DIGEST_SHA256_LEN);
    cached_responses_put(&reader->cache->cached, &reader->cached, response);
}

static bool may_serve(const struct reader *reader, const struct vault_freshness *freshness, uint64_t now_ms)
{
    const struct vault_response *response = reader->cached.response;
    const struct object *object = reader->object;

    if (response == NULL)
        return false;
    /* Another identity may have been served something else since. */
    if (response->read_ms < object->last_served_ms &&
        memcmp(reader->fingerprint, object->last_served_fingerprint, DIGEST_SHA256_LEN) != 0)
        return false;
    if (!freshness->republish)
        return freshness->tried_ms != 0 && response->read_ms >= freshness->tried_ms;
    if (reader->cached.expires_ms <= now_ms) /* it is held */
        return false;
    return response->read_ms > freshness->volume_served_ms ||
           now_ms - response->read_ms <= VAULT_CACHE_GRACE_MS;
}

/* --- flights --- */

static struct vault_waiter *waiter_of(struct list *link)
{
    return container_of(link, struct vault_waiter, link);
}

/* The flight's reader may go with it. */
static void flight_free(struct flight *flight)
{
    struct reader *reader = flight->reader;
    list_remove(&flight->in_reader);
    vault_call_cancel(&flight->call);
    free(flight);
    reader_release(reader);
}

static bool names_version(const struct vault_query *query)
{
    return query->operation == VAULT_GET_OBJECT && *query->version != '\0';
}

/* What a refusal ends. */
static enum stale_scope scope_of(bool not_found, bool names_version)
{
    if (!not_found)
        return STALE_SCOPE_VAULT;
    return names_version ? STALE_SCOPE_READ : STALE_SCOPE_OBJECT;
}

/* What the vault refuses ends what is kept for outages. */
static void refuse_stale(const struct flight *flight, const struct vault_response *response,
                         const struct error *error)
{
    if (response != NULL || vault_failure_of(error) == VAULT_FAILURE_REFUSED)
        stale_store_refuse(flight->reader->cache->stale, &flight->stale,
                           scope_of(response != NULL, flight->names_version));
}

/* Updates what is cached, and what is kept for outages, by a response or a failure. */
static void update_cache(const struct flight *flight, struct vault_response *response,
                         const struct error *error)
{
    struct reader *reader = flight->reader;
    struct vault_cache *cache = reader->cache;
    struct object *object = reader->object;
    struct stale_store *stale = cache->stale;

    if (response == NULL || response->not_found != NULL) {
        enum grpc_status code = error_code(response != NULL ? response->not_found : error);
        if (code == GRPC_STATUS_NOT_FOUND || code == GRPC_STATUS_PERMISSION_DENIED ||
            code == GRPC_STATUS_UNAUTHENTICATED) { /* the vault does not give it any more */
            cached_responses_drop(&cache->cached, &reader->cached);
            cache->refused_ms = transport_now_ms(cache->network->transport);
        }
        refuse_stale(flight, response, error);
        return;
    }
    uint8_t fingerprint[DIGEST_SHA256_LEN];
    vault_response_fingerprint(response, fingerprint);
    if (!object->served || response->read_ms >= object->last_served_ms ||
        memcmp(fingerprint, object->last_served_fingerprint, DIGEST_SHA256_LEN) == 0) {
        put(reader, response, fingerprint);
        stale_store_keep(stale, &flight->stale, response, flight->keep_ms);
    } else {
        cached_responses_drop(&cache->cached, &reader->cached);
        stale_store_forget(stale, &flight->stale);
    }
    object->served = true;
    object->last_served_ms = transport_now_ms(cache->network->transport);
    memcpy(object->last_served_fingerprint, fingerprint, DIGEST_SHA256_LEN);
}

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct flight *flight = arg;
    struct list waiters;

    flight->call = NULL;
    /* The waiters move to a list of their own: the flight goes away, and callbacks may cancel other waiters,
     * meanwhile. */
    list_init(&waiters);
    list_move_all(&waiters, &flight->waiters);
    for (struct list *link = waiters.next; link != &waiters; link = link->next)
        waiter_of(link)->flight = NULL;
    update_cache(flight, response, error);
    flight_free(flight);
    while (!list_empty(&waiters)) {
        struct vault_waiter *waiter = waiter_of(waiters.next);
        vault_callback *callback = waiter->callback;
        void *callback_arg = waiter->arg;
        list_remove(&waiter->link);
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

    if (freshness->republish && reader->cache->cached.ttl_ms > window)
        window = reader->cache->cached.ttl_ms;
    for (struct list *link = reader->flights.next; link != &reader->flights; link = link->next) {
        struct flight *flight = container_of(link, struct flight, in_reader);
        uint64_t sent = vault_call_sent_ms(flight->call);
        bool waited_for = freshness->tried_ms != 0 && sent >= freshness->tried_ms;
        if (sent == VAULT_CALL_NOT_SENT ||
            ((!object->served || sent >= object->last_served_ms) && (now_ms - sent <= window || waited_for)))
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
    list_init(&flight->waiters);
    flight->names_version = names_version(query);
    if (cache->stale != NULL)
        flight->stale = make_stale_key(query, reader->object->key, reader->principal);
    struct vault_query counted = *query;
    counted.lists = &cache->lists;
    flight->call = vault_call_start(cache->network, cache->tokens, &counted, identity, token, deadline_ms,
                                    on_response, flight, err);
    if (flight->call == NULL) {
        free(flight);
        return NULL;
    }
    list_insert_before(reader->flights.next, &flight->in_reader);
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
    waiter->response = vault_response_ref(reader->cached.response);
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
    list_init(&waiter->link);
    if (may_serve(reader, freshness, now)) {
        if (!freshness->republish) /* should this call fail as well, the next one comes after the hold */
            cached_responses_hold(&cache->cached, &reader->cached, deadline_ms + VAULT_CACHE_GRACE_MS);
        if (serve_cached(reader, waiter, err) == 0)
            return waiter;
        free(waiter);
        return NULL;
    }
    struct flight *flight = find_flight(reader, freshness, now);
    if (flight != NULL) {
        vault_call_extend(flight->call, deadline_ms);
        if (!freshness->republish)
            vault_call_hurry(flight->call, query->since_ms != 0 ? query->since_ms : now);
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
    if (flight->keep_ms < freshness->stale_max_age_ms)
        flight->keep_ms = freshness->stale_max_age_ms;
    waiter->flight = flight;
    list_insert_before(&flight->waiters, &waiter->link);
    return waiter;
}

void vault_cache_hold(struct vault_cache *cache, const struct vault_query *query, const struct token *token,
                      struct vault_response *response, uint64_t until_ms)
{
    uint64_t now = transport_now_ms(cache->network->transport);
    uint8_t key[DIGEST_SHA256_LEN];

    compute_key(query, key);
    struct reader *reader = reader_get(cache, key, token->principal);
    if (reader == NULL)
        return;
    cached_responses_hold(&cache->cached, &reader->cached, until_ms);
    bool has_expired = response != NULL && response->not_found == NULL && reader->cached.response == NULL &&
                       response->read_ms + cache->cached.ttl_ms <= now;
    if (has_expired && response->read_ms > cache->refused_ms) {
        uint8_t fingerprint[DIGEST_SHA256_LEN];
        vault_response_fingerprint(response, fingerprint);
        put(reader, response, fingerprint);
    }
    reader_release(reader);
}

int vault_waiter_pending_error(const struct vault_waiter *waiter, struct error **err)
{
    if (waiter->flight != NULL && waiter->flight->call != NULL)
        return vault_call_pending_error(waiter->flight->call, err);
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the response was not there in time");
}

bool vault_waiter_is_throttled(const struct vault_waiter *waiter)
{
    return waiter->flight != NULL && waiter->flight->call != NULL &&
           vault_call_is_throttled(waiter->flight->call);
}

void vault_waiter_cancel(struct vault_waiter **waiter)
{
    struct vault_waiter *gone = *waiter;
    *waiter = NULL;
    if (gone == NULL)
        return;
    list_remove(&gone->link);
    if (gone->flight != NULL && list_empty(&gone->flight->waiters))
        flight_free(gone->flight); /* it was the last waiter */
    transport_stop(gone->cache->network->transport, &gone->timer);
    vault_response_unref(gone->response);
    free(gone);
}

/* Borrowed. */
static struct vault_response *find_stale(const struct vault_cache *cache, const struct vault_query *query,
                                         const struct token *token, uint64_t max_age_ms, uint64_t *ret_age_ms)
{
    uint8_t read[DIGEST_SHA256_LEN];

    if (cache->stale == NULL || max_age_ms == 0)
        return NULL;
    compute_key(query, read);
    const struct stale_key key = make_stale_key(query, read, token->principal);
    return stale_store_get(cache->stale, &key, max_age_ms, ret_age_ms);
}

bool vault_cache_has_stale(const struct vault_cache *cache, const struct vault_query *query,
                           const struct token *token, uint64_t max_age_ms, uint64_t *ret_age_ms)
{
    return find_stale(cache, query, token, max_age_ms, ret_age_ms) != NULL;
}

void vault_cache_refuse_stale(struct vault_cache *cache, const struct vault_query *query,
                              const struct token *token, bool not_found)
{
    uint8_t read[DIGEST_SHA256_LEN];

    if (cache->stale == NULL)
        return;
    compute_key(query, read);
    const struct stale_key key = make_stale_key(query, read, token->principal);
    stale_store_refuse(cache->stale, &key, scope_of(not_found, names_version(query)));
}

struct vault_response *vault_cache_serve_stale(const struct vault_cache *cache,
                                               const struct vault_query *query, const struct token *token,
                                               uint64_t max_age_ms, const struct error *cause,
                                               uint64_t *ret_age_ms)
{
    struct vault_response *kept = find_stale(cache, query, token, max_age_ms, ret_age_ms);

    if (kept == NULL)
        return NULL;
    log_warning(cache->network->log, "the vault cannot answer, serving the value that was kept",
                LOG_STR("vault", query->vault_host), LOG_STR("type", object_type_name(query->type)),
                LOG_STR("object", query->operation == VAULT_LIST_OBJECTS ? "(list)" : query->name),
                LOG_STR("version", query->version), LOG_UINT("ageS", *ret_age_ms / 1000), LOG_ERR(cause));
    azure_metrics_stale_served(cache->network->metrics);
    return vault_response_ref(kept);
}

struct vault_cache *vault_cache_create(const struct network *network, struct token_cache *tokens,
                                       uint64_t ttl_ms, struct stale_store *stale, struct error **err)
{
    struct vault_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    cache->network = network;
    cache->tokens = tokens;
    cache->stale = stale;
    cached_responses_init(&cache->cached, network->transport, ttl_ms, on_expired);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&cache->buckets[i]);
    return cache;
}

void vault_cache_destroy(struct vault_cache *cache)
{
    if (cache == NULL)
        return;
    cached_responses_finish(&cache->cached);
    free(cache);
}
