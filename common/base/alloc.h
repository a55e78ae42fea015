/*
 * alloc.h - memory or its error: the first lines of most functions that create an object.
 */
#ifndef COMMON_BASE_ALLOC_H
#define COMMON_BASE_ALLOC_H

#include <stddef.h>

#include "common/base/error.h"

/* Zeroed memory; the caller frees with free(). NULL with err set: out of memory. */
void *alloc_zeroed(size_t size, struct error **err) __attribute__((malloc));

/* For several texts in one allocation: puts a copy of `text` at *at, where there is room for it, and moves
 * *at behind its NUL. Returns the copy. */
char *alloc_put_text(char **at, const char *text);

/* All texts up to a (char *)NULL behind each other, for which asprintf() takes ten times as long; the caller
 * frees with free(). NULL: out of memory. */
char *alloc_concat(const char *first, ...) __attribute__((malloc, sentinel));

/* A copy of `text`; the caller frees with free(). NULL with err set: out of memory. */
char *alloc_text(const char *text, struct error **err) __attribute__((malloc));

#endif
