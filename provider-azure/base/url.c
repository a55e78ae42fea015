/*
 * url.c - hosts and origins.
 */
#include "provider-azure/base/url.h"

#include <string.h>
#include <strings.h>

/* Hosts stand in errors and logs. */
static bool is_plain(const char *authority, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)authority[i];
        if (c <= ' ' || c == 0x7f || c == '@' || c == '\\')
            return false;
    }
    return len > 0;
}

char *url_host(const char *url, const char **ret_path, struct error **err)
{
    const char *start = strstr(url, "://");
    if (start != NULL)
        start += 3;
    size_t len = start != NULL ? strcspn(start, "/?#") : 0;
    /* User info in front of the host would make the rest of this function see the wrong host: such URLs are
     * refused. */
    if (start == NULL || !is_plain(start, len)) {
        error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not a URL with a plain host");
        return NULL;
    }
    if (ret_path != NULL)
        *ret_path = start + len;
    size_t host_len;
    if (start[0] == '[') {
        const char *close = memchr(start, ']', len);
        host_len = close != NULL ? (size_t)(close - start) + 1 : len;
    } else {
        const char *colon = memchr(start, ':', len);
        host_len = colon != NULL ? (size_t)(colon - start) : len;
    }
    char *host = strndup(start, host_len);
    if (host == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    for (char *c = host; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return host;
}

/* The authority of an https URL without ":443"; false when there is none. */
static bool origin(const char *url, const char **ret_at, size_t *ret_len)
{
    static const char scheme[] = "https://", port[] = ":443";
    if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *at = url + sizeof(scheme) - 1;
    size_t len = strcspn(at, "/?#");
    if (!is_plain(at, len))
        return false;
    if (len >= sizeof(port) && memcmp(at + len - (sizeof(port) - 1), port, sizeof(port) - 1) == 0)
        len -= sizeof(port) - 1;
    *ret_at = at;
    *ret_len = len;
    return len > 0;
}

bool url_same_origin(const char *left, const char *right)
{
    const char *a = NULL, *b = NULL;
    size_t a_len = 0, b_len = 0;
    return origin(left, &a, &a_len) && origin(right, &b, &b_len) && a_len == b_len &&
           strncasecmp(a, b, a_len) == 0;
}
