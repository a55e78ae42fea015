/*
 * content_files.h - the files that one object makes: paths and bytes.
 */
#ifndef PROVIDER_AZURE_CONTENT_CONTENT_FILES_H
#define PROVIDER_AZURE_CONTENT_CONTENT_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct content_file {
    char *path;
    const uint8_t *bytes; /* borrowed */
    size_t len;
};

/* Begins as {0}. */
struct content_files {
    struct content_file *at; /* in the order of the response */
    size_t n;
};

/* Adds the file "<path><suffix>". `bytes` are borrowed. */
int content_files_add(struct content_files *files, const char *path, const char *suffix, const void *bytes,
                      size_t len, struct error **err);

/* Frees the paths; there are no files then. */
void content_files_finish(struct content_files *files);

#endif
