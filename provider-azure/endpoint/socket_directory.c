/*
 * socket_directory.c - gives the socket directory to the provider's group.
 */
#include "provider-azure/endpoint/socket_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"

enum { DIRECTORY_MODE = 01775 };

/* A decimal number from 1 to INT_MAX that ends with `end`; root would be no gain. Returns what follows, NULL
 * when it is none. */
static const char *parse_id(const char *text, char end, unsigned *ret_id)
{
    char *rest = NULL;

    if (*text < '0' || *text > '9')
        return NULL;
    errno = 0;
    unsigned long id = strtoul(text, &rest, 10);
    if (errno != 0 || id == 0 || id > INT_MAX || *rest != end)
        return NULL;
    *ret_id = (unsigned)id;
    return rest + 1;
}

static int give_old_socket(int dir, const char *name, uid_t uid, gid_t gid, const char *path,
                           struct error **err)
{
    struct stat status;

    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return 0;
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "stat %s", path);
    }
    if (!S_ISSOCK(status.st_mode) || status.st_uid == uid)
        return 0;
    if (fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "change the owner of %s", path);
    return 0;
}

int socket_directory_give(const char *socket_path, const char *owner, struct error **err)
{
    unsigned uid = 0;
    unsigned gid = 0;
    const char *rest = parse_id(owner, ':', &uid);
    const char *slash = strrchr(socket_path, '/');

    if (rest == NULL || parse_id(rest, '\0', &gid) == NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "'%s' is not a user and a group, both as numbers above 0, with a colon between",
                         owner);
    if (slash == NULL || slash == socket_path)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "'%s' is not in a directory of its own",
                         socket_path);
    cleanup_free char *directory = strndup(socket_path, (size_t)(slash - socket_path));
    if (directory == NULL)
        return error_no_memory(err, NULL);
    cleanup_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open %s", directory);
    if (fchown(dir, (uid_t)-1, (gid_t)gid) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "change the group of %s", directory);
    if (fchmod(dir, DIRECTORY_MODE) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "change the mode of %s", directory);
    return give_old_socket(dir, slash + 1, (uid_t)uid, (gid_t)gid, socket_path, err);
}
