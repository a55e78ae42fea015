/*
 * sync_pod.h - which volume of which pod a sync is for. All of it comes from the publish request of that very
 * volume, nothing from an object in the API: what is read, and for whom, can not be forged there.
 */
#ifndef DRIVER_SYNC_TARGET_POD_H
#define DRIVER_SYNC_TARGET_POD_H

#include "common/base/cleanup.h"
#include "common/base/error.h"

struct sync_pod {
    const char *target_path;
    const char *ns;
    const char *name;
    const char *uid;
    const char *class_name;
};

/* A copy whose strings belong to it, in one allocation; free() it. NULL on lack of memory. */
struct sync_pod *sync_pod_copy(const struct sync_pod *pod);

#endif
