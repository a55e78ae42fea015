/*
 * observer_chain.h - passes one event of a volume to all observers (volume_observer.h), one after the other.
 *
 * The failure of an observer is logged and counted, and the next one runs. Only when a new volume requires
 * that observer does the chain end with its error, and the caller rolls the volume back. A Secret that a pod
 * uses as an environment variable is such a requirement; a status object alone is none, so a pod that needs
 * nothing from the API server starts without it.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_STATUS_OBSERVER_CHAIN_H
#define DRIVER_STATUS_OBSERVER_CHAIN_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/status/volume_observer.h"

enum {
    /* Of one observer that is not required: the volume's lock is held meanwhile, and so is the kubelet's call
     * if it waits. */
    OBSERVER_TIMEOUT_MS = 10 * 1000,
};

struct observer_chain;

/* Borrowed until the operation is over. */
struct observer_chain_config {
    uv_loop_t *loop;
    struct log *log;                          /* may be NULL */
    struct driver_metrics *metrics;           /* may be NULL */
    const struct volume_observers *observers; /* may be NULL */
};

/* `error` is NULL unless a required observer failed. Borrowed. */
typedef void observer_chain_callback(const struct error *error, void *arg);

/* Does any observer want this event? */
bool observer_chain_wants(const struct volume_observers *observers, const struct volume_event *event);

/* Does a new volume require any observer? */
bool observer_chain_requires(const struct volume_observers *observers, const struct volume_event *event);

/* `event` is copied, what it points to is borrowed until the operation is over. `timeout_ms` is what the
 * caller of the publish has left: required observers get all of it, others at most OBSERVER_TIMEOUT_MS. */
struct observer_chain *observer_chain_start(const struct observer_chain_config *config,
                                            const struct volume_event *event, uint64_t timeout_ms,
                                            observer_chain_callback *callback, void *arg, struct error **err);

/* Sets *chain to NULL; the callback will not run any more. */
void observer_chain_cancel(struct observer_chain **chain);

/* Calls on_unchanged of all observers that have it. */
void observer_chain_on_unchanged(const struct volume_observers *observers, const struct volume_event *event);

/* Calls on_removed of all observers that have it. */
void observer_chain_on_removed(const struct volume_observers *observers, const char *target_path);

#endif
