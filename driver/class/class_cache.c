/*
 * class_cache.c - the classes of the volumes on this node, as they were read last.
 */
#include "driver/class/class_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "common/class/class_rotation.h"
#include "common/process/lifecycle.h"
#include "common/process/loop_timer.h"

struct class_cache {
    uv_loop_t *loop;
    const struct class_source *source;
    struct log *log;
    uint64_t max_age_ms;
    struct list entries; /* the most recently used one is at the end */
    size_t bytes;        /* of all entries */
    struct list failed;  /* class_cache_call: they get a failure that is cached, when `deliver` expires */
    struct loop_timer *deliver;
};

struct entry {
    struct list link;
    struct class_cache *cache;
    char *ns;
    char *name;
    struct secret_provider_class *class; /* of the last lookup; NULL before the first, and after a failure */
    size_t bytes;                        /* of the entry, its class and its failure, about */
    struct error *failure;               /* of the last lookup, or NULL */
    uint64_t fetched_ms;                 /* since boot: a class gets older while the machine sleeps */
    uint64_t used_ms;
    char *reported_annotation; /* the annotation that was logged as invalid, or NULL */
    struct class_lookup *flight;
    struct list waiting; /* class_cache_call */
};

struct class_cache_call {
    struct list link;
    struct error *failure; /* of a call in cache->failed */
    class_lookup_callback *callback;
    void *arg;
};

static void deliver_failures(void *arg);

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

struct class_cache *class_cache_create(uv_loop_t *loop, const struct class_source *source,
                                       int64_t poll_interval_s, struct log *log, struct error **err)
{
    struct class_cache *cache = alloc_zeroed(sizeof(*cache), err);

    if (cache == NULL)
        return NULL;
    cache->deliver = loop_timer_create(loop, deliver_failures, cache, err);
    if (cache->deliver == NULL) {
        free(cache);
        return NULL;
    }
    cache->loop = loop;
    cache->source = source;
    cache->log = log;
    cache->max_age_ms = CLASS_CACHE_AGE_MS;
    if (source->local)
        cache->max_age_ms = 0;
    else if (poll_interval_s < 2 * CLASS_CACHE_AGE_MS / 1000)
        cache->max_age_ms = poll_interval_s > 0 ? (uint64_t)poll_interval_s * 1000 / 2 : 0;
    list_init(&cache->entries);
    list_init(&cache->failed);
    return cache;
}

static void entry_free(struct entry *entry)
{
    assert(list_empty(&entry->waiting));
    if (entry->flight != NULL)
        class_source_cancel(entry->cache->source, &entry->flight);
    list_remove(&entry->link);
    entry->cache->bytes -= entry->bytes;
    secret_provider_class_free(entry->class);
    error_free(entry->failure);
    free(entry->ns);
    free(entry->name);
    free(entry->reported_annotation);
    free(entry);
}

void class_cache_destroy(struct class_cache *cache)
{
    if (cache == NULL)
        return;
    while (!list_empty(&cache->entries))
        entry_free(container_of(cache->entries.next, struct entry, link));
    assert(list_empty(&cache->failed));
    loop_timer_destroy(cache->deliver);
    free(cache);
}

/* --- entries --- */

static struct entry *entry_find(const struct class_cache *cache, const char *ns, const char *name)
{
    for (struct list *link = cache->entries.prev; link != &cache->entries; link = link->prev) {
        struct entry *entry = container_of(link, struct entry, link);

        if (strcmp(entry->name, name) == 0 && strcmp(entry->ns, ns) == 0)
            return entry;
    }
    return NULL;
}

static void set_size(struct entry *entry)
{
    entry->cache->bytes -= entry->bytes;
    entry->bytes = sizeof(*entry) + strlen(entry->ns) + strlen(entry->name);
    if (entry->class != NULL)
        entry->bytes += secret_provider_class_size(entry->class);
    if (entry->failure != NULL)
        entry->bytes += strlen(error_message(entry->failure));
    entry->cache->bytes += entry->bytes;
}

/* The least recently used ones, up to the first that stays; never the one in use. */
static void evict(struct class_cache *cache)
{
    uint64_t now = uv_now(cache->loop);

    for (struct list *link = cache->entries.next; link != cache->entries.prev && link != &cache->entries;) {
        struct entry *entry = container_of(link, struct entry, link);

        link = link->next;
        if (now - entry->used_ms < CLASS_CACHE_EXPIRY_MS && cache->bytes <= CLASS_CACHE_BYTES_MAX)
            return;
        if (list_empty(&entry->waiting) && entry->flight == NULL)
            entry_free(entry);
    }
}

static void touch(struct entry *entry)
{
    list_remove(&entry->link);
    list_insert_before(&entry->cache->entries, &entry->link);
    entry->used_ms = uv_now(entry->cache->loop);
}

static struct entry *entry_get(struct class_cache *cache, const char *ns, const char *name,
                               struct error **err)
{
    struct entry *entry = entry_find(cache, ns, name);

    if (entry == NULL) {
        entry = alloc_zeroed(sizeof(*entry), err);
        if (entry == NULL)
            return NULL;
        entry->cache = cache;
        list_init(&entry->link);
        list_init(&entry->waiting);
        entry->ns = strdup(ns);
        entry->name = strdup(name);
        if (entry->ns == NULL || entry->name == NULL) {
            entry_free(entry);
            (void)error_no_memory(err, NULL);
            return NULL;
        }
        set_size(entry);
    }
    touch(entry);
    evict(cache);
    return entry;
}

/* --- lookups --- */

static void report_annotation(struct entry *entry)
{
    int64_t interval_s = 0;
    cleanup_error struct error *error = NULL;

    if (class_rotation_interval(entry->class, /* default_interval_s= */ 0, &interval_s, &error) == 0) {
        free(steal_ptr(&entry->reported_annotation));
        return;
    }
    if (entry->reported_annotation != NULL &&
        strcmp(entry->reported_annotation, entry->class->rotation_interval) == 0)
        return;
    free(entry->reported_annotation);
    entry->reported_annotation = strdup(entry->class->rotation_interval);
    log_warning(entry->cache->log, "an annotation is ignored, the driver's own interval applies",
                LOG_STR("spc", entry->class->name), LOG_STR("namespace", entry->class->ns), LOG_ERR(error));
}

static void take_result(struct entry *entry, struct secret_provider_class *class, const struct error *failure)
{
    secret_provider_class_free(entry->class);
    error_free(entry->failure);
    entry->class = class;
    entry->failure = error_copy(failure);
    entry->fetched_ms = now_ms();
    if (class != NULL)
        report_annotation(entry);
    set_size(entry);
    evict(entry->cache);
}

/* Frees the call, which is in a list of the caller's. */
static void call_back(struct class_cache_call *call, struct secret_provider_class *class,
                      const struct error *error)
{
    class_lookup_callback *callback = call->callback;
    void *arg = call->arg;

    list_remove(&call->link);
    free(call);
    callback(class, error, arg);
}

static void lookup_done(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct entry *entry = arg;
    struct list waiting;

    take_result(entry, class, error); /* which evicts no entry in flight */
    entry->flight = NULL;
    /* A call that joins from inside a callback waits for the next lookup; `class` is kept for the calls of
     * this one. */
    list_init(&waiting);
    list_move_all(&waiting, &entry->waiting);
    if (class != NULL)
        (void)secret_provider_class_ref(class);
    while (!list_empty(&waiting))
        call_back(container_of(waiting.next, struct class_cache_call, link), class, error);
    secret_provider_class_free(class);
}

/* Without those that callbacks start. */
static void deliver_failures(void *arg)
{
    struct class_cache *cache = arg;
    struct list failed;

    list_init(&failed);
    list_move_all(&failed, &cache->failed);
    while (!list_empty(&failed)) {
        struct class_cache_call *call = container_of(failed.next, struct class_cache_call, link);
        cleanup_error struct error *failure = steal_ptr(&call->failure);

        call_back(call, /* class= */ NULL, failure);
    }
}

static int send_request(struct entry *entry, struct error **err);

/* Did the last request get no response at all, and is a new one in flight? No call waits for it: it may
 * take as long as the last one. */
static bool is_silent(struct entry *entry, uint64_t age_ms)
{
    enum grpc_status code = error_code(entry->failure);

    if ((code != GRPC_STATUS_UNAVAILABLE && code != GRPC_STATUS_DEADLINE_EXCEEDED) ||
        age_ms >= CLASS_CACHE_SILENCE_MS)
        return false;
    return entry->flight != NULL || send_request(entry, /* err= */ NULL) == 0;
}

/* The failure of the last request as long as it serves all calls, or NULL. */
static const struct error *shared_failure(struct entry *entry)
{
    uint64_t age = now_ms() - entry->fetched_ms;

    if (entry->failure == NULL)
        return NULL;
    if (age < CLASS_CACHE_FAILURE_AGE_MS && age < entry->cache->max_age_ms)
        return entry->failure;
    return is_silent(entry, age) ? entry->failure : NULL;
}

struct secret_provider_class *class_cache_get(struct class_cache *cache, const char *ns, const char *name,
                                              const struct error **ret_failure)
{
    struct entry *entry = entry_find(cache, ns, name);

    *ret_failure = NULL;
    if (entry == NULL)
        return NULL;
    touch(entry);
    *ret_failure = shared_failure(entry);
    return entry->class != NULL && now_ms() - entry->fetched_ms < cache->max_age_ms ? entry->class : NULL;
}

struct secret_provider_class *class_cache_last(struct class_cache *cache, const char *ns, const char *name)
{
    struct entry *entry = cache->source->local ? NULL : entry_find(cache, ns, name);

    if (entry == NULL)
        return NULL;
    touch(entry);
    return entry->class;
}

static int send_request(struct entry *entry, struct error **err)
{
    const struct class_source *source = entry->cache->source;

    if (entry->class != NULL && source->start_not_older != NULL)
        entry->flight =
            source->start_not_older(source->state, entry->ns, entry->name, entry->class->resource_version,
                                    CLASS_CACHE_TIMEOUT_MS, lookup_done, entry, err);
    else
        entry->flight = class_source_start(source, entry->ns, entry->name, CLASS_CACHE_TIMEOUT_MS,
                                           lookup_done, entry, err);
    return entry->flight == NULL ? -1 : 0;
}

/* Puts the call where its callback comes from. */
static int enlist(struct class_cache_call *call, struct entry *entry, struct error **err)
{
    const struct error *failure = shared_failure(entry);

    if (failure != NULL) {
        call->failure = error_copy(failure);
        if (call->failure == NULL)
            return error_no_memory(err, NULL);
        list_insert_before(&entry->cache->failed, &call->link);
        loop_timer_start(entry->cache->deliver, 0);
        return 0;
    }
    if (entry->flight == NULL && send_request(entry, err) < 0)
        return -1;
    list_insert_before(&entry->waiting, &call->link);
    return 0;
}

struct class_cache_call *class_cache_start(struct class_cache *cache, const char *ns, const char *name,
                                           class_lookup_callback *callback, void *arg, struct error **err)
{
    cleanup_free struct class_cache_call *call = alloc_zeroed(sizeof(*call), err);
    struct entry *entry;

    if (call == NULL)
        return NULL;
    call->callback = callback;
    call->arg = arg;
    list_init(&call->link);
    entry = entry_get(cache, ns, name, err);
    return entry != NULL && enlist(call, entry, err) == 0 ? steal_ptr(&call) : NULL;
}

void class_cache_cancel(struct class_cache_call **call)
{
    list_remove(&(*call)->link);
    error_free((*call)->failure);
    free(*call);
    *call = NULL;
}

void class_cache_put(struct class_cache *cache, struct secret_provider_class *class)
{
    struct entry *entry = entry_get(cache, class->ns, class->name, /* err= */ NULL);

    if (entry != NULL)
        take_result(entry, secret_provider_class_ref(class), /* failure= */ NULL);
}

void class_cache_remove(struct class_cache *cache, const char *ns, const char *name)
{
    struct entry *entry = entry_find(cache, ns, name);

    if (entry == NULL)
        return;
    secret_provider_class_free(steal_ptr(&entry->class));
    set_size(entry);
}

void class_cache_forget_failures(struct class_cache *cache)
{
    for (struct list *link = cache->entries.next; link != &cache->entries; link = link->next) {
        struct entry *entry = container_of(link, struct entry, link);

        error_free(steal_ptr(&entry->failure));
        set_size(entry);
    }
}
