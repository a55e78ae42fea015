/*
 * mount_method.c - the mount features of the running kernel.
 */
#include "driver/volume/mount_method.h"

#include <errno.h>
#include <fcntl.h>

#include "common/base/cleanup.h"
#include "driver/volume/mount_api.h"

struct mount_features mount_features_probe(void)
{
    struct mount_features features = {0};
    struct mount_attr nothing = {0};

    /* EBADF from a kernel that has the call. */
    features.mount_setattr =
        mount_setattr(-1, "", AT_EMPTY_PATH, &nothing, sizeof(nothing)) == 0 || errno == EBADF;
    cleanup_close int fs_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
    features.detached_mount = fs_fd >= 0;
    features.noswap = fs_fd >= 0 && fsconfig(fs_fd, FSCONFIG_SET_FLAG, "noswap", NULL, 0) == 0;
    return features;
}
