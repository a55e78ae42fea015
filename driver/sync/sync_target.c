/*
 * sync_target.c - the volume of a pod whose Secrets are synced.
 */
#include "driver/sync/sync_target.h"

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

struct sync_target *sync_target_copy(const struct sync_target *target)
{
    size_t text = strlen(target->target_path) + strlen(target->ns) + strlen(target->pod_name) +
                  strlen(target->pod_uid) + strlen(target->class_name) + 5;
    struct sync_target *copy = malloc(sizeof(*copy) + text);
    char *at;

    if (copy == NULL)
        return NULL;
    at = (char *)(copy + 1);
    copy->target_path = place(&at, target->target_path);
    copy->ns = place(&at, target->ns);
    copy->pod_name = place(&at, target->pod_name);
    copy->pod_uid = place(&at, target->pod_uid);
    copy->class_name = place(&at, target->class_name);
    return copy;
}
