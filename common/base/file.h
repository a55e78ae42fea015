/*
 * file.h - reading small files (tokens, CA bundles, class files) whole and bounded.
 */
#ifndef COMMON_BASE_FILE_H
#define COMMON_BASE_FILE_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

/* Reads the whole of `path` (followed through symlinks, as projected volumes need) into `out`, an initialised
 * buffer whose old content is dropped and whose ceiling is set to `max_len`. NOT_FOUND when it does not
 * exist, PERMISSION_DENIED, RESOURCE_EXHAUSTED when it is larger, INTERNAL otherwise (also when it is
 * not a regular file); the message names the path, and `out` is empty then. */
int file_read(const char *path, size_t max_len, struct buffer *out, struct error **err);

/* As file_read(), relative to a directory descriptor. */
int file_read_at(int dir_fd, const char *path, size_t max_len, struct buffer *out, struct error **err);

#endif
