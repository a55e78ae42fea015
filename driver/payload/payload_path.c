/*
 * payload_path.c - which paths a provider may name.
 *
 * The rules are those of the atomic writer that Kubernetes uses for its own volumes, plus the ones it forgot:
 * "." (would make the clean-up remove the whole volume), control characters, invalid UTF-8, absurd depth.
 */
#include <string.h>

#include "common/base/utf8.h"
#include "driver/payload/payload.h"

enum { SHOWN_PATH_MAX = 200 }; /* bytes of an offending path that go into the message */

static bool is_control(const char *at)
{
    unsigned char c = (unsigned char)at[0], next = (unsigned char)at[1];
    return c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f);
}

static int refuse(const char *path, const char *rule, struct error **err)
{
    char shown[SHOWN_PATH_MAX + 1];
    size_t len = strnlen(path, SHOWN_PATH_MAX + 1);
    bool cut = len > SHOWN_PATH_MAX;
    if (cut)
        len = utf8_floor(path, SHOWN_PATH_MAX);
    memcpy(shown, path, len);
    shown[len] = '\0';
    for (char *at = shown; *at != '\0'; at++) {
        if (!is_control(at))
            continue;
        if ((unsigned char)*at == 0xc2)
            *at++ = '?';
        *at = '?';
    }
    utf8_sanitize(shown);
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "file path '%s%s' %s", shown, cut ? "..." : "", rule);
}

int payload_check_path(const char *path, struct error **err)
{
    size_t len = strnlen(path, PAYLOAD_PATH_MAX + 1);
    if (len == 0)
        return refuse(path, "is empty", err);
    if (len > PAYLOAD_PATH_MAX)
        return refuse(path, "is longer than 4096 bytes", err);
    if (path[0] == '/')
        return refuse(path, "is not relative", err);
    if (!utf8_valid(path, len))
        return refuse(path, "is not valid UTF-8", err);
    for (const char *at = path; *at != '\0'; at++) {
        if (is_control(at))
            return refuse(path, "contains a control character", err);
    }

    size_t depth = 0;
    for (const char *component = path;; component++) {
        size_t n = strcspn(component, "/");
        if (n == 0)
            return refuse(path, "contains an empty component", err);
        if (n > PAYLOAD_COMPONENT_MAX)
            return refuse(path, "has a component longer than 255 bytes", err);
        if (n == 1 && component[0] == '.')
            return refuse(path, "contains the component '.'", err);
        if (n == 2 && memcmp(component, "..", 2) == 0)
            return refuse(path, "contains the component '..'", err);
        if (depth == 0 && n > 2 && memcmp(component, "..", 2) == 0)
            return refuse(path, "starts with '..', which is reserved for the driver", err);
        if (++depth > PAYLOAD_DEPTH_MAX)
            return refuse(path, "has more than 64 components", err);
        component += n;
        if (*component == '\0')
            return 0;
    }
}
