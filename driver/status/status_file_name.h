/*
 * status_file_name.h - which status file belongs to which volume. Pure.
 */
#ifndef DRIVER_STATUS_STATUS_FILE_NAME_H
#define DRIVER_STATUS_STATUS_FILE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

enum {
    STATUS_FILE_MAX = 4 << 20, /* bytes of a file that is read: versions of all objects of a volume */
};

/* "<pod uid>_<volume name>.json"; for target paths that are not the kubelet's "path-<32 digits of the path's
 * SHA-256>.json". The caller frees; NULL with err set. */
char *status_file_name(const char *target_path, struct error **err);

/* May this be the name of a status file? */
bool status_file_name_plausible(const char *name);

/* The target path in the text of a status file, or NULL. The caller frees. */
char *status_file_target(const char *text, size_t len);

#endif
