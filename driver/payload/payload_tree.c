/*
 * payload_tree.c - safe steps in a directory tree, all relative to a descriptor.
 */
#include "driver/payload/payload_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/uninitialized.h"
#include "driver/payload/payload.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x00002000 /* <linux/stat.h>, from Linux 5.8; musl 1.2.5 does not have it */
#endif

enum {
    EXCHANGE = 1 << 1
}; /* RENAME_EXCHANGE of <linux/fs.h>, which does not go together with <sys/mount.h> */

int payload_tree_open_dir(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void payload_tree_list_init(struct payload_tree_list *list, int fd)
{
    list->fd = fd;
    list->at = list->len = 0;
}

int payload_tree_list_open(struct payload_tree_list *list, int dir_fd)
{
    payload_tree_list_init(list, payload_tree_open_dir(dir_fd, "."));
    return list->fd < 0 ? -1 : 0;
}

const struct dirent *payload_tree_next_entry(struct payload_tree_list *list)
{
    for (;;) {
        if (list->at == list->len) {
            long n =
                list->fd < 0 ? 0 : syscall(SYS_getdents64, list->fd, list->entries, sizeof(list->entries));
            if (n <= 0)
                return NULL;
            list->at = 0;
            list->len = (size_t)n;
        }
        /* With 64-bit offsets it has the layout of the kernel's. */
        const struct dirent *entry = (const struct dirent *)(const void *)(list->entries + list->at);
        list->at += entry->d_reclen;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry;
    }
}

const char *payload_tree_next(struct payload_tree_list *list)
{
    const struct dirent *entry = payload_tree_next_entry(list);
    return entry != NULL ? entry->d_name : NULL;
}

void payload_tree_list_finish(struct payload_tree_list *list)
{
    if (list->fd >= 0)
        (void)close(steal_fd(&list->fd));
}

int payload_tree_make_dir(int dir_fd, const char *name, gid_t gid)
{
    if (mkdirat(dir_fd, name, S_IRWXU) < 0)
        return -1;
    cleanup_close int fd = payload_tree_open_dir(dir_fd, name);
    if (fd < 0)
        return -1;
    if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid) < 0)
        return -1;
    if (fchmod(fd, PAYLOAD_DIRECTORY_MODE) < 0)
        return -1;
    return steal_fd(&fd);
}

int payload_tree_exchange(int from_fd, int to_fd, const char *name)
{
    return (int)syscall(SYS_renameat2, from_fd, name, to_fd, name, EXCHANGE); /* musl has no renameat2() */
}

enum missing { MISSING_FAILS, MISSING_IS_MADE };

static int walk_to_parent(int dir_fd, const char *path, enum missing missing, gid_t gid,
                          const char **ret_name)
{
    cleanup_close int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (at < 0)
        return -1;
    for (;;) {
        size_t len = strcspn(path, "/");
        if (path[len] == '\0') {
            *ret_name = path;
            return steal_fd(&at);
        }
        if (len > PAYLOAD_COMPONENT_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        char component[PAYLOAD_COMPONENT_MAX + 1];
        memcpy(component, path, len);
        component[len] = '\0';
        int next = payload_tree_open_dir(at, component);
        if (next < 0 && errno == ENOENT && missing == MISSING_IS_MADE)
            next = payload_tree_make_dir(at, component, gid);
        if (next < 0)
            return -1;
        (void)close(at);
        at = next;
        path += len + 1;
    }
}

int payload_tree_open_parent(int dir_fd, const char *path, const char **ret_name)
{
    return walk_to_parent(dir_fd, path, MISSING_FAILS, (gid_t)-1, ret_name);
}

int payload_tree_make_parent(int dir_fd, const char *path, gid_t gid, const char **ret_name)
{
    return walk_to_parent(dir_fd, path, MISSING_IS_MADE, gid, ret_name);
}

/* --- attributes --- */

/* EBADF: O_PATH. A path in /proc would do for it as well, at several times the cost. */
static bool is_path_only(long result)
{
    return result < 0 && errno == EBADF;
}

ssize_t payload_tree_get_attribute(int fd, const char *name, void *value, size_t size)
{
    ssize_t len = fgetxattr(fd, name, value, size);
    if (!is_path_only(len))
        return len;
    cleanup_close int dir_fd = payload_tree_open_dir(fd, ".");
    return dir_fd < 0 ? -1 : fgetxattr(dir_fd, name, value, size);
}

int payload_tree_set_attribute(int fd, const char *name, const void *value, size_t len)
{
    int result = fsetxattr(fd, name, value, len, 0);
    if (!is_path_only(result))
        return result;
    cleanup_close int dir_fd = payload_tree_open_dir(fd, ".");
    return dir_fd < 0 ? -1 : fsetxattr(dir_fd, name, value, len, 0);
}

int payload_tree_remove_attribute(int fd, const char *name)
{
    int result = fremovexattr(fd, name);
    if (!is_path_only(result))
        return result;
    cleanup_close int dir_fd = payload_tree_open_dir(fd, ".");
    return dir_fd < 0 ? -1 : fremovexattr(dir_fd, name);
}

/* --- counting and removing --- */

/* Opens `name` if it is a directory: the descriptor, or -1 with *ret_other telling that it is something
 * else. */
static int open_if_directory(int dir_fd, const char *name, bool *ret_other)
{
    int fd = payload_tree_open_dir(dir_fd, name);
    *ret_other = fd < 0 && (errno == ENOTDIR || errno == ELOOP);
    return fd;
}

static ssize_t count_files(int dir_fd, unsigned depth)
{
    if (depth > PAYLOAD_TREE_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    if (payload_tree_list_open(&list, dir_fd) < 0)
        return -1;
    ssize_t n = 0;
    const char *name = NULL;
    while ((name = payload_tree_next(&list)) != NULL) {
        bool other = false;
        cleanup_close int fd = open_if_directory(list.fd, name, &other);
        ssize_t below = other ? 1 : fd < 0 ? -1 : count_files(fd, depth + 1);
        if (below < 0)
            return -1;
        n += below;
    }
    return n;
}

ssize_t payload_tree_count_files(int dir_fd)
{
    return count_files(dir_fd, 0);
}

static int remove_entry(int dir_fd, const char *name, unsigned char type, unsigned depth);

static int remove_entries(struct payload_tree_list *list, unsigned depth)
{
    int failure = 0;
    const struct dirent *entry = NULL;
    while ((entry = payload_tree_next_entry(list)) != NULL) {
        if (remove_entry(list->fd, entry->d_name, entry->d_type, depth) < 0 && failure == 0)
            failure = errno;
    }
    errno = failure;
    return failure == 0 ? 0 : -1;
}

/* `type`: DT_UNKNOWN unless a list tells it. */
static int remove_entry(int dir_fd, const char *name, unsigned char type, unsigned depth)
{
    if (type != DT_DIR) {
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
            return 0;
        if (errno != EISDIR && errno != EPERM) /* EPERM is what POSIX asks for; Linux says EISDIR */
            return -1;
    }
    if (depth >= PAYLOAD_TREE_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    cleanup_payload_tree_list UNINITIALIZED struct payload_tree_list list;
    payload_tree_list_init(&list, payload_tree_open_dir(dir_fd, name));
    if (list.fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (payload_tree_is_mount(list.fd, dir_fd)) {
        errno = EBUSY;
        return -1;
    }
    if (remove_entries(&list, depth + 1) < 0)
        return -1;
    return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int payload_tree_remove(int dir_fd, const char *name)
{
    return remove_entry(dir_fd, name, DT_UNKNOWN, 0);
}

int payload_tree_empty(int dir_fd)
{
    cleanup_payload_tree_list UNINITIALIZED struct payload_tree_list list;
    return payload_tree_list_open(&list, dir_fd) < 0 ? -1 : remove_entries(&list, 0);
}

int64_t payload_tree_mount_id(int fd)
{
    static const char key[] = "mnt_id:";
    char path[64], line[128];
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    cleanup_file FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            return strtoll(line + sizeof(key) - 1, /* endptr= */ NULL, 10); /* the kernel writes a number */
    }
    return -1;
}

bool payload_tree_is_mount(int fd, int parent_fd)
{
    struct statx info;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &info) < 0)
        info.stx_attributes_mask = 0;
    return payload_tree_shows_mount(&info, fd, parent_fd);
}

bool payload_tree_shows_mount(const struct statx *info, int fd, int parent_fd)
{
    if ((info->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
        return (info->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    int64_t own = payload_tree_mount_id(fd), parents = payload_tree_mount_id(parent_fd);
    if (own >= 0 && parents >= 0)
        return own != parents;
    struct stat own_stat, parent_stat; /* no /proc: misses only a bind mount within one file system */
    return fstat(fd, &own_stat) == 0 && fstat(parent_fd, &parent_stat) == 0 &&
           own_stat.st_dev != parent_stat.st_dev;
}
