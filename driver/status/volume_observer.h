/*
 * volume_observer.h - the interface of components that follow mounted volumes.
 *
 * An observer is a vtable with one state: pod status objects in the Kubernetes API, status files of the
 * standalone mode, Kubernetes Secrets kept equal to mounted files. A publish passes the event of its volume
 * to all observers, one after the other (observer_chain.h). A failed rotation check goes to those that want
 * failures.
 *
 * Operations follow the contract of common/grpc/client.h. Loop thread only.
 */
#ifndef DRIVER_STATUS_VOLUME_OBSERVER_H
#define DRIVER_STATUS_VOLUME_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "common/class/class.h"
#include "driver/payload/payload.h"
#include "driver/volume/volume_names.h"

enum volume_event_type {
    VOLUME_EVENT_MOUNTED, /* the volume has been made, or an incomplete one completed */
    VOLUME_EVENT_CHECKED, /* a rotation check compared the volume with the provider's response */
    VOLUME_EVENT_FAILED,  /* the rotation check failed; the old content stays */
};

/* Borrowed, with all it points to, until the operation calls back or is cancelled. */
struct volume_event {
    enum volume_event_type type;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid;
    const char *target_path;
    const char *class_name;                    /* as the pod names it */
    const struct secret_provider_class *class; /* NULL: the failure came before it was read */
    const struct string_map *versions;         /* object id -> version mounted now; NULL = not known */
    const struct payload *files;               /* content of the volume now; NULL = not known: FAILED, or a
                                                  provider that returns versions only */
    bool changed;                              /* CHECKED: files were written */
    int64_t checked_unix;                      /* the last good contact with the provider; 0 = not known */
    const struct error *failure;               /* FAILED: the cause */
};

static inline struct volume_names volume_event_names(const struct volume_event *event)
{
    return (struct volume_names){.target_path = event->target_path,
                                 .ns = event->pod_namespace,
                                 .pod_name = event->pod_name,
                                 .pod_uid = event->pod_uid,
                                 .class_name = event->class_name};
}

/* One running operation of an observer; its content is the observer's own. */
struct observer_call;

/* `error` is NULL on success, else borrowed. */
typedef void observer_callback(const struct error *error, void *arg);

struct volume_observer {
    const char *name;    /* "status", "secrets": label of a metric */
    const char *action;  /* "record the volume's status": in front of its errors */
    bool wants_failures; /* start() is called for VOLUME_EVENT_FAILED too */

    /* Is a new volume rolled back when this observer fails? NULL: never. */
    bool (*is_required)(void *state, const struct volume_event *event);

    struct observer_call *(*start)(void *state, const struct volume_event *event, uint64_t timeout_ms,
                                   observer_callback *callback, void *arg, struct error **err);
    void (*cancel)(void *state, struct observer_call *call);

    /* The kubelet has published a mounted volume again, and no rotation check is due. `event` names the
     * volume and has what the volume itself remembers (versions and checked_unix, if it does). NULL: not
     * wanted. */
    void (*on_unchanged)(void *state, const struct volume_event *event);

    /* The volume is being removed. NULL: the observer remembers nothing of volumes. */
    void (*on_removed)(void *state, const char *target_path);

    void *state;
};

enum { VOLUME_OBSERVERS_MAX = 4 };

/* The observers of the process, in the order in which they run. */
struct volume_observers {
    struct volume_observer list[VOLUME_OBSERVERS_MAX];
    size_t n;
};

#endif
