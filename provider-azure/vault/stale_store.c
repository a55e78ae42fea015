/*
 * stale_store.c - values that are kept for outages.
 */
#include "provider-azure/vault/stale_store.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/list.h"

enum { BUCKETS = 512 };
/* The timer runs at most so often that it does not spin. */
enum { SWEEP_MIN_MS = 10 };

struct kept {
    struct list in_bucket;
    struct list in_store; /* in store->kept */
    struct stale_key key;
    struct vault_response *response; /* a reference */
    int64_t read_unix_s;             /* when it was read, by the wall clock */
    uint64_t keep_ms;
};

struct refusal {
    uint8_t digest[DIGEST_SHA256_LEN]; /* of principal, scope and what is refused */
    uint64_t at_ms;
};

struct stale_store {
    const struct network *network;
    uint64_t max_age_ms;
    struct list buckets[BUCKETS]; /* struct kept */
    struct list kept;             /* struct kept, kept first first */
    size_t n;
    size_t bytes;
    struct refusal refusals[STALE_MAX_REFUSALS]; /* a ring */
    size_t n_refusals;
    size_t next_refusal;      /* the oldest, once the ring is full */
    uint64_t last_refusal_ms; /* of all */
    uint64_t forgotten_ms;    /* the last refusal that is not in the ring any more */
    struct transport_timer *sweep;
    uint64_t sweep_at_ms;
};

static uint64_t now_ms(const struct stale_store *store)
{
    return transport_now_ms(store->network->transport);
}

static struct kept *kept_of(struct list *link)
{
    return container_of(link, struct kept, in_store);
}

/* --- what is kept --- */

static size_t bucket_of(const struct stale_key *key)
{
    return (key->read[0] | (unsigned)key->read[1] << 8) % BUCKETS;
}

static bool is_same(const uint8_t a[DIGEST_SHA256_LEN], const uint8_t b[DIGEST_SHA256_LEN])
{
    return memcmp(a, b, DIGEST_SHA256_LEN) == 0;
}

static struct kept *find(const struct stale_store *store, const struct stale_key *key)
{
    const struct list *bucket = &store->buckets[bucket_of(key)];
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct kept *kept = container_of(link, struct kept, in_bucket);
        if (is_same(kept->key.read, key->read) && is_same(kept->key.principal, key->principal))
            return kept;
    }
    return NULL;
}

static void report(const struct stale_store *store)
{
    const struct kept *first = list_empty(&store->kept) ? NULL : kept_of(store->kept.next);
    azure_metrics_stale_kept(store->network->metrics, store->n, store->bytes,
                             first != NULL ? first->read_unix_s : 0);
}

/* Wipes it, unless a mount holds the response as well. */
static void drop(struct stale_store *store, struct kept *kept)
{
    list_remove(&kept->in_bucket);
    list_remove(&kept->in_store);
    store->n--;
    store->bytes -= vault_response_size(kept->response);
    vault_response_unref(kept->response);
    free(kept);
}

static uint64_t expires_ms(const struct kept *kept)
{
    return kept->response->read_ms + kept->keep_ms;
}

/* By the clock that says more: the one since boot counts sleep, but stands still while a virtual machine is
 * paused; the wall clock is put right after that, but may be set back as well. */
static uint64_t age_ms(const struct stale_store *store, const struct kept *kept)
{
    uint64_t now = now_ms(store);
    int64_t wall_s = transport_unix_s(store->network->transport) - kept->read_unix_s;
    uint64_t age = now > kept->response->read_ms ? now - kept->response->read_ms : 0;
    uint64_t wall_ms = wall_s > 1 ? (uint64_t)(wall_s - 1) * 1000 : 0; /* both were cut to seconds */
    return age > wall_ms ? age : wall_ms;
}

/* --- expiry --- */

static void on_sweep(void *arg);

static void drop_all(struct stale_store *store)
{
    while (!list_empty(&store->kept))
        drop(store, kept_of(store->kept.next));
}

/* Without memory for a timer nothing is kept, rather than for ever. */
static void arm_sweep(struct stale_store *store, uint64_t at_ms)
{
    const struct transport *transport = store->network->transport;
    uint64_t now = now_ms(store);
    uint64_t delay = at_ms > now + SWEEP_MIN_MS ? at_ms - now : SWEEP_MIN_MS;

    if (store->sweep != NULL && store->sweep_at_ms <= at_ms)
        return;
    transport_stop(transport, &store->sweep);
    store->sweep_at_ms = at_ms;
    store->sweep = transport_after(transport, delay, on_sweep, store, /* err= */ NULL);
    if (store->sweep == NULL)
        drop_all(store);
}

static void on_sweep(void *arg)
{
    struct stale_store *store = arg;
    uint64_t now = now_ms(store);
    uint64_t first = UINT64_MAX;
    struct list *next = NULL;

    store->sweep = NULL;
    for (struct list *link = store->kept.next; link != &store->kept; link = next) {
        struct kept *kept = kept_of(link);
        next = link->next;
        if (expires_ms(kept) <= now || age_ms(store, kept) >= kept->keep_ms)
            drop(store, kept);
        else if (expires_ms(kept) < first)
            first = expires_ms(kept);
    }
    if (first != UINT64_MAX)
        arm_sweep(store, first);
    report(store);
}

/* --- refusals --- */

static void refusal_digest(const struct stale_key *key, enum stale_scope scope,
                           uint8_t ret_digest[DIGEST_SHA256_LEN])
{
    const uint8_t *what = scope == STALE_SCOPE_READ     ? key->read
                          : scope == STALE_SCOPE_OBJECT ? key->object
                                                        : key->vault;
    const uint8_t kind = (uint8_t)scope;
    const struct digest_field fields[] = {
        {key->principal, DIGEST_SHA256_LEN}, {&kind, sizeof(kind)}, {what, DIGEST_SHA256_LEN}};
    digest_fields(fields, ARRAY_SIZE(fields), ret_digest);
}

static void remember(struct stale_store *store, const struct stale_key *key, enum stale_scope scope)
{
    uint8_t digest[DIGEST_SHA256_LEN];
    size_t at = 0;

    refusal_digest(key, scope, digest);
    while (at < store->n_refusals && !is_same(store->refusals[at].digest, digest))
        at++;
    if (at == STALE_MAX_REFUSALS) {
        at = store->next_refusal;
        store->next_refusal = (at + 1) % STALE_MAX_REFUSALS;
        if (store->refusals[at].at_ms > store->forgotten_ms)
            store->forgotten_ms = store->refusals[at].at_ms;
    } else if (at == store->n_refusals) {
        store->n_refusals++;
    }
    memcpy(store->refusals[at].digest, digest, sizeof(digest));
    store->refusals[at].at_ms = store->last_refusal_ms = now_ms(store);
}

/* Whether what was requested at this time has been refused since. */
static bool was_refused(const struct stale_store *store, const struct stale_key *key, uint64_t read_ms)
{
    if (store->n_refusals == 0 || read_ms > store->last_refusal_ms)
        return false;
    if (read_ms <= store->forgotten_ms)
        return true;
    for (enum stale_scope scope = STALE_SCOPE_READ; scope <= STALE_SCOPE_VAULT; scope++) {
        uint8_t digest[DIGEST_SHA256_LEN];
        refusal_digest(key, scope, digest);
        for (size_t i = 0; i < store->n_refusals; i++) {
            if (read_ms <= store->refusals[i].at_ms && is_same(store->refusals[i].digest, digest))
                return true;
        }
    }
    return false;
}

static bool is_in_scope(const struct stale_key *kept, const struct stale_key *key, enum stale_scope scope)
{
    return is_same(kept->principal, key->principal) &&
           (scope == STALE_SCOPE_READ     ? is_same(kept->read, key->read)
            : scope == STALE_SCOPE_OBJECT ? is_same(kept->object, key->object)
                                          : is_same(kept->vault, key->vault));
}

void stale_store_refuse(struct stale_store *store, const struct stale_key *key, enum stale_scope scope)
{
    size_t before = store != NULL ? store->n : 0;
    struct list *next = NULL;

    if (store == NULL)
        return;
    remember(store, key, scope);
    for (struct list *link = store->kept.next; link != &store->kept; link = next) {
        struct kept *kept = kept_of(link);
        next = link->next;
        if (is_in_scope(&kept->key, key, scope))
            drop(store, kept);
    }
    if (store->n != before)
        report(store);
}

/* --- the interface --- */

void stale_store_forget(struct stale_store *store, const struct stale_key *key)
{
    struct kept *kept = store != NULL ? find(store, key) : NULL;
    if (kept == NULL)
        return;
    drop(store, kept);
    report(store);
}

/* Space for one more. */
static void make_room(struct stale_store *store, size_t size)
{
    while (store->n > 0 && (store->n >= STALE_MAX_VALUES || store->bytes + size > STALE_MAX_BYTES))
        drop(store, kept_of(store->kept.next));
}

static void add(struct stale_store *store, const struct stale_key *key, struct vault_response *response,
                uint64_t keep_ms)
{
    size_t size = vault_response_size(response);
    struct kept *kept = NULL;

    if (size > STALE_MAX_BYTES || (kept = calloc(1, sizeof(*kept))) == NULL)
        return;
    make_room(store, size);
    uint64_t now = now_ms(store);
    uint64_t age = now > response->read_ms ? now - response->read_ms : 0;
    *kept = (struct kept){
        .key = *key,
        .response = vault_response_ref(response),
        .read_unix_s = transport_unix_s(store->network->transport) - (int64_t)(age / 1000),
        .keep_ms = keep_ms,
    };
    list_insert_before(&store->buckets[bucket_of(key)], &kept->in_bucket);
    list_insert_before(&store->kept, &kept->in_store);
    store->n++;
    store->bytes += size;
    arm_sweep(store, expires_ms(kept));
}

void stale_store_keep(struct stale_store *store, const struct stale_key *key, struct vault_response *response,
                      uint64_t keep_ms)
{
    if (store == NULL || was_refused(store, key, response->read_ms))
        return;
    struct kept *older = find(store, key);
    if (older != NULL && older->response->read_ms > response->read_ms)
        return;
    uint64_t most = keep_ms < store->max_age_ms ? keep_ms : store->max_age_ms;
    if (older != NULL && older->keep_ms > most)
        most = older->keep_ms;
    if (older != NULL)
        drop(store, older);
    if (most > 0 && response->read_ms + most > now_ms(store))
        add(store, key, response, most);
    report(store);
}

bool stale_store_is_empty(const struct stale_store *store)
{
    return store == NULL || list_empty(&store->kept);
}

/* Those whose time has passed by a clock that the timer does not know: it comes later. */
static void drop_expired_first(struct stale_store *store)
{
    while (!list_empty(&store->kept) &&
           age_ms(store, kept_of(store->kept.next)) >= kept_of(store->kept.next)->keep_ms)
        drop(store, kept_of(store->kept.next));
}

bool stale_store_take_first(struct stale_store *store, struct stale_value *ret_value)
{
    if (store == NULL || list_empty(&store->kept))
        return false;
    drop_expired_first(store);
    if (list_empty(&store->kept)) {
        report(store);
        return false;
    }
    struct kept *first = kept_of(store->kept.next);
    *ret_value = (struct stale_value){.key = first->key,
                                      .response = vault_response_ref(first->response),
                                      .age_ms = age_ms(store, first),
                                      .keep_ms = first->keep_ms};
    drop(store, first);
    report(store);
    return true;
}

struct vault_response *stale_store_get(const struct stale_store *store, const struct stale_key *key,
                                       uint64_t max_age_ms, uint64_t *ret_age_ms)
{
    const struct kept *kept = store != NULL ? find(store, key) : NULL;
    if (kept == NULL)
        return NULL;
    *ret_age_ms = age_ms(store, kept);
    return *ret_age_ms < max_age_ms && *ret_age_ms < kept->keep_ms ? kept->response : NULL;
}

struct stale_store *stale_store_create(const struct network *network, uint64_t max_age_ms, struct error **err)
{
    struct stale_store *store = alloc_zeroed(sizeof(*store), err);
    if (store == NULL)
        return NULL;
    store->network = network;
    store->max_age_ms = max_age_ms;
    list_init(&store->kept);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&store->buckets[i]);
    return store;
}

void stale_store_destroy(struct stale_store *store)
{
    if (store == NULL)
        return;
    drop_all(store);
    transport_stop(store->network->transport, &store->sweep);
    free(store);
}
