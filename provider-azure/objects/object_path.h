/*
 * object_path.h - the rules for the paths of files in a volume, for one path and for all of a mount.
 */
#ifndef PROVIDER_AZURE_OBJECTS_OBJECT_PATH_H
#define PROVIDER_AZURE_OBJECTS_OBJECT_PATH_H

#include <stddef.h>

#include "common/base/error.h"

/* The driver's limits. */
enum { OBJECT_PATH_MAX = 4096, OBJECT_ELEMENT_MAX = 255 };

/* The rules for one file path: relative, no "..", clean, bounded. The message does not repeat the path.
 * INVALID_ARGUMENT. */
int object_path_check(const char *path, struct error **err);

struct object_path {
    const char *path;
    const char *object; /* name of the object, for the message */
};

/* Refuses equal paths and paths that lie below another one. `paths` is reordered. INVALID_ARGUMENT naming
 * both objects. */
int object_paths_check(struct object_path *paths, size_t n, struct error **err);

#endif
