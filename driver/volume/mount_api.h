/*
 * mount_api.h - <sys/mount.h> with the calls that Linux got in 5.2 and 5.12: fsopen(), fspick(), fsconfig(),
 * fsmount(), move_mount(), open_tree(), mount_setattr(). glibc has wrappers since 2.36, musl 1.2.5 has none.
 */
#ifndef DRIVER_VOLUME_MOUNT_API_H
#define DRIVER_VOLUME_MOUNT_API_H

#include <sys/mount.h>

#ifndef FSOPEN_CLOEXEC
#include <linux/mount.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int fsopen(const char *type, unsigned flags)
{
    return (int)syscall(SYS_fsopen, type, flags);
}

static inline int fspick(int dir_fd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_fspick, dir_fd, path, flags);
}

static inline int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
    return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int fsmount(int fd, unsigned flags, unsigned attributes)
{
    return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

static inline int move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

static inline int open_tree(int dir_fd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

static inline int mount_setattr(int dir_fd, const char *path, unsigned flags, struct mount_attr *attributes,
                                size_t size)
{
    return (int)syscall(SYS_mount_setattr, dir_fd, path, flags, attributes, size);
}
#endif

#endif
