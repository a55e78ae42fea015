/*
 * store.c - joins identical vault reads and keeps answers for republishes.
 *
 *     bucket ─▶ object (vault, type, name, version): what was told last, to anybody
 *                 └─▶ reader (one principal): the kept answer
 *                       └─▶ flight: a request and who waits for it
 */
#include "provider-azure/vault/vault_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Objects are found through a small hash table: a node's mounts may hold thousands. */
enum { BUCKETS = 512 };

struct reader;
struct flight;
TAILQ_HEAD(wait_list, store_wait);
TAILQ_HEAD(reader_queue, reader);
LIST_HEAD(reader_list, reader);
LIST_HEAD(flight_list, flight);

struct object {
    LIST_ENTRY(object) in_bucket;
    uint8_t key[DIGEST_LEN];
    struct reader_list readers;    /* the object goes with its last reader */
    bool told;                     /* the next two are set */
    uint64_t told_ms;              /* when an answer about it was handed out last */
    uint8_t told_mark[DIGEST_LEN]; /* and which: vault_answer_mark() */
};
LIST_HEAD(bucket, object);

/* Lives while it has an answer or a flight. */
struct reader {
    LIST_ENTRY(reader) in_object;
    TAILQ_ENTRY(reader) in_kept; /* in store->kept, while there is an answer */
    struct store *store;
    struct object *object;
    uint8_t principal[DIGEST_LEN];
    struct flight_list flights; /* newest first */
    struct vault_answer *answer;
    uint8_t mark[DIGEST_LEN]; /* the answer's */
    uint64_t until_ms;
};

struct flight {
    LIST_ENTRY(flight) in_reader;
    struct reader *reader;
    struct vault_call *call;
    struct wait_list waits;
};

struct store {
    const struct network *network;
    struct token_cache *cache;
    uint64_t keep_ms;
    struct bucket buckets[BUCKETS];
    struct reader_queue kept; /* oldest first */
    size_t n_kept;
    size_t bytes;
    struct transport_timer *sweep; /* runs while something is kept */
};

struct store_wait {
    TAILQ_ENTRY(store_wait) link;
    struct wait_list *list; /* the list it is in; NULL: the answer comes with the timer */
    struct flight *flight;  /* the request it waits for; NULL while answers are being told */
    struct store *store;
    struct transport_timer *timer;
    struct vault_answer *answer;
    vault_callback *callback;
    void *arg;
};

static void no_memory(struct error **err)
{
    error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

/* --- objects and readers
 * ------------------------------------------------------------------------------------------------ */

static struct bucket *bucket_of(struct store *store, const uint8_t key[DIGEST_LEN])
{
    return &store->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS];
}

static void compute_key(const struct vault_query *query, uint8_t ret_key[DIGEST_LEN])
{
    const uint8_t kind[] = {(uint8_t)query->type, (uint8_t)query->question};
    const struct digest_field fields[] = {
        {kind, sizeof(kind)},
        {query->vault_url, strlen(query->vault_url)},
        {query->name, strlen(query->name)},
        {query->version, strlen(query->version)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_key);
}

static struct object *object_get(struct store *store, const uint8_t key[DIGEST_LEN])
{
    struct bucket *bucket = bucket_of(store, key);
    struct object *object = NULL;
    LIST_FOREACH(object, bucket, in_bucket)
    {
        if (memcmp(object->key, key, DIGEST_LEN) == 0)
            return object;
    }
    object = calloc(1, sizeof(*object));
    if (object == NULL)
        return NULL;
    memcpy(object->key, key, DIGEST_LEN);
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
static struct reader *reader_get(struct store *store, const uint8_t key[DIGEST_LEN],
                                 const uint8_t principal[DIGEST_LEN])
{
    struct object *object = object_get(store, key);
    struct reader *reader = NULL;

    if (object == NULL)
        return NULL;
    LIST_FOREACH(reader, &object->readers, in_object)
    {
        if (memcmp(reader->principal, principal, DIGEST_LEN) == 0)
            return reader;
    }
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        object_release(object);
        return NULL;
    }
    reader->store = store;
    reader->object = object;
    memcpy(reader->principal, principal, DIGEST_LEN);
    LIST_INIT(&reader->flights);
    LIST_INSERT_HEAD(&object->readers, reader, in_object);
    return reader;
}

static void reader_release(struct reader *reader)
{
    struct object *object = reader->object;
    if (reader->answer != NULL || !LIST_EMPTY(&reader->flights))
        return;
    LIST_REMOVE(reader, in_object);
    free(reader);
    object_release(object);
}

/* --- kept answers
 * --------------------------------------------------------------------------------------------------- */

static void forget(struct reader *reader)
{
    struct store *store = reader->store;
    if (reader->answer == NULL)
        return;
    TAILQ_REMOVE(&store->kept, reader, in_kept);
    store->n_kept--;
    store->bytes -= vault_answer_size(reader->answer);
    vault_answer_unref(steal_ptr(&reader->answer));
}

static void forget_oldest(struct store *store)
{
    struct reader *oldest = TAILQ_FIRST(&store->kept);
    forget(oldest);
    reader_release(oldest);
}

static void on_sweep(void *arg);

/* Sets the timer for the oldest answer; secrets do not stay in memory until somebody happens to ask. */
static void arm_sweep(struct store *store)
{
    const struct transport *transport = store->network->transport;
    const struct reader *oldest = TAILQ_FIRST(&store->kept);
    struct error *failure = NULL;

    if (oldest == NULL || store->sweep != NULL)
        return;
    uint64_t now = transport_now_ms(transport);
    store->sweep = transport_after(transport, oldest->until_ms > now ? oldest->until_ms - now : 0, on_sweep,
                                   store, &failure);
    if (store->sweep == NULL) { /* no memory for a timer: rather keep nothing than keep it for ever */
        while (store->n_kept > 0)
            forget_oldest(store);
    }
    error_free(failure);
}

static void on_sweep(void *arg)
{
    struct store *store = arg;
    uint64_t now = transport_now_ms(store->network->transport);
    const struct reader *oldest = NULL;

    store->sweep = NULL;
    while ((oldest = TAILQ_FIRST(&store->kept)) != NULL && oldest->until_ms <= now)
        forget_oldest(store);
    arm_sweep(store);
}

/* Keeps the answer in the place of an older one. The reader has a flight, so it does not go meanwhile. */
static void keep(struct reader *reader, struct vault_answer *answer, const uint8_t mark[DIGEST_LEN])
{
    struct store *store = reader->store;
    size_t size = vault_answer_size(answer);

    forget(reader);
    if (store->keep_ms == 0 || size > STORE_MAX_BYTES)
        return;
    while (store->n_kept > 0 && (store->n_kept >= STORE_MAX_ANSWERS || store->bytes + size > STORE_MAX_BYTES))
        forget_oldest(store);
    reader->answer = vault_answer_ref(answer);
    memcpy(reader->mark, mark, DIGEST_LEN);
    reader->until_ms = answer->read_ms + store->keep_ms;
    TAILQ_INSERT_TAIL(&store->kept, reader, in_kept);
    store->n_kept++;
    store->bytes += size;
    arm_sweep(store);
}

static bool may_serve(const struct reader *reader, const struct store_freshness *freshness, uint64_t now_ms)
{
    const struct vault_answer *answer = reader->answer;
    const struct object *object = reader->object;

    if (!freshness->republish || answer == NULL || reader->until_ms <= now_ms)
        return false;
    /* Others may have been told something else since, for example a holder of another identity. */
    if (answer->read_ms < object->told_ms && memcmp(reader->mark, object->told_mark, DIGEST_LEN) != 0)
        return false;
    return answer->read_ms > freshness->answered_ms || now_ms - answer->read_ms <= STORE_GRACE_MS;
}

/* --- flights
 * -------------------------------------------------------------------------------------------------------- */

/* The flight's reader may go with it. */
static void flight_free(struct flight *flight)
{
    struct reader *reader = flight->reader;
    LIST_REMOVE(flight, in_reader);
    vault_call_cancel(&flight->call);
    free(flight);
    reader_release(reader);
}

/* What an answer or a failure means for what is kept. */
static void learn(struct reader *reader, struct vault_answer *answer, const struct error *error)
{
    struct object *object = reader->object;
    uint8_t mark[DIGEST_LEN];

    if (answer == NULL || answer->absence != NULL) {
        enum grpc_status code = error_code(answer != NULL ? answer->absence : error);
        if (code == GRPC_STATUS_NOT_FOUND || code == GRPC_STATUS_PERMISSION_DENIED ||
            code == GRPC_STATUS_UNAUTHENTICATED)
            forget(reader); /* what was taken away must not be served any more */
        return;
    }
    vault_answer_mark(answer, mark);
    if (!object->told || answer->read_ms >= object->told_ms ||
        memcmp(mark, object->told_mark, DIGEST_LEN) == 0)
        keep(reader, answer, mark);
    else
        forget(reader);
    object->told = true;
    object->told_ms = transport_now_ms(reader->store->network->transport);
    memcpy(object->told_mark, mark, DIGEST_LEN);
}

static void on_answer(struct vault_answer *answer, const struct error *error, void *arg)
{
    struct flight *flight = arg;
    struct wait_list waits = TAILQ_HEAD_INITIALIZER(waits);
    struct store_wait *wait = NULL;

    flight->call = NULL;
    /* The waits move to a list of their own: the flight goes away, and callbacks may cancel other waits,
     * meanwhile. */
    TAILQ_CONCAT(&waits, &flight->waits, link);
    TAILQ_FOREACH(wait, &waits, link)
    {
        wait->list = &waits;
        wait->flight = NULL;
    }
    learn(flight->reader, answer, error);
    flight_free(flight);
    while ((wait = TAILQ_FIRST(&waits)) != NULL) {
        vault_callback *callback = wait->callback;
        void *callback_arg = wait->arg;
        TAILQ_REMOVE(&waits, wait, link);
        free(wait);
        callback(answer != NULL ? vault_answer_ref(answer) : NULL, error, callback_arg);
    }
    vault_answer_unref(answer);
}

/* A flight that brings what is fresh enough, or NULL. */
static struct flight *find_flight(const struct reader *reader, const struct store_freshness *freshness,
                                  uint64_t now_ms)
{
    const struct object *object = reader->object;
    uint64_t window = STORE_JOIN_MS;
    struct flight *flight = NULL;

    if (freshness->republish && reader->store->keep_ms > window)
        window = reader->store->keep_ms;
    LIST_FOREACH(flight, &reader->flights, in_reader)
    {
        uint64_t sent = vault_call_sent_ms(flight->call);
        if (sent == VAULT_CALL_NOT_SENT ||
            ((!object->told || sent >= object->told_ms) && now_ms - sent <= window))
            return flight;
    }
    return NULL;
}

static struct flight *start_flight(struct reader *reader, const struct vault_query *query,
                                   struct identity *identity, struct token *token, uint64_t deadline_ms,
                                   struct error **err)
{
    struct store *store = reader->store;
    struct flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL) {
        no_memory(err);
        return NULL;
    }
    flight->reader = reader;
    TAILQ_INIT(&flight->waits);
    flight->call = vault_call_start(store->network, store->cache, query, identity, token, deadline_ms,
                                    on_answer, flight, err);
    if (flight->call == NULL) {
        free(flight);
        return NULL;
    }
    LIST_INSERT_HEAD(&reader->flights, flight, in_reader);
    return flight;
}

/* --- the interface
 * -------------------------------------------------------------------------------------------------- */

static void on_known(void *arg)
{
    struct store_wait *wait = arg;
    vault_callback *callback = wait->callback;
    void *callback_arg = wait->arg;
    struct vault_answer *answer = wait->answer;
    free(wait);
    callback(answer, NULL, callback_arg);
}

static int serve(struct reader *reader, struct store_wait *wait, struct error **err)
{
    const struct network *network = reader->store->network;
    wait->timer = transport_after(network->transport, 0, on_known, wait, err);
    if (wait->timer == NULL)
        return -1;
    wait->answer = vault_answer_ref(reader->answer);
    azure_metrics_object_lookup(network->metrics, "republished");
    return 0;
}

struct store_wait *store_get(struct store *store, const struct vault_query *query, struct identity *identity,
                             struct token *token, const struct store_freshness *freshness,
                             uint64_t deadline_ms, vault_callback *callback, void *arg, struct error **err)
{
    struct azure_metrics *metrics = store->network->metrics;
    uint64_t now = transport_now_ms(store->network->transport);
    uint8_t key[DIGEST_LEN];

    compute_key(query, key);
    struct store_wait *wait = calloc(1, sizeof(*wait));
    struct reader *reader = wait != NULL ? reader_get(store, key, token->principal) : NULL;
    if (reader == NULL) {
        free(wait);
        no_memory(err);
        return NULL;
    }
    *wait = (struct store_wait){.store = store, .callback = callback, .arg = arg};
    if (may_serve(reader, freshness, now)) {
        if (serve(reader, wait, err) == 0)
            return wait;
        free(wait);
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
            free(wait);
            return NULL;
        }
        azure_metrics_object_lookup(metrics, "fetched");
    }
    wait->flight = flight;
    wait->list = &flight->waits;
    TAILQ_INSERT_TAIL(&flight->waits, wait, link);
    return wait;
}

int store_wait_why_not_yet(const struct store_wait *wait, struct error **err)
{
    if (wait->flight != NULL && wait->flight->call != NULL)
        return vault_call_pending_error(wait->flight->call, err);
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the answer was not there in time");
}

void store_wait_cancel(struct store_wait **wait)
{
    struct store_wait *gone = *wait;
    *wait = NULL;
    if (gone == NULL)
        return;
    if (gone->list != NULL)
        TAILQ_REMOVE(gone->list, gone, link);
    if (gone->flight != NULL && TAILQ_EMPTY(&gone->flight->waits))
        flight_free(gone->flight); /* nobody is interested any more */
    transport_stop(gone->store->network->transport, &gone->timer);
    vault_answer_unref(gone->answer);
    free(gone);
}

struct store *store_create(const struct network *network, struct token_cache *cache, uint64_t keep_ms,
                           struct error **err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        no_memory(err);
        return NULL;
    }
    store->network = network;
    store->cache = cache;
    store->keep_ms = keep_ms;
    TAILQ_INIT(&store->kept);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&store->buckets[i]);
    return store;
}

size_t store_count(const struct store *store)
{
    return store->n_kept;
}

void store_destroy(struct store *store)
{
    if (store == NULL)
        return;
    while (store->n_kept > 0)
        forget_oldest(store);
    transport_stop(store->network->transport, &store->sweep);
    free(store);
}
