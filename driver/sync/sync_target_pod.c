/*
 * sync_pod.c - which volume of which pod a sync is for.
 */
#include "driver/sync/sync_target_pod.h"

#include <stdlib.h>
#include <string.h>

/* Puts a copy of `text` at *at and moves *at behind it. */
static const char *place(char **at, const char *text)
{
    char *copy = *at;
    size_t size = strlen(text) + 1;

    memcpy(copy, text, size);
    *at += size;
    return copy;
}

struct sync_pod *sync_pod_copy(const struct sync_pod *pod)
{
    size_t text = strlen(pod->target_path) + strlen(pod->ns) + strlen(pod->name) + strlen(pod->uid) +
                  strlen(pod->class_name) + 5;
    struct sync_pod *copy = malloc(sizeof(*copy) + text);
    char *at;

    if (copy == NULL)
        return NULL;
    at = (char *)(copy + 1);
    copy->target_path = place(&at, pod->target_path);
    copy->ns = place(&at, pod->ns);
    copy->name = place(&at, pod->name);
    copy->uid = place(&at, pod->uid);
    copy->class_name = place(&at, pod->class_name);
    return copy;
}
