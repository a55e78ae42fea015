/*
 * recording.h - shows one outcome of a publish to all recorders (status.h), one after the other.
 *
 * A recorder that fails is logged and counted, and the next one runs, unless a volume that has just been made
 * needs the record: then the operation fails and the volume must be taken back. A Secret that a pod needs as
 * an environment variable is such a need; a mere note of what is mounted is none, so an API server that is
 * away does not stop a pod that needs nothing from it.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_OBSERVER_CHAIN_H
#define DRIVER_OBSERVER_CHAIN_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/status/volume_observer.h"

enum {
    /* For one recorder, when nothing depends on it: the lock of the volume is held meanwhile, and the
     * kubelet's
       call, too, if it waits. */
    RECORDING_TIMEOUT_MS = 10 * 1000,
};

struct recording;

/* What an operation has in common with others; borrowed until it is over. */
struct recording_config {
    uv_loop_t *loop;
    struct log *log;                          /* may be NULL */
    struct telemetry *telemetry;              /* may be NULL */
    const struct status_recorders *recorders; /* may be NULL */
};

/* `error` is NULL unless a needed record could not be made. Borrowed. */
typedef void recording_callback(const struct error *error, void *arg);

/* Is there anybody to show this to? */
bool recording_wanted(const struct status_recorders *recorders, const struct status_record *record);

/* Must a volume that has just been made be taken back without it? */
bool recording_needed(const struct status_recorders *recorders, const struct status_record *record);

/* `record` is copied, what it points to is borrowed until the operation is over. `timeout_ms` is what the
 * caller of the publish has left: needed recorders get all of it, others at most RECORDING_TIMEOUT_MS. */
struct recording *recording_start(const struct recording_config *config, const struct status_record *record,
                                  uint64_t timeout_ms, recording_callback *callback, void *arg,
                                  struct error **err);

/* Sets *recording to NULL; the callback will not run any more. */
void recording_cancel(struct recording **recording);

/* Tells those who want to know that a volume was asked for again and nothing was due. */
void recording_seen(const struct status_recorders *recorders, const struct status_record *record);

/* Tells all recorders that a volume is being taken away. */
void recording_forget(const struct status_recorders *recorders, const char *target_path);

#endif
