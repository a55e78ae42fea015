/*
 * value_path.h - one value of a JSON or YAML text, found by its path: objectKey, and "#" in templates.
 *
 *     a.b[0].c      the member c of the first element of b, which is a member of a
 *     ["x.y"].z     a name in quotes may have any characters but quotes
 */
#ifndef PROVIDER_AZURE_OBJECTS_VALUE_PATH_H
#define PROVIDER_AZURE_OBJECTS_VALUE_PATH_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

/* Key Vault's secrets end at 25 KiB. */
enum { VALUE_PATH_MAX = 1024, VALUE_PATH_STEPS_MAX = 32, VALUE_TEXT_MAX = 1024 * 1024 };

/* Is `path` well-formed? INVALID_ARGUMENT. */
int value_path_check(const char *path, struct error **err);

/* Appends the value to `out`. A text that begins with '{' or '[' is JSON, any other is YAML. A string is the
 * text that it stands for; of JSON, any other value is as it stands there; of YAML, mappings and sequences
 * are no values. `path` is well-formed. FAILED_PRECONDITION: the text cannot be read, or the path leads
 * nowhere; the error names the names that are there, and quotes no value. */
int value_path_find(const char *path, const char *text, size_t len, struct buffer *out, struct error **err);

#endif
