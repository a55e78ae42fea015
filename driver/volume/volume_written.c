/*
 * volume_written.c - volumes whose provider writes the files itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"
#include "driver/volume/mount_api.h"
#include "driver/volume/volume.h"
#include "driver/volume/volume_attributes.h"
#include "driver/volume/volume_mount.h"
#include "driver/volume/volume_owner.h"
#include "driver/volume/volume_steps.h"
#include "driver/volume/volume_target.h"

enum {
    ROOT_MODE_OPEN = 01777, /* as the Go driver's: a provider need not be root */
    ROOT_MODE_TAKEN = 0755,
};

/* fchmod(2) refuses O_PATH. */
static int set_root_mode(int fd, mode_t mode)
{
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    struct stat info;
    if (root < 0 || fstat(root, &info) < 0)
        return -1;
    return (info.st_mode & 07777) == mode ? 0 : fchmod(root, mode);
}

/* --- a new tmpfs --- */

static int attach_empty(enum mount_method method, struct volume_target *target,
                        const struct volume_options *options, struct error **err)
{
    cleanup_volume_mount struct volume_mount mount = VOLUME_MOUNT_INIT;
    const struct volume_mount_spec spec = {.gid = options->gid,
                                           .bytes = options->size_limit != 0 ? options->size_limit
                                                                             : VOLUME_WRITTEN_SIZE,
                                           .inodes = VOLUME_WRITTEN_INODES};
    mount.stays_writable = true;
    if (volume_mount_prepare(&mount, method, &spec, target, err) < 0)
        return -1;
    (void)volume_owner_mark(mount.fd, target->path);
    if (set_root_mode(mount.fd, ROOT_MODE_OPEN) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "set the mode of '%s'", target->path);
    return volume_mount_attach(&mount, target, err);
}

static int prepare_new(struct volume_target *target, const struct volume_options *options, struct error **err)
{
    cleanup_error struct error *failure = NULL;
    bool made = false;
    if (volume_make_target(target, &made, err) < 0)
        return -1;
    for (enum mount_method method = MOUNT_METHOD_DETACHED; method <= MOUNT_METHOD_DIRECT; method++) {
        error_free(steal_ptr(&failure));
        if (attach_empty(method, target, options, &failure) == 0)
            return 0;
        if (error_code(failure) != GRPC_STATUS_UNIMPLEMENTED)
            break;
    }
    error_move(err, &failure);
    if (made)
        (void)unlinkat(target->parent_fd, target->name, AT_REMOVEDIR);
    return -1;
}

/* --- one that is there --- */

/* The Go driver's is writable as it is, and is known by its flags until it is taken. */
static int prepare_again(const struct volume_target *target, struct error **err)
{
    if (target->of_predecessor)
        return 0;
    if (volume_mount_set_writable(target->fd, true) < 0 || set_root_mode(target->fd, ROOT_MODE_OPEN) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "make the mount writable");
    return 0;
}

int volume_prepare(const char *target_path, const struct volume_options *options,
                   enum volume_prepared *ret_prepared, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (volume_target_open(target_path, VOLUME_TARGET_MAKE_PARENTS, &target, err) < 0)
        return -1;
    int result = 0;
    *ret_prepared = VOLUME_PREPARED_NOT;
    switch (volume_condition_of(&target)) {
    case VOLUME_ABSENT:
    case VOLUME_UNMOUNTED:
        *ret_prepared = VOLUME_PREPARED_NEW;
        result = prepare_new(&target, options, err);
        break;
    case VOLUME_INCOMPLETE:
    case VOLUME_WRITTEN:
    case VOLUME_ADOPTABLE:
        if (payload_version_current(target.fd).text[0] != '\0' || payload_is_in_place(target.fd))
            break;
        *ret_prepared = VOLUME_PREPARED_AGAIN;
        result = prepare_again(&target, err);
        break;
    case VOLUME_PUBLISHED:
        break;
    default:
        result = volume_refuse_foreign(&target, err);
    }
    return result == 0 ? 0 : error_wrap(err, "prepare volume on '%s' for its provider", target_path);
}

/* --- after the call --- */

static int open_tmpfs(const char *target_path, struct volume_target *target, struct error **err)
{
    if (volume_target_open(target_path, VOLUME_TARGET_EXISTING, target, err) < 0)
        return -1;
    return target->kind == VOLUME_TARGET_TMPFS
               ? 0
               : error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "no volume is mounted on '%s'", target_path);
}

/* Past the read-only mount. Without attributes every publish takes the files again. */
static int mark(const struct volume_target *target, struct error **err)
{
    cleanup_volume_writable struct volume_writable writable = VOLUME_WRITABLE_INIT;
    enum mount_method method = MOUNT_METHOD_DETACHED;
    if (volume_open_writable(MOUNT_METHODS_ALL, target, &writable, &method, err) < 0)
        return -1;
    int errnum = volume_attributes_set_written(writable.fd);
    if (errnum != 0 && errnum != EOPNOTSUPP)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errnum, "mark the volume on '%s'", target->path);
    return 0;
}

/* The mark comes last: what bears it is complete and read-only. */
static int take(const struct volume_target *target, const struct volume_options *options, struct error **err)
{
    bool marked = volume_owner_mark(target->fd, target->path);
    (void)volume_attributes_write(target->fd, options); /* without them the next check is only due sooner */
    if (set_root_mode(target->fd, ROOT_MODE_TAKEN) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "set the mode of '%s'", target->path);
    if (marked || !target->of_predecessor) /* without a mark that one is known by its flags */
        (void)volume_mount_set_writable(target->fd, false); /* EBUSY: the provider has a file open */
    return mark(target, err);
}

/* Has the directory below the mount files? A provider that does not see the mount writes them there. False as
 * well when it cannot be found out: Linux before 5.2 has no open_tree(). */
static bool hides_files(const struct volume_target *target)
{
    cleanup_close int parent =
        open_tree(target->parent_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    cleanup_close int hidden =
        parent < 0 ? -1 : openat(parent, target->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return hidden >= 0 && payload_has_plain_files(hidden);
}

/* A volume without files may be meant: a class may have no objects, and some providers make up a version for
 * it, because every response needs one. */
static int check_files(const struct volume_target *target, const struct payload_plain *plain,
                       struct error **err)
{
    return plain->files > 0 || !hides_files(target)
               ? 0
               : error_set(err, GRPC_STATUS_INTERNAL,
                           "the provider wrote its files to the node's disk, below the volume");
}

int volume_take(const char *target_path, const struct volume_options *options,
                struct payload_plain *ret_plain, struct error **err)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    struct payload_plain plain = {0};
    if (open_tmpfs(target_path, &target, err) < 0)
        return -1;
    if (payload_count_plain(target.fd, options->gid, &plain, err) < 0 ||
        check_files(&target, &plain, err) < 0 || take(&target, options, err) < 0)
        return error_wrap(err, "take the files on '%s'", target_path);
    *ret_plain = plain;
    return 0;
}

void volume_close(const char *target_path)
{
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    if (open_tmpfs(target_path, &target, /* err= */ NULL) < 0 || target.of_predecessor)
        return;
    if (volume_condition_of(&target) == VOLUME_WRITTEN)
        (void)set_root_mode(target.fd, ROOT_MODE_TAKEN);
    (void)volume_mount_set_writable(target.fd, false);
}
