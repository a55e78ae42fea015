/*
 * alloc.h - memory or its error: the first lines of most functions that create an object.
 */
#ifndef COMMON_BASE_ALLOC_H
#define COMMON_BASE_ALLOC_H

#include <stddef.h>

#include "common/base/error.h"

/* Zeroed memory; the caller frees with free(). NULL with err set: out of memory. */
void *alloc_zeroed(size_t size, struct error **err) __attribute__((malloc));

/* A copy of `text`; the caller frees with free(). NULL with err set: out of memory. */
char *alloc_text(const char *text, struct error **err) __attribute__((malloc));

#endif
