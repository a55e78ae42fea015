/*
 * payload_plain.c - files that a provider has written itself, without `..data`.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/payload/payload.h"
#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"

bool payload_has_plain_files(int root_fd)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    (void)payload_tree_list_open(&list, root_fd);
    while ((name = payload_tree_next(&list)) != NULL)
        if (!payload_version_is_internal(name))
            return true;
    return false;
}

static int set_group(int fd, const struct stat *info, gid_t gid)
{
    mode_t mode = info->st_mode & 07777, group_mode = mode;
    if (gid == (gid_t)-1)
        return 0;
    if (S_ISREG(info->st_mode) && (mode & S_IRUSR) != 0)
        group_mode |= S_IRGRP;
    if (info->st_gid != gid && fchown(fd, (uid_t)-1, gid) < 0)
        return -1;
    return group_mode == mode ? 0 : fchmod(fd, group_mode);
}

static int count_directory(int dir_fd, gid_t gid, unsigned depth, struct payload_plain *plain);

static int count_entry(int dir_fd, const char *name, gid_t gid, unsigned depth, struct payload_plain *plain)
{
    struct stat info;
    cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP || errno == ENOENT ? 0 : -1; /* a link; a file that its provider has moved */
    if (fstat(fd, &info) < 0 || set_group(fd, &info, gid) < 0)
        return -1;
    if (S_ISDIR(info.st_mode))
        return count_directory(fd, gid, depth + 1, plain);
    if (S_ISREG(info.st_mode)) {
        plain->files++;
        plain->bytes += (uint64_t)info.st_size;
    }
    return 0;
}

static int count_directory(int dir_fd, gid_t gid, unsigned depth, struct payload_plain *plain)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    if (payload_tree_list_open(&list, dir_fd) < 0)
        return -1;
    if (depth > PAYLOAD_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    while ((name = payload_tree_next(&list)) != NULL)
        if (!(depth == 0 && payload_version_is_internal(name)) &&
            count_entry(list.fd, name, gid, depth, plain) < 0)
            return -1;
    return 0;
}

int payload_count_plain(int root_fd, gid_t gid, struct payload_plain *ret, struct error **err)
{
    struct payload_plain plain = {0};
    if (count_directory(root_fd, gid, 0, &plain) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "examine the files that the provider wrote");
    *ret = plain;
    return 0;
}
