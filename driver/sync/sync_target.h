/*
 * sync_target.h - the volume of a pod whose Secrets are synced. All of it comes from the publish request of
 * that very volume, nothing from an object in the API: what is read, and for which pod, cannot be forged
 * there.
 */
#ifndef DRIVER_SYNC_SYNC_TARGET_H
#define DRIVER_SYNC_SYNC_TARGET_H

#include "common/base/cleanup.h"
#include "common/base/error.h"

struct sync_target {
    const char *target_path;
    const char *ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
};

/* A copy whose strings belong to it, in one allocation; free() it. NULL on lack of memory. */
struct sync_target *sync_target_copy(const struct sync_target *target);

#endif
