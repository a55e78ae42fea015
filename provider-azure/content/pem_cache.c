/*
 * pem_cache.c - conversions in flight and results.
 */
#include "provider-azure/content/pem_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/list.h"

/* A conversion in a thread. It has all that the thread uses, and outlives an entry that nobody wants. */
struct conversion_job {
    struct pem_entry *entry; /* NULL: cancelled */
    struct secret *pfx;      /* to PEM in this order; or NULL: */
    enum certificate_order order;
    struct key_store_recipe *recipe;
    struct pem_conversion *result;
};

/* What is asked for: one of the two. The recipe is taken over by the job that makes it. */
struct conversion_input {
    const struct secret *pfx;
    struct key_store_recipe *recipe;
};

/* One PFX of one principal: being converted (`build`), or with its result. */
struct pem_entry {
    struct list link; /* in `entries`, newest first */
    struct pem_cache *cache;
    uint8_t key[DIGEST_SHA256_LEN];
    struct conversion_job *build;
    struct work_job *job;
    struct pem_conversion *result;
    uint64_t until_ms;   /* of a result */
    struct list waiters; /* of a conversion in flight */
};

struct pem_waiter {
    struct list link;
    struct pem_entry *entry;       /* NULL: the result is known */
    struct pem_conversion *result; /* known in pem_cache_get(), delivered from the timer */
    struct transport_timer *timer;
    const struct transport *transport;
    struct pem_budget *budget; /* NULL: somebody else pays */
    pem_callback *callback;
    void *arg;
};

struct pem_cache {
    const struct transport *transport;
    uint64_t ttl_ms;
    uint64_t budget;
    enum certificate_order order;
    struct list entries;
    size_t n_results;
    size_t bytes;
    struct transport_timer *sweep;
};

static struct pem_entry *entry_at(struct list *link)
{
    return container_of(link, struct pem_entry, link);
}

static struct pem_waiter *waiter_at(struct list *link)
{
    return container_of(link, struct pem_waiter, link);
}

static void job_free(struct conversion_job *build)
{
    secret_destroy(build->pfx);
    key_store_recipe_free(build->recipe);
    pem_conversion_unref(build->result);
    free(build);
}

static void entry_free(struct pem_entry *entry)
{
    struct pem_cache *cache = entry->cache;

    assert(list_empty(&entry->waiters));
    list_remove(&entry->link);
    if (entry->build != NULL)
        entry->build->entry = NULL;
    transport_work_cancel(cache->transport, &entry->job);
    if (entry->result != NULL) {
        cache->n_results--;
        cache->bytes -= entry->result->text.len;
        pem_conversion_unref(entry->result);
    }
    free(entry);
}

/* --- results --- */

static void start_sweep(struct pem_cache *cache);

static void on_sweep(void *arg)
{
    struct pem_cache *cache = arg;
    uint64_t now = transport_now_ms(cache->transport);
    struct list *next = NULL;

    cache->sweep = NULL;
    for (struct list *link = cache->entries.next; link != &cache->entries; link = next) {
        next = link->next;
        if (entry_at(link)->result != NULL && entry_at(link)->until_ms <= now)
            entry_free(entry_at(link));
    }
    start_sweep(cache);
}

/* Without memory for the timer the results go at once. */
static void start_sweep(struct pem_cache *cache)
{
    struct error *no_memory = NULL;
    struct list *next = NULL;

    if (cache->sweep != NULL || cache->n_results == 0)
        return;
    cache->sweep = transport_after(cache->transport, cache->ttl_ms, on_sweep, cache, &no_memory);
    error_free(no_memory);
    for (struct list *link = cache->entries.next; cache->sweep == NULL && link != &cache->entries;
         link = next) {
        next = link->next;
        if (entry_at(link)->result != NULL)
            entry_free(entry_at(link));
    }
}

/* Frees the oldest results until the bounds are kept. */
static void make_space(struct pem_cache *cache)
{
    struct list *previous = NULL;

    for (struct list *link = cache->entries.prev; link != &cache->entries; link = previous) {
        previous = link->prev;
        if (cache->n_results <= PEM_CACHE_MAX_RESULTS && cache->bytes <= PEM_CACHE_MAX_BYTES)
            return;
        if (entry_at(link)->result != NULL)
            entry_free(entry_at(link));
    }
}

static void keep(struct pem_entry *entry, struct pem_conversion *result)
{
    struct pem_cache *cache = entry->cache;

    if (cache->ttl_ms == 0 || error_code(result->error) == GRPC_STATUS_RESOURCE_EXHAUSTED) {
        entry_free(entry);
        return;
    }
    entry->result = pem_conversion_ref(result);
    entry->until_ms = transport_now_ms(cache->transport) + cache->ttl_ms;
    cache->n_results++;
    cache->bytes += result->text.len;
    make_space(cache);
    start_sweep(cache);
}

/* --- conversions --- */

static void run_conversion(void *arg, struct pkcs12_run *run)
{
    struct conversion_job *build = arg;
    build->result = build->recipe != NULL ? key_store_make(build->recipe, run)
                                          : pem_convert(build->pfx, build->order, run);
    if (run->later) {
        pem_conversion_unref(build->result);
        build->result = NULL;
    }
}

/* `result` NULL: lack of memory. */
static void deliver(struct list *waiters, struct pem_conversion *result)
{
    struct error *no_memory = NULL;

    if (result == NULL)
        (void)error_no_memory(&no_memory, "a PKCS#12 file");
    while (!list_empty(waiters)) {
        struct pem_waiter *waiter = waiter_at(waiters->next);
        pem_callback *callback = waiter->callback;
        void *arg = waiter->arg;
        list_remove(&waiter->link);
        if (waiter->budget != NULL && result != NULL)
            waiter->budget->used += result->cost;
        free(waiter);
        callback(result != NULL ? pem_conversion_ref(result) : NULL, no_memory, arg);
    }
    error_free(no_memory);
}

static void on_converted(void *arg)
{
    struct conversion_job *build = arg;
    struct pem_entry *entry = build->entry;
    struct list waiters;

    list_init(&waiters);
    if (entry != NULL) {
        entry->build = NULL;
        entry->job = NULL;
        list_move_all(&waiters, &entry->waiters);
        for (struct list *link = waiters.next; link != &waiters; link = link->next)
            waiter_at(link)->entry = NULL;
        if (build->result != NULL)
            keep(entry, build->result);
        else
            entry_free(entry);
    }
    deliver(&waiters, build->result);
    job_free(build);
}

static int start_job(struct pem_entry *entry, struct conversion_input *input, const struct pem_budget *budget,
                     struct error **err)
{
    struct pem_cache *cache = entry->cache;
    struct conversion_job *build = calloc(1, sizeof(*build));
    if (build == NULL)
        return error_no_memory(err, NULL);
    *build = (struct conversion_job){.entry = entry, .order = cache->order};
    if (input->pfx != NULL) {
        build->pfx = secret_from_bytes(secret_bytes(input->pfx), secret_len(input->pfx));
        if (build->pfx == NULL) {
            free(build);
            return error_no_memory(err, NULL);
        }
    }
    build->recipe = steal_ptr(&input->recipe);
    const struct work work = {
        .run = run_conversion, .done = on_converted, .arg = build, .used = budget->used};
    entry->job = transport_work(cache->transport, &work, err);
    if (entry->job == NULL) {
        job_free(build);
        return -1;
    }
    entry->build = build;
    return 0;
}

static struct pem_entry *entry_start(struct pem_cache *cache, const uint8_t key[DIGEST_SHA256_LEN],
                                     struct conversion_input *input, const struct pem_budget *budget,
                                     struct error **err)
{
    if (budget->used >= cache->budget) {
        (void)error_set(
            err, GRPC_STATUS_RESOURCE_EXHAUSTED,
            "the PKCS#12 files of this mount need more than %llu computations of hashes together; "
            "this one was not opened",
            (unsigned long long)cache->budget);
        return NULL;
    }
    struct pem_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    entry->cache = cache;
    memcpy(entry->key, key, DIGEST_SHA256_LEN);
    list_init(&entry->link);
    list_init(&entry->waiters);
    if (start_job(entry, input, budget, err) < 0) {
        free(entry);
        return NULL;
    }
    list_insert_before(cache->entries.next, &entry->link);
    return entry;
}

static struct pem_entry *entry_find(const struct pem_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    uint64_t now = transport_now_ms(cache->transport);

    for (struct list *link = cache->entries.next; link != &cache->entries; link = link->next) {
        struct pem_entry *entry = entry_at(link);
        if (memcmp(entry->key, key, DIGEST_SHA256_LEN) == 0 &&
            (entry->result == NULL || entry->until_ms > now))
            return entry;
    }
    return NULL;
}

/* --- waiters --- */

static void on_known(void *arg)
{
    struct pem_waiter *waiter = arg;
    struct pem_conversion *result = waiter->result;
    pem_callback *callback = waiter->callback;
    void *callback_arg = waiter->arg;

    free(waiter);
    callback(result, NULL, callback_arg);
}

static int waiter_start(struct pem_waiter *waiter, struct pem_entry *entry, struct error **err)
{
    if (entry->result == NULL) {
        waiter->entry = entry;
        list_insert_before(&entry->waiters, &waiter->link);
        return 0;
    }
    waiter->timer = transport_after(waiter->transport, 0, on_known, waiter, err);
    if (waiter->timer == NULL)
        return -1;
    waiter->result = pem_conversion_ref(entry->result);
    return 0;
}

static struct pem_waiter *get(struct pem_cache *cache, const uint8_t key[DIGEST_SHA256_LEN],
                              struct conversion_input *input, struct pem_budget *budget,
                              pem_callback *callback, void *arg, struct error **err)
{
    struct pem_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *waiter = (struct pem_waiter){.transport = cache->transport, .callback = callback, .arg = arg};
    list_init(&waiter->link);
    struct pem_entry *entry = entry_find(cache, key);
    if (entry == NULL) {
        entry = entry_start(cache, key, input, budget, err);
        waiter->budget = budget;
    }
    if (entry == NULL || waiter_start(waiter, entry, err) < 0) {
        free(waiter);
        return NULL;
    }
    return waiter;
}

struct pem_waiter *pem_cache_get(struct pem_cache *cache, const uint8_t principal[DIGEST_SHA256_LEN],
                                 const struct secret *pfx, struct pem_budget *budget, pem_callback *callback,
                                 void *arg, struct error **err)
{
    const struct digest_field fields[] = {{principal, DIGEST_SHA256_LEN},
                                          {secret_bytes(pfx), secret_len(pfx)}};
    struct conversion_input input = {.pfx = pfx};
    uint8_t key[DIGEST_SHA256_LEN];
    digest_fields(fields, ARRAY_SIZE(fields), key);
    return get(cache, key, &input, budget, callback, arg, err);
}

struct pem_waiter *pem_cache_get_key_store(struct pem_cache *cache,
                                           const uint8_t principal[DIGEST_SHA256_LEN],
                                           struct key_store_recipe **recipe, struct pem_budget *budget,
                                           pem_callback *callback, void *arg, struct error **err)
{
    struct conversion_input input = {.recipe = steal_ptr(recipe)};
    uint8_t key[DIGEST_SHA256_LEN];
    key_store_digest(input.recipe, principal, key);
    struct pem_waiter *waiter = get(cache, key, &input, budget, callback, arg, err);
    key_store_recipe_free(input.recipe);
    return waiter;
}

void pem_waiter_cancel(struct pem_waiter **waiter)
{
    struct pem_waiter *gone = steal_ptr(waiter);
    if (gone == NULL)
        return;
    transport_stop(gone->transport, &gone->timer);
    pem_conversion_unref(gone->result);
    list_remove(&gone->link);
    if (gone->entry != NULL && list_empty(&gone->entry->waiters))
        entry_free(gone->entry);
    free(gone);
}

struct pem_cache *pem_cache_create(const struct transport *transport, uint64_t ttl_ms, uint64_t mount_budget,
                                   enum certificate_order order, struct error **err)
{
    struct pem_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *cache =
        (struct pem_cache){.transport = transport, .ttl_ms = ttl_ms, .budget = mount_budget, .order = order};
    list_init(&cache->entries);
    return cache;
}

void pem_cache_destroy(struct pem_cache *cache)
{
    if (cache == NULL)
        return;
    transport_stop(cache->transport, &cache->sweep);
    while (!list_empty(&cache->entries))
        entry_free(entry_at(cache->entries.next));
    free(cache);
}
