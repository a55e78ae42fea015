/*
 * object_path.c - paths of files in a volume.
 */
#include "provider-azure/objects/object_path.h"

#include <stdlib.h>
#include <string.h>

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

int object_path_check(const char *path, struct error **err)
{
    size_t len = strlen(path);

    if (len == 0)
        return invalid(err, "file name must not be empty");
    if (path[0] == '/')
        return invalid(err, "file name must be a relative path");
    if (strstr(path, "..") != NULL)
        return invalid(err, "file name must not contain '..'");
    if (len > OBJECT_PATH_MAX)
        return invalid(err, "file name must not be longer than 4096 bytes");
    for (const char *element = path;; element++) {
        size_t n = strcspn(element, "/");
        if (n == 0 || (n == 1 && element[0] == '.'))
            return invalid(err, "file name must be clean: no '//', no '.' element, no trailing '/'");
        if (n > OBJECT_ELEMENT_MAX)
            return invalid(err, "an element of the file name must not be longer than 255 bytes");
        element += n;
        if (*element == '\0')
            return 0;
    }
}

/* Orders '/' before every other byte, so that what lies below a path follows it directly. */
static int compare_paths(const void *left, const void *right)
{
    const char *a = ((const struct object_path *)left)->path;
    const char *b = ((const struct object_path *)right)->path;
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    int x = *a == '/' ? 1 : *a == '\0' ? 0 : (unsigned char)*a + 1;
    int y = *b == '/' ? 1 : *b == '\0' ? 0 : (unsigned char)*b + 1;
    return x - y;
}

int object_paths_check(struct object_path *paths, size_t n, struct error **err)
{
    if (n < 2)
        return 0;
    qsort(paths, n, sizeof(*paths), compare_paths);
    for (size_t i = 1; i < n; i++) {
        const struct object_path *before = &paths[i - 1];
        const struct object_path *here = &paths[i];
        size_t len = strlen(before->path);
        if (strncmp(before->path, here->path, len) != 0)
            continue;
        if (here->path[len] == '\0')
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "objects %s and %s have the same file name %s", before->object, here->object,
                             here->path);
        if (here->path[len] == '/')
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "file name %s of object %s lies below file name %s of object %s", here->path,
                             here->object, before->path, before->object);
    }
    return 0;
}
