/*
 * volume_target.c - what is at a CSI target path.
 */
#include "driver/volume/volume_target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/decimal.h"
#include "common/base/uninitialized.h"
#include "driver/payload/payload_tree.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume_owner.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* <linux/openat2.h>, from Linux 5.12 */
#endif

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

static int open_following_links(char *parent, enum volume_target_flags flags)
{
    /* Not open(): musl's sets O_CLOEXEC with another system call again. */
    int fd = openat(AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || (flags & VOLUME_TARGET_MAKE_PARENTS) == 0)
        return fd;
    if (make_directories(parent) < 0)
        return -1;
    return openat(AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Where the kernel lacks openat2(), or directories have to be made: one component at a time. */
static int walk_without_links(int dir_fd, char *path, enum volume_target_flags flags)
{
    cleanup_close int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    char *rest = NULL;
    for (const char *name = strtok_r(path, "/", &rest); name != NULL && at >= 0;
         name = strtok_r(NULL, "/", &rest)) {
        if ((flags & VOLUME_TARGET_MAKE_PARENTS) != 0 && mkdirat(at, name, PARENT_MODE) < 0 &&
            errno != EEXIST)
            return -1;
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(at);
        at = next;
    }
    return steal_fd(&at);
}

static int open_resolved(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

/* Links below dir_fd are refused with ELOOP or ENOTDIR. `path` is changed. */
static int open_without_links(int dir_fd, char *path, enum volume_target_flags flags)
{
    int fd = open_resolved(dir_fd, path, O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
    bool missing = fd < 0 && errno == ENOENT && (flags & VOLUME_TARGET_MAKE_PARENTS) != 0;
    bool unsupported = fd < 0 && (errno == ENOSYS || errno == EPERM); /* EPERM: a seccomp filter */
    return missing || unsupported ? walk_without_links(dir_fd, path, flags) : fd;
}

/* `parent` is changed; `pods_len`: 0 = the path is not of the kubelet's shape. */
static int open_parent(char *parent, size_t pods_len, enum volume_target_flags flags)
{
    if (pods_len == 0)
        return open_following_links(parent, flags);
    /* Mostly no link leads to the directory of the pods either. */
    int fd = open_resolved(AT_FDCWD, parent, O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    if (fd >= 0)
        return fd;
    char *below = parent + pods_len;
    below[0] = '\0';
    cleanup_close int pods = open_following_links(parent, flags);
    if (pods < 0)
        return -1;
    for (below++; *below == '/';)
        below++;
    return open_without_links(pods, below, flags);
}

/* As open_parent() of a kubelet's path, where the kernel has all directories in memory. */
static int open_parent_cached(char *parent, size_t pods_len)
{
    int fd = open_resolved(AT_FDCWD, parent, O_DIRECTORY, RESOLVE_CACHED | RESOLVE_NO_SYMLINKS);
    if (fd >= 0 || errno != ELOOP)
        return fd;
    char *below = parent + pods_len;
    *below++ = '\0';
    cleanup_close int pods_fd = open_resolved(AT_FDCWD, parent, O_DIRECTORY, RESOLVE_CACHED);
    if (pods_fd < 0)
        return -1;
    below += strspn(below, "/");
    return open_resolved(pods_fd, below, O_DIRECTORY, RESOLVE_CACHED | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
}

bool volume_target_is_surely_absent(const char *path)
{
    UNINITIALIZED char parent[PATH_MAX];
    struct target_path kubelet_path;
    struct volume_target target = {.path = path};
    if (!target_path_parse(path, &kubelet_path) || split_path(&target, parent, /* err= */ NULL) < 0)
        return false;
    cleanup_close int parent_fd = open_parent_cached(parent, kubelet_path.pods_len);
    if (parent_fd < 0)
        return false;
    cleanup_close int fd = open_resolved(parent_fd, target.name, O_NOFOLLOW,
                                         RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
    return fd < 0 && errno == ENOENT;
}

static int refuse_parent(const struct volume_target *target, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "'%s' leads through a link, or through something that is no directory", target->path);
}

int volume_target_open(const char *path, enum volume_target_flags flags, struct volume_target *ret,
                       struct error **err)
{
    UNINITIALIZED char parent[PATH_MAX];
    struct target_path kubelet_path;
    cleanup_volume_target struct volume_target target = VOLUME_TARGET_INIT;
    target.path = path;
    if (split_path(&target, parent, err) < 0)
        return -1;
    target.of_kubelet = target_path_parse(path, &kubelet_path);
    target.parent_fd = open_parent(parent, target.of_kubelet ? kubelet_path.pods_len : 0, flags);
    if (target.parent_fd < 0 && target.of_kubelet && (errno == ELOOP || errno == ENOTDIR))
        return refuse_parent(&target, err);
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

/* Sets *fd to the root, open for reading, if it is a tmpfs: its attributes are needed. */
static int classify_mount(struct volume_target *target, int *fd, struct error **err)
{
    static const enum volume_target_kind kinds[] = {[VOLUME_OWNER_DRIVER] = VOLUME_TARGET_TMPFS,
                                                    [VOLUME_OWNER_PREDECESSOR] = VOLUME_TARGET_TMPFS,
                                                    [VOLUME_OWNER_OTHER] = VOLUME_TARGET_FOREIGN,
                                                    [VOLUME_OWNER_COVERING] = VOLUME_TARGET_COVERED};
    struct statfs fs;
    enum volume_owner owner = VOLUME_OWNER_OTHER;
    if (fstatfs(*fd, &fs) < 0) {
        if (!means_corrupt(errno))
            return fail(target, errno, "inspect", err);
        target->kind = VOLUME_TARGET_CORRUPT;
        return 0;
    }
    if (fs.f_type == TMPFS_MAGIC) {
        int root = payload_tree_open_dir(*fd, ".");
        if (root < 0)
            return fail(target, errno, "inspect", err);
        (void)close(*fd);
        *fd = root;
    }
    if (volume_owner_find(*fd, target->path, fs.f_type == TMPFS_MAGIC, &owner, err) < 0)
        return error_wrap(err, "inspect '%s'", target->path);
    target->kind = kinds[owner];
    target->of_predecessor = owner == VOLUME_OWNER_PREDECESSOR;
    target->writable = (fs.f_flags & ST_RDONLY) == 0;
    return 0;
}

static int classify(struct volume_target *target, int *fd, struct error **err)
{
    struct statx info;
    if (statx(*fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &info) < 0) {
        if (!means_corrupt(errno))
            return fail(target, errno, "inspect", err);
        target->kind = VOLUME_TARGET_CORRUPT;
        return 0;
    }
    if (!S_ISDIR(info.stx_mode)) {
        target->kind = VOLUME_TARGET_FOREIGN;
        return 0;
    }
    if (!payload_tree_shows_mount(&info, *fd, target->parent_fd)) {
        target->kind = VOLUME_TARGET_DIRECTORY;
        return 0;
    }
    return classify_mount(target, fd, err);
}

int volume_target_inspect(struct volume_target *target, struct error **err)
{
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd));
    target->kind = VOLUME_TARGET_ABSENT;
    target->of_predecessor = target->writable = false;
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
    if (classify(target, &fd, err) < 0)
        return -1;
    if (target->kind == VOLUME_TARGET_DIRECTORY || target->kind == VOLUME_TARGET_TMPFS)
        target->fd = steal_fd(&fd);
    return 0;
}

static int unmount(struct volume_target *target, struct error **err)
{
    UNINITIALIZED char path[64 + NAME_MAX];
    static const char directories[] = "/proc/self/fd/";
    char number[DECIMAL_MAX + 1];
    char *end = stpcpy(stpcpy(path, directories), decimal_text(number, (uint64_t)target->parent_fd));
    (void)stpcpy(stpcpy(end, "/"), target->name);
    bool lazy = target->kind == VOLUME_TARGET_CORRUPT; /* a clean unmount might wait for the lost server */
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd)); /* which would keep the mount busy */
    int done = umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
    if (done < 0 && errno == EBUSY)
        done = umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
    if (done < 0 && errno != EINVAL && errno != ENOENT) /* EINVAL: not a mount point (any more) */
        return fail(target, errno, "unmount", err);
    return 0;
}

int volume_target_unmount(struct volume_target *target, struct error **err)
{
    return unmount(target, err) < 0 ? -1 : volume_target_inspect(target, err);
}

int volume_target_unmount_and_remove(struct volume_target *target, struct error **err)
{
    if (unmount(target, err) < 0)
        return -1;
    if (unlinkat(target->parent_fd, target->name, AT_REMOVEDIR) < 0)
        return volume_target_inspect(target, err);
    target->kind = VOLUME_TARGET_ABSENT;
    return 0;
}

void volume_target_finish(struct volume_target *target)
{
    if (target->fd >= 0)
        (void)close(steal_fd(&target->fd));
    if (target->parent_fd >= 0)
        (void)close(steal_fd(&target->parent_fd));
}
