/*
 * headers.c - the header fields of one response.
 *
 * Values live in wiped memory: a Set-Cookie or an authentication header is nobody's business later.
 */
#include "common/http/headers.h"

#include <string.h>
#include <strings.h>

#include "common/base/secret.h"

struct field {
    char *name;  /* one allocation with the value behind it */
    char *value; /* inside the same block */
};

struct http_headers {
    size_t n;
    size_t bytes;
    struct field fields[HTTP_HEADERS_MAX_FIELDS];
};

struct http_headers *http_headers_create(void)
{
    return secret_calloc(1, sizeof(struct http_headers));
}

void http_headers_clear(struct http_headers *headers)
{
    for (size_t i = 0; i < headers->n; i++)
        secret_free(headers->fields[i].name);
    headers->n = 0;
    headers->bytes = 0;
}

void http_headers_destroy(struct http_headers *headers)
{
    if (headers == NULL)
        return;
    http_headers_clear(headers);
    secret_free(headers);
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int http_headers_add_line(struct http_headers *headers, const char *line, size_t len, struct error **err)
{
    const char *colon = memchr(line, ':', len);
    if (colon == NULL || colon == line)
        return 0;

    const char *value = colon + 1;
    const char *end = line + len;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;

    size_t name_len = (size_t)(colon - line);
    size_t value_len = (size_t)(end - value);
    if (headers->n == HTTP_HEADERS_MAX_FIELDS)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d header fields",
                         HTTP_HEADERS_MAX_FIELDS);
    if (name_len + value_len > HTTP_HEADERS_MAX_BYTES - headers->bytes)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d bytes of header",
                         HTTP_HEADERS_MAX_BYTES);

    char *block = secret_calloc(1, name_len + value_len + 2);
    if (block == NULL)
        return error_no_memory(err, "a header field");
    memcpy(block, line, name_len);
    memcpy(block + name_len + 1, value, value_len);
    headers->fields[headers->n++] = (struct field){.name = block, .value = block + name_len + 1};
    headers->bytes += name_len + value_len;
    return 0;
}

const char *http_headers_get(const struct http_headers *headers, const char *name)
{
    for (size_t i = headers->n; i > 0; i--) {
        if (strcasecmp(headers->fields[i - 1].name, name) == 0)
            return headers->fields[i - 1].value;
    }
    return NULL;
}
