/*
 * volume_mount.h - the mount calls behind volume.h: making a tmpfs, attaching it, writing to an attached one.
 *
 * Internal to the volume module.
 */
#ifndef DRIVER_VOLUME_VOLUME_MOUNT_H
#define DRIVER_VOLUME_VOLUME_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "driver/volume/mount_method.h"
#include "driver/volume/volume_target.h"

#define VOLUME_SOURCE                                                                                        \
    "secrets-store.csi.k8s.io" /* of our mounts, for the eyes of an administrator (findmnt) */

struct volume_mount_spec {
    uint64_t bytes, inodes;
    gid_t gid; /* of the root directory; (gid_t)-1 = 0 */
};

enum { VOLUME_STAGING_MAX = 64 };

/* --- a new tmpfs --- */

struct volume_mount {
    enum mount_method method;
    int tree_fd;                      /* the mount; O_PATH */
    int fd;                           /* its root, open for reading, writable below */
    char staging[VOLUME_STAGING_MAX]; /* STAGED: the directory, "" when there is none */
    struct volume_target *on_target;  /* DIRECT: mounted here (borrowed), NULL when not or when attached */
    bool stays_writable;              /* it is attached as it is, not read-only */
};

#define VOLUME_MOUNT_INIT ((struct volume_mount){.tree_fd = -1, .fd = -1})

/* Makes an empty writable tmpfs; *mount is VOLUME_MOUNT_INIT. UNIMPLEMENTED when this method does not work
 * here (try the next), RESOURCE_EXHAUSTED, PERMISSION_DENIED, INTERNAL. `target` is a DIRECTORY; the DIRECT
 * method mounts on it and inspects it again. */
int volume_mount_prepare(struct volume_mount *mount, enum mount_method method,
                         const struct volume_mount_spec *spec, struct volume_target *target,
                         struct error **err);

/* Makes the tmpfs read-only, unless it stays writable, and attaches it to the target. Errors as above.
 * Descriptors open for writing in the tmpfs must be closed before. */
int volume_mount_attach(struct volume_mount *mount, struct volume_target *target, struct error **err);

/* Lets go; a tmpfs that was not attached is gone afterwards. */
void volume_mount_finish(struct volume_mount *mount);
#define cleanup_volume_mount CLEANUP(volume_mount_finish)

/* --- write access to a tmpfs that is attached read-only --- */

struct volume_writable {
    int tree_fd;   /* the mount; O_PATH */
    int fd;        /* its root, open for reading; writes below it are possible */
    bool in_place; /* the visible mount itself was made writable: read-only again on finish */
};

#define VOLUME_WRITABLE_INIT ((struct volume_writable){.tree_fd = -1, .fd = -1})

/* DETACHED: a private clone of the mount behind `fd` (open_tree, mount_setattr). STAGED: a bind mount that is
 * visible in a staging directory for an instant. DIRECT: the mount itself. */
int volume_writable_open(struct volume_writable *writable, enum mount_method method, int fd,
                         struct error **err);
void volume_writable_finish(struct volume_writable *writable);
#define cleanup_volume_writable CLEANUP(volume_writable_finish)

/* Makes the attached mount behind `fd` itself writable, or read-only again, in this mount namespace (its
 * copies in others keep their flags); nosuid, nodev and noexec in either case. Read-only fails
 * with EBUSY while a file is open for writing. Returns 0 or -1 with errno. */
int volume_mount_set_writable(int fd, bool writable);

/* --- limits --- */

/* Sets new limits of the tmpfs behind `fd`: of its superblock, the flags of the visible mount stay as
 * they are (in the DIRECT method it must be open for writing by volume_writable_open()). Returns 0 or -1 with
 * errno. */
int volume_mount_resize(int fd, enum mount_method method, uint64_t bytes, uint64_t inodes);

#endif
