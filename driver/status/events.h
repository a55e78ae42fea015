/*
 * events.h - Kubernetes Events on pods: what happened to their volumes, for `kubectl describe pod`.
 *
 * Best effort: nobody waits for an event, and a mount never depends on one. Each is told apart by pod, reason
 * and component:
 *
 *  - the same message again counts up the event that is there (PATCH of count and lastTimestamp);
 *  - another message makes another event (POST), up to EVENTS_OBJECTS_MAX in EVENTS_WINDOW_S; after that the
 *    last one is reused, and says so;
 *  - requests per pod and reason, and those of the process, are limited by token buckets. What may not be
 *    sent yet is counted and sent along later;
 *  - what the API server does not take for lack of an answer is tried again a few times, by the same name, so
 *    that one that had arrived is not made twice; what it refuses is not.
 *
 * Messages name causes, never contents. Loop thread only.
 */
#ifndef DRIVER_EVENTS_H
#define DRIVER_EVENTS_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/kube/kube_client.h"

enum {
    EVENTS_MESSAGE_MAX = 1000, /* bytes; the API server refuses 1024 and more */
    EVENTS_ENTRIES_MAX = 512,  /* pods and reasons that are remembered; the oldest go first */
    EVENTS_IN_FLIGHT_MAX = 4,  /* requests at a time: others matter more */
    EVENTS_OBJECTS_MAX = 10,   /* events of one pod and reason with different messages ... */
    EVENTS_WINDOW_S = 600,     /* ... within this time; as client-go's aggregator */
    EVENTS_BURST = 10,         /* requests for one pod and reason, then one per EVENTS_REFILL_S */
    EVENTS_REFILL_S = 300,
    EVENTS_PROCESS_BURST = 100, /* requests of the process, then one per second */
    EVENTS_TRIES_MAX = 5,       /* without an answer */
    EVENTS_RETRY_MS = 10 * 1000,
};

/* Components, as the drivers before this one named them. */
#define EVENT_CONTROLLER "csi-secrets-store-controller"
#define EVENT_ROTATION   "csi-secrets-store-rotation"

/* Reasons. */
#define EVENT_ROTATED        "MountRotationComplete"   /* Normal, rotation: contents have changed */
#define EVENT_ROTATE_FAILED  "MountRotationFailed"     /* Warning, rotation: they could not be looked at */
#define EVENT_ANNOTATION     "RotationIntervalIgnored" /* Warning, rotation: the class says no duration */
#define EVENT_SECRET_FAILED  "FailedToCreateSecret"    /* Warning, controller */
#define EVENT_SECRET_ROTATED "SecretRotationComplete"  /* Normal, rotation */
#define EVENT_MOUNT_TIMEOUT  "MountTimedOut" /* Warning, controller: what the kubelet only calls a deadline */

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

/* Never fails: what can not be told is counted. `events` may be NULL (standalone), and a pod without a name
 * is passed over. */
void events_emit(struct events *events, const struct event *event);

/* What is on its way or waits is dropped. Accepts NULL. */
void events_destroy(struct events *events);

#endif
