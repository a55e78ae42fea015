/*
 * volume_owner.h - whose the tmpfs at a target path is.
 *
 * A tmpfs is this driver's when it bears its marks:
 *  - an attribute of its root names the target path (VOLUME_TARGET_ATTRIBUTE), or, written by earlier
 *    versions, another attribute of this driver is there. The name is the pod's UID and the volume, because
 *    the kubelet's root directory may be reached by several paths. A bind mount of one volume at another
 *    target so is not taken for a volume;
 *  - without attributes (a kernel whose tmpfs has none, a publish that was cut short): the mount's source.
 *
 * The Go driver mounts without marks: "mount -t tmpfs tmpfs <target>". A tmpfs made so counts as a volume on a
 * path of the kubelet's shape, because clusters switch drivers below running pods. It has the source
 * "tmpfs", all of the file system is mounted, with none of the options that an administrator or another
 * program adds (nosuid, nodev, noexec, mode, uid, gid, a small size), and it is no bind mount of a tmpfs that
 * was mounted in another place before.
 *
 * Internal to the volume module.
 */
#ifndef DRIVER_VOLUME_VOLUME_OWNER_H
#define DRIVER_VOLUME_VOLUME_OWNER_H

#include <stdbool.h>

#include "common/base/error.h"

#define VOLUME_TARGET_ATTRIBUTE "trusted.secrets-store.target"

enum volume_owner {
    VOLUME_OWNER_DRIVER,
    VOLUME_OWNER_PREDECESSOR, /* the Go driver */
    VOLUME_OWNER_OTHER,       /* somebody else */
    VOLUME_OWNER_COVERING,    /* somebody else, and a volume of the driver or its predecessor lies below it */
};

/* Whose is the mount behind `fd` (the root of a mount at `path`; may be O_PATH)? `is_tmpfs`: its type, which
 * the caller knows. INTERNAL when the table of mounts cannot be read. */
int volume_owner_find(int fd, const char *path, bool is_tmpfs, enum volume_owner *ret, struct error **err);

/* Marks the new tmpfs behind `fd` (may be O_PATH, writable) as the volume of `path`. A tmpfs without
 * attributes is known by its source: false. */
bool volume_owner_mark(int fd, const char *path);

#endif
