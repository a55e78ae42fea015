/*
 * class_stamps.c - the files that a class was read from, as they were.
 */
#include "driver/class/class_stamps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* <linux/openat2.h>, from Linux 5.12 */
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342 /* <linux/magic.h>, from Linux 5.11 */
#endif

enum {
    WANTED = STATX_INO | STATX_SIZE | STATX_MTIME | STATX_CTIME,
    CACHED = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
    CACHED_TRIES = 3,
};

/* --- one file --- */

static bool stamp_of(int fd, const char *name, int flags, struct file_stamp *ret)
{
    struct statx info;

    if (statx(fd, name, flags, WANTED, &info) < 0 || (info.stx_mask & WANTED) != WANTED)
        return false;
    *ret = (struct file_stamp){
        .device = (uint64_t)info.stx_dev_major << 32 | info.stx_dev_minor,
        .inode = info.stx_ino,
        .size = info.stx_size,
        .modified_s = info.stx_mtime.tv_sec,
        .modified_ns = info.stx_mtime.tv_nsec,
        .changed_s = info.stx_ctime.tv_sec,
        .changed_ns = info.stx_ctime.tv_nsec,
    };
    return true;
}

static bool is_same(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_s == b->modified_s && a->modified_ns == b->modified_ns &&
           a->changed_s == b->changed_s && a->changed_ns == b->changed_ns;
}

/* A change from now on gets another time than the last one had. Nobody can set the time of a change
 * (ctime). */
static bool is_settled(const struct file_stamp *stamp)
{
    int64_t fresh_ms = stamp->changed_ns != 0 ? CLASS_STAMPS_FRESH_MS : CLASS_STAMPS_FRESH_SECONDS_MS;
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) < 0 || stamp->changed_s > now.tv_sec)
        return false;
    if (stamp->changed_s < now.tv_sec - CLASS_STAMPS_FRESH_SECONDS_MS / 1000)
        return true;
    return (now.tv_sec - stamp->changed_s) * 1000 + (now.tv_nsec - (int64_t)stamp->changed_ns) / 1000000 >
           fresh_ms;
}

/* --- taking them --- */

static bool is_local(int fd)
{
    static const long local[] = {TMPFS_MAGIC, RAMFS_MAGIC, EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                                 BTRFS_SUPER_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(local); i++)
        if ((long)fs.f_type == local[i])
            return true;
    return false;
}

void class_stamps_begin(struct class_stamps *stamps, int dir_fd)
{
    class_stamps_finish(stamps);
    stamps->complete = is_local(dir_fd) && stamp_of(dir_fd, "", AT_EMPTY_PATH, &stamps->directory) &&
                       is_settled(&stamps->directory);
}

void class_stamps_add(struct class_stamps *stamps, int dir_fd, const char *name)
{
    struct stamped_file *file = &stamps->files[stamps->n];

    if (!stamps->complete)
        return;
    /* A link may lead to another file system. */
    stamps->complete = stamps->n < CLASS_STAMPS_MAX && stamp_of(dir_fd, name, 0, &file->stamp) &&
                       file->stamp.device == stamps->directory.device && is_settled(&file->stamp) &&
                       file->stamp.size <= CLASS_STAMPS_BYTES_MAX - stamps->bytes &&
                       (file->name = strdup(name)) != NULL;
    if (!stamps->complete)
        return;
    stamps->bytes += file->stamp.size;
    stamps->n++;
}

void class_stamps_finish(struct class_stamps *stamps)
{
    for (size_t i = 0; i < stamps->n; i++)
        free(stamps->files[i].name);
    *stamps = (struct class_stamps){0};
}

/* --- comparing them --- */

/* A mount or a rename elsewhere at the same moment makes the kernel give up, too. */
static int open_cached(int dir_fd, const char *name)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    int fd = -1;

    for (int i = 0; i < CACHED_TRIES && fd < 0 && (i == 0 || errno == EAGAIN); i++)
        fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
    return fd;
}

static bool has_stamp(int fd, const struct file_stamp *stamp)
{
    struct file_stamp now;

    return fd >= 0 && stamp_of(fd, "", AT_EMPTY_PATH | CACHED, &now) && is_same(&now, stamp);
}

bool class_stamps_are_current(const struct class_stamps *stamps, const char *directory)
{
    cleanup_close int dir_fd = stamps->complete ? open_cached(AT_FDCWD, directory) : -1;

    if (!has_stamp(dir_fd, &stamps->directory))
        return false;
    for (size_t i = 0; i < stamps->n; i++) {
        cleanup_close int fd = open_cached(dir_fd, stamps->files[i].name);

        if (!has_stamp(fd, &stamps->files[i].stamp))
            return false;
    }
    return true;
}
