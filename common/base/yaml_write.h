/*
 * yaml_write.h - writing YAML with libyaml's emitter.
 *
 * libyaml's working buffers are not wiped.
 */
#ifndef COMMON_BASE_YAML_WRITE_H
#define COMMON_BASE_YAML_WRITE_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

struct yaml_pair {
    const char *key;
    const char *text; /* UTF-8 without NUL */
    size_t len;
};

/* Appends a document that is one mapping of texts in double quotes. RESOURCE_EXHAUSTED: past the buffer's
 * ceiling, or no memory. */
int yaml_write_mapping(const struct yaml_pair *pairs, size_t n, struct buffer *out, struct error **err);

#endif
