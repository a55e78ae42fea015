/*
 * alloc.c - memory or its error.
 */
#include "common/base/alloc.h"

#include <stdarg.h>
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

char *alloc_concat(const char *first, ...)
{
    size_t size = 1;
    va_list texts;

    va_start(texts, first);
    for (const char *text = first; text != NULL; text = va_arg(texts, const char *))
        size += strlen(text);
    va_end(texts);
    char *all = malloc(size);
    char *at = all;
    va_start(texts, first);
    for (const char *text = first; text != NULL && at != NULL; text = va_arg(texts, const char *))
        at = stpcpy(at, text);
    va_end(texts);
    if (at != NULL)
        *at = '\0';
    return all;
}

char *alloc_put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);

    *at += size;
    return copy;
}
