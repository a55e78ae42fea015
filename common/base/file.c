/*
 * file.c - reading small files whole and bounded.
 */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { READ_CHUNK = 16 * 1024 }; /* for files of unknown size, such as those in /proc */

static enum grpc_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return GRPC_STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
        return GRPC_STATUS_PERMISSION_DENIED;
    default:
        return GRPC_STATUS_INTERNAL;
    }
}

static int fail_errno(const char *path, const char *operation, struct error **err)
{
    int errnum = errno;
    return error_set_errno(err, status_of_errno(errnum), errnum, "%s %s", operation, path);
}

/* read(2) that does not stop at signals. */
static ssize_t read_some(int fd, void *data, size_t len)
{
    ssize_t n = 0;
    do {
        n = read(fd, data, len);
    } while (n == -1 && errno == EINTR);
    return n;
}

/* Reads to the end of the file straight into the buffer, so that no second copy of a token lies around. */
static int read_all(int fd, const char *path, size_t size_hint, struct buffer *out, struct error **err)
{
    size_t chunk = size_hint > 0 ? size_hint : READ_CHUNK;
    for (;;) {
        size_t left = out->ceiling - out->len;
        uint8_t beyond = 0;
        if (left > 0 && buffer_reserve(out, chunk < left ? chunk : left, err) < 0)
            return error_wrap(err, "read %s", path);
        ssize_t n = left > 0 ? read_some(fd, out->data + out->len, chunk < left ? chunk : left)
                             : read_some(fd, &beyond, 1);
        if (n == -1)
            return fail_errno(path, "read", err);
        if (n == 0)
            return 0;
        if (left == 0)
            return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "read %s: larger than %zu bytes", path,
                             out->ceiling);
        out->len += (size_t)n;
        out->data[out->len] = 0;
        chunk = READ_CHUNK;
    }
}

int file_read_at(int dir_fd, const char *path, size_t max_len, struct buffer *out, struct error **err)
{
    buffer_reset(out);
    out->ceiling = max_len;

    /* O_NONBLOCK: a FIFO in the place of the file must not stop the loop; regular files ignore it. */
    cleanup_close int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1)
        return fail_errno(path, "open", err);
    struct stat st;
    if (fstat(fd, &st) == -1)
        return fail_errno(path, "stat", err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, GRPC_STATUS_INTERNAL, "read %s: not a regular file", path);
    if (st.st_size > 0 && (uintmax_t)st.st_size > max_len)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "read %s: larger than %zu bytes", path,
                         max_len);

    if (read_all(fd, path, st.st_size > 0 ? (size_t)st.st_size : 0, out, err) < 0) {
        buffer_reset(out);
        return -1;
    }
    return 0;
}

int file_read(const char *path, size_t max_len, struct buffer *out, struct error **err)
{
    return file_read_at(AT_FDCWD, path, max_len, out, err);
}
