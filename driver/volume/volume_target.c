/*
 * volume_target.c - what is at a CSI target path.
 */
#include "driver/volume/volume_target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "driver/payload/payload_tree.h"

enum { PARENT_MODE = 0750 };

static int fail(const struct volume_target *target, int errnum, const char *what, struct error **err)
{
    bool denied = errnum == EACCES || errnum == EPERM;
    return error_set_errno(err, denied ? GRPC_STATUS_PERMISSION_DENIED : GRPC_STATUS_INTERNAL, errnum,
                           "%s '%s'", what, target->path);
}

/* Splits into parent (in `parent`, PATH_MAX bytes) and target->name. */
static int split_path(struct volume_target *target, char *parent, struct error **err)
{
    const char *path = target->path;
    size_t len = strnlen(path, PATH_MAX);
    if (len == PATH_MAX || path[0] != '/')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "target path is %s",
                         len == PATH_MAX ? "too long" : "not absolute");
    while (len > 1 && path[len - 1] == '/')
        len--;
    memcpy(parent, path, len);
    parent[len] = '\0';
    for (const char *component = parent + 1; component != NULL;) {
        size_t n = strcspn(component, "/");
        if ((n == 1 && component[0] == '.') || (n == 2 && memcmp(component, "..", 2) == 0))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "target path '%s' contains '.' or '..'",
                             path);
        component = component[n] == '/' ? component + n + 1 : NULL;
    }
    char *slash = strrchr(parent, '/');
    size_t name_len = strlen(slash + 1);
    if (name_len == 0 || name_len > NAME_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "target path '%s' has no usable last component",
                         path);
    memcpy(target->name, slash + 1, name_len + 1);
    slash[slash == parent ? 1 : 0] = '\0';
    return 0;
}

static int make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        int made = mkdir(path, PARENT_MODE);
        if (made < 0 && errno != EEXIST)
            return -1;
        if (slash == NULL)
            return 0;
        *slash = '/';
    }
}

static int open_parent(char *parent, enum volume_target_flags flags)
{
    int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || (flags & VOLUME_TARGET_MAKE_PARENTS) == 0)
        return fd;
    if (make_directories(parent) < 0)
        return -1;
    return open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int volume_target_open(const char *path, enum volume_target_flags flags, struct volume_target *ret,
                       struct error **err)
{
    char parent[PATH_MAX];
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    target.path = path;
    if (split_path(&target, parent, err) < 0)
        return -1;
    target.parent_fd = open_parent(parent, flags);
    if (target.parent_fd < 0 && (errno != ENOENT || (flags & VOLUME_TARGET_MAKE_PARENTS) != 0))
        return fail(&target, errno, "open the directory that holds", err);
    if (volume_target_inspect(&target, err) < 0)
        return -1;
    *ret = target;
    target = VOLUME_TARGET_INIT;
    return 0;
}

/* The error of stat() on a mount without its server or FUSE process. */
static bool means_corrupt(int errnum)
{
    return errnum == ENOTCONN || errnum == ESTALE || errnum == EIO || errnum == EACCES ||
           errnum == EHOSTDOWN || errnum == ETIMEDOUT;
}

static int classify(const struct volume_target *target, int fd, enum volume_target_kind *ret_kind,
                    struct error **err)
{
    struct statx info;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &info) < 0) {
        if (!means_corrupt(errno))
            return fail(target, errno, "inspect", err);
        *ret_kind = VOLUME_TARGET_CORRUPT;
        return 0;
    }
    if (!S_ISDIR(info.stx_mode)) {
        *ret_kind = VOLUME_TARGET_FOREIGN;
        return 0;
    }
    if (!payload_tree_is_mount(fd, target->parent_fd)) {
        *ret_kind = VOLUME_TARGET_DIRECTORY;
        return 0;
    }
    struct statfs fs;
    if (fstatfs(fd, &fs) == 0)
        *ret_kind = fs.f_type == TMPFS_MAGIC ? VOLUME_TARGET_TMPFS : VOLUME_TARGET_FOREIGN;
    else if (means_corrupt(errno))
        *ret_kind = VOLUME_TARGET_CORRUPT;
    else
        return fail(target, errno, "inspect", err);
    return 0;
}

int volume_target_inspect(struct volume_target *target, struct error **err)
{
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd));
    target->kind = VOLUME_TARGET_ABSENT;
    if (target->parent_fd < 0)
        return 0;
    cleanup_close int fd = openat(target->parent_fd, target->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            return 0;
        if (!means_corrupt(errno))
            return fail(target, errno, "open", err);
        target->kind = VOLUME_TARGET_CORRUPT;
        return 0;
    }
    if (classify(target, fd, &target->kind, err) < 0)
        return -1;
    if (target->kind == VOLUME_TARGET_DIRECTORY || target->kind == VOLUME_TARGET_TMPFS)
        target->fd = steal_fd(&fd);
    return 0;
}

int volume_target_unmount(struct volume_target *target, struct error **err)
{
    char path[64 + NAME_MAX];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", target->parent_fd, target->name);
    bool lazy = target->kind == VOLUME_TARGET_CORRUPT; /* a clean unmount might wait for the lost server */
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd)); /* which would keep the mount busy */
    int done = umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
    if (done < 0 && errno == EBUSY)
        done = umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
    if (done < 0 && errno != EINVAL && errno != ENOENT) /* EINVAL: not a mount point (any more) */
        return fail(target, errno, "unmount", err);
    return volume_target_inspect(target, err);
}

void volume_target_finish(struct volume_target *target)
{
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd));
    if (target->parent_fd >= 0)
        (void)close(steal_fd(&target->parent_fd));
}
