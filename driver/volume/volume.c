/*
 * volume.c - publishing, updating and removing the tmpfs behind one CSI target path.
 */
#include "driver/volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"
#include "driver/volume/volume_attributes.h"
#include "driver/volume/volume_mount.h"
#include "driver/volume/volume_owner.h"
#include "driver/volume/volume_remove.h"
#include "driver/volume/volume_steps.h"
#include "driver/volume/volume_target.h"

enum {
    TARGET_MODE = 0750,
    STACKED_MAX = 64,       /* mounts on one target that unpublish removes before it gives up */
    MIN_INODES = 1024,      /* of a tmpfs; a bound against runaway use, not a budget */
    SIZE_GRANULE = 1 << 16, /* sizes are rounded up to this, so that page sizes do not matter */
};

/* --- sizes --- */

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + SIZE_GRANULE - 1) / SIZE_GRANULE * SIZE_GRANULE;
}

static struct volume_mount_spec make_spec(const struct payload *payload, const struct volume_options *options)
{
    struct payload_footprint need = payload_footprint(payload);
    uint64_t twice = round_up(2 * (uint64_t)need.bytes), inodes = 4 * (uint64_t)need.inodes;
    struct volume_mount_spec spec = {.gid = options->gid, .bytes = options->size_limit};
    if (spec.bytes == 0)
        spec.bytes = twice > VOLUME_MIN_SIZE ? twice : VOLUME_MIN_SIZE;
    spec.inodes = inodes > MIN_INODES ? inodes : MIN_INODES;
    return spec;
}

/* Makes space for old and new side by side. A failure is ignored: if the space is really needed, the write
 * fails with the numbers. */
static void grow(int fd, enum mount_method method, const struct payload *payload,
                 const struct volume_options *options)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) < 0 || fs.f_blocks == 0)
        return;
    struct payload_footprint need = payload_footprint(payload);
    uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize, available = (uint64_t)fs.f_bfree * fs.f_frsize;
    struct volume_mount_spec spec = make_spec(payload, options);
    bool small = available < need.bytes, few = fs.f_files != 0 && fs.f_ffree < need.inodes;
    if (!small && !few)
        return;
    if (small && options->size_limit == 0) {
        uint64_t side_by_side = round_up(total - available + need.bytes);
        spec.bytes = side_by_side > spec.bytes ? side_by_side : spec.bytes;
    }
    if (!small || spec.bytes < total)
        spec.bytes = total;
    uint64_t used_inodes = fs.f_files - fs.f_ffree;
    spec.inodes += used_inodes;
    if (spec.inodes < fs.f_files)
        spec.inodes = fs.f_files;
    (void)volume_mount_resize(fd, method, spec.bytes, spec.inodes);
}

/* --- inspecting --- */

/* Of the driver's own files, complete or not. */
static bool has_version(const struct volume_target *target)
{
    cleanup_close int version_fd = payload_version_open_current(target->fd);
    return version_fd >= 0 || payload_is_in_place(target->fd);
}

static enum volume_condition condition_of_tmpfs(const struct volume_target *target)
{
    if (payload_is_complete(target->fd))
        return VOLUME_PUBLISHED;
    if (has_version(target))
        return VOLUME_INCOMPLETE;
    if (volume_attributes_written(target->fd))
        return VOLUME_WRITTEN;
    return target->of_predecessor && payload_has_plain_files(target->fd) ? VOLUME_ADOPTABLE
                                                                         : VOLUME_INCOMPLETE;
}

enum volume_condition volume_condition_of(const struct volume_target *target)
{
    switch (target->kind) {
    case VOLUME_TARGET_ABSENT:
        return VOLUME_ABSENT;
    case VOLUME_TARGET_DIRECTORY:
        return VOLUME_UNMOUNTED;
    case VOLUME_TARGET_TMPFS:
        return condition_of_tmpfs(target);
    case VOLUME_TARGET_CORRUPT:
        return target->of_kubelet ? VOLUME_CORRUPT : VOLUME_FOREIGN; /* no tmpfs ever is */
    case VOLUME_TARGET_COVERED:
        return VOLUME_COVERED;
    default:
        return VOLUME_FOREIGN;
    }
}

/* A removal that was cut short has made it writable. The Go driver's is, always. */
static void restore_read_only(const struct volume_target *target)
{
    if (target->writable && !target->of_predecessor)
        (void)volume_mount_set_writable(target->fd, false);
}

int volume_inspect(const char *target_path, enum volume_condition *ret_condition, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (volume_target_open(target_path, VOLUME_TARGET_EXISTING, &target, err) < 0)
        return -1;
    *ret_condition = volume_condition_of(&target);
    if (*ret_condition == VOLUME_PUBLISHED)
        restore_read_only(&target);
    return 0;
}

bool volume_is_surely_absent(const char *target_path)
{
    return volume_target_is_surely_absent(target_path);
}

/* Opens a target that must be a tmpfs of ours. */
static int open_volume(const char *target_path, enum grpc_status otherwise, struct volume_target *ret,
                       struct error **err)
{
    if (volume_target_open(target_path, VOLUME_TARGET_EXISTING, ret, err) < 0)
        return -1;
    if (ret->kind != VOLUME_TARGET_TMPFS)
        return error_set(err, otherwise, "no volume is mounted on '%s'", target_path);
    return 0;
}

int volume_read(const char *target_path, size_t max_bytes, struct payload *ret_payload, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (open_volume(target_path, GRPC_STATUS_NOT_FOUND, &target, err) < 0)
        return -1;
    bool plain = volume_condition_of(&target) == VOLUME_WRITTEN;
    if ((plain ? payload_read_plain : payload_read)(target.fd, max_bytes, ret_payload, err) < 0)
        return error_wrap(err, "volume '%s'", target_path);
    return 0;
}

int volume_stats(const char *target_path, struct volume_stats *ret_stats, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (open_volume(target_path, GRPC_STATUS_NOT_FOUND, &target, err) < 0)
        return -1;
    struct statvfs fs;
    enum volume_condition condition = volume_condition_of(&target);
    if (condition != VOLUME_PUBLISHED && condition != VOLUME_WRITTEN)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "the volume on '%s' is not published", target_path);
    if (fstatvfs(target.fd, &fs) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "statvfs of '%s'", target_path);
    *ret_stats = (struct volume_stats){
        .total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize,
        .used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize,
        .available_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
        .total_inodes = fs.f_files,
        .used_inodes = fs.f_files - fs.f_ffree,
        .available_inodes = fs.f_favail,
    };
    return 0;
}

/* --- publishing --- */

int volume_refuse_foreign(const struct volume_target *target, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "'%s' is a link, no directory, or has a mount on it that is not this driver's",
                     target->path);
}

/* Unmounts incomplete and corrupt volumes; then the target is ABSENT or a plain DIRECTORY. */
static int clear_target(struct volume_target *target, struct error **err)
{
    for (int i = 0; i < STACKED_MAX; i++) {
        switch (volume_condition_of(target)) {
        case VOLUME_ABSENT:
        case VOLUME_UNMOUNTED:
            return 0;
        case VOLUME_FOREIGN:
        case VOLUME_COVERED:
            return volume_refuse_foreign(target, err);
        case VOLUME_PUBLISHED:
        case VOLUME_WRITTEN:
            return error_set(err, GRPC_STATUS_ALREADY_EXISTS, "a volume is published on '%s'", target->path);
        default:
            if (volume_target_unmount(target, err) < 0)
                return -1;
        }
    }
    return error_set(err, GRPC_STATUS_INTERNAL, "more than %d mounts on '%s'", STACKED_MAX, target->path);
}

static bool is_empty(const struct volume_target *target)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    return payload_tree_list_open(&list, target->fd) == 0 && payload_tree_next(&list) == NULL;
}

static int refuse_files(const struct volume_target *target, struct error **err)
{
    return error_set(
        err, GRPC_STATUS_FAILED_PRECONDITION,
        "directory '%s' is not empty, and is no target path of a kubelet: its files are left alone",
        target->path);
}

int volume_make_target(struct volume_target *target, bool *ret_made, struct error **err)
{
    *ret_made = false;
    if (target->kind == VOLUME_TARGET_ABSENT) {
        if (mkdirat(target->parent_fd, target->name, TARGET_MODE) < 0 && errno != EEXIST)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "make directory '%s'", target->path);
        *ret_made = true;
    }
    if (volume_target_inspect(target, err) < 0)
        return -1;
    if (target->kind != VOLUME_TARGET_DIRECTORY)
        return volume_refuse_foreign(target, err);
    return target->of_kubelet || is_empty(target) ? 0 : refuse_files(target, err);
}

/* A mount that is on the target already can be seen before it is complete: its files appear in the order of
 * an update. */
static int fill(const struct volume_mount *mount, const struct payload *payload,
                const struct payload_write_options *options, struct error **err)
{
    bool changed = false;
    if (mount->on_target != NULL)
        return payload_write(mount->fd, payload, options, &changed, err);
    return payload_write_new(mount->fd, payload, options, err);
}

static int build_and_attach(enum mount_method method, struct volume_target *target,
                            const struct payload *payload, const struct volume_options *options,
                            struct error **err)
{
    cleanup_volume_mount struct volume_mount mount = VOLUME_MOUNT_INIT;
    struct volume_mount_spec spec = make_spec(payload, options);
    struct payload_write_options write_options = {.gid = options->gid, .in_place = options->in_place};
    if (volume_mount_prepare(&mount, method, &spec, target, err) < 0)
        return -1;
    (void)volume_owner_mark(mount.fd, target->path);
    if (fill(&mount, payload, &write_options, err) < 0)
        return -1;
    (void)volume_attributes_write(mount.fd,
                                  options); /* without them the next rotation check is only due sooner */
    return volume_mount_attach(&mount, target, err);
}

/* An update was cut short between its two last steps, or a provider has written: running containers may use
 * the volume, so its mount must stay. */
static bool is_repairable(const struct volume_target *target)
{
    switch (volume_condition_of(target)) {
    case VOLUME_INCOMPLETE:
        return has_version(target) || payload_has_plain_files(target->fd);
    case VOLUME_ADOPTABLE:
        return true;
    default:
        return false;
    }
}

bool volume_may_be_in_use(const char *target_path)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;

    return volume_target_open(target_path, 0, &target, /* err= */ NULL) < 0 || is_repairable(&target);
}

int volume_publish_with(struct mount_methods methods, const char *target_path, const struct payload *payload,
                        const struct volume_options *options, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    bool made = false;
    if (volume_target_open(target_path, VOLUME_TARGET_MAKE_PARENTS, &target, err) < 0)
        return -1;
    if (is_repairable(&target)) {
        restore_read_only(&target);
        return volume_update_with(methods, target_path, payload, options, &(bool){false}, err);
    }
    if (clear_target(&target, err) < 0)
        return -1;
    if (volume_make_target(&target, &made, err) == 0) {
        cleanup_error struct error *failure = NULL;
        for (enum mount_method method = methods.first; method <= methods.last; method++) {
            error_free(steal_ptr(&failure));
            if (build_and_attach(method, &target, payload, options, &failure) == 0)
                return 0;
            if (error_code(failure) != GRPC_STATUS_UNIMPLEMENTED)
                break;
        }
        error_move(err, &failure);
    }
    if (made)
        (void)unlinkat(target.parent_fd, target.name, AT_REMOVEDIR);
    return error_wrap(err, "publish volume on '%s'", target_path);
}

int volume_publish(const char *target_path, const struct payload *payload,
                   const struct volume_options *options, struct error **err)
{
    return volume_publish_with(MOUNT_METHODS_ALL, target_path, payload, options, err);
}

/* --- changing what is published --- */

int volume_open_writable(struct mount_methods methods, const struct volume_target *target,
                         struct volume_writable *ret, enum mount_method *ret_method, struct error **err)
{
    cleanup_error struct error *failure = NULL;
    for (enum mount_method method = methods.first; method <= methods.last; method++) {
        error_free(steal_ptr(&failure));
        if (volume_writable_open(ret, method, target->fd, &failure) == 0) {
            *ret_method = method;
            return 0;
        }
        if (error_code(failure) != GRPC_STATUS_UNIMPLEMENTED)
            break;
    }
    error_move(err, &failure);
    return error_wrap(err, "get write access to the volume on '%s'", target->path);
}

int volume_update_with(struct mount_methods methods, const char *target_path, const struct payload *payload,
                       const struct volume_options *options, bool *ret_changed, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    cleanup_volume_writable struct volume_writable writable = VOLUME_WRITABLE_INIT;
    enum mount_method method = methods.first;
    if (open_volume(target_path, GRPC_STATUS_FAILED_PRECONDITION, &target, err) < 0 ||
        volume_open_writable(methods, &target, &writable, &method, err) < 0)
        return -1;
    grow(target.fd, method, payload, options);
    struct payload_write_options write_options = {.gid = options->gid, .in_place = options->in_place};
    bool changed = false;
    if (payload_write(writable.fd, payload, &write_options, &changed, err) < 0)
        return error_wrap(err, "update volume on '%s'", target_path);
    (void)volume_attributes_write(writable.fd, options); /* as above */
    *ret_changed = changed;
    return 0;
}

int volume_update(const char *target_path, const struct payload *payload,
                  const struct volume_options *options, bool *ret_changed, struct error **err)
{
    return volume_update_with(MOUNT_METHODS_ALL, target_path, payload, options, ret_changed, err);
}

int volume_last_checked(const char *target_path, uint64_t *ret_unix, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (open_volume(target_path, GRPC_STATUS_NOT_FOUND, &target, err) < 0)
        return -1;
    *ret_unix = volume_attributes_last_checked(target.fd);
    return 0;
}

int volume_read_metadata(const char *target_path, char **ret_text, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (open_volume(target_path, GRPC_STATUS_NOT_FOUND, &target, err) < 0)
        return -1;
    *ret_text = volume_attributes_metadata(target.fd);
    return 0;
}

int volume_write_metadata(const char *target_path, const struct volume_options *options, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    cleanup_volume_writable struct volume_writable writable = VOLUME_WRITABLE_INIT;
    enum mount_method method = MOUNT_METHOD_DETACHED;
    if (open_volume(target_path, GRPC_STATUS_NOT_FOUND, &target, err) < 0 ||
        volume_open_writable(MOUNT_METHODS_ALL, &target, &writable, &method, err) < 0)
        return -1;
    int errnum = volume_attributes_write(writable.fd, options);
    if (errnum != 0 && errnum != EOPNOTSUPP) /* a tmpfs without attributes */
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errnum, "record the last check of '%s'",
                               target_path);
    return 0;
}

/* --- removing --- */

/* Removes the files, so that a mount which leaked into another namespace shows nothing any more. The mount
 * that goes is itself made writable for that: a private clone, as updates have, would make the kernel wait
 * for two unmounts. The marks of a complete volume go first: after an interruption it counts as incomplete. A
 * failure does not prevent the unmount. */
static void empty_volume(const struct volume_target *target)
{
    if (volume_mount_set_writable(target->fd, true) < 0)
        return;
    volume_attributes_clear_written(target->fd);
    payload_remove(target->fd);
}

static int unmount_all(struct volume_target *target, struct error **err)
{
    for (int i = 0; i < STACKED_MAX; i++) {
        switch (target->kind) {
        case VOLUME_TARGET_ABSENT:
        case VOLUME_TARGET_DIRECTORY:
            return 0;
        case VOLUME_TARGET_FOREIGN:
        case VOLUME_TARGET_COVERED:
            return volume_refuse_foreign(target, err);
        case VOLUME_TARGET_TMPFS:
            empty_volume(target);
            break;
        case VOLUME_TARGET_CORRUPT:
            if (!target->of_kubelet)
                return volume_refuse_foreign(target, err);
            break;
        }
        if (volume_target_unmount_and_remove(target, err) < 0)
            return -1;
    }
    return error_set(err, GRPC_STATUS_INTERNAL, "more than %d mounts on '%s'", STACKED_MAX, target->path);
}

static int remove_directory(const struct volume_target *target, struct error **err)
{
    if (unlinkat(target->parent_fd, target->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    int errnum = errno;
    if ((errnum == ENOTEMPTY || errnum == EEXIST) && !target->of_kubelet)
        return refuse_files(target, err);
    if ((errnum == ENOTEMPTY || errnum == EEXIST) && payload_tree_empty(target->fd) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "remove the files in '%s'", target->path);
    if (unlinkat(target->parent_fd, target->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "remove directory '%s'", target->path);
}

/* Its provider may write the files itself, and may still do so. */
static bool may_be_written(const struct volume_target *target)
{
    return target->kind == VOLUME_TARGET_TMPFS && payload_version_current(target->fd).text[0] == '\0' &&
           !payload_is_in_place(target->fd);
}

int volume_unpublish(const char *target_path, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (volume_target_open(target_path, VOLUME_TARGET_EXISTING, &target, err) < 0)
        return error_wrap(err, "unpublish volume");
    if (may_be_written(&target)) {
        empty_volume(&target);
        if (volume_remove_mounted(&target) == 0)
            return 0;
    }
    if (unmount_all(&target, err) < 0)
        return error_wrap(err, "unpublish volume");
    if (target.kind == VOLUME_TARGET_ABSENT)
        return 0;
    return remove_directory(&target, err);
}
