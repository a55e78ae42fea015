/*
 * content_parts.c - a list of files.
 */
#include "provider-azure/content/content_parts.h"

#include <stdlib.h>
#include <string.h>

int content_parts_add(struct content_parts *parts, const char *suffix, const void *bytes, size_t len,
                      struct error **err)
{
    struct content_part *grown = reallocarray(parts->at, parts->n + 1, sizeof(*grown));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    parts->at = grown;
    parts->at[parts->n] = (struct content_part){.suffix = strdup(suffix), .bytes = bytes, .len = len};
    return parts->at[parts->n++].suffix == NULL ? error_no_memory(err, NULL) : 0;
}

void content_parts_finish(struct content_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++)
        free(parts->at[i].suffix);
    free(parts->at);
    *parts = (struct content_parts){0};
}
