/*
 * expected_files.c - paths of the files of items.
 */
#include "provider-azure/objects/expected_files.h"

#include <stdio.h>
#include <stdlib.h>

/* Longer histories are one pattern. */
enum { VERSIONS_MAX = 100 };

struct receiver {
    expected_file *each;
    void *arg;
    struct error **err;
};

static int give(const struct receiver *to, const char *path, const char *ending, bool is_pattern)
{
    cleanup_free char *whole = NULL;

    if (asprintf(&whole, "%s%s", path, ending) < 0) {
        whole = NULL;
        return error_no_memory(to->err, NULL);
    }
    return to->each(to->arg, whole, is_pattern, to->err);
}

static int give_history(const struct receiver *to, const struct object_item *item)
{
    if (item->versions > VERSIONS_MAX)
        return give(to, item->path, "/*", /* is_pattern= */ true);
    for (size_t i = 0; i < item->versions; i++) {
        char ending[32];
        (void)snprintf(ending, sizeof(ending), "/%zu", i);
        if (give(to, item->path, ending, /* is_pattern= */ false) < 0)
            return -1;
    }
    return 0;
}

/* --write-cert-and-key-in-separate-files adds these to the secrets of certificates. */
static int give_separate(const struct receiver *to, const char *path)
{
    return give(to, path, ".crt", /* is_pattern= */ true) < 0 ||
                   give(to, path, ".key", /* is_pattern= */ true) < 0
               ? -1
               : 0;
}

static int give_item(const struct receiver *to, const struct object_item *item)
{
    cleanup_free char *selected = NULL;
    const char *path = item->path;

    if (item->select != NULL) {
        const char *pattern = object_select_text(item->select);
        selected = object_select_path(path, *pattern != '\0' ? pattern : "*");
        if (selected == NULL)
            return error_no_memory(to->err, NULL);
        path = selected;
    }
    if (item->history > 1)
        return give_history(to, item);
    if (item->split != OBJECT_WHOLE)
        return give(to, path, "/*", /* is_pattern= */ true);
    if (give(to, path, "", item->select != NULL) < 0)
        return -1;
    return item->type == OBJECT_SECRET ? give_separate(to, path) : 0;
}

int expected_files_each(const struct object_list *list, expected_file *each, void *arg, struct error **err)
{
    const struct receiver to = {each, arg, err};

    for (size_t i = 0; i < list->n; i++) {
        if (!list->items[i].hidden && give_item(&to, &list->items[i]) < 0)
            return -1;
    }
    for (size_t i = 0; i < list->n_composed; i++) {
        if (give(&to, list->composed[i].path, "", /* is_pattern= */ false) < 0)
            return -1;
    }
    return 0;
}
