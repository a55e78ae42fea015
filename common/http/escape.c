/*
 * escape.c - percent-encoding of URL parts and form bodies.
 *
 * Everything outside the unreserved set of RFC 3986 2.3 is encoded, also the blank (%20): right in paths and
 * queries, and every form decoder accepts it.
 */
#include <stdbool.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/http/client.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t escape_byte(unsigned char c, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    if (is_unreserved(c)) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '%';
    out[1] = hex[c >> 4];
    out[2] = hex[c & 15];
    return 3;
}

char *http_escape(const char *text)
{
    size_t len = strlen(text);
    if (len > SIZE_MAX / 3 - 1)
        return NULL;
    char *escaped = malloc(len * 3 + 1);
    if (escaped == NULL)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += escape_byte((unsigned char)text[i], escaped + n);
    escaped[n] = '\0';
    return escaped;
}

static int append_escaped(struct buffer *form, const uint8_t *bytes, size_t len, struct error **err)
{
    for (size_t i = 0; i < len; i++) {
        char encoded[3];
        size_t n = escape_byte(bytes[i], encoded);
        if (buffer_append(form, encoded, n, err) < 0)
            return -1;
    }
    return 0;
}

int http_form_append(struct buffer *form, const char *name, const void *value, size_t value_len,
                     struct error **err)
{
    /* Reserved in one go: assertions and secrets should not leave a trail of grown blocks behind. */
    size_t name_len = strlen(name);
    size_t worst = 0;
    if (__builtin_add_overflow(name_len, value_len, &worst) || __builtin_mul_overflow(worst, 3, &worst) ||
        __builtin_add_overflow(worst, 2, &worst))
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "form value too long");
    size_t room = form->ceiling > form->len ? form->ceiling - form->len : 0;
    if (buffer_reserve(form, worst < room ? worst : room, err) < 0)
        return -1;

    if (form->len > 0 && buffer_append(form, "&", 1, err) < 0)
        return -1;
    if (append_escaped(form, (const uint8_t *)name, name_len, err) < 0)
        return -1;
    if (buffer_append(form, "=", 1, err) < 0)
        return -1;
    return append_escaped(form, value, value_len, err);
}
