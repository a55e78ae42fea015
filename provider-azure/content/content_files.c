/*
 * content_files.c - a list of files.
 */
#include "provider-azure/content/content_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int content_files_add(struct content_files *files, const char *path, const char *suffix, const void *bytes,
                      size_t len, struct error **err)
{
    struct content_file *grown = reallocarray(files->at, files->n + 1, sizeof(*grown));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    files->at = grown;
    size_t size = strlen(path) + strlen(suffix) + 1;
    char *joined = malloc(size);
    if (joined == NULL)
        return error_no_memory(err, NULL);
    (void)snprintf(joined, size, "%s%s", path, suffix);
    files->at[files->n++] = (struct content_file){.path = joined, .bytes = bytes, .len = len};
    return 0;
}

void content_files_finish(struct content_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->at[i].path);
    free(files->at);
    *files = (struct content_files){0};
}
