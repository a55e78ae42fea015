/*
 * cleanup.h - scope-bound release of C resources.
 *
 * Declare the variable with its empty value on the same line:
 *
 *     cleanup_free char *path = NULL;
 *     cleanup_close int fd = -1;
 *
 * and hand the result out with steal_ptr() / steal_fd(), which leave the empty value behind.
 * A destroyer of another type gets its own attribute next to that type (see cleanup_error in error.h).
 */
#ifndef COMMON_BASE_CLEANUP_H
#define COMMON_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(func) __attribute__((cleanup(func)))

static inline void cleanup_free_func(void *ptr)
{
    free(*(void **)ptr);
}

static inline void cleanup_close_func(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing useful can be done about it here */
}

static inline void cleanup_file_func(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file); /* only used for files that are read */
}

static inline void cleanup_dir_func(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

#define cleanup_free  CLEANUP(cleanup_free_func)
#define cleanup_close CLEANUP(cleanup_close_func)
#define cleanup_file  CLEANUP(cleanup_file_func)
#define cleanup_dir   CLEANUP(cleanup_dir_func)

/* Returns *ptr and leaves NULL behind. */
#define steal_ptr(ptr)                                                                                       \
    __extension__({                                                                                          \
        __typeof__(ptr) steal_from_ = (ptr);                                                                 \
        __typeof__(*(ptr)) stolen_ = *steal_from_;                                                           \
        *steal_from_ = NULL;                                                                                 \
        stolen_;                                                                                             \
    })

/* Returns *fd and leaves -1 behind. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
