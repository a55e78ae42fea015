/*
 * target_path.h - the pod in a CSI target path.
 *
 * The kubelet's paths are <root>/pods/<pod uid>/volumes/kubernetes.io~csi/<volume name>/mount. Other
 * callers (csi-sanity, the command-line client, standalone use) choose paths of their own.
 */
#ifndef DRIVER_VOLUME_TARGET_PATH_H
#define DRIVER_VOLUME_TARGET_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

enum { TARGET_PATH_MAX = 4095 }; /* PATH_MAX without the NUL */

/* Spans into the path that was parsed. */
struct target_path {
    size_t pods_len; /* of the part up to and with "pods", the kubelet's directory of pods */
    const char *pod_uid;
    size_t pod_uid_len;
    const char *volume_name;
    size_t volume_name_len;
};

/* Splits a path of the kubelet's shape, with any root in front. False when it has another shape. */
bool target_path_parse(const char *path, struct target_path *ret);

/* INVALID_ARGUMENT unless the path is absolute, at most TARGET_PATH_MAX bytes and without "..". `what` names
 * the field. */
int target_path_check(const char *what, const char *path, struct error **err);

#endif
