/*
 * publisher.h - the objects that all publishes and unpublishes of the process share.
 */
#ifndef DRIVER_PUBLISH_PUBLISHER_H
#define DRIVER_PUBLISH_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/process/byte_budget.h"
#include "driver/base/driver_metrics.h"
#include "driver/base/memory_limit.h"
#include "driver/class/class_cache.h"
#include "driver/class/class_source.h"
#include "driver/provider/provider_registry.h"
#include "driver/publish/volume_locks.h"
#include "driver/rotation/volume_state.h"
#include "driver/status/events.h"
#include "driver/status/observer_chain.h"

/* Everything is borrowed. */
struct publisher {
    uv_loop_t *loop;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    struct volume_locks *locks;
    struct volume_states *volumes;
    const struct class_source *classes;
    struct class_cache *class_cache; /* NULL only in standalone mode without rotation */
    struct provider_registry *providers;
    struct byte_budget *budget; /* of the responses of providers; NULL: unlimited */
    uint64_t max_bytes_in_flight;
    struct memory_limit *memory;              /* what is left of it; NULL: unlimited */
    const struct volume_observers *observers; /* NULL: none */
    struct events *events;                    /* NULL: none */
    bool rotation;                            /* --enable-secret-rotation */
    int64_t rotation_interval_s;
    bool pod_overrides_class; /* --allow-attribute-override */
};

/* `error` is NULL on success, else borrowed. */
typedef void publish_callback(const struct error *error, void *arg);

#endif
