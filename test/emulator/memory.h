/*
 * memory.h - allocation for a test program: lack of memory ends it.
 */
#ifndef EMULATOR_MEMORY_H
#define EMULATOR_MEMORY_H

#include <stdlib.h>
#include <string.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void *xcalloc(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL)
        abort();
    return memory;
}

static inline void *xrealloc(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* A NULL text gives NULL. */
static inline char *xstrdup(const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

#endif
