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
    char *made = NULL;
    cleanup_free char *whole = asprintf(&made, "%s%s", path, ending) < 0 ? NULL : made;

    return whole == NULL ? error_no_memory(to->err, NULL) : to->each(to->arg, whole, is_pattern, to->err);
}

static int give_history(const struct receiver *to, const struct object_item *item)
{
    int result = 0;

    if (item->versions > VERSIONS_MAX)
        return give(to, item->path, "/*", /* is_pattern= */ true);
    for (size_t i = 0; i < item->versions && result == 0; i++) {
        char ending[32];
        (void)snprintf(ending, sizeof(ending), "/%zu", i);
        result = give(to, item->path, ending, /* is_pattern= */ false);
    }
    return result;
}

/* --write-cert-and-key-in-separate-files adds these to the secrets of certificates. */
static int give_separate(const struct receiver *to, const char *path)
{
    int result = give(to, path, ".crt", /* is_pattern= */ true);

    return result < 0 ? result : give(to, path, ".key", /* is_pattern= */ true);
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
    int result = 0;

    for (size_t i = 0; i < list->n && result == 0; i++)
        result = list->items[i].hidden ? 0 : give_item(&to, &list->items[i]);
    for (size_t i = 0; i < list->n_composed && result == 0; i++)
        result = give(&to, list->composed[i].path, "", /* is_pattern= */ false);
    return result;
}
