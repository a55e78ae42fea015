/*
 * volume_mount.c - the mount calls behind volume.h: making a tmpfs, attaching it, writing to an attached one.
 */
#include "driver/volume/volume_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/base/decimal.h"
#include "driver/payload/payload_tree.h"
#include "driver/volume/mount_api.h"

enum {
    FD_PATH_MAX = 32,
    CLASSIC_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC,
    NEW_FLAGS = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
};

#define ROOT_MODE "0755"

/* mount(2) takes no descriptors, but it follows this link to exactly the directory that was opened. */
struct fd_path {
    char text[FD_PATH_MAX];
};

static struct fd_path fd_path(int fd)
{
    struct fd_path path;
    (void)snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

/* ENOSYS: an older kernel. EPERM at the first call: a seccomp filter that does not know it (the classic calls
 * then show whether it is a matter of privilege). */
static bool means_unsupported(int errnum)
{
    return errnum == ENOSYS || errnum == EPERM || errnum == EOPNOTSUPP;
}

static int fail(int errnum, const char *what, struct error **err)
{
    enum grpc_status code = GRPC_STATUS_INTERNAL;
    if (errnum == EPERM || errnum == EACCES)
        code = GRPC_STATUS_PERMISSION_DENIED;
    else if (errnum == ENOMEM || errnum == ENOSPC) /* ENOSPC: fs.mount-max */
        code = GRPC_STATUS_RESOURCE_EXHAUSTED;
    return error_set_errno(err, code, errnum, "%s", what);
}

static int unsupported(int errnum, const char *what, struct error **err)
{
    return error_set_errno(err, GRPC_STATUS_UNIMPLEMENTED, errnum, "%s", what);
}

/* --- the new mount API --- */

static int set_number(int fs_fd, const char *key, uint64_t value)
{
    char text[DECIMAL_MAX + 1];
    return fsconfig(fs_fd, FSCONFIG_SET_STRING, key, decimal_text(text, value), 0);
}

static int configure(int fs_fd, const struct volume_mount_spec *spec)
{
    if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", VOLUME_SOURCE, 0) < 0 ||
        fsconfig(fs_fd, FSCONFIG_SET_STRING, "mode", ROOT_MODE, 0) < 0 ||
        set_number(fs_fd, "size", spec->bytes) < 0 || set_number(fs_fd, "nr_inodes", spec->inodes) < 0)
        return -1;
    if (spec->gid != (gid_t)-1 && set_number(fs_fd, "gid", spec->gid) < 0)
        return -1;
    (void)fsconfig(fs_fd, FSCONFIG_SET_FLAG, "noswap", NULL,
                   0); /* before 6.4 unknown: then it may be swapped */
    return fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

static int prepare_detached(struct volume_mount *mount, const struct volume_mount_spec *spec,
                            struct error **err)
{
    /* The last call of this method that a kernel may lack comes first: a tmpfs that cannot be made read-only
     * before it is attached is not worth building. */
    struct mount_attr nothing = {0};
    if (mount_setattr(-1, "", AT_EMPTY_PATH, &nothing, sizeof(nothing)) < 0 && means_unsupported(errno))
        return unsupported(errno, "mount_setattr", err);
    cleanup_close int fs_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs_fd < 0)
        return means_unsupported(errno) ? unsupported(errno, "fsopen", err)
                                        : fail(errno, "fsopen tmpfs", err);
    if (configure(fs_fd, spec) < 0)
        return fail(errno, "configure tmpfs", err);
    mount->tree_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, NEW_FLAGS);
    return mount->tree_fd >= 0 ? 0 : fail(errno, "fsmount tmpfs", err);
}

static int attach_detached(const struct volume_mount *mount, const struct volume_target *target,
                           struct error **err)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    if (!mount->stays_writable &&
        mount_setattr(mount->tree_fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
        return fail(errno, "make tmpfs read-only", err);
    if (move_mount(mount->tree_fd, "", target->fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return fail(errno, "move tmpfs to the target", err);
    return 0;
}

/* --- mount(2) --- */

static int mount_tmpfs(const char *path, const struct volume_mount_spec *spec)
{
    char options[128];
    int len = snprintf(options, sizeof(options), "mode=" ROOT_MODE ",size=%" PRIu64 ",nr_inodes=%" PRIu64,
                       spec->bytes, spec->inodes);
    if (spec->gid != (gid_t)-1)
        (void)snprintf(options + len, sizeof(options) - (size_t)len, ",gid=%u", (unsigned)spec->gid);
    return mount(VOLUME_SOURCE, path, "tmpfs", CLASSIC_FLAGS, options);
}

static int remount_bind(int fd, unsigned long flags)
{
    return mount("none", fd_path(fd).text, "none", MS_REMOUNT | MS_BIND | CLASSIC_FLAGS | flags, NULL);
}

/* Makes an empty directory only root can enter. In /run or /tmp: never near the target, where a leftover
 * would keep the kubelet from removing the pod's directory. */
static int make_staging(char staging[VOLUME_STAGING_MAX])
{
    static const char *const templates[] = {"/run/secrets-store.XXXXXX", "/tmp/secrets-store.XXXXXX"};
    for (size_t i = 0; i < ARRAY_SIZE(templates); i++) {
        (void)snprintf(staging, VOLUME_STAGING_MAX, "%s", templates[i]);
        if (mkdtemp(staging) != NULL)
            return 0;
    }
    staging[0] = '\0';
    return -1;
}

static int open_root(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int mount_move(int from_fd, int to_fd)
{
    return mount(fd_path(from_fd).text, fd_path(to_fd).text, "none", MS_MOVE, NULL);
}

static int prepare_staged(struct volume_mount *mount, const struct volume_mount_spec *spec,
                          struct error **err)
{
    if (make_staging(mount->staging) < 0)
        return unsupported(errno, "make a staging directory in /run or /tmp", err);
    if (mount_tmpfs(mount->staging, spec) < 0)
        return fail(errno, "mount tmpfs", err);
    mount->tree_fd = open_root(mount->staging);
    return mount->tree_fd >= 0 ? 0 : fail(errno, "open the staged tmpfs", err);
}

static int attach_staged(struct volume_mount *mount, const struct volume_target *target, struct error **err)
{
    if (!mount->stays_writable && remount_bind(mount->tree_fd, MS_RDONLY) < 0)
        return fail(errno, "make tmpfs read-only", err);
    if (mount_move(mount->tree_fd, target->fd) < 0)
        return errno == EINVAL ? unsupported(errno, "move a mount from below a shared mount", err)
                               : fail(errno, "move tmpfs to the target", err);
    (void)rmdir(mount->staging); /* nothing is mounted on it any more */
    mount->staging[0] = '\0';
    return 0;
}

static int prepare_direct(struct volume_mount *mount, const struct volume_mount_spec *spec,
                          struct volume_target *target, struct error **err)
{
    if (mount_tmpfs(fd_path(target->fd).text, spec) < 0)
        return fail(errno, "mount tmpfs", err);
    mount->on_target = target;
    if (volume_target_inspect(target, err) < 0)
        return -1;
    if (target->kind != VOLUME_TARGET_TMPFS)
        return error_set(err, GRPC_STATUS_INTERNAL, "a tmpfs was mounted but is not visible on the target");
    mount->tree_fd = fcntl(target->fd, F_DUPFD_CLOEXEC, 0);
    return mount->tree_fd >= 0 ? 0 : fail(errno, "open the tmpfs", err);
}

static int attach_direct(struct volume_mount *mount, struct error **err)
{
    if (!mount->stays_writable && remount_bind(mount->tree_fd, MS_RDONLY) < 0)
        return fail(errno, "make tmpfs read-only", err);
    mount->on_target = NULL;
    return 0;
}

/* --- by any method --- */

int volume_mount_prepare(struct volume_mount *mount, enum mount_method method,
                         const struct volume_mount_spec *spec, struct volume_target *target,
                         struct error **err)
{
    int result;
    mount->method = method;
    switch (method) {
    case MOUNT_METHOD_DETACHED:
        result = prepare_detached(mount, spec, err);
        break;
    case MOUNT_METHOD_STAGED:
        result = prepare_staged(mount, spec, err);
        break;
    default:
        result = prepare_direct(mount, spec, target, err);
    }
    if (result < 0)
        return -1;
    mount->fd = payload_tree_open_dir(mount->tree_fd, ".");
    return mount->fd >= 0 ? 0 : fail(errno, "open the tmpfs", err);
}

int volume_mount_attach(struct volume_mount *mount, struct volume_target *target, struct error **err)
{
    switch (mount->method) {
    case MOUNT_METHOD_DETACHED:
        return attach_detached(mount, target, err);
    case MOUNT_METHOD_STAGED:
        return attach_staged(mount, target, err);
    default:
        return attach_direct(mount, err);
    }
}

static void leave_staging(char staging[VOLUME_STAGING_MAX])
{
    if (staging[0] == '\0')
        return;
    (void)umount2(staging, UMOUNT_NOFOLLOW | MNT_DETACH); /* EINVAL: nothing was mounted yet */
    (void)rmdir(staging);
    staging[0] = '\0';
}

void volume_mount_finish(struct volume_mount *mount)
{
    if (mount->fd >= 0)
        (void)close(steal_fd(&mount->fd));
    if (mount->tree_fd >= 0)
        (void)close(steal_fd(&mount->tree_fd)); /* a detached mount that was not attached ends here */
    leave_staging(mount->staging);
    if (mount->on_target != NULL) {
        (void)volume_target_unmount(mount->on_target,
                                    /* err= */ NULL); /* the caller has the failure before it */
        mount->on_target = NULL;
    }
}

/* --- write access to an attached tmpfs --- */

static int open_clone(struct volume_writable *writable, int fd, struct error **err)
{
    cleanup_close int clone = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (clone < 0)
        return means_unsupported(errno) ? unsupported(errno, "open_tree", err)
                                        : fail(errno, "clone the mount", err);
    struct mount_attr allow = {.attr_clr = MOUNT_ATTR_RDONLY};
    if (mount_setattr(clone, "", AT_EMPTY_PATH, &allow, sizeof(allow)) < 0)
        return means_unsupported(errno) ? unsupported(errno, "mount_setattr", err)
                                        : fail(errno, "make the clone writable", err);
    writable->tree_fd = steal_fd(&clone);
    return 0;
}

/* A writable bind mount in a staging directory; its descriptor. The caller leaves the staging directory, also
 * after a failure (-1 with errno). */
static int bind_staged(int fd, char staging[VOLUME_STAGING_MAX])
{
    if (mount(fd_path(fd).text, staging, "none", MS_BIND, NULL) < 0)
        return -1;
    cleanup_close int bound = open_root(staging);
    if (bound < 0 || remount_bind(bound, 0) < 0)
        return -1;
    return steal_fd(&bound);
}

/* The bind mount leaves the staging directory as soon as it is open: from then on only the descriptor keeps
 * it. */
static int open_bind(struct volume_writable *writable, int fd, struct error **err)
{
    char staging[VOLUME_STAGING_MAX];
    if (make_staging(staging) < 0)
        return unsupported(errno, "make a staging directory in /run or /tmp", err);
    int bound = bind_staged(fd, staging), errnum = errno;
    leave_staging(staging);
    if (bound < 0)
        return fail(errnum, "make a writable bind mount", err);
    writable->tree_fd = bound;
    return 0;
}

static int open_in_place(struct volume_writable *writable, int fd, struct error **err)
{
    struct statvfs fs;
    cleanup_close int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0 || fstatvfs(copy, &fs) < 0)
        return fail(errno, "inspect the mount", err);
    if ((fs.f_flag & ST_RDONLY) != 0) {
        if (remount_bind(copy, 0) < 0)
            return fail(errno, "make the mount writable", err);
        writable->in_place = true;
    }
    writable->tree_fd = steal_fd(&copy);
    return 0;
}

int volume_writable_open(struct volume_writable *writable, enum mount_method method, int fd,
                         struct error **err)
{
    int result;
    *writable = VOLUME_WRITABLE_INIT;
    switch (method) {
    case MOUNT_METHOD_DETACHED:
        result = open_clone(writable, fd, err);
        break;
    case MOUNT_METHOD_STAGED:
        result = open_bind(writable, fd, err);
        break;
    default:
        result = open_in_place(writable, fd, err);
    }
    if (result < 0)
        return -1;
    writable->fd = payload_tree_open_dir(writable->tree_fd, ".");
    if (writable->fd >= 0)
        return 0;
    (void)fail(errno, "open the tmpfs", err);
    volume_writable_finish(writable);
    return -1;
}

void volume_writable_finish(struct volume_writable *writable)
{
    if (writable->fd >= 0)
        (void)close(steal_fd(&writable->fd));
    if (writable->tree_fd < 0)
        return;
    if (writable->in_place)
        (void)remount_bind(writable->tree_fd, MS_RDONLY); /* refused only while a file is open for writing */
    (void)close(steal_fd(&writable->tree_fd));
    writable->in_place = false;
}

int volume_mount_set_writable(int fd, bool writable)
{
    struct mount_attr change = {.attr_set = NEW_FLAGS | (writable ? 0 : MOUNT_ATTR_RDONLY),
                                .attr_clr = writable ? MOUNT_ATTR_RDONLY : 0};
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &change, sizeof(change)) == 0)
        return 0;
    if (!means_unsupported(errno))
        return -1;
    return remount_bind(fd, writable ? 0 : MS_RDONLY);
}

/* --- limits --- */

static int reconfigure(int fd, uint64_t bytes, uint64_t inodes, bool noswap)
{
    cleanup_close int fs_fd = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    if (fs_fd < 0)
        return -1;
    if (set_number(fs_fd, "size", bytes) < 0 || set_number(fs_fd, "nr_inodes", inodes) < 0)
        return -1;
    if (noswap && fsconfig(fs_fd, FSCONFIG_SET_FLAG, "noswap", NULL, 0) < 0)
        return -1;
    return fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
}

/* Sets the flags of this mount, too, so it must be one that may be writable. */
static int remount(int fd, uint64_t bytes, uint64_t inodes, bool noswap)
{
    char options[96];
    (void)snprintf(options, sizeof(options), "size=%" PRIu64 ",nr_inodes=%" PRIu64 "%s", bytes, inodes,
                   noswap ? ",noswap" : "");
    return mount("none", fd_path(fd).text, "none", MS_REMOUNT | CLASSIC_FLAGS, options);
}

static int resize(int fd, enum mount_method method, uint64_t bytes, uint64_t inodes)
{
    /* A tmpfs made with noswap needs the option again, one made without it refuses it: try both. */
    int (*set)(int, uint64_t, uint64_t, bool) = method == MOUNT_METHOD_DETACHED ? reconfigure : remount;
    return set(fd, bytes, inodes, /* noswap= */ true) == 0 ? 0 : set(fd, bytes, inodes, /* noswap= */ false);
}

int volume_mount_resize(int fd, enum mount_method method, uint64_t bytes, uint64_t inodes)
{
    if (method != MOUNT_METHOD_STAGED)
        return resize(fd, method, bytes, inodes);
    char staging[VOLUME_STAGING_MAX]; /* mount(2) remounts only what is mounted somewhere */
    if (make_staging(staging) < 0)
        return -1;
    cleanup_close int bound = bind_staged(fd, staging);
    int result = bound < 0 ? -1 : resize(bound, method, bytes, inodes), errnum = errno;
    leave_staging(staging);
    errno = errnum;
    return result;
}
