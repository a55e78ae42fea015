/*
 * class_cache.c - what the classes of the volumes on this node said a moment ago.
 */
#include "driver/class/class_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/list.h"
#include "driver/class/class_rotation.h"

struct class_cache {
    uv_loop_t *loop;
    const struct class_source *source;
    struct log *log;
    uint64_t max_age_ms;
    struct list entries; /* the one asked about last is at the end */
    size_t n;
};

struct entry {
    struct list link;
    struct class_cache *memo;
    char *ns;
    char *name;
    struct secret_provider_class *class; /* the last answer; NULL before the first, and after a failure */
    struct error *failure;               /* of the last request, or NULL */
    uint64_t answered_ms;                /* uv_now() */
    uint64_t asked_ms;
    char *reported_annotation; /* the annotation that was logged as invalid, or NULL */
    struct class_lookup *flight;
    struct list waiting; /* calls */
};

struct class_cache_call {
    struct list link;
    class_lookup_callback *callback;
    void *arg;
};

struct class_cache *class_cache_create(uv_loop_t *loop, const struct class_source *source,
                                       int64_t poll_interval_s, struct log *log, struct error **err)
{
    struct class_cache *memo = calloc(1, sizeof(*memo));

    if (memo == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    memo->loop = loop;
    memo->source = source;
    memo->log = log;
    memo->max_age_ms = CLASS_CACHE_AGE_MS;
    if (source->local)
        memo->max_age_ms = 0;
    else if (poll_interval_s < 2 * CLASS_CACHE_AGE_MS / 1000)
        memo->max_age_ms = poll_interval_s > 0 ? (uint64_t)poll_interval_s * 1000 / 2 : 0;
    list_init(&memo->entries);
    return memo;
}

static void entry_free(struct entry *entry)
{
    assert(list_empty(&entry->waiting));
    if (entry->flight != NULL)
        class_source_cancel(entry->memo->source, &entry->flight);
    list_remove(&entry->link);
    entry->memo->n--;
    secret_provider_class_free(entry->class);
    error_free(entry->failure);
    free(entry->ns);
    free(entry->name);
    free(entry->reported_annotation);
    free(entry);
}

void class_cache_destroy(struct class_cache *memo)
{
    if (memo == NULL)
        return;
    while (!list_empty(&memo->entries))
        entry_free(container_of(memo->entries.next, struct entry, link));
    free(memo);
}

/* --- entries --- */

static struct entry *entry_find(const struct class_cache *memo, const char *ns, const char *name)
{
    for (struct list *link = memo->entries.prev; link != &memo->entries; link = link->prev) {
        struct entry *entry = container_of(link, struct entry, link);

        if (strcmp(entry->name, name) == 0 && strcmp(entry->ns, ns) == 0)
            return entry;
    }
    return NULL;
}

/* From the one asked about longest ago, up to the first that is still wanted. */
static void forget_old_ones(struct class_cache *memo)
{
    uint64_t now = uv_now(memo->loop);

    for (struct list *link = memo->entries.next; link != &memo->entries;) {
        struct entry *entry = container_of(link, struct entry, link);

        link = link->next;
        if (now - entry->asked_ms < CLASS_CACHE_EXPIRY_MS && memo->n <= CLASS_CACHE_MAX)
            return;
        if (list_empty(&entry->waiting) && entry->flight == NULL)
            entry_free(entry);
    }
}

static void touch(struct entry *entry)
{
    list_remove(&entry->link);
    list_insert_before(&entry->memo->entries, &entry->link);
    entry->asked_ms = uv_now(entry->memo->loop);
}

static struct entry *entry_get(struct class_cache *memo, const char *ns, const char *name, struct error **err)
{
    struct entry *entry = entry_find(memo, ns, name);

    if (entry == NULL) {
        forget_old_ones(memo);
        entry = calloc(1, sizeof(*entry));
        if (entry == NULL) {
            (void)error_no_memory(err, NULL);
            return NULL;
        }
        entry->memo = memo;
        list_init(&entry->link);
        list_init(&entry->waiting);
        memo->n++;
        entry->ns = strdup(ns);
        entry->name = strdup(name);
        if (entry->ns == NULL || entry->name == NULL) {
            entry_free(entry);
            (void)error_no_memory(err, NULL);
            return NULL;
        }
    }
    touch(entry);
    return entry;
}

/* --- answers --- */

static void report_annotation(struct entry *entry)
{
    struct rotation_spec spec;
    cleanup_error struct error *error = NULL;

    if (class_rotation_spec(entry->class, /* default_interval_s= */ 0, &spec, &error) == 0) {
        free(steal_ptr(&entry->reported_annotation));
        return;
    }
    if (entry->reported_annotation != NULL &&
        strcmp(entry->reported_annotation, entry->class->rotation_interval) == 0)
        return;
    free(entry->reported_annotation);
    entry->reported_annotation = strdup(entry->class->rotation_interval);
    log_warning(entry->memo->log, "an annotation is ignored, the driver's own interval applies",
                LOG_STR("spc", entry->class->name), LOG_STR("namespace", entry->class->ns), LOG_ERR(error));
}

static void take_answer(struct entry *entry, struct secret_provider_class *class, const struct error *failure)
{
    secret_provider_class_free(entry->class);
    error_free(entry->failure);
    entry->class = class;
    entry->failure = error_copy(failure);
    entry->answered_ms = uv_now(entry->memo->loop);
    if (class != NULL)
        report_annotation(entry);
}

static void answered(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct entry *entry = arg;
    struct list waiting;

    entry->flight = NULL;
    take_answer(entry, class, error);
    /* Who joins from inside a callback waits for the next answer; `class` is kept for the ones of this
     * one. */
    list_init(&waiting);
    list_move_all(&waiting, &entry->waiting);
    if (class != NULL)
        (void)secret_provider_class_ref(class);
    while (!list_empty(&waiting)) {
        struct class_cache_call *call = container_of(waiting.next, struct class_cache_call, link);
        class_lookup_callback *callback = call->callback;
        void *callback_arg = call->arg;

        list_remove(&call->link);
        free(call);
        callback(class, error, callback_arg);
    }
    secret_provider_class_free(class);
}

static int send_request(struct entry *entry, struct error **err);

/* Did the last request get no answer at all, and is a new one on its way? Nobody waits for it: the next call
 * may be as long in coming as this one was. */
static bool is_asked_in_vain(struct entry *entry, uint64_t age_ms)
{
    enum grpc_status code = error_code(entry->failure);

    if ((code != GRPC_STATUS_UNAVAILABLE && code != GRPC_STATUS_DEADLINE_EXCEEDED) ||
        age_ms >= CLASS_CACHE_SILENCE_MS)
        return false;
    return entry->flight != NULL || send_request(entry, /* err= */ NULL) == 0;
}

struct secret_provider_class *class_cache_get(struct class_cache *memo, const char *ns, const char *name,
                                              const struct error **ret_failure)
{
    struct entry *entry = entry_find(memo, ns, name);
    uint64_t age;

    *ret_failure = NULL;
    if (entry == NULL)
        return NULL;
    touch(entry);
    age = uv_now(memo->loop) - entry->answered_ms;
    if (entry->failure != NULL &&
        ((age < CLASS_CACHE_FAILURE_AGE_MS && age < memo->max_age_ms) || is_asked_in_vain(entry, age)))
        *ret_failure = entry->failure;
    return entry->class != NULL && age < memo->max_age_ms ? entry->class : NULL;
}

static int send_request(struct entry *entry, struct error **err)
{
    const struct class_source *source = entry->memo->source;

    if (entry->class != NULL && source->start_not_older != NULL)
        entry->flight =
            source->start_not_older(source->state, entry->ns, entry->name, entry->class->resource_version,
                                    CLASS_CACHE_TIMEOUT_MS, answered, entry, err);
    else
        entry->flight =
            class_source_start(source, entry->ns, entry->name, CLASS_CACHE_TIMEOUT_MS, answered, entry, err);
    return entry->flight == NULL ? -1 : 0;
}

struct class_cache_call *class_cache_start(struct class_cache *memo, const char *ns, const char *name,
                                           class_lookup_callback *callback, void *arg, struct error **err)
{
    cleanup_free struct class_cache_call *call = calloc(1, sizeof(*call));
    struct entry *entry;

    if (call == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    entry = entry_get(memo, ns, name, err);
    if (entry == NULL || (entry->flight == NULL && send_request(entry, err) < 0))
        return NULL;
    call->callback = callback;
    call->arg = arg;
    list_init(&call->link);
    list_insert_before(&entry->waiting, &call->link);
    return steal_ptr(&call);
}

void class_cache_cancel(struct class_cache_call **call)
{
    list_remove(&(*call)->link);
    free(*call);
    *call = NULL;
}

void class_cache_put(struct class_cache *memo, struct secret_provider_class *class)
{
    struct entry *entry = entry_get(memo, class->ns, class->name, /* err= */ NULL);

    if (entry != NULL)
        take_answer(entry, secret_provider_class_ref(class), /* failure= */ NULL);
}

void class_cache_forget_failures(struct class_cache *memo)
{
    for (struct list *link = memo->entries.next; link != &memo->entries; link = link->next)
        error_free(steal_ptr(&container_of(link, struct entry, link)->failure));
}
