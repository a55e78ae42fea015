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
#include "common/process/loop_timer.h"

enum {
    FORGET_AFTER_S = 3600, /* as the API server forgets events */
    TICK_MS = 1000,        /* how often the unsent is tried */
    TIMEOUT_MS = 10 * 1000,
    NAME_SUFFIX_LEN = 17, /* "." and 16 digits, behind the pod's name */
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
    bool refused;             /* the last response was a refusal, which has been logged */
    struct loop_timer *timer; /* runs while something is unsent */
};

/* The events of one pod by one component for one reason. */
struct entry {
    struct events *events;
    struct list link;
    struct kube_call *call; /* owned; NULL when none is in flight */
    enum event_type type;
    const char *component;
    const char *reason;
    char *pod_name;
    char *pod_namespace;
    char *pod_uid;
    char *name;         /* of the last event object; NULL = none */
    bool unconfirmed;   /* `name` was sent without a response: it may exist or not */
    char *sent;         /* its message */
    char *message;      /* the latest */
    uint64_t count;     /* of the event, as sent */
    uint64_t unsent;    /* occurrences that the event does not count yet */
    uint64_t in_flight; /* of these: in the request that runs */
    int64_t first_unix;
    int64_t last_unix;
    int64_t window_unix; /* the begin of the window of `objects` */
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
    if (entry->unsent > 0)
        driver_metrics_event(entry->events->config.metrics, entry->reason, "dropped", entry->unsent);
    list_remove(&entry->link);
    entry->events->n_entries--;
    free(entry->pod_name);
    free(entry->pod_namespace);
    free(entry->pod_uid);
    free(entry->name);
    free(entry->sent);
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

/* Makes space: drops what the API server has dropped, too, and if need be the least recently used. */
static void forget_old(struct events *events, int64_t now_unix)
{
    struct list *at = events->entries.next;

    while (at != &events->entries) {
        struct entry *entry = container_of(at, struct entry, link);

        at = at->next;
        if (entry->call == NULL && (events->n_entries >= EVENTS_ENTRIES_MAX ||
                                    (entry->unsent == 0 && now_unix - entry->last_unix > FORGET_AFTER_S)))
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

/* The part of an event that is counted up. */
static bool add_occurrence(cJSON *event, const struct entry *entry)
{
    return add_text(event, "message", entry->sent) && add_time(event, "lastTimestamp", entry->last_unix) &&
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
    if (len > 253 - NAME_SUFFIX_LEN)
        len = 253 - NAME_SUFFIX_LEN;
    while (len > 0 && strchr("-.", entry->pod_name[len - 1]) != NULL)
        len--;
    if (asprintf(&name, "%.*s.%llx", (int)len, entry->pod_name,
                 (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec) < 0)
        return NULL;
    return name;
}

/* Does the message need another object? No, when it is the same one or there are too many. */
static bool start_new_object(struct entry *entry, int64_t now_unix)
{
    if (now_unix - entry->window_unix >= EVENTS_WINDOW_S || now_unix < entry->window_unix) {
        entry->window_unix = now_unix;
        entry->objects = 0;
    }
    if (entry->name != NULL && entry->sent != NULL && strcmp(entry->sent, entry->message) == 0)
        return false;
    if (entry->name != NULL && entry->objects >= EVENTS_OBJECTS_MAX)
        return false;
    return true;
}

static char *sent_message(const struct entry *entry)
{
    char *text = NULL;

    if (entry->name == NULL || entry->sent == NULL || strcmp(entry->sent, entry->message) == 0)
        return strdup(entry->message);
    if (asprintf(&text, "(combined from similar events) %s", entry->message) < 0)
        return NULL;
    return text;
}

static void flush(struct events *events);
static void request_ended(struct kube_response *response, const struct error *error, void *arg);

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
                           request_ended, entry, /* err= */ NULL);
}

/* The occurrences are lost, which nothing depends on. */
static void drop(struct entry *entry)
{
    driver_metrics_event(entry->events->config.metrics, entry->reason, "dropped", entry->unsent);
    entry->unsent = 0;
    entry->in_flight = 0;
    entry->tries = 0;
    entry->unconfirmed = false;
    free(entry->name); /* the next one makes a new object */
    entry->name = NULL;
}

static void entry_send(struct entry *entry, int64_t now_unix)
{
    bool again = entry->unconfirmed; /* under the same name, so that there are never two of it */
    bool create = again || start_new_object(entry, now_unix);
    char *sent;

    if (create && !again) {
        free(entry->name);
        entry->name = NULL;
        entry->count = 0;
        if (entry->sent != NULL) /* not the first one */
            entry->first_unix = entry->last_unix;
    }
    sent = sent_message(entry);
    if (sent != NULL) {
        free(entry->sent);
        entry->sent = sent;
    }
    if (create && !again)
        entry->name = make_name(entry);
    entry->in_flight = entry->unsent;
    entry->count += entry->unsent;
    if (sent != NULL && entry->name != NULL)
        entry->call = send_event(entry, create);
    if (entry->call == NULL) {
        drop(entry);
        return;
    }
    entry->events->in_flight++;
    if (create && !again)
        entry->objects++;
}

/* --- responses --- */

static void request_sent(struct entry *entry)
{
    driver_metrics_event(entry->events->config.metrics, entry->reason, "sent", entry->in_flight);
    entry->events->refused = false;
    entry->unconfirmed = false;
    entry->unsent -= entry->in_flight;
    entry->tries = 0;
}

static void request_refused(struct entry *entry, const struct error *error)
{
    struct events *events = entry->events;

    if (!events->refused)
        log_warning(events->config.log, "the API server refused an Event", LOG_STR("reason", entry->reason),
                    LOG_OBJECT("pod", entry->pod_namespace, entry->pod_name), LOG_ERR(error));
    events->refused = true;
    drop(entry);
}

static void retry_later(struct entry *entry)
{
    const struct events_config *config = &entry->events->config;
    uint64_t pause = config->retry_ms != 0 ? config->retry_ms : EVENTS_RETRY_MS;

    entry->not_before_ms = (int64_t)(uv_now(config->loop) + pause);
    entry->unconfirmed = entry->count == 0; /* the POST */
}

static void request_failed(struct entry *entry, const struct error *error)
{
    enum grpc_status code = error_code(error);

    entry->count -= entry->in_flight;
    if (code == GRPC_STATUS_NOT_FOUND && entry->count > 0)
        free(steal_ptr(&entry->name)); /* the API server has dropped it: create it again */
    else if (code == GRPC_STATUS_ALREADY_EXISTS && entry->unconfirmed)
        entry->unconfirmed = false; /* it exists: counted up from here */
    else if ((code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED) &&
             ++entry->tries < EVENTS_TRIES_MAX)
        retry_later(entry);
    else
        request_refused(entry, error);
}

static void request_ended(struct kube_response *response, const struct error *error, void *arg)
{
    struct entry *entry = arg;
    struct events *events = entry->events;

    (void)response;
    entry->call = NULL;
    events->in_flight--;
    if (error == NULL)
        request_sent(entry);
    else
        request_failed(entry, error);
    entry->in_flight = 0;
    flush(events);
}

/* --- limits --- */

static bool may_send(struct entry *entry, int64_t now_unix)
{
    struct events *events = entry->events;

    if (entry->call != NULL || entry->unsent == 0 ||
        entry->not_before_ms > (int64_t)uv_now(events->config.loop) ||
        !bucket_has_token(&entry->bucket, EVENTS_BURST, 1.0 / EVENTS_REFILL_S, now_unix) ||
        !bucket_has_token(&events->bucket, EVENTS_PROCESS_BURST, 1, now_unix))
        return false;
    entry->bucket.tokens -= 1;
    events->bucket.tokens -= 1;
    return true;
}

static void tick(void *arg)
{
    flush(arg);
}

/* Sends what may be sent; the timer runs while something is unsent. */
static void flush(struct events *events)
{
    int64_t now_unix = clock_unix_s();
    bool unsent = false;
    struct list *at = events->entries.next;

    while (at != &events->entries) {
        struct entry *entry = container_of(at, struct entry, link);

        at = at->next;
        if (events->in_flight < EVENTS_IN_FLIGHT_MAX && may_send(entry, now_unix))
            entry_send(entry, now_unix);
        unsent = unsent || (entry->call == NULL && entry->unsent > 0);
    }
    if (unsent && !loop_timer_is_running(events->timer))
        loop_timer_repeat(events->timer, TICK_MS);
    else if (!unsent)
        loop_timer_stop(events->timer);
}

/* A copy that fits, as people may see it, in valid UTF-8. */
static char *clean_message(const char *message)
{
    char *copy = utf8_escape(message, "\n\t");

    if (copy == NULL)
        return NULL;
    if (strlen(copy) > EVENTS_MESSAGE_MAX)
        copy[utf8_floor(copy, EVENTS_MESSAGE_MAX)] = '\0';
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
    entry->unsent++;
    list_remove(&entry->link); /* most recently used */
    list_insert_before(&events->entries, &entry->link);
    flush(events);
}

struct events *events_create(const struct events_config *config, struct error **err)
{
    struct events *events = calloc(1, sizeof(*events));

    if (events == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *events = (struct events){.config = *config,
                              .node = strdup(config->node),
                              .bucket = {.tokens = EVENTS_PROCESS_BURST, .filled_unix = clock_unix_s()}};
    list_init(&events->entries);
    if (events->node == NULL)
        (void)error_no_memory(err, NULL);
    else
        events->timer = loop_timer_create(config->loop, tick, events, err);
    if (events->timer == NULL) {
        free(events->node);
        free(events);
        return NULL;
    }
    return events;
}

void events_destroy(struct events *events)
{
    if (events == NULL)
        return;
    while (!list_empty(&events->entries))
        entry_free(container_of(events->entries.next, struct entry, link));
    loop_timer_destroy(events->timer);
    free(events->node);
    free(events);
}
