/*
 * volume_target.h - what is at a CSI target path.
 *
 * Internal to the volume module. The parent directory is opened once; everything afterwards is relative to
 * its descriptor and never follows a link in the last component, so a mount or a removal cannot be
 * redirected. On a path of the kubelet's shape no component below the directory of the pods may be a link
 * either (openat2(2) with RESOLVE_NO_SYMLINKS); the path up to it may lead through links, because a kubelet's
 * root directory may be one.
 */
#ifndef DRIVER_VOLUME_VOLUME_TARGET_H
#define DRIVER_VOLUME_VOLUME_TARGET_H

#include <limits.h>
#include <stdbool.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

enum volume_target_kind {
    VOLUME_TARGET_ABSENT,
    VOLUME_TARGET_DIRECTORY, /* nothing mounted on it */
    VOLUME_TARGET_TMPFS,     /* the root of a tmpfs of ours (volume_owner.h) */
    VOLUME_TARGET_FOREIGN,   /* another mount, a link, or no directory */
    VOLUME_TARGET_COVERED,   /* another mount, on top of a tmpfs of ours */
    VOLUME_TARGET_CORRUPT,   /* cannot be inspected */
};

struct volume_target {
    const char *path; /* borrowed from the caller, for messages */
    int parent_fd;    /* O_PATH; -1 when a parent is missing */
    int fd; /* of a DIRECTORY (O_PATH) or TMPFS (open for reading), on top of all mounts; otherwise -1 */
    enum volume_target_kind kind;
    bool of_kubelet;         /* the path has the kubelet's shape (target_path.h) */
    bool of_predecessor;     /* a TMPFS that the Go driver has mounted */
    bool writable;           /* a TMPFS whose mount is not read-only */
    char name[NAME_MAX + 1]; /* last component */
};

#define VOLUME_TARGET_INIT ((struct volume_target){.parent_fd = -1, .fd = -1})

enum volume_target_flags {
    VOLUME_TARGET_EXISTING = 0,
    VOLUME_TARGET_MAKE_PARENTS = 1 << 0, /* missing parents are made, 0750 */
};

/* Checks the path, opens the parent, inspects the target. INVALID_ARGUMENT, FAILED_PRECONDITION (a link or a
 * file below the kubelet's directory of pods), PERMISSION_DENIED, INTERNAL. */
int volume_target_open(const char *path, enum volume_target_flags flags, struct volume_target *ret,
                       struct error **err);

/* See volume_is_surely_absent(). */
bool volume_target_is_surely_absent(const char *path);

/* Inspects it again, after mounting or unmounting; fd and kind are renewed. */
int volume_target_inspect(struct volume_target *target, struct error **err);

/* Unmounts the topmost mount, lazily if it is busy or corrupt, and inspects the target again. */
int volume_target_unmount(struct volume_target *target, struct error **err);

/* The same, and removes the directory if it is empty and nothing else is mounted on it: ABSENT then. */
int volume_target_unmount_and_remove(struct volume_target *target, struct error **err);

/* Closes the descriptors; harmless on VOLUME_TARGET_INIT and when repeated. */
void volume_target_finish(struct volume_target *target);
#define cleanup_volume_target CLEANUP(volume_target_finish)

#endif
