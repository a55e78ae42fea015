/*
 * header_fields.h - the header fields of a response. Private to common/http.
 *
 * libcurl gives one line after the other, and has checked that they are text. They are kept as they are: most
 * responses are successes, of which nobody reads a field. (libcurl's own store makes a block for each field.)
 */
#ifndef COMMON_HTTP_HEADER_FIELDS_H
#define COMMON_HTTP_HEADER_FIELDS_H

#include <stdbool.h>

#include "common/base/buffer.h"

enum {
    HEADER_FIELDS_MAX = 128,             /* real services send about 20 */
    HEADER_FIELDS_MAX_BYTES = 64 * 1024, /* of all lines together */
};

struct header_fields {
    struct buffer lines; /* without white space at their ends, each with a NUL */
    unsigned n;          /* lines so far, also those behind the body */
    size_t bytes;
    bool complete; /* what still comes is behind the body */
};

void header_fields_init(struct header_fields *fields);

/* Forgets all fields: another response begins. */
void header_fields_reset(struct header_fields *fields);

/* Takes a line with its line break; an empty one ends the header. A line that begins with a blank belongs to
 * the field before it. -1 when there are too many, or memory lacks. */
int header_fields_add(struct header_fields *fields, const char *line, size_t len);

/* The value of the last field of this name (compared without case), or NULL. Valid until the next change. */
const char *header_fields_get(const struct header_fields *fields, const char *name);

void header_fields_finish(struct header_fields *fields);

#endif
