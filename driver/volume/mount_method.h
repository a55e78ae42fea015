/*
 * mount_method.h - the ways to put a filled, read-only tmpfs on a target path.
 *
 *     DETACHED  fsopen(2) and fsmount(2): the mount is nowhere until move_mount(2) attaches it. Needs
 *               Linux 5.12 (mount_setattr).
 *     STAGED    mount(2) in a new private directory, MS_MOVE to the target. Not possible where the staging
 *               directory lies below a shared mount (a host with systemd; in a container it does not). A
 *               crash leaves a staging directory in /run or /tmp, which only root can enter and which ends
 *               with the container.
 *     DIRECT    mount(2) on the target, filled there, then made read-only. payload_is_complete() finds a
 *               crash in between. The copies of the mount in other namespaces stay writable.
 */
#ifndef DRIVER_VOLUME_MOUNT_METHOD_H
#define DRIVER_VOLUME_MOUNT_METHOD_H

#include <stdbool.h>

/* In the order in which they are tried. */
enum mount_method {
    MOUNT_METHOD_DETACHED,
    MOUNT_METHOD_STAGED,
    MOUNT_METHOD_DIRECT,
};

/* From `first` to `last`: the first one that works here is used. */
struct mount_methods {
    enum mount_method first, last;
};

#define MOUNT_METHODS_ALL ((struct mount_methods){MOUNT_METHOD_DETACHED, MOUNT_METHOD_DIRECT})

/* The mount features of the running kernel, for the start-up log: found by trying. Cheap, thread safe. */
struct mount_features {
    bool detached_mount; /* fsopen and friends, 5.2 */
    bool mount_setattr;  /* 5.12; without it the STAGED method is used */
    bool noswap;         /* 6.4 */
};
struct mount_features mount_features_probe(void);

#endif
