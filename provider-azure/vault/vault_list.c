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

/* What an entry says of itself, borrowed from the JSON. */
struct entry_json {
    const char *id;
    const cJSON *attributes;
    const cJSON *tags;
    bool enabled; /* false also without attributes */
};

static int read_entry(const cJSON *json, struct entry_json *ret, struct vault_entry *entry,
                      struct error **err)
{
    if (!cJSON_IsObject(json))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "an entry is not an object");
    if (json_opt_string(json, "id", &ret->id, err) < 0 ||
        (ret->id == NULL && json_opt_string(json, "kid", &ret->id, err) < 0) ||
        json_opt_object(json, "attributes", &ret->attributes, err) < 0 ||
        json_opt_object(json, "tags", &ret->tags, err) < 0)
        return -1;
    if (ret->id == NULL)
        ret->id = "";
    if (ret->attributes == NULL)
        return 0;
    return json_opt_bool(ret->attributes, "enabled", true, &ret->enabled, err) < 0 ||
                   json_opt_int(ret->attributes, "created", 0, &entry->created, err) < 0 ||
                   json_opt_int(ret->attributes, "updated", 0, &entry->updated, err) < 0
               ? -1
               : 0;
}

/* Keeps of all tags those that a selection asks for. */
static int keep_tags(const struct vault_list_filter *filter, const struct string_map *all,
                     struct string_map *kept, struct error **err)
{
    for (size_t i = 0; i < filter->n_selects; i++) {
        const struct string_map *asked = object_select_tags(filter->selects[i]);
        for (size_t k = 0; k < asked->n; k++) {
            const char *value = string_map_get(all, asked->entries[k].key);
            if (value != NULL && strcmp(value, asked->entries[k].value) == 0 &&
                string_map_set(kept, asked->entries[k].key, value, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Fills the entry of an object. 1: a selection chooses it; 0: none does. */
static int take_object(const struct vault_list_filter *filter, const struct entry_json *json,
                       struct vault_entry *entry, struct error **err)
{
    cleanup_string_map struct string_map tags = {0};
    bool chosen = false;

    entry->name = vault_id_segment(json->id, VAULT_ID_NAME, err);
    if (entry->name == NULL || parse_tags(json->tags, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < filter->n_selects && !chosen; i++)
        chosen = object_select_matches(filter->selects[i], entry->name, &tags);
    if (!chosen)
        return 0;
    return keep_tags(filter, &tags, &entry->tags, err) < 0 ? -1 : 1;
}

static int take_version(const struct entry_json *json, struct vault_entry *entry, struct error **err)
{
    entry->version = vault_id_segment(json->id, VAULT_ID_VERSION, err);
    return entry->version == NULL ? -1 : 1;
}

/* --- bytes --- */

static size_t entry_bytes(const struct vault_entry *entry)
{
    size_t bytes = sizeof(*entry) + (entry->name != NULL ? strlen(entry->name) : 0) +
                   (entry->version != NULL ? strlen(entry->version) : 0);
    for (size_t i = 0; i < entry->tags.n; i++)
        bytes += sizeof(*entry->tags.entries) + strlen(entry->tags.entries[i].key) +
                 strlen(entry->tags.entries[i].value);
    return bytes;
}

/* The part of a list that counts for all. */
static size_t long_part(size_t bytes)
{
    return bytes > VAULT_LIST_SMALL ? bytes - VAULT_LIST_SMALL : 0;
}

static int count_bytes(struct vault_list *list, size_t bytes, struct error **err)
{
    size_t others = list->all != NULL ? list->all->bytes - long_part(list->bytes) : 0;

    if (bytes > VAULT_LIST_MAX_BYTES)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "more than %d bytes of names and versions in a list", VAULT_LIST_MAX_BYTES);
    if (long_part(bytes) > VAULT_LISTS_MAX_BYTES - others)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "the long lists of all mounts together have more than %d bytes",
                         VAULT_LISTS_MAX_BYTES);
    if (list->all != NULL)
        list->all->bytes = others + long_part(bytes);
    list->bytes = bytes;
    return 0;
}

/* --- pages --- */

static int reserve(struct vault_list *list, struct error **err)
{
    size_t capacity = list->capacity == 0 ? VAULT_PAGE : list->capacity * 2;
    struct vault_entry *grown;

    if (list->n < list->capacity)
        return 0;
    grown = reallocarray(list->entries, capacity, sizeof(*grown));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    list->entries = grown;
    list->capacity = capacity;
    return 0;
}

static int add_entry(struct vault_list *list, const cJSON *value, struct error **err)
{
    const struct vault_list_filter *filter = list->filter;
    CLEANUP(entry_finish) struct vault_entry entry = {0};
    struct entry_json json = {0};

    if (read_entry(value, &json, &entry, err) < 0)
        return -1;
    list->read++;
    if (!json.enabled)
        return 0;
    list->enabled++;
    int taken =
        filter->n_selects > 0 ? take_object(filter, &json, &entry, err) : take_version(&json, &entry, err);
    if (taken <= 0)
        return taken;
    if (reserve(list, err) < 0 || count_bytes(list, list->bytes + entry_bytes(&entry), err) < 0)
        return -1;
    list->entries[list->n++] = entry;
    entry = (struct vault_entry){0};
    return 0;
}

static int newest_first(const void *left, const void *right)
{
    const struct vault_entry *a = left, *b = right;
    if (a->created != b->created)
        return a->created > b->created ? -1 : 1;
    if (a->updated != b->updated)
        return a->updated > b->updated ? -1 : 1;
    return strcmp(a->version, b->version);
}

/* Where the version is; list->n: nowhere. */
static size_t find_version(const struct vault_list *list, const char *version)
{
    size_t i = 0;
    while (i < list->n && strcmp(list->entries[i].version, version) != 0)
        i++;
    return i;
}

/* Sorts the versions and drops those that the filter does not ask for. Until the first one has come, any
 * other may be. */
static void prune_versions(struct vault_list *list)
{
    const struct vault_list_filter *filter = list->filter;
    size_t n = 0, bytes = 0, first = 0;

    if (filter->n_selects > 0 || (*filter->start != '\0' && find_version(list, filter->start) == list->n))
        return;
    if (list->n > 1)
        qsort(list->entries, list->n, sizeof(*list->entries), newest_first);
    if (*filter->start != '\0')
        first = find_version(list, filter->start);
    for (size_t i = 0; i < list->n; i++) {
        if (i < first || i - first >= filter->count) {
            entry_finish(&list->entries[i]);
            continue;
        }
        bytes += entry_bytes(&list->entries[i]);
        list->entries[n++] = list->entries[i];
    }
    list->n = n;
    (void)count_bytes(list, bytes, /* err= */ NULL); /* fewer than before */
}

static int add_entries(struct vault_list *list, const cJSON *values, struct error **err)
{
    const cJSON *value = NULL;
    size_t count = values != NULL ? (size_t)cJSON_GetArraySize(values) : 0;

    if (list->read + count > VAULT_MAX_ENTRIES)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d entries in a list",
                         VAULT_MAX_ENTRIES);
    cJSON_ArrayForEach(value, values)
    {
        if (add_entry(list, value, err) < 0)
            return error_wrap(err, "list");
    }
    prune_versions(list);
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

int vault_list_select(const struct vault_list *list, const char *start, size_t count,
                      const struct vault_entry **ret_chosen, struct error **err)
{
    size_t first = *start != '\0' ? find_version(list, start) : 0;
    size_t chosen = 0;

    if (first == list->n)
        return error_set(err, GRPC_STATUS_NOT_FOUND,
                         *start != '\0' ? "the version is not among the %zu enabled versions of the object"
                                        : "the object has no enabled version (%zu)",
                         list->enabled);
    while (chosen < count && first + chosen < list->n) {
        ret_chosen[chosen] = &list->entries[first + chosen];
        chosen++;
    }
    return (int)chosen;
}

void vault_list_finish(struct vault_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        entry_finish(&list->entries[i]);
    free(list->entries);
    (void)count_bytes(list, 0, /* err= */ NULL);
    vault_list_filter_unref(list->filter);
    *list = (struct vault_list){0};
}
