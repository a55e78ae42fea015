/*
 * volume_ref.c - the volume that a command is about: its id and its target path.
 */
#include "ctl/volume_ref.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/crypto/digest.h"
#include "ctl/node.h"

static int copy_text(char *to, size_t size, const char *from, const char *flag, struct error **err)
{
    int len = snprintf(to, size, "%s", from);

    if (len < 0 || (size_t)len >= size)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--%s is too long", flag);
    return 0;
}

/* "csi-" and the SHA-256 of the pod's uid followed by the volume's name. */
static int compute_volume_id(const struct ctl_options *options, char *id, size_t size, struct error **err)
{
    char text[1024];
    char hex[DIGEST_SHA256_HEX_LEN + 1];
    int len = snprintf(text, sizeof(text), "%s%s", options->pod_uid, options->volume);

    if (len < 0 || (size_t)len >= sizeof(text))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--pod-uid or --volume is too long");
    if (digest_sha256_hex(text, (size_t)len, hex) < 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "SHA-256 failed");
    (void)snprintf(id, size, "csi-%s", hex);
    return 0;
}

static int resolve(struct volume_ref *volume, const struct ctl_options *options, struct error **err)
{
    bool named = *options->pod_uid != '\0' && *options->volume != '\0';

    if (*options->volume_id != '\0') {
        if (copy_text(volume->id, sizeof(volume->id), options->volume_id, "volume-id", err) < 0)
            return -1;
    } else if (named) {
        if (compute_volume_id(options, volume->id, sizeof(volume->id), err) < 0)
            return -1;
    } else {
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--volume-id, or --pod-uid and --volume, is required");
    }

    if (*options->target != '\0')
        return copy_text(volume->target, sizeof(volume->target), options->target, "target", err);
    if (!named || *options->kubelet_dir == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--target, or --kubelet-dir with --pod-uid and --volume, is required");

    int len =
        snprintf(volume->target, sizeof(volume->target), "%s/pods/%s/volumes/kubernetes.io~csi/%s/mount",
                 options->kubelet_dir, options->pod_uid, options->volume);
    if (len < 0 || (size_t)len >= sizeof(volume->target))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--kubelet-dir is too long");
    return 0;
}

int volume_ref_resolve(struct volume_ref *volume, const struct ctl_options *options, struct error **err)
{
    return resolve(volume, options, err) < 0 ? error_set_type(err, UNUSABLE_INPUT) : 0;
}

int volume_ref_make_parents(const struct volume_ref *volume, const struct ctl_options *options,
                            struct error **err)
{
    char path[PATH_MAX];

    if (*options->target != '\0')
        return 0;
    if (node_path(options, volume->target, path, err) < 0)
        return -1;

    size_t root_len = strlen(path) - strlen(volume->target) + strlen(options->kubelet_dir);
    for (char *slash = strchr(path + root_len + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0750) == -1 && errno != EEXIST)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "cannot create '%s'", path);
        *slash = '/';
    }
    return 0;
}

void volume_ref_remove_parents(const struct volume_ref *volume, const struct ctl_options *options)
{
    char path[PATH_MAX];

    if (*options->target != '\0' || node_path(options, volume->target, path, /* err= */ NULL) < 0)
        return;

    size_t keep = strlen(path) - strlen(volume->target) + strlen(options->kubelet_dir) + strlen("/pods");
    for (;;) {
        char *slash = strrchr(path, '/');

        if (slash == NULL || (size_t)(slash - path) <= keep)
            return;
        *slash = '\0';
        if (rmdir(path) == -1)
            return;
    }
}
