/*
 * store.c - joins identical vault reads and keeps answers for republishes.
 */
#include "provider-azure/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Entries are found through a small hash table: a node's mounts may hold thousands. */
enum { BUCKETS = 512 };

struct entry;
TAILQ_HEAD(wait_list, store_wait);
TAILQ_HEAD(entry_list, entry);
LIST_HEAD(bucket, entry);

/* Either in flight (`call`) or kept (`answer`, linked into store->kept). */
struct entry {
    LIST_ENTRY(entry) in_bucket;
    TAILQ_ENTRY(entry) in_kept;
    struct store *store;
    uint8_t key[DIGEST_LEN];
    struct vault_call *call;
    struct wait_list waits;
    struct vault_answer *answer;
    uint64_t until_ms;
};

struct store {
    const struct network *network;
    struct token_cache *cache;
    uint64_t keep_ms;
    struct bucket buckets[BUCKETS];
    struct entry_list kept; /* oldest first */
    size_t n_kept;
    size_t bytes;
    struct transport_timer *sweep; /* runs while something is kept */
};

struct store_wait {
    TAILQ_ENTRY(store_wait) link;
    struct wait_list *list; /* the list it is in; NULL: the answer comes with the timer */
    struct entry *entry;    /* the request it waits for; NULL while answers are being told */
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

static struct bucket *bucket_of(struct store *store, const uint8_t key[DIGEST_LEN])
{
    return &store->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS];
}

static void compute_key(const struct vault_query *query, const struct token *token,
                        uint8_t ret_key[DIGEST_LEN])
{
    uint8_t kind = (uint8_t)((unsigned)query->type << 1 | (query->list ? 1U : 0U));
    const struct digest_field fields[] = {
        {token->principal, DIGEST_LEN},
        {&kind, 1},
        {query->vault_url, strlen(query->vault_url)},
        {query->name, strlen(query->name)},
        {query->version, query->list ? 0 : strlen(query->version)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_key);
}

/* Finds the entry in flight, or the kept one. */
static struct entry *find(struct store *store, const uint8_t key[DIGEST_LEN], bool in_flight)
{
    struct entry *entry = NULL;
    LIST_FOREACH(entry, bucket_of(store, key), in_bucket)
    {
        if ((entry->answer == NULL) == in_flight && memcmp(entry->key, key, DIGEST_LEN) == 0)
            return entry;
    }
    return NULL;
}

static void entry_free(struct entry *entry)
{
    struct store *store = entry->store;
    LIST_REMOVE(entry, in_bucket);
    if (entry->answer != NULL) {
        TAILQ_REMOVE(&store->kept, entry, in_kept);
        store->n_kept--;
        store->bytes -= vault_answer_size(entry->answer);
        vault_answer_unref(entry->answer);
    }
    vault_call_cancel(&entry->call);
    free(entry);
}

static void on_sweep(void *arg);

/* Sets the timer for the oldest answer; secrets do not stay in memory until somebody happens to ask. */
static void arm_sweep(struct store *store)
{
    const struct transport *transport = store->network->transport;
    struct entry *oldest = TAILQ_FIRST(&store->kept);
    struct error *failure = NULL;

    if (oldest == NULL || store->sweep != NULL)
        return;
    uint64_t now = transport_now_ms(transport);
    store->sweep = transport_after(transport, oldest->until_ms > now ? oldest->until_ms - now : 0, on_sweep,
                                   store, &failure);
    if (store->sweep == NULL) { /* no memory for a timer: rather keep nothing than keep it for ever */
        while ((oldest = TAILQ_FIRST(&store->kept)) != NULL)
            entry_free(oldest);
    }
    error_free(failure);
}

static void on_sweep(void *arg)
{
    struct store *store = arg;
    uint64_t now = transport_now_ms(store->network->transport);
    struct entry *oldest = NULL;

    store->sweep = NULL;
    while ((oldest = TAILQ_FIRST(&store->kept)) != NULL && oldest->until_ms <= now)
        entry_free(oldest);
    arm_sweep(store);
}

/* Keeps the answer in the place of an older one. */
static void keep(struct store *store, struct entry *entry, struct vault_answer *answer)
{
    struct entry *older = find(store, entry->key, /* in_flight= */ false);
    size_t size = vault_answer_size(answer);

    if (older != NULL)
        entry_free(older);
    while (store->n_kept > 0 && (store->n_kept >= STORE_MAX_ANSWERS || store->bytes + size > STORE_MAX_BYTES))
        entry_free(TAILQ_FIRST(&store->kept));
    entry->answer = vault_answer_ref(answer);
    entry->until_ms = transport_now_ms(store->network->transport) + store->keep_ms;
    TAILQ_INSERT_TAIL(&store->kept, entry, in_kept);
    store->n_kept++;
    store->bytes += size;
    arm_sweep(store);
}

static void on_answer(struct vault_answer *answer, const struct error *error, void *arg)
{
    struct entry *entry = arg;
    struct store *store = entry->store;
    struct wait_list waits = TAILQ_HEAD_INITIALIZER(waits);
    struct store_wait *wait = NULL;

    entry->call = NULL;
    /* The waits move to a list of their own: the entry may go away, and callbacks may cancel other waits,
     * meanwhile. */
    TAILQ_CONCAT(&waits, &entry->waits, link);
    TAILQ_FOREACH(wait, &waits, link)
    {
        wait->list = &waits;
        wait->entry = NULL;
    }
    if (answer != NULL && store->keep_ms > 0 && vault_answer_size(answer) <= STORE_MAX_BYTES)
        keep(store, entry, answer);
    else
        entry_free(entry);
    while ((wait = TAILQ_FIRST(&waits)) != NULL) {
        vault_callback *callback = wait->callback;
        void *callback_arg = wait->arg;
        TAILQ_REMOVE(&waits, wait, link);
        free(wait);
        callback(answer != NULL ? vault_answer_ref(answer) : NULL, error, callback_arg);
    }
    vault_answer_unref(answer);
}

static void on_known(void *arg)
{
    struct store_wait *wait = arg;
    vault_callback *callback = wait->callback;
    void *callback_arg = wait->arg;
    struct vault_answer *answer = wait->answer;
    free(wait);
    callback(answer, NULL, callback_arg);
}

/* Starts a request and its entry. */
static struct entry *start(struct store *store, const uint8_t key[DIGEST_LEN],
                           const struct vault_query *query, struct identity *identity, struct token *token,
                           uint64_t deadline_ms, struct error **err)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        no_memory(err);
        return NULL;
    }
    entry->store = store;
    memcpy(entry->key, key, DIGEST_LEN);
    TAILQ_INIT(&entry->waits);
    entry->call = vault_call_start(store->network, store->cache, query, identity, token, deadline_ms,
                                   on_answer, entry, err);
    if (entry->call == NULL) {
        free(entry);
        return NULL;
    }
    LIST_INSERT_HEAD(bucket_of(store, key), entry, in_bucket);
    return entry;
}

struct store_wait *store_get(struct store *store, const struct vault_query *query, struct identity *identity,
                             struct token *token, enum store_freshness freshness, uint64_t deadline_ms,
                             vault_callback *callback, void *arg, struct error **err)
{
    struct meter *meter = store->network->meter;
    uint8_t key[DIGEST_LEN];
    struct store_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL) {
        no_memory(err);
        return NULL;
    }
    *wait = (struct store_wait){.store = store, .callback = callback, .arg = arg};
    compute_key(query, token, key);

    struct entry *kept = freshness == STORE_RECENT ? find(store, key, /* in_flight= */ false) : NULL;
    if (kept != NULL && kept->until_ms > transport_now_ms(store->network->transport)) {
        wait->timer = transport_after(store->network->transport, 0, on_known, wait, err);
        if (wait->timer == NULL) {
            free(wait);
            return NULL;
        }
        wait->answer = vault_answer_ref(kept->answer);
        meter_object_lookup(meter, "republished");
        return wait;
    }

    struct entry *entry = find(store, key, /* in_flight= */ true);
    if (entry != NULL) {
        vault_call_extend(entry->call, deadline_ms);
        meter_object_lookup(meter, "joined");
    } else {
        entry = start(store, key, query, identity, token, deadline_ms, err);
        if (entry == NULL) {
            free(wait);
            return NULL;
        }
        meter_object_lookup(meter, "fetched");
    }
    wait->entry = entry;
    wait->list = &entry->waits;
    TAILQ_INSERT_TAIL(&entry->waits, wait, link);
    return wait;
}

void store_wait_cancel(struct store_wait **wait)
{
    struct store_wait *gone = *wait;
    *wait = NULL;
    if (gone == NULL)
        return;
    if (gone->list != NULL)
        TAILQ_REMOVE(gone->list, gone, link);
    if (gone->entry != NULL && TAILQ_EMPTY(&gone->entry->waits))
        entry_free(gone->entry); /* nobody is interested any more */
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
    struct entry *entry = NULL;
    if (store == NULL)
        return;
    while ((entry = TAILQ_FIRST(&store->kept)) != NULL)
        entry_free(entry);
    transport_stop(store->network->transport, &store->sweep);
    free(store);
}
