/*
 * payload_read.c - the published files of a directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/payload/payload.h"
#include "driver/payload/payload_in_place.h"
#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"

enum { READ_TRIES = 3 }; /* of files in place; each is rewritten at most once per rotation check */

bool payload_is_complete(int root_fd)
{
    if (payload_in_place_is_writing(root_fd))
        return false;
    cleanup_close int version_fd = payload_version_open_current(root_fd);
    if (version_fd < 0)
        return payload_in_place_version(root_fd).text[0] != '\0';
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    if (payload_tree_list_open(&list, version_fd) < 0)
        return false;
    const char *name = NULL;
    while ((name = payload_tree_next(&list)) != NULL) {
        if (!payload_version_link_is_right(root_fd, name))
            return false;
    }
    return true;
}

struct reader {
    struct payload *payload;
    bool plain; /* names that start with ".." in the first directory are not read */
    size_t bytes_left;
    char path[PAYLOAD_PATH_MAX + 1]; /* of the directory being read, relative to the version directory */
    size_t path_len;
};

static int read_contents(int fd, const char *path, struct secret *contents, struct error **err)
{
    uint8_t *at = secret_data(contents);
    size_t left = secret_len(contents);
    while (left > 0) {
        ssize_t n = read(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "read '%s'", path);
        if (n == 0)
            return error_set(err, GRPC_STATUS_INTERNAL, "'%s' became shorter while it was read", path);
        at += n;
        left -= (size_t)n;
    }
    return 0;
}

static int read_file(struct reader *reader, int fd, const struct stat *info, struct error **err)
{
    size_t size = (size_t)info->st_size;
    if (size > reader->bytes_left)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "the files of the volume are too large to be read");
    cleanup_secret struct secret *contents = secret_create(size);
    if (contents == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for file '%s'", reader->path);
    if (read_contents(fd, reader->path, contents, err) < 0)
        return -1;
    reader->bytes_left -= size;
    return payload_add(reader->payload, reader->path, info->st_mode & 0777, steal_ptr(&contents), err);
}

static int read_directory(struct reader *reader, int dir_fd, unsigned depth, struct error **err);

static int read_entry(struct reader *reader, int dir_fd, const char *name, unsigned depth, struct error **err)
{
    cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ELOOP)
        return 0; /* a link: never ours, and upstream does not follow it either */
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open '%s'", reader->path);
    if (S_ISDIR(info.st_mode))
        return read_directory(reader, fd, depth + 1, err);
    return S_ISREG(info.st_mode) ? read_file(reader, fd, &info, err) : 0;
}

static int read_directory(struct reader *reader, int dir_fd, unsigned depth, struct error **err)
{
    if (depth > PAYLOAD_DEPTH_MAX)
        return error_set(err, GRPC_STATUS_INTERNAL, "directories are nested deeper than %d",
                         PAYLOAD_DEPTH_MAX);
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    if (payload_tree_list_open(&list, dir_fd) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "list '%s'", reader->path);
    size_t base = reader->path_len;
    const char *name = NULL;
    while ((name = payload_tree_next(&list)) != NULL) {
        if (reader->plain && depth == 0 && payload_version_is_internal(name))
            continue;
        int n = snprintf(reader->path + base, sizeof(reader->path) - base, "%s%s", base > 0 ? "/" : "", name);
        if (n < 0 || (size_t)n >= sizeof(reader->path) - base)
            return error_set(err, GRPC_STATUS_INTERNAL, "a path is longer than %d bytes", PAYLOAD_PATH_MAX);
        reader->path_len = base + (size_t)n;
        if (read_entry(reader, list.fd, name, depth, err) < 0)
            return -1;
    }
    reader->path_len = base;
    reader->path[base] = '\0';
    return 0;
}

static int read_tree(int dir_fd, bool plain, size_t max_bytes, struct payload *ret_payload,
                     struct error **err)
{
    cleanup_payload struct payload payload = {0};
    struct reader reader = {.payload = &payload, .plain = plain, .bytes_left = max_bytes};
    if (read_directory(&reader, dir_fd, 0, err) < 0)
        return error_wrap(err, "read the published files");
    if (payload_seal(&payload, err) < 0)
        return -1;
    *ret_payload = payload;
    payload = (struct payload){0};
    return 0;
}

/* Files that are rewritten meanwhile are read again. */
static int read_in_place(int root_fd, size_t max_bytes, struct payload *ret_payload, struct error **err)
{
    for (int i = 0; i < READ_TRIES; i++) {
        cleanup_payload struct payload payload = {0};
        cleanup_error struct error *failure = NULL;
        struct payload_version_name before = payload_in_place_version(root_fd);
        if (before.text[0] == '\0')
            break;
        (void)read_tree(root_fd, /* plain= */ true, max_bytes, &payload, &failure);
        if (strcmp(payload_in_place_version(root_fd).text, before.text) != 0)
            continue;
        if (failure != NULL)
            return error_move(err, &failure);
        *ret_payload = payload;
        payload = (struct payload){0};
        return 0;
    }
    return error_set(err, GRPC_STATUS_UNAVAILABLE, "the files of the volume are being rewritten");
}

int payload_read(int root_fd, size_t max_bytes, struct payload *ret_payload, struct error **err)
{
    cleanup_close int version_fd = payload_version_open_current(root_fd);
    if (version_fd >= 0 && !payload_in_place_is_writing(root_fd))
        return read_tree(version_fd, /* plain= */ false, max_bytes, ret_payload, err);
    if (version_fd >= 0 || payload_is_in_place(root_fd))
        return read_in_place(root_fd, max_bytes, ret_payload, err);
    return error_set(err, GRPC_STATUS_NOT_FOUND, "no files are published in the volume");
}

int payload_read_plain(int root_fd, size_t max_bytes, struct payload *ret_payload, struct error **err)
{
    return read_tree(root_fd, /* plain= */ true, max_bytes, ret_payload, err);
}
