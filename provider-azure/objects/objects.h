/*
 * objects.h - the `objects` parameter: YAML text that lists the objects to mount, each item YAML text of its
 * own.
 */
#ifndef PROVIDER_AZURE_OBJECTS_OBJECTS_H
#define PROVIDER_AZURE_OBJECTS_OBJECTS_H

#include <stddef.h>

#include "common/base/error.h"
#include "provider-azure/objects/composed_item.h"
#include "provider-azure/objects/object_item.h"

/* Bounds on one SecretProviderClass. etcd keeps objects below 1.5 MiB, so real ones are far smaller. */
enum {
    OBJECTS_MAX_BYTES = 1024 * 1024,
    OBJECTS_MAX_ITEMS = 1000,
    OBJECT_SELECT_MAX = 1000, /* objects one selection may choose */
};

struct object_list {
    struct object_item *items;
    size_t n;
    struct composed_item *composed; /* files made out of those */
    size_t n_composed;
};

/* Parses and validates everything, items in order, each once. INVALID_ARGUMENT:
 * "failed to yaml unmarshal objects, error: ...", "unmarshal failed for keyVaultObjects at index I, error:
 * ...", "failed to get objectType:T, objectName:N, objectVersion:V: ...". An empty array gives n == 0. */
int objects_parse(const char *text, const struct object_defaults *defaults, struct object_list *ret_list,
                  struct error **err);

/* Frees the items; the list is empty then. */
void object_list_finish(struct object_list *list);

#endif
