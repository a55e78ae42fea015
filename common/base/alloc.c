/*
 * alloc.c - memory or its error.
 */
#include "common/base/alloc.h"

#include <stdlib.h>
#include <string.h>

void *alloc_zeroed(size_t size, struct error **err)
{
    void *memory = calloc(1, size);

    if (memory == NULL)
        (void)error_no_memory(err, /* what= */ NULL);
    return memory;
}

char *alloc_text(const char *text, struct error **err)
{
    char *copy = strdup(text);

    if (copy == NULL)
        (void)error_no_memory(err, /* what= */ NULL);
    return copy;
}

char *alloc_put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);

    *at += size;
    return copy;
}
