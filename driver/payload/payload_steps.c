/*
 * payload_steps.c - what both ways of writing a payload have in common.
 */
#include "driver/payload/payload_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"

int payload_step_fail(const struct payload_target *target, int errnum, const char *what, const char *name,
                      struct error **err)
{
    if (errnum != ENOSPC && errnum != EDQUOT)
        return error_set_errno(err, errnum == ENOMEM ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_INTERNAL,
                               errnum, "%s '%s'", what, name);
    struct payload_footprint need = payload_footprint(target->payload);
    struct statvfs fs = {0};
    (void)fstatvfs(target->root_fd, &fs); /* zeros in the message are no harm */
    return error_set(
        err, GRPC_STATUS_RESOURCE_EXHAUSTED,
        "%s '%s': the volume is full (ENOSPC): the files need %zu bytes and %zu inodes, next to the old ones; "
        "it has %" PRIu64 " bytes (%" PRIu64 " free) and %" PRIu64 " inodes (%" PRIu64 " free)",
        what, name, need.bytes, need.inodes, (uint64_t)fs.f_blocks * fs.f_frsize,
        (uint64_t)fs.f_bfree * fs.f_frsize, (uint64_t)fs.f_files, (uint64_t)fs.f_ffree);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

int payload_step_write_file(const struct payload_target *target, int dir_fd, const struct payload_file *file,
                            struct error **err)
{
    const char *name = file->path;
    cleanup_close int below = -1;
    if (strchr(file->path, '/') != NULL) {
        below = payload_tree_make_parent(dir_fd, file->path, target->gid, &name);
        if (below < 0)
            return payload_step_fail(target, errno, "make directories for", file->path, err);
    }
    cleanup_close int fd = openat(below < 0 ? dir_fd : below, name,
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return payload_step_fail(target, errno, "create", file->path, err);
    if (write_all(fd, secret_bytes(file->contents), secret_len(file->contents)) < 0)
        return payload_step_fail(target, errno, "write", file->path, err);
    if (target->gid != (gid_t)-1 && fchown(fd, (uid_t)-1, target->gid) < 0)
        return payload_step_fail(target, errno, "set the group of", file->path, err);
    if (fchmod(fd, payload_version_file_mode(file, target->gid)) < 0)
        return payload_step_fail(target, errno, "set the mode of", file->path, err);
    return 0;
}
