/*
 * variables.h - environment variables from the files of a directory, such as a mounted volume.
 *
 * Their values are secrets: they are in memory of the wiping allocator, and no error contains one.
 */
#ifndef CTL_VARIABLES_H
#define CTL_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

/* The kernel takes no longer string of a program's environment (MAX_ARG_STRLEN, execve(2)): name, '=', value
 * and NUL. */
enum { VARIABLE_MAX = 128 * 1024 };

struct variables {
    char **list; /* "NAME=value", ends with NULL once there is one; owned */
    size_t n;
};

struct variable_names {
    const char *prefix; /* in front of each name; "" for none */
    bool convert;       /* letters in upper case, '-' and '.' as '_' */
};

/* Adds a variable for every regular file at the top of `directory`, links followed; names that begin with a
 * dot, and directories, are left out. If the directory has a "..data", all files are read from there, so that
 * a rotation meanwhile gives no mixture.
 *
 * A name has letters, digits and '_', and does not begin with a digit (POSIX.1-2017, section 8.1).
 * INVALID_ARGUMENT names the file that has another name, or holds a NUL, or gives a variable that is there
 * already; RESOURCE_EXHAUSTED: it is longer than VARIABLE_MAX; NOT_FOUND, PERMISSION_DENIED: the directory or
 * a file cannot be read. */
int variables_read(struct variables *variables, const char *directory, const struct variable_names *names,
                   struct error **err);

/* Adds those of `environment` (an array that ends with NULL) whose names are not there yet. */
int variables_add_environment(struct variables *variables, char *const *environment, struct error **err);

/* Wipes and frees; harmless on a zeroed one. */
void variables_finish(struct variables *variables);
#define cleanup_variables CLEANUP(variables_finish)

#endif
