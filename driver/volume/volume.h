/*
 * volume.h - the tmpfs behind one CSI target path.
 *
 * A volume appears whole or not at all: the tmpfs is built detached (fsopen, fsconfig, fsmount), filled
 * through its own descriptor, made read-only and only then moved onto the target path. A crash before the
 * move leaves nothing. Rotation writes through a private clone (open_tree) on which read-only is cleared, so
 * the visible mount of a volume in use never becomes writable; that of one which is unpublished does, in this
 * mount namespace. Kernels without the new mount API get mount(2) on a private
 * staging directory and MS_MOVE, or in the last resort a mount on the target itself (mount_method.h).
 *
 * A tmpfs that bears this driver's marks is ours, wherever it is. On a path of the kubelet's shape
 * (target_path.h) one that the Go driver has made is ours as well: a cluster switches drivers below running
 * pods; such a volume is read, updated and removed like one of ours (volume_owner.h). Any other mount
 * (another tmpfs, a bind mount, a disk, NFS...) is foreign and left alone, also when it covers a volume of
 * ours.
 *
 * A path of the kubelet's shape belongs to this driver by contract, with the files that are found in the
 * directory. At any other path (standalone use, csi-sanity, a typing error) only an empty directory is used
 * and removed.
 *
 * The target path must be absolute and without "." and ".." components (INVALID_ARGUMENT from every
 * function). Links are followed up to the kubelet's directory of pods, which may be below one, and not from
 * there on (FAILED_PRECONDITION from every function). At a path of another shape links in parent directories
 * are followed, the last component never.
 *
 * All functions but volume_is_surely_absent() block and are meant for worker threads; the caller serialises
 * calls for one target path.
 * /proc must be mounted (descriptors are given to mount(2) and umount2(2) as /proc/self/fd/N). Every error
 * message names the target.
 *
 * Files: volume.c (publish, update, unpublish), volume_written.c (files of the provider), volume_target.c
 * (what is at a path), volume_owner.c (whose it is), volume_mount.c (the mount calls).
 */
#ifndef DRIVER_VOLUME_VOLUME_H
#define DRIVER_VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "driver/payload/payload.h"
#include "driver/volume/mount_method.h"

enum volume_condition {
    VOLUME_ABSENT,     /* nothing at the target path */
    VOLUME_UNMOUNTED,  /* a directory, nothing mounted on it */
    VOLUME_INCOMPLETE, /* our kind of tmpfs, but no complete payload: an earlier publish was cut short */
    VOLUME_PUBLISHED,  /* our kind of tmpfs with a complete payload, in either layout (payload.h) */
    VOLUME_WRITTEN,    /* the same, with the files that the provider itself has written */
    VOLUME_ADOPTABLE,  /* a tmpfs of the Go driver with a provider's own files: containers may use it */
    VOLUME_FOREIGN,    /* something else is mounted there, or the path is a symlink or not a directory */
    VOLUME_COVERED,    /* something else is mounted over a volume of ours */
    VOLUME_CORRUPT,    /* a mount that cannot be read (ENOTCONN, ESTALE, EIO...), on a path of the kubelet */
};

struct volume_options {
    /* Bytes the tmpfs may hold, a ceiling that is never passed. 0 = twice the payload rounded up, at least
     * VOLUME_MIN_SIZE, so that a rotation (old and new side by side) fits; volume_update() then grows it as
     * needed. */
    uint64_t size_limit;
    gid_t gid;     /* fsGroup of the pod, (gid_t)-1 without: see payload.h, "Group" */
    bool in_place; /* regular files that updates rewrite, for subPath: see payload.h */

    /* Remembered in the volume unless 0 and NULL: volume_last_checked(), volume_read_metadata(). */
    uint64_t last_checked_unix;
    const char *metadata; /* borrowed; at most VOLUME_METADATA_MAX bytes (volume_metadata.h) */
};

enum { VOLUME_MIN_SIZE = 1 << 20 };

/* --- inspecting --- */

/* What is at the target path. Fails only when that cannot be found out (PERMISSION_DENIED, INTERNAL).
 * Symbolic links in the last component are not followed. Uses cached attributes where it can, so that it
 * does not wait for a dead network file system. */
int volume_inspect(const char *target_path, enum volume_condition *ret_condition, struct error **err);

/* Whether nothing is at a target path of the kubelet's shape. Made for the event loop, which must not wait:
 * a directory that the kernel would have to read is not opened, and no mount is entered; only the last name
 * is looked up, in the directory that the kubelet has just made for it. False when that does not suffice to
 * be sure, and before Linux 5.12. */
bool volume_is_surely_absent(const char *target_path);

/* Is the volume INCOMPLETE and would volume_publish() complete it in place? Then containers may use it,
 * and it must not be rolled back when something else fails. True also when that cannot be found out. */
bool volume_may_be_in_use(const char *target_path);

/* The files of a PUBLISHED or WRITTEN volume, contents included: see payload_read(). NOT_FOUND when there is
 * none. */
int volume_read(const char *target_path, size_t max_bytes, struct payload *ret_payload, struct error **err);

struct volume_stats {
    uint64_t total_bytes, used_bytes, available_bytes;
    uint64_t total_inodes, used_inodes, available_inodes;
};

/* statvfs of a PUBLISHED or WRITTEN volume; NOT_FOUND otherwise. */
int volume_stats(const char *target_path, struct volume_stats *ret_stats, struct error **err);

/* --- publishing, updating --- */

/* Publishes `payload` on a target that is ABSENT, UNMOUNTED, INCOMPLETE or CORRUPT. The old mount is
 * removed first; but an INCOMPLETE one that already shows some version or other files is completed in place:
 * running containers may use it, and no files are replaced by an empty volume. Creates the target directory
 * (0750) and missing parents. On failure nothing is mounted by this call and the target directory is left as
 * it was found. ALREADY_EXISTS for PUBLISHED (use volume_update()), FAILED_PRECONDITION for FOREIGN, COVERED
 * and a directory with files that is not on a path of the kubelet's shape, RESOURCE_EXHAUSTED when the
 * payload does not fit, PERMISSION_DENIED, INTERNAL. */
int volume_publish(const char *target_path, const struct payload *payload,
                   const struct volume_options *options, struct error **err);

/* Makes a PUBLISHED (or, to complete it, INCOMPLETE) volume show `payload`; *ret_changed: was anything
 * written? The mount itself is never replaced (running containers would keep the old one). Grows the size
 * limit when needed. FAILED_PRECONDITION when there is no volume of ours, RESOURCE_EXHAUSTED,
 * PERMISSION_DENIED, INTERNAL; the old content stays then. (In place it stays unless the kernel refuses a
 * write or a renaming for which there is space: then the volume is INCOMPLETE.) */
int volume_update(const char *target_path, const struct payload *payload,
                  const struct volume_options *options, bool *ret_changed, struct error **err);

/* The same by the given methods; the two above take MOUNT_METHODS_ALL. */
int volume_publish_with(struct mount_methods methods, const char *target_path, const struct payload *payload,
                        const struct volume_options *options, struct error **err);
int volume_update_with(struct mount_methods methods, const char *target_path, const struct payload *payload,
                       const struct volume_options *options, bool *ret_changed, struct error **err);

/* --- volumes whose provider writes the files ---
 *
 * Some providers write below the target path and return versions only, as they could with the Go driver,
 * which mounts its tmpfs before it calls the provider. For such a call the tmpfs is there, visible and
 * writable. The files stay as the provider writes them, without `..data`: it renames its next ones over them.
 * */

enum volume_prepared {
    VOLUME_PREPARED_NOT,   /* the volume shows files of the driver: no provider writes there */
    VOLUME_PREPARED_NEW,   /* an empty tmpfs was mounted, the directory made if need be */
    VOLUME_PREPARED_AGAIN, /* a tmpfs was there, and is writable now */
};

enum {
    /* A provider's own files have no size that is known before. Pages count only when they are written. */
    VOLUME_WRITTEN_SIZE = 64 << 20,
    VOLUME_WRITTEN_INODES = 4 * PAYLOAD_FILES_MAX,
};

/* Lets a provider write at the target path: mounts an empty tmpfs of ours (ABSENT, UNMOUNTED), or makes the
 * one that is there writable (INCOMPLETE without a version, WRITTEN, ADOPTABLE). Its root has mode 1777 until
 * it is taken: a provider need not be root. Of `options` it takes size_limit and gid. On failure nothing is
 * mounted by this call. FAILED_PRECONDITION for FOREIGN and COVERED, RESOURCE_EXHAUSTED, PERMISSION_DENIED,
 * INTERNAL. */
int volume_prepare(const char *target_path, const struct volume_options *options,
                   enum volume_prepared *ret_prepared, struct error **err);

/* Takes the plain files in the volume as its content, which is WRITTEN then: read-only, with the group and
 * the attributes of `options`. *ret_plain: what is there. INTERNAL, also when there are no files here, but in
 * the directory below the mount; FAILED_PRECONDITION when there is no volume of ours. */
int volume_take(const char *target_path, const struct volume_options *options,
                struct payload_plain *ret_plain, struct error **err);

/* Makes a volume that volume_prepare() found read-only again, as far as possible: the call has failed. */
void volume_close(const char *target_path);

/* --- what a volume remembers ---
 *
 * Extended attributes of the root directory survive a restart of the driver. trusted.* is invisible without
 * CAP_SYS_ADMIN. */

/* The time of the last successful rotation check (Unix seconds), 0 when unknown (never recorded, or the
 * kernel's tmpfs has no extended attributes). NOT_FOUND when there is no volume of ours; INTERNAL. */
#define VOLUME_CHECKED_ATTRIBUTE "trusted.secrets-store.last-checked"
int volume_last_checked(const char *target_path, uint64_t *ret_unix, struct error **err);

/* The metadata (volume_metadata.h) as text, freed by the caller; NULL when there is none. Errors as above. */
#define VOLUME_METADATA_ATTRIBUTE "trusted.secrets-store.record"
int volume_read_metadata(const char *target_path, char **ret_text, struct error **err);

/* Writes `last_checked_unix` and `metadata` of the options, as volume_publish() and volume_update() do,
 * and leaves the content alone. A tmpfs without attributes remembers nothing, which is no failure. Errors
 * as above. */
int volume_write_metadata(const char *target_path, const struct volume_options *options, struct error **err);

/* --- removing --- */

/* Removes the published files (so that a mount which leaked into another namespace shows nothing any
 * more), unmounts everything of ours that is stacked there (lazily if busy), removes the directory.
 * Idempotent: an absent or unmounted target is success.
 *
 * On a path of the kubelet's shape corrupt mounts are removed too, and so are files in the directory when
 * nothing is mounted on it, without following links or entering mounts: this driver writes only into tmpfs,
 * but very early drivers and providers wrote plain files there, the Go driver removes them likewise, and a
 * pod must not hang in Terminating over them.
 *
 * FAILED_PRECONDITION for FOREIGN and COVERED, and on paths of another shape for CORRUPT and for a
 * directory with files: all are left alone. INTERNAL when the kernel refuses. */
int volume_unpublish(const char *target_path, struct error **err);

#endif
