/*
 * events.c - Kubernetes Events on pods.
 */
#include "driver/status/events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/list.h"
#include "common/base/utf8.h"
#include "common/process/lifecycle.h"

enum {
    FORGET_AFTER_S = 3600, /* as the API server forgets events */
    TICK_MS = 1000,        /* how often what had to wait is looked at */
    TIMEOUT_MS = 10 * 1000,
    NAME_ROOM = 17, /* "." and 16 digits, behind the pod's name */
};

struct bucket {
    double tokens;
    int64_t filled_unix;
};

struct events {
    struct events_config config;
    char *node;
    struct list entries; /* least recently used first */
    size_t n_entries;
    unsigned in_flight;
    struct bucket bucket;
    bool failing;     /* the last answer was a refusal: it has been logged */
    uv_timer_t timer; /* embedded; runs while something waits; the struct lives until it is closed */
};

/* What is told of one pod by one component for one reason. */
struct entry {
    struct events *events;
    struct list link;
    struct kube_call *call; /* owned; NULL when none is on its way */
    enum event_type type;
    const char *component;
    const char *reason;
    char *pod_name;
    char *pod_namespace;
    char *pod_uid;
    char *name;          /* of the event there is; NULL = none */
    bool unsure;         /* `name` was sent and not answered: it may be there or not */
    char *told;          /* its message */
    char *message;       /* the latest */
    uint64_t count;      /* of the event, as sent */
    uint64_t waiting;    /* times that are not told yet */
    uint64_t on_its_way; /* of these: in the request that runs */
    int64_t first_unix;
    int64_t last_unix;
    int64_t window_unix; /* since when `objects` counts */
    unsigned objects;
    struct bucket bucket;
    unsigned tries;
    int64_t not_before_ms; /* on uv_now()'s clock */
};

static bool bucket_has_token(struct bucket *bucket, double burst, double per_second, int64_t now_unix)
{
    if (now_unix > bucket->filled_unix)
        bucket->tokens += (double)(now_unix - bucket->filled_unix) * per_second;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->filled_unix = now_unix;
    return bucket->tokens >= 1;
}

/* --- entries --- */

static void entry_free(struct entry *entry)
{
    if (entry->call != NULL) {
        kube_call_cancel(&entry->call);
        entry->events->in_flight--;
    }
    if (entry->waiting > 0)
        driver_metrics_event(entry->events->config.metrics, entry->reason, "dropped", entry->waiting);
    list_remove(&entry->link);
    entry->events->n_entries--;
    free(entry->pod_name);
    free(entry->pod_namespace);
    free(entry->pod_uid);
    free(entry->name);
    free(entry->told);
    free(entry->message);
    free(entry);
}

static struct entry *entry_find(const struct events *events, const struct event *event)
{
    for (struct list *at = events->entries.next; at != &events->entries; at = at->next) {
        struct entry *entry = container_of(at, struct entry, link);

        if (strcmp(entry->pod_uid, event->pod_uid) == 0 && strcmp(entry->reason, event->reason) == 0 &&
            strcmp(entry->component, event->component) == 0)
            return entry;
    }
    return NULL;
}

static struct entry *entry_create(struct events *events, const struct event *event, int64_t now_unix)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.events = events,
                            .type = event->type,
                            .component = event->component,
                            .reason = event->reason,
                            .pod_name = strdup(event->pod_name),
                            .pod_namespace = strdup(event->pod_namespace),
                            .pod_uid = strdup(event->pod_uid),
                            .first_unix = now_unix,
                            .window_unix = now_unix,
                            .bucket = {.tokens = EVENTS_BURST, .filled_unix = now_unix}};
    list_init(&entry->link);
    list_insert_before(&events->entries, &entry->link);
    events->n_entries++;
    if (entry->pod_name == NULL || entry->pod_namespace == NULL || entry->pod_uid == NULL) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

/* Makes room: what the API server has forgotten, too, and if need be whoever was heard of longest ago. */
static void forget_old(struct events *events, int64_t now_unix)
{
    struct list *at = events->entries.next;

    while (at != &events->entries) {
        struct entry *entry = container_of(at, struct entry, link);

        at = at->next;
        if (entry->call == NULL && (events->n_entries >= EVENTS_ENTRIES_MAX ||
                                    (entry->waiting == 0 && now_unix - entry->last_unix > FORGET_AFTER_S)))
            entry_free(entry);
    }
}

/* --- requests --- */

static bool add_text(cJSON *object, const char *key, const char *text)
{
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

static bool add_time(cJSON *object, const char *key, int64_t unix_s)
{
    char text[KUBE_TIME_SIZE];

    kube_time(unix_s, text);
    return add_text(object, key, text);
}

/* What changes from time to time. */
static bool add_occurrence(cJSON *event, const struct entry *entry)
{
    return add_text(event, "message", entry->told) && add_time(event, "lastTimestamp", entry->last_unix) &&
           cJSON_AddNumberToObject(event, "count", (double)entry->count) != NULL;
}

static bool add_pod(cJSON *event, const struct entry *entry)
{
    cJSON *pod = cJSON_AddObjectToObject(event, "involvedObject");

    return pod != NULL && add_text(pod, "apiVersion", "v1") && add_text(pod, "kind", "Pod") &&
           add_text(pod, "namespace", entry->pod_namespace) && add_text(pod, "name", entry->pod_name) &&
           add_text(pod, "uid", entry->pod_uid);
}

static bool add_source(cJSON *event, const struct entry *entry)
{
    cJSON *source = cJSON_AddObjectToObject(event, "source");

    return source != NULL && add_text(source, "component", entry->component) &&
           add_text(source, "host", entry->events->node) &&
           add_text(event, "reportingComponent", entry->component) &&
           add_text(event, "reportingInstance", entry->events->node);
}

static cJSON *event_object(const struct entry *entry)
{
    cleanup_json cJSON *event = cJSON_CreateObject();
    cJSON *metadata;

    if (event == NULL || !add_text(event, "apiVersion", "v1") || !add_text(event, "kind", "Event") ||
        (metadata = cJSON_AddObjectToObject(event, "metadata")) == NULL ||
        !add_text(metadata, "name", entry->name) || !add_text(metadata, "namespace", entry->pod_namespace) ||
        !add_pod(event, entry) || !add_source(event, entry) ||
        !add_text(event, "type", entry->type == EVENT_WARNING ? "Warning" : "Normal") ||
        !add_text(event, "reason", entry->reason) || !add_time(event, "firstTimestamp", entry->first_unix) ||
        !add_occurrence(event, entry))
        return NULL;
    return steal_ptr(&event);
}

static char *make_name(const struct entry *entry)
{
    struct timespec now = {0};
    char *name = NULL;
    size_t len = strlen(entry->pod_name);

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (len > 253 - NAME_ROOM)
        len = 253 - NAME_ROOM;
    while (len > 0 && strchr("-.", entry->pod_name[len - 1]) != NULL)
        len--;
    if (asprintf(&name, "%.*s.%llx", (int)len, entry->pod_name,
                 (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec) < 0)
        return NULL;
    return name;
}

/* The message is another one: a new event, or the old one with more to say. True for a new one. */
static bool start_new_object(struct entry *entry, int64_t now_unix)
{
    if (now_unix - entry->window_unix >= EVENTS_WINDOW_S || now_unix < entry->window_unix) {
        entry->window_unix = now_unix;
        entry->objects = 0;
    }
    if (entry->name != NULL && entry->told != NULL && strcmp(entry->told, entry->message) == 0)
        return false;
    if (entry->name != NULL && entry->objects >= EVENTS_OBJECTS_MAX)
        return false;
    return true;
}

static char *told_message(const struct entry *entry)
{
    char *text = NULL;

    if (entry->name == NULL || entry->told == NULL || strcmp(entry->told, entry->message) == 0)
        return strdup(entry->message);
    if (asprintf(&text, "(combined from similar events) %s", entry->message) < 0)
        return NULL;
    return text;
}

static void flush(struct events *events);
static void answered(struct kube_response *response, const struct error *error, void *arg);

static struct kube_call *send_event(struct entry *entry, bool create)
{
    cleanup_json cJSON *body = NULL;
    cleanup_free char *path =
        kube_path("", "v1", entry->pod_namespace, "events", create ? NULL : entry->name, /* err= */ NULL);

    if (create) {
        body = event_object(entry);
    } else {
        body = cJSON_CreateObject();
        if (body != NULL && !add_occurrence(body, entry)) {
            cJSON_Delete(body);
            body = NULL;
        }
    }
    if (body == NULL || path == NULL)
        return NULL;
    return kube_call_start(entry->events->config.kube,
                           &(struct kube_request){.method = create ? "POST" : "PATCH",
                                                  .path = path,
                                                  .body = body,
                                                  .content_type = create ? NULL : KUBE_MERGE_PATCH,
                                                  .timeout_ms = TIMEOUT_MS},
                           answered, entry, /* err= */ NULL);
}

/* Lack of memory drops the occurrences: nobody depends on them. */
static void drop(struct entry *entry)
{
    driver_metrics_event(entry->events->config.metrics, entry->reason, "dropped", entry->waiting);
    entry->waiting = 0;
    entry->on_its_way = 0;
    entry->tries = 0;
    entry->unsure = false;
    free(entry->name); /* whatever it says by now: the next one begins anew */
    entry->name = NULL;
}

static void entry_send(struct entry *entry, int64_t now_unix)
{
    bool again = entry->unsure; /* by the same name, so that there are never two of it */
    bool create = again || start_new_object(entry, now_unix);
    char *told;

    if (create && !again) {
        free(entry->name);
        entry->name = NULL;
        entry->count = 0;
        if (entry->told != NULL) /* not the first one */
            entry->first_unix = entry->last_unix;
    }
    told = told_message(entry);
    if (told != NULL) {
        free(entry->told);
        entry->told = told;
    }
    if (create && !again)
        entry->name = make_name(entry);
    entry->on_its_way = entry->waiting;
    entry->count += entry->waiting;
    if (told != NULL && entry->name != NULL)
        entry->call = send_event(entry, create);
    if (entry->call == NULL) {
        drop(entry);
        return;
    }
    entry->events->in_flight++;
    if (create && !again)
        entry->objects++;
}

/* --- answers --- */

static void refused(struct entry *entry, const struct error *error)
{
    struct events *events = entry->events;

    if (!events->failing)
        log_warning(events->config.log, "an event is refused by the API server",
                    LOG_STR("reason", entry->reason),
                    LOG_OBJECT("pod", entry->pod_namespace, entry->pod_name), LOG_ERR(error));
    events->failing = true;
    drop(entry);
}

static void answered(struct kube_response *response, const struct error *error, void *arg)
{
    struct entry *entry = arg;
    struct events *events = entry->events;
    enum grpc_status code = error_code(error);

    (void)response;
    entry->call = NULL;
    events->in_flight--;
    if (error == NULL) {
        driver_metrics_event(events->config.metrics, entry->reason, "sent", entry->on_its_way);
        events->failing = false;
        entry->unsure = false;
        entry->waiting -= entry->on_its_way;
        entry->tries = 0;
    } else {
        entry->count -= entry->on_its_way;
        if (code == GRPC_STATUS_NOT_FOUND && entry->count > 0) {
            free(entry->name); /* forgotten by the API server: tell it anew */
            entry->name = NULL;
        } else if (code == GRPC_STATUS_ALREADY_EXISTS && entry->unsure) {
            entry->unsure = false; /* it had arrived: counted up from here */
        } else if ((code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED) &&
                   ++entry->tries < EVENTS_TRIES_MAX) {
            uint64_t pause = events->config.retry_ms != 0 ? events->config.retry_ms : EVENTS_RETRY_MS;

            entry->not_before_ms = (int64_t)(uv_now(events->config.loop) + pause);
            entry->unsure = entry->count == 0; /* the POST */
        } else {
            refused(entry, error);
        }
    }
    entry->on_its_way = 0;
    flush(events);
}

/* --- what may be sent now --- */

static bool may_send(struct entry *entry, int64_t now_unix)
{
    struct events *events = entry->events;

    if (entry->call != NULL || entry->waiting == 0 ||
        entry->not_before_ms > (int64_t)uv_now(events->config.loop) ||
        !bucket_has_token(&entry->bucket, EVENTS_BURST, 1.0 / EVENTS_REFILL_S, now_unix) ||
        !bucket_has_token(&events->bucket, EVENTS_PROCESS_BURST, 1, now_unix))
        return false;
    entry->bucket.tokens -= 1;
    events->bucket.tokens -= 1;
    return true;
}

static void tick(uv_timer_t *timer)
{
    flush(timer->data);
}

/* Sends what may be sent; the timer runs while something has to wait. */
static void flush(struct events *events)
{
    int64_t now_unix = clock_unix_s();
    bool waits = false;
    struct list *at = events->entries.next;

    while (at != &events->entries) {
        struct entry *entry = container_of(at, struct entry, link);

        at = at->next;
        if (events->in_flight < EVENTS_IN_FLIGHT_MAX && may_send(entry, now_unix))
            entry_send(entry, now_unix);
        waits = waits || (entry->call == NULL && entry->waiting > 0);
    }
    if (waits && !uv_is_active((uv_handle_t *)&events->timer))
        (void)uv_timer_start(&events->timer, tick, TICK_MS, TICK_MS);
    else if (!waits)
        (void)uv_timer_stop(&events->timer);
}

/* A copy that fits, in characters that exist. */
static char *clean_message(const char *message)
{
    size_t len = strlen(message);
    char *copy = strndup(message, len > EVENTS_MESSAGE_MAX ? utf8_floor(message, EVENTS_MESSAGE_MAX) : len);

    if (copy != NULL)
        utf8_sanitize(copy);
    return copy;
}

void events_emit(struct events *events, const struct event *event)
{
    int64_t now_unix = clock_unix_s();
    struct entry *entry;
    char *message;

    if (events == NULL || event->pod_name[0] == '\0' || event->pod_namespace[0] == '\0')
        return;
    entry = entry_find(events, event);
    if (entry == NULL) {
        forget_old(events, now_unix);
        entry = entry_create(events, event, now_unix);
    }
    message = entry != NULL ? clean_message(event->message) : NULL;
    if (message == NULL) {
        driver_metrics_event(events->config.metrics, event->reason, "dropped", 1);
        return;
    }
    free(entry->message);
    entry->message = message;
    entry->type = event->type;
    entry->last_unix = now_unix;
    entry->waiting++;
    list_remove(&entry->link); /* heard of last */
    list_insert_before(&events->entries, &entry->link);
    flush(events);
}

struct events *events_create(const struct events_config *config, struct error **err)
{
    struct events *events = calloc(1, sizeof(*events));

    if (events != NULL)
        events->node = strdup(config->node);
    if (events == NULL || events->node == NULL) {
        free(events);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    events->config = *config;
    events->bucket = (struct bucket){.tokens = EVENTS_PROCESS_BURST, .filled_unix = clock_unix_s()};
    list_init(&events->entries);
    (void)uv_timer_init(config->loop, &events->timer); /* can not fail */
    events->timer.data = events;
    return events;
}

static void events_closed(uv_handle_t *handle)
{
    struct events *events = handle->data;

    free(events->node);
    free(events);
}

void events_destroy(struct events *events)
{
    if (events == NULL)
        return;
    while (!list_empty(&events->entries))
        entry_free(container_of(events->entries.next, struct entry, link));
    uv_close((uv_handle_t *)&events->timer, events_closed);
}
