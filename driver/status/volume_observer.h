/*
 * status.h - recording what is mounted where others can see it: the interface of recorders.
 *
 * A recorder is a vtable with one state: pod status objects in the Kubernetes API, status files of the
 * standalone mode, Kubernetes Secrets kept equal to mounted files. A publish runs all recorders it has one
 * after the other when its volume is there (recording.h); a look that failed is shown to those that want
 * failures.
 *
 * Operations follow the contract of common/grpc/client.h. Loop thread only.
 */
#ifndef DRIVER_VOLUME_OBSERVER_H
#define DRIVER_VOLUME_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "driver/class/class.h"
#include "driver/payload/payload.h"

enum status_event {
    STATUS_MOUNTED, /* the volume has been made (or an incomplete one completed) */
    STATUS_LOOKED,  /* a volume that was there has been compared with the provider's answer */
    STATUS_FAILED,  /* that could not be done; the old content stays */
};

/* Borrowed, with all it points to, until the operation calls back or is cancelled. */
struct status_record {
    enum status_event event;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid;
    const char *target_path;
    const char *class_name;                    /* as the pod names it */
    const struct secret_provider_class *class; /* NULL when the failure came before it was read */
    const struct string_map *versions; /* object id -> version mounted now; NULL when that is not known */
    const struct payload *files;       /* what the volume shows now; NULL when that is not known (FAILED, or a
                                    provider that returns versions only) */
    bool changed;                      /* LOOKED: files were written */
    int64_t checked_unix;              /* the last good contact with the provider; 0 = not known */
    const struct error *failure;       /* FAILED: what went wrong */
};

struct status_call; /* one running record; what it is inside is the recorder's business */

/* `error` is NULL on success, else borrowed. */
typedef void status_callback(const struct error *error, void *arg);

struct status_recorder {
    const char *name;   /* "status", "secrets": label of a metric */
    const char *action; /* "record the volume's status": in front of its errors */
    bool failures;      /* start() is wanted for STATUS_FAILED too */
    /* Must a volume that has just been made be taken back when it can not be recorded? NULL: never. */
    bool (*needed)(void *state, const struct status_record *record);
    struct status_call *(*start)(void *state, const struct status_record *record, uint64_t timeout_ms,
                                 status_callback *callback, void *arg, struct error **err);
    void (*cancel)(void *state, struct status_call *call);
    /* A volume that is there was asked for again, and nothing was due: `record` says which, and what the
     * volume itself remembers (versions and checked_unix, when it does). NULL: that is of no interest. */
    void (*seen)(void *state, const struct status_record *record);
    /* The volume is being taken away. NULL: the recorder remembers nothing of volumes. */
    void (*forget)(void *state, const char *target_path);
    void *state;
};

enum { STATUS_RECORDERS_MAX = 4 };

/* The recorders of the process, in the order in which they run. */
struct status_recorders {
    struct status_recorder list[STATUS_RECORDERS_MAX];
    size_t n;
};

#endif
