/*
 * volume_remove.c - removing a directory together with what is mounted on it, in one step.
 */
#include "driver/volume/volume_remove.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/payload/payload_tree.h"
#include "driver/volume/mount_table.h"

struct removal {
    const struct volume_target *target;
    char path[PATH_MAX]; /* of the directory, without links */
    int errnum;          /* 0 = it is removed */
};

/* The path of the parent as the kernel knows it: descriptors lead to mounts of the old namespace. */
static int find_path(const struct volume_target *target, char path[PATH_MAX])
{
    char link[64], parent[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", target->parent_fd);
    ssize_t len = readlink(link, parent, sizeof(parent) - 1);
    if (len <= 0)
        return -1;
    parent[len] = '\0';
    int n = snprintf(path, PATH_MAX, "%s/%s", parent, target->name);
    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

static bool is_same(const char *path, int fd)
{
    struct stat by_path, by_fd;
    return lstat(path, &by_path) == 0 && fstat(fd, &by_fd) == 0 && by_path.st_dev == by_fd.st_dev &&
           by_path.st_ino == by_fd.st_ino;
}

/* In a namespace of this thread, which ends with it. */
static int remove_in_own_namespace(const struct removal *removal)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno;
    if (!is_same(removal->path, removal->target->fd))
        return ESTALE;
    if (umount2(removal->path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ||
        unlinkat(removal->target->parent_fd, removal->target->name, AT_REMOVEDIR) < 0)
        return errno;
    return 0;
}

static void *run(void *arg)
{
    struct removal *removal = arg;
    removal->errnum = remove_in_own_namespace(removal);
    return NULL;
}

static bool is_only_mount(const struct volume_target *target)
{
    cleanup_mount_table struct mount_table table = {0};
    if (mount_table_read(&table, /* err= */ NULL) < 0)
        return false;
    const struct mount_info *mount = mount_table_find(&table, payload_tree_mount_id(target->fd));
    return mount != NULL && mount_table_covered(&table, mount) == NULL;
}

int volume_remove_mounted(const struct volume_target *target)
{
    struct removal removal = {.target = target};
    pthread_t thread;
    errno = EBUSY;
    if (!is_only_mount(target) || find_path(target, removal.path) < 0)
        return -1;
    int errnum = pthread_create(&thread, /* attr= */ NULL, run, &removal);
    if (errnum == 0) {
        (void)pthread_join(thread, /* retval= */ NULL);
        errnum = removal.errnum; /* which the thread may set before pthread_create() returns */
    }
    errno = errnum;
    return errnum == 0 ? 0 : -1;
}
