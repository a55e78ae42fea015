/*
 * headers.h - the header fields of one response, as they arrived. Private to the http room.
 */
#ifndef COMMON_HTTP_HEADERS_H
#define COMMON_HTTP_HEADERS_H

#include <stddef.h>

#include "common/base/error.h"

struct http_headers;

enum {
    HTTP_HEADERS_MAX_FIELDS = 128,      /* real services send about 20 */
    HTTP_HEADERS_MAX_BYTES = 64 * 1024, /* names and values together; curl's own ceiling is 300 KiB */
};

/* Empty headers, or NULL on lack of memory. */
struct http_headers *http_headers_create(void);
void http_headers_destroy(struct http_headers *headers); /* accepts NULL */

/* Forgets the fields (a 1xx answer is followed by the real one). */
void http_headers_clear(struct http_headers *headers);

/* Adds one line "Name: value" (`len` bytes, line end allowed). Lines without a colon are ignored.
 * RESOURCE_EXHAUSTED beyond the limits. */
int http_headers_add_line(struct http_headers *headers, const char *line, size_t len, struct error **err);

/* The value of the last field of this name (compared without case), or NULL. Valid until the headers
 * change. */
const char *http_headers_get(const struct http_headers *headers, const char *name);

#endif
