/*
 * class_files.h - SecretProviderClasses from a directory: the standalone mode, without an API server.
 *
 * Every *.yaml, *.yml and *.json file of the directory (not its sub-directories; names with a leading dot are
 * skipped, so a mounted ConfigMap works too) may hold any number of classes and other objects. A class
 * without a namespace is in "default". If two files define the same class, the first in the order of file
 * names wins.
 *
 * An edit is seen by the next lookup, and nothing has to be watched: a worker reads the directory, or the
 * loop sees that the files of an earlier lookup are unchanged (class_stamps.h) and takes the class found
 * then. A file that cannot be read or parsed does not affect the others. Its problem is logged once per text,
 * and is part of the error when a class is not found.
 */
#ifndef DRIVER_CLASS_CLASS_FILES_H
#define DRIVER_CLASS_CLASS_FILES_H

#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "driver/class/class_source.h"
#include "driver/class/class_stamps.h"

#define CLASS_FILES_NAMESPACE "default"

enum {
    CLASS_FILES_MAX = 1000,          /* files that are read; more means a wrong path */
    CLASS_FILES_PROBLEMS_MAX = 1024, /* bytes of their text that are kept */
    CLASS_FILES_KEPT_MAX = 32,       /* classes of unchanged files: with CLASS_STAMPS_BYTES_MAX a few MiB */
};

/* `directory` is copied. That it cannot be opened is a warning only: it may be made later. NULL log is
 * allowed. */
int class_files_create(uv_loop_t *loop, const char *directory, struct log *log,
                       struct class_source *ret_source, struct error **err);

/* The blocking part: finds one class. *ret_problems (owned by the caller, NULL when there are none) names
 * the files that could not be used, with their problems; it is set on success and on failure. *ret_stamps,
 * {0} at first and finished by the caller, vouches for what is returned. */
struct secret_provider_class *class_files_find(const char *directory, const char *ns, const char *name,
                                               char **ret_problems, struct class_stamps *ret_stamps,
                                               struct error **err);

#endif
