/*
 * vault_list.c - reading Key Vault's lists.
 */
#include "provider-azure/vault/vault_list.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/vault/vault_json.h"

/* Key Vault allows 15 on an object. */
enum { VAULT_MAX_TAGS = 100 };

static void entry_finish(struct vault_entry *entry)
{
    free(entry->name);
    free(entry->version);
    string_map_finish(&entry->tags);
}

/* Values of tags are strings. */
static int parse_tags(const cJSON *tags, struct string_map *map, struct error **err)
{
    const cJSON *tag = NULL;
    cJSON_ArrayForEach(tag, tags)
    {
        if (map->n == VAULT_MAX_TAGS)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d tags", VAULT_MAX_TAGS);
        if (cJSON_IsString(tag) && string_map_set(map, tag->string, tag->valuestring, err) < 0)
            return -1;
    }
    return 0;
}

static int parse_entry(const cJSON *json, struct vault_entry *entry, struct error **err)
{
    const char *id = NULL;
    const cJSON *attributes = NULL;
    const cJSON *tags = NULL;

    if (!cJSON_IsObject(json))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "an entry is not an object");
    if (json_opt_string(json, "id", &id, err) < 0 ||
        (id == NULL && json_opt_string(json, "kid", &id, err) < 0) ||
        json_opt_object(json, "attributes", &attributes, err) < 0 ||
        json_opt_object(json, "tags", &tags, err) < 0 || parse_tags(tags, &entry->tags, err) < 0)
        return -1;
    if (attributes != NULL && (json_opt_bool(attributes, "enabled", true, &entry->enabled, err) < 0 ||
                               json_opt_int(attributes, "created", 0, &entry->created, err) < 0 ||
                               json_opt_int(attributes, "updated", 0, &entry->updated, err) < 0))
        return -1;
    entry->name = vault_id_segment(id != NULL ? id : "", VAULT_ID_NAME, err);
    if (entry->name == NULL)
        return -1;
    entry->version = vault_id_segment(id != NULL ? id : "", VAULT_ID_VERSION, err);
    return entry->version == NULL ? -1 : 0;
}

static int add_entries(struct vault_list *list, const cJSON *values, struct error **err)
{
    const cJSON *json_entry = NULL;
    size_t count = values != NULL ? (size_t)cJSON_GetArraySize(values) : 0;

    if (list->n + count > VAULT_MAX_ENTRIES)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d entries in a list",
                         VAULT_MAX_ENTRIES);
    if (count == 0)
        return 0;
    struct vault_entry *grown = reallocarray(list->entries, list->n + count, sizeof(*list->entries));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    list->entries = grown;
    cJSON_ArrayForEach(json_entry, values)
    {
        struct vault_entry *entry = &list->entries[list->n++];
        *entry = (struct vault_entry){0};
        if (parse_entry(json_entry, entry, err) < 0)
            return error_wrap(err, "list");
    }
    return 0;
}

int vault_list_add_page(struct vault_list *list, const char *json, size_t len, char **ret_next,
                        struct error **err)
{
    static const char *const members[] = {"value", "nextLink", NULL};
    cleanup_json cJSON *root = vault_json_parse(json, len, members, 0, err);
    const cJSON *values = NULL;
    const char *next = NULL;

    if (root == NULL)
        return -1;
    if (json_opt_array(root, "value", &values, err) < 0 ||
        json_opt_string(root, "nextLink", &next, err) < 0 || add_entries(list, values, err) < 0)
        return vault_json_attribute(err);
    *ret_next = NULL;
    if (next == NULL || *next == '\0')
        return 0;
    *ret_next = strdup(next);
    return *ret_next == NULL ? error_no_memory(err, NULL) : 0;
}

/* --- history --- */

static int newest_first(const void *left, const void *right)
{
    const struct vault_entry *a = *(const struct vault_entry *const *)left;
    const struct vault_entry *b = *(const struct vault_entry *const *)right;
    if (a->created != b->created)
        return a->created > b->created ? -1 : 1;
    if (a->updated != b->updated)
        return a->updated > b->updated ? -1 : 1;
    return strcmp(a->version, b->version);
}

int vault_list_select(const struct vault_list *list, const char *start, size_t count,
                      const struct vault_entry **ret_chosen, struct error **err)
{
    cleanup_free const struct vault_entry **sorted = calloc(list->n + 1, sizeof(*sorted));
    size_t n = 0;
    size_t first = 0;

    if (sorted == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < list->n; i++) {
        if (list->entries[i].enabled)
            sorted[n++] = &list->entries[i];
    }
    qsort(sorted, n, sizeof(*sorted), newest_first);
    if (*start != '\0') {
        while (first < n && strcmp(sorted[first]->version, start) != 0)
            first++;
    }
    if (first == n)
        return error_set(err, GRPC_STATUS_NOT_FOUND,
                         *start != '\0' ? "the version is not among the %zu enabled versions of the object"
                                        : "the object has no enabled version (%zu)",
                         n);
    size_t chosen = 0;
    while (chosen < count && first + chosen < n) {
        ret_chosen[chosen] = sorted[first + chosen];
        chosen++;
    }
    return (int)chosen;
}

void vault_list_finish(struct vault_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        entry_finish(&list->entries[i]);
    free(list->entries);
    *list = (struct vault_list){0};
}
