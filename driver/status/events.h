/*
 * events.h - Kubernetes Events on pods about their volumes, for `kubectl describe pod`.
 *
 * Best effort: no mount waits for an event or depends on one. Events are kept apart by pod, reason and
 * component:
 *
 *  - a repeated message counts up its event (PATCH of count and lastTimestamp);
 *  - another message makes another event (POST), up to EVENTS_OBJECTS_MAX in EVENTS_WINDOW_S; after that the
 *    last one is reused, and its text says so;
 *  - requests per pod and reason, and those of the process, are limited by token buckets. The occurrences
 *    that may not be sent yet are counted and go along with the next request;
 *  - a request without a response is retried a few times, under the same name, so that an event that has
 *    arrived is not made twice; one that the API server refuses is dropped.
 *
 * Messages name causes, never contents. Loop thread only.
 */
#ifndef DRIVER_STATUS_EVENTS_H
#define DRIVER_STATUS_EVENTS_H

#include <uv.h>

#include "common/base/log.h"
#include "common/kube/kube_client.h"
#include "driver/base/driver_metrics.h"

enum {
    EVENTS_MESSAGE_MAX = 1000, /* bytes; the API server refuses 1024 and more */
    EVENTS_ENTRIES_MAX = 512,  /* pods and reasons that are remembered; the oldest go first */
    EVENTS_IN_FLIGHT_MAX = 4,  /* requests at a time: other requests matter more */
    EVENTS_OBJECTS_MAX = 10,   /* events of one pod and reason with different messages ... */
    EVENTS_WINDOW_S = 600,     /* ... within this time; as client-go's aggregator */
    EVENTS_BURST = 10,         /* requests for one pod and reason, then one per EVENTS_REFILL_S */
    EVENTS_REFILL_S = 300,
    EVENTS_PROCESS_BURST = 100, /* requests of the process, then one per second */
    EVENTS_TRIES_MAX = 5,       /* without a response */
    EVENTS_RETRY_MS = 10 * 1000,
};

/* Components, as the drivers before this one named them. */
#define EVENT_CONTROLLER "csi-secrets-store-controller"
#define EVENT_ROTATION   "csi-secrets-store-rotation"

/* Reasons. */
#define EVENT_ROTATED         "MountRotationComplete"   /* Normal, rotation: contents have changed */
#define EVENT_ROTATE_FAILED   "MountRotationFailed"     /* Warning, rotation: the rotation check failed */
#define EVENT_ANNOTATION      "RotationIntervalIgnored" /* Warning, rotation: the annotation is no duration */
#define EVENT_SECRET_FAILED   "FailedToCreateSecret"    /* Warning, controller */
#define EVENT_SECRET_ROTATED  "SecretRotationComplete"  /* Normal, rotation */
#define EVENT_SECRET_RELEASED "SecretNotKeptAnyMore"    /* Normal, controller */
#define EVENT_PROVIDER_WARNS  "ProviderWarning"         /* Warning: what the provider said of a mount */
#define EVENT_MOUNT_TIMEOUT   "MountTimedOut" /* Warning, controller: the step that exceeded the deadline */

enum event_type { EVENT_NORMAL, EVENT_WARNING };

/* All borrowed during the call. `component` and `reason` are literals of the above. */
struct event {
    enum event_type type;
    const char *component;
    const char *reason;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid;
    const char *message;
};

struct events;

struct events_config {
    uv_loop_t *loop;
    struct kube_client *kube;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    const char *node;               /* copied */
    uint64_t retry_ms;              /* 0 = EVENTS_RETRY_MS; for tests */
};

struct events *events_create(const struct events_config *config, struct error **err);

/* Never fails: what cannot be sent is counted. No effect when `events` is NULL (standalone) or the pod has no
 * name. */
void events_emit(struct events *events, const struct event *event);

/* What is in flight or unsent is dropped. Accepts NULL. */
void events_destroy(struct events *events);

#endif
