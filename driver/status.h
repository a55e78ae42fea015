/*
 * status.h - recording what has been mounted, where others can see it (SecretProviderClassPodStatus objects).
 *
 * A recorder is a vtable with one state. Without one (standalone mode) nothing is recorded. A publish counts
 * as done only when its record is written: otherwise a Secret that a pod needs as an environment variable
 * would never be synced. Operations follow the contract of common/grpc/client.h.
 */
#ifndef DRIVER_STATUS_H
#define DRIVER_STATUS_H

#include <stdint.h>

#include "common/error.h"
#include "common/string_map.h"
#include "driver/class.h"

struct status_call; /* one running write */

/* All borrowed during start. */
struct status_record {
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid;
    const char *target_path;
    const struct secret_provider_class *class;
    const struct string_map *versions; /* object id -> version */
};

/* `error` is NULL on success, else borrowed. */
typedef void status_callback(const struct error *error, void *arg);

struct status_recorder {
    struct status_call *(*start)(void *state, const struct status_record *record, uint64_t timeout_ms,
                                 status_callback *callback, void *arg, struct error **err);
    void (*cancel)(struct status_call *call);
    void *state;
};

#endif
