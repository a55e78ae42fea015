/*
 * volume_mount.h - the mount calls behind volume.h: making a tmpfs, showing it, writing to one that is shown.
 *
 * Internal to the volume module (and its tests, which take each method in turn on any kernel).
 *
 *     DETACHED  fsopen + fsmount: the mount is nowhere until move_mount() shows it. Needs Linux 5.12
 * (mount_setattr). STAGED    mount(2) in a new private directory, MS_MOVE to the target. Not possible where
 * the staging directory lies below a shared mount (a host with systemd; in a container it does not). A crash
 * leaves a staging directory in /run or /tmp, which only root can enter and which ends with the container.
 *     DIRECT    mount(2) on the target, filled there, then made read-only. A crash in between is found by
 *               payload_is_complete(). The copies of the mount in other namespaces stay writable.
 */
#ifndef DRIVER_VOLUME_MOUNT_H
#define DRIVER_VOLUME_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "driver/volume/volume.h"
#include "driver/volume/volume_target.h"

enum mount_method {
    MOUNT_METHOD_DETACHED,
    MOUNT_METHOD_STAGED,
    MOUNT_METHOD_DIRECT,
    MOUNT_METHOD_COUNT,
};

struct volume_mount_spec {
    uint64_t bytes, inodes;
    gid_t gid; /* of the root directory; (gid_t)-1 = 0 */
};

enum { VOLUME_STAGING_MAX = 64 };

/* A tmpfs under construction. */
struct volume_mount {
    enum mount_method method;
    int fd;                           /* its root, writable below; O_PATH */
    char staging[VOLUME_STAGING_MAX]; /* STAGED: the directory, "" when there is none */
    struct volume_target *on_target;  /* DIRECT: mounted here (borrowed), NULL when not or when finished */
};

#define VOLUME_MOUNT_INIT ((struct volume_mount){.fd = -1})

/* Makes an empty writable tmpfs. UNIMPLEMENTED when this method does not work here (take the next),
 * RESOURCE_EXHAUSTED, PERMISSION_DENIED, INTERNAL. `target` is a DIRECTORY; the DIRECT method mounts on it and
 * looks again. */
int volume_mount_prepare(struct volume_mount *mount, enum mount_method method,
                         const struct volume_mount_spec *spec, struct volume_target *target,
                         struct error **err);

/* Makes the tmpfs read-only and shows it on the target. Errors as above. Descriptors open for writing in the
 * tmpfs must be closed before. */
int volume_mount_attach(struct volume_mount *mount, struct volume_target *target, struct error **err);

/* Lets go; a tmpfs that was not shown is gone afterwards. */
void volume_mount_finish(struct volume_mount *mount);
#define cleanup_volume_mount CLEANUP(volume_mount_finish)

/* Write access to a tmpfs that is shown read-only. */
struct volume_writable {
    int fd;        /* O_PATH; writes below it are possible */
    bool in_place; /* the visible mount itself was made writable: read-only again on finish */
};

#define VOLUME_WRITABLE_INIT ((struct volume_writable){.fd = -1})

/* Makes a private writable clone of the mount behind `fd`: open_tree + mount_setattr for WAY_DETACHED, a bind
 * mount that is visible in a staging directory for an instant for WAY_STAGED, the mount itself for
 * WAY_DIRECT. */
int volume_writable_open(struct volume_writable *writable, enum mount_method method, int fd,
                         struct error **err);
void volume_writable_finish(struct volume_writable *writable);
#define cleanup_volume_writable CLEANUP(volume_writable_finish)

/* Sets new limits of the tmpfs shown behind `fd`: of its superblock, the flags of the visible mount stay as
 * they are (in the DIRECT method it must be open for writing by volume_writable_open()). Returns 0 or -1 with
 * errno. */
int volume_mount_resize(int fd, enum mount_method method, uint64_t bytes, uint64_t inodes);

/* volume_publish() and volume_update() by one method only. */
int volume_publish_with(enum mount_method method, const char *target_path, const struct payload *payload,
                        const struct volume_options *options, struct error **err);
int volume_update_with(enum mount_method method, const char *target_path, const struct payload *payload,
                       const struct volume_options *options, bool *ret_changed, struct error **err);

#endif
