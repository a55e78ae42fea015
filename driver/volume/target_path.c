/*
 * target_path.c - the pod in a CSI target path.
 */
#include "driver/volume/target_path.h"

#include <string.h>

/* Steps over one component backwards from `end`; empty components (repeated slashes) do not count. */
static const char *component_before(const char *path, const char *end, size_t *ret_len)
{
    const char *start;

    while (end > path && end[-1] == '/')
        end--;
    start = end;
    while (start > path && start[-1] != '/')
        start--;
    *ret_len = (size_t)(end - start);
    return start;
}

static bool is(const char *component, size_t len, const char *expected)
{
    return len == strlen(expected) && memcmp(component, expected, len) == 0;
}

static bool is_name(const char *component, size_t len)
{
    return len > 0 && !is(component, len, ".") && !is(component, len, "..");
}

bool target_path_parse(const char *path, struct target_path *ret)
{
    const char *at = path + strlen(path);
    struct target_path parsed;
    size_t len;

    at = component_before(path, at, &len);
    if (!is(at, len, "mount"))
        return false;
    at = component_before(path, at, &len);
    parsed.volume_name = at;
    parsed.volume_name_len = len;
    if (!is_name(at, len))
        return false;
    at = component_before(path, at, &len);
    if (!is(at, len, "kubernetes.io~csi"))
        return false;
    at = component_before(path, at, &len);
    if (!is(at, len, "volumes"))
        return false;
    at = component_before(path, at, &len);
    parsed.pod_uid = at;
    parsed.pod_uid_len = len;
    if (!is_name(at, len))
        return false;
    at = component_before(path, at, &len);
    if (!is(at, len, "pods"))
        return false;
    parsed.pods_len = (size_t)(at - path) + len;
    *ret = parsed;
    return true;
}

int target_path_check(const char *what, const char *path, struct error **err)
{
    size_t len = strnlen(path, TARGET_PATH_MAX + 1);
    const char *at = path + len;

    if (len > TARGET_PATH_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is longer than %d bytes", what,
                         TARGET_PATH_MAX);
    if (path[0] != '/')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s '%s' is not an absolute path", what, path);
    while (at > path) {
        at = component_before(path, at, &len);
        if (is(at, len, ".."))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s '%s' contains '..'", what, path);
    }
    if (path[strspn(path, "/")] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s must not be the root directory", what);
    return 0;
}
