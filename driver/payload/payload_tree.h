/*
 * payload_tree.h - safe steps in a directory tree, all relative to a descriptor.
 *
 * Internal to the payload and volume modules. Paths are walked one component at a time with O_NOFOLLOW, so
 * that no symbolic link is ever followed and, the components having passed payload_check_path(), nothing
 * outside of the starting directory is ever reached. That is what
 * openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS) would do, without needing a second way for older kernels.
 *
 * Unless said otherwise functions return 0 or -1 with errno set; descriptors they return are O_CLOEXEC.
 */
#ifndef DRIVER_PAYLOAD_PAYLOAD_TREE_H
#define DRIVER_PAYLOAD_PAYLOAD_TREE_H

#include <dirent.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"

enum {
    PAYLOAD_TREE_DEPTH_MAX =
        128, /* directories below each other that a removal descends into (ELOOP beyond) */
    PAYLOAD_DIRECTORY_MODE = 0755,
};

/* Opens directory `name` in dir_fd for reading, not following a link. */
int payload_tree_open_dir(int dir_fd, const char *name);

/* The entries of a directory. As a DIR, without the three system calls and the memory that opendir() adds. */
struct payload_tree_list {
    int fd;         /* of the directory, for reading; -1: there are no entries */
    size_t at, len; /* in `entries` */
    alignas(struct dirent) char entries[2048];
};
#define PAYLOAD_TREE_LIST_INIT ((struct payload_tree_list){.fd = -1})

/* Of the directory behind `fd`, which the list takes over; -1: there are no entries. */
void payload_tree_list_init(struct payload_tree_list *list, int fd);

/* Lists dir_fd itself (may be O_PATH). On failure the list is empty. */
int payload_tree_list_open(struct payload_tree_list *list, int dir_fd);

/* The next entry but "." and ".."; NULL at the end. Valid until the next call. */
const struct dirent *payload_tree_next_entry(struct payload_tree_list *list);

/* Its name. */
const char *payload_tree_next(struct payload_tree_list *list);

/* Harmless on PAYLOAD_TREE_LIST_INIT and when repeated. */
void payload_tree_list_finish(struct payload_tree_list *list);
#define cleanup_payload_tree_list CLEANUP(payload_tree_list_finish)

/* Makes directory `name` in dir_fd (EEXIST if there is one), 0755 whatever the umask, with group `gid` unless
 * that is (gid_t)-1, and returns a descriptor of it. */
int payload_tree_make_dir(int dir_fd, const char *name, gid_t gid);

/* Opens the directory that holds the last component of `path`; *ret_name points to that component in
 * `path`. */
int payload_tree_open_parent(int dir_fd, const char *path, const char **ret_name);

/* As payload_tree_open_parent(), making directories that are missing. */
int payload_tree_make_parent(int dir_fd, const char *path, gid_t gid, const char **ret_name);

/* Puts `name` of from_fd in the place of the entry of this name in to_fd, at once, and the latter in the
 * place of the former; they may be of any kinds. EINVAL or ENOSYS where the file system or the kernel cannot.
 */
int payload_tree_exchange(int from_fd, int to_fd, const char *name);

/* Extended attributes of the directory behind fd, as fgetxattr(2), fsetxattr(2) and fremovexattr(2). O_PATH
 * is allowed, and costs two more system calls. */
ssize_t payload_tree_get_attribute(int fd, const char *name, void *value, size_t size);
int payload_tree_set_attribute(int fd, const char *name, const void *value, size_t len);
int payload_tree_remove_attribute(int fd, const char *name);

/* Number of entries in the tree that are not directories. */
ssize_t payload_tree_count_files(int dir_fd);

/* Removes `name` and, if it is a directory, everything in it; ENOENT is success. Mount points are not entered
 * (EBUSY) and links not followed. */
int payload_tree_remove(int dir_fd, const char *name);

/* Removes every entry of dir_fd; goes on after a failure and returns the first one. */
int payload_tree_empty(int dir_fd);

/* True when fd is the root of a mount; decided by statx() where the kernel has the attribute (5.8), else
 * by comparing with the mount id of parent_fd (/proc/self/fdinfo). */
bool payload_tree_is_mount(int fd, int parent_fd);

/* The same, of an fd of which statx() has returned *info. */
struct statx;
bool payload_tree_shows_mount(const struct statx *info, int fd, int parent_fd);

/* The kernel's id of the mount that fd (may be O_PATH) was opened on, as in /proc/self/mountinfo; -1 when it
 * is unknown. */
int64_t payload_tree_mount_id(int fd);

#endif
