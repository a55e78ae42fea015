/*
 * content_parts.h - the files of one object: what follows the item's path, and the bytes.
 */
#ifndef PROVIDER_AZURE_CONTENT_CONTENT_PARTS_H
#define PROVIDER_AZURE_CONTENT_CONTENT_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* One file. */
struct content_part {
    char *suffix;         /* behind the item's path: "", ".crt", ".key", "/<member>" */
    const uint8_t *bytes; /* borrowed */
    size_t len;
};

struct content_parts {
    struct content_part *at; /* in the order of the response */
    size_t n;
};

/* Adds a file to the parts, which begin as {0}. `suffix` is copied, `bytes` are borrowed. */
int content_parts_add(struct content_parts *parts, const char *suffix, const void *bytes, size_t len,
                      struct error **err);

/* Frees the suffixes; there are no parts then. */
void content_parts_finish(struct content_parts *parts);

#endif
