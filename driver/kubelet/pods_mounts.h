/*
 * pods_mounts.h - do the driver's mounts reach the kubelet and the pods?
 *
 * A container sees the kubelet's directory of pods through a mount of its own. What the driver mounts below
 * it reaches the node only if that mount is shared with the node's (mountPropagation: Bidirectional, and a
 * shared mount on the node). Otherwise every publish succeeds and every pod sees an empty directory.
 *
 * A watch checks these directories at the start and every PODS_MOUNTS_INTERVAL_MS, so a remount is noticed;
 * it logs an error when one is not shared, with what to change, and a message when it is again. Publishes do
 * not fail for it: propagation does not prove who sees a mount, and a false alarm would stop every new pod of
 * the node. The pod of a driver that is not ready is seen in the DaemonSet's status, and stops a rolling
 * update.
 *
 * Known directories: <root>/pods where the driver's registration path is <root>/plugins/..., and those of the
 * target paths of publishes. Without such a registration path there is no watch (a driver that serves no
 * kubelet of a cluster, tests), nor in the mount namespace of the node's first process (a service of the
 * node).
 */
#ifndef DRIVER_KUBELET_PODS_MOUNTS_H
#define DRIVER_KUBELET_PODS_MOUNTS_H

#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"

enum { PODS_MOUNTS_INTERVAL_MS = 10 * 1000, PODS_MOUNTS_MAX = 8 };

struct pods_mounts;

struct pods_mounts_config {
    uv_loop_t *loop;
    struct log *log;
    const char *registration_path; /* of the CSI socket, as the kubelet sees it */
    uint64_t interval_ms;          /* 0 = PODS_MOUNTS_INTERVAL_MS */
};

/* *ret is NULL when there is nothing to watch. */
int pods_mounts_create(const struct pods_mounts_config *config, struct pods_mounts **ret, struct error **err);

/* A publish has this target path: its directory of pods is watched from now on, PODS_MOUNTS_MAX in all.
 * Accepts NULL. */
void pods_mounts_seen(struct pods_mounts *pods, const char *target_path);

/* FAILED_PRECONDITION when one of the directories was not shared at the last check: the text is for /readyz.
 * Accepts NULL. */
int pods_mounts_check(const struct pods_mounts *pods, struct error **err);

/* A running check ends by itself. Accepts NULL. */
void pods_mounts_destroy(struct pods_mounts *pods);

#endif
