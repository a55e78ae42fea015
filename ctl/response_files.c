/*
 * response_files.c - writes the files of a provider's response below a directory.
 */
#include "ctl/response_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* Returns whether `path` stays below the directory it is relative to. */
static bool is_safe_path(const char *path)
{
    if (*path == '\0' || *path == '/' || strlen(path) >= PATH_MAX)
        return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

/* Opens the directory of `path` and creates missing ones; never follows a link. *ret_name is the last
 * component. */
static int open_parent(int root_fd, const char *path, const char **ret_name, struct error **err)
{
    cleanup_close int dir_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    const char *slash;

    while (dir_fd >= 0 && (slash = strchr(path, '/')) != NULL) {
        char name[NAME_MAX + 1];
        int len = snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);

        if (len < 0 || (size_t)len >= sizeof(name))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a component of the path is too long");
        if (mkdirat(dir_fd, name, 0700) == -1 && errno != EEXIST)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "cannot create directory '%s'", name);

        int next = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(dir_fd);
        dir_fd = next;
        path = slash + 1;
    }
    if (dir_fd < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "cannot open the directory");
    *ret_name = path;
    return steal_fd(&dir_fd);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);

        if (written == -1 && errno != EINTR)
            return -1;
        if (written > 0) {
            bytes += written;
            len -= (size_t)written;
        }
    }
    return 0;
}

static int write_file(int root_fd, const V1alpha1__File *file, struct error **err)
{
    const char *name = "";

    if (!is_safe_path(file->path))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the provider sent the unsafe path '%s'",
                         file->path);
    cleanup_close int dir_fd = open_parent(root_fd, file->path, &name, err);
    if (dir_fd < 0)
        return error_wrap(err, "write '%s'", file->path);

    cleanup_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, file->contents.data, file->contents.len) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "write '%s'", file->path);
    return 0;
}

int response_files_write(const char *path, const V1alpha1__MountResponse *response, struct error **err)
{
    if (mkdir(path, 0700) == -1 && errno != EEXIST)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "cannot create '%s'", path);

    cleanup_close int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "cannot open '%s'", path);
    for (size_t i = 0; i < response->n_files; i++)
        if (write_file(root_fd, response->files[i], err) < 0)
            return error_wrap(err, "--out '%s'", path);
    return 0;
}
