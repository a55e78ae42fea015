/*
 * kube_watch.c - watches: endless answers with one JSON event a line.
 *
 * A change is printed into the pending text of every watch that selects it; the content reader sends it and
 * parks the connection when there is nothing more to say. All of it happens under the emulator's lock.
 */
#include <stdio.h>

#include "test/emulator/kube.h"
#include "test/emulator/memory.h"

enum {
    MAX_PENDING = 64 * 1024 * 1024, /* of a client that does not read; then the watch ends */
    DEFAULT_TIMEOUT_S = 1800,
};

struct watch {
    struct answer_stream stream; /* first: the server knows the watch by it */
    struct watch *next;
    struct watch *previous;
    struct emulator *emulator;
    struct MHD_Connection *connection;
    struct parked parked;
    const struct kube_resource *resource;
    char *version;
    char *ns;
    bool metadata_only;
    bool bookmarks;
    bool ended; /* send what is pending, then end */
    struct kube_selector labels;
    struct kube_selector fields;
    struct text pending;
    size_t sent; /* of pending */
    uint64_t ends_ns;
    uint64_t bookmark_ns;
};

struct kube_watches {
    struct emulator *emulator;
    struct watch *first;
};

static bool selects(const struct watch *watch, const cJSON *object)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
    const char *ns = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "namespace"));
    return object != NULL && (watch->ns[0] == '\0' || (ns != NULL && strcmp(ns, watch->ns) == 0)) &&
           kube_selector_matches_labels(&watch->labels, object) &&
           kube_selector_matches_fields(&watch->fields, object);
}

static void send_event(struct watch *watch, const char *type, const cJSON *object)
{
    if (watch->pending.len > MAX_PENDING) {
        watch->ended = true;
        return;
    }
    char *rendered = kube_render(object, watch->resource, watch->version, watch->metadata_only);
    text_printf(&watch->pending, "{\"type\":\"%s\",\"object\":%s}\n", type, rendered);
    free(rendered);
}

/* A change as this watch sees it: what stops or starts matching is deleted or added for it. */
static void on_change(const struct kube_event *event, void *arg)
{
    struct watch *watch = arg;
    if (event->resource != watch->resource || watch->ended)
        return;
    bool is_delete = strcmp(event->type, "DELETED") == 0;
    bool before = selects(watch, event->previous);
    bool after = !is_delete && selects(watch, event->object);
    if (before && after)
        send_event(watch, "MODIFIED", event->object);
    else if (after)
        send_event(watch, "ADDED", event->object);
    else if (before)
        send_event(watch, "DELETED", is_delete ? event->object : event->previous);
}

static void on_store_change(const struct kube_event *event, void *arg)
{
    struct kube_watches *watches = arg;
    for (struct watch *watch = watches->first; watch != NULL; watch = watch->next) {
        size_t before = watch->pending.len;
        on_change(event, watch);
        if (watch->pending.len != before || watch->ended)
            parking_wake(watches->emulator->parking, &watch->parked);
    }
}

static void send_bookmark(struct watch *watch)
{
    const struct kube_resource *resource = watch->resource;
    text_printf(
        &watch->pending,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":{\"resourceVersion\":\"%llu\",\"creationTimestamp\":null}}}\n",
        resource->kind, resource->group, resource->group[0] ? "/" : "", watch->version,
        (unsigned long long)kube_store_version(watch->emulator->kube));
}

static ssize_t read_locked(struct watch *watch, char *buffer, size_t size)
{
    uint64_t now = monotonic_ns();
    if (watch->parked.hung_up)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (watch->bookmarks && now >= watch->bookmark_ns) {
        send_bookmark(watch);
        watch->bookmark_ns = now + watch->emulator->bookmark_ms * UINT64_C(1000000);
    }
    size_t left = watch->pending.len - watch->sent;
    if (left > 0) {
        size_t n = left < size ? left : size;
        memcpy(buffer, watch->pending.bytes + watch->sent, n);
        watch->sent += n;
        if (n == left)
            watch->sent = watch->pending.len = 0;
        return (ssize_t)n;
    }
    if (watch->ended || now >= watch->ends_ns)
        return MHD_CONTENT_READER_END_OF_STREAM;
    uint64_t until =
        watch->bookmarks && watch->bookmark_ns < watch->ends_ns ? watch->bookmark_ns : watch->ends_ns;
    if (!parking_park(watch->emulator->parking, &watch->parked, watch->connection, until, true))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return 0;
}

static ssize_t watch_read(struct answer_stream *stream, char *buffer, size_t size)
{
    struct watch *watch = (struct watch *)(void *)stream;
    (void)pthread_mutex_lock(&watch->emulator->lock);
    ssize_t n = read_locked(watch, buffer, size);
    (void)pthread_mutex_unlock(&watch->emulator->lock);
    return n;
}

static void watch_release(struct answer_stream *stream)
{
    struct watch *watch = (struct watch *)(void *)stream;
    struct emulator *emulator = watch->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    *(watch->previous != NULL ? &watch->previous->next : &emulator->kube_watches->first) = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    (void)pthread_mutex_unlock(&emulator->lock);
    kube_selector_finish(&watch->labels);
    kube_selector_finish(&watch->fields);
    text_finish(&watch->pending);
    free(watch->version);
    free(watch->ns);
    free(watch);
}

/* The start: everything there is (no version or 0), or what changed since. */
static void catch_up(struct watch *watch, const char *version)
{
    struct kube_store *store = watch->emulator->kube;
    if (version != NULL && *version != '\0' && strcmp(version, "0") != 0) {
        if (!kube_store_replay(store, strtoull(version, NULL, 10), on_change, watch)) {
            text_printf(
                &watch->pending,
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"too old resource version: %llu (%llu)\",\"reason\":"
                "\"Expired\",\"code\":410}}\n",
                strtoull(version, NULL, 10), (unsigned long long)kube_store_version(store));
            watch->ended = true;
        }
        return;
    }
    for (const struct kube_object *object = kube_store_first(store, watch->resource); object != NULL;
         object = object->next)
        if (selects(watch, object->json))
            send_event(watch, "ADDED", object->json);
}

void kube_watch_start(struct kube_call *call, struct kube_selector *labels, struct kube_selector *fields)
{
    const struct params *query = &call->request->url.query;
    struct emulator *emulator = call->emulator;
    const char *bookmarks = params_get(query, "allowWatchBookmarks");
    long timeout_s = DEFAULT_TIMEOUT_S;
    (void)params_get_int(query, "timeoutSeconds", 1, 86400, &timeout_s);
    struct watch *watch = xcalloc(1, sizeof(*watch));
    watch->stream.read = watch_read;
    watch->stream.release = watch_release;
    watch->emulator = emulator;
    watch->connection = call->request->connection;
    watch->parked.fd = -1;
    watch->resource = call->resource;
    watch->version = xstrdup(call->version);
    watch->ns = xstrdup(call->ns);
    watch->metadata_only = call->metadata_only;
    watch->bookmarks = bookmarks != NULL && (strcmp(bookmarks, "true") == 0 || strcmp(bookmarks, "1") == 0);
    watch->ends_ns = monotonic_ns() + (uint64_t)timeout_s * 1000000000U;
    watch->bookmark_ns = monotonic_ns() + emulator->bookmark_ms * UINT64_C(1000000);
    watch->labels = *labels;
    watch->fields = *fields;
    *labels = *fields = (struct kube_selector){0};
    watch->next = emulator->kube_watches->first;
    if (watch->next != NULL)
        watch->next->previous = watch;
    emulator->kube_watches->first = watch;
    catch_up(watch, params_get(query, "resourceVersion"));
    call->answer->status = 200;
    call->answer->stream = &watch->stream;
}

void kube_watches_close_all(struct kube_watches *watches)
{
    for (struct watch *watch = watches->first; watch != NULL; watch = watch->next) {
        watch->ended = true;
        parking_wake(watches->emulator->parking, &watch->parked);
    }
}

struct kube_watches *kube_watches_create(struct emulator *emulator)
{
    struct kube_watches *watches = xcalloc(1, sizeof(*watches));
    watches->emulator = emulator;
    kube_store_listen(emulator->kube, on_store_change, watches);
    return watches;
}

void kube_watches_destroy(struct kube_watches *watches)
{
    free(watches);
}
