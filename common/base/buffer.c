/*
 * buffer.c - a growable run of bytes with a ceiling.
 */
#include "common/base/buffer.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/secret.h"

enum { BUFFER_FIRST_CAP = 256 };

void buffer_init(struct buffer *buffer, size_t ceiling)
{
    *buffer = (struct buffer){.ceiling = ceiling};
}

int buffer_reserve(struct buffer *buffer, size_t len, struct error **err)
{
    size_t total = 0;
    if (__builtin_add_overflow(buffer->len, len, &total) || total > buffer->ceiling)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %zu bytes", buffer->ceiling);
    if (total < buffer->cap)
        return 0;

    size_t cap = buffer->cap > 0 ? buffer->cap : BUFFER_FIRST_CAP;
    while (cap <= total) {
        if (__builtin_mul_overflow(cap, 2, &cap))
            cap = total + 1;
    }
    uint8_t *data = secret_malloc(cap);
    if (data == NULL)
        return error_no_memory(err, "a buffer");
    if (buffer->len > 0)
        memcpy(data, buffer->data, buffer->len);
    data[buffer->len] = 0;
    secret_free(buffer->data);
    buffer->data = data;
    buffer->cap = cap;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t len, struct error **err)
{
    if (buffer_reserve(buffer, len, err) < 0)
        return -1;
    if (len > 0)
        memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
    buffer->data[buffer->len] = 0;
    return 0;
}

int buffer_append_str(struct buffer *buffer, const char *text, struct error **err)
{
    return buffer_append(buffer, text, strlen(text), err);
}

int buffer_printf(struct buffer *buffer, struct error **err, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* Most texts fit into what is there; to measure one first costs glibc as much as to write it. A text
     * that does not fit is written again, over its beginning. */
    size_t room = buffer->cap - buffer->len;
    int len = vsnprintf(room > 0 ? (char *)buffer->data + buffer->len : NULL, room, format, args);
    va_end(args);

    int result = -1;
    if (len < 0) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "format a message");
    } else if ((size_t)len < room && (size_t)len <= buffer->ceiling - buffer->len) {
        buffer->len += (size_t)len;
        result = 0;
    } else if (buffer_reserve(buffer, (size_t)len, err) == 0) {
        (void)vsnprintf((char *)buffer->data + buffer->len, (size_t)len + 1, format, again);
        buffer->len += (size_t)len;
        result = 0;
    }
    va_end(again);
    if (result < 0 && room > 0)
        secret_wipe(buffer->data + buffer->len, room);
    return result;
}

void buffer_consume(struct buffer *buffer, size_t len)
{
    if (len > buffer->len)
        len = buffer->len;
    if (len == 0)
        return;
    size_t rest = buffer->len - len;
    memmove(buffer->data, buffer->data + len, rest);
    secret_wipe(buffer->data + rest, len);
    buffer->len = rest;
}

void buffer_reset(struct buffer *buffer)
{
    if (buffer->data != NULL)
        secret_wipe(buffer->data, buffer->len);
    buffer->len = 0;
}

const char *buffer_str(const struct buffer *buffer)
{
    return buffer->data != NULL ? (const char *)buffer->data : "";
}

void buffer_finish(struct buffer *buffer)
{
    secret_free(buffer->data);
    *buffer = (struct buffer){.ceiling = buffer->ceiling};
}
