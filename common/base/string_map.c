/*
 * string_map.c - a small map from string to string, sorted by key. Values live in wiped memory.
 */
#include "common/base/string_map.h"

#include <limits.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"

enum { CAPACITY_MIN = 4 };

/* The index of `key`, or where it belongs; *ret_found says which. */
static size_t locate(const struct string_map *map, const char *key, bool *ret_found)
{
    size_t low = 0, high = map->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(map->entries[middle].key, key);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

/* One block for both: a mount copies some fifty entries, and their memory is most of that work. */
static bool copy_entry(const char *key, const char *value, struct string_map_entry *ret)
{
    size_t value_size = strlen(value) + 1, key_size = strlen(key) + 1;
    char *block = secret_malloc(value_size + key_size);
    if (block == NULL)
        return false;
    *ret = (struct string_map_entry){.key = block + value_size, .value = block};
    memcpy(ret->value, value, value_size);
    memcpy(ret->key, key, key_size);
    return true;
}

/* Makes space for one more entry. The capacity is a power of two, not less than `n` and CAPACITY_MIN. */
static bool reserve(struct string_map *map)
{
    bool is_full = map->n >= CAPACITY_MIN && (map->n & (map->n - 1)) == 0;
    if (map->entries != NULL && !is_full)
        return true;
    size_t capacity = is_full ? 2 * map->n : CAPACITY_MIN;
    /* It holds pointers only, but blocks of the wiping allocator are the quicker ones. */
    struct string_map_entry *entries = secret_realloc(map->entries, capacity * sizeof(*entries));
    if (entries == NULL)
        return false;
    map->entries = entries;
    return true;
}

int string_map_set(struct string_map *map, const char *key, const char *value, struct error **err)
{
    bool found = false;
    size_t at = locate(map, key, &found);
    struct string_map_entry entry;
    if ((!found && !reserve(map)) || !copy_entry(key, value, &entry))
        return error_no_memory(err, "a map of strings");
    if (found) {
        secret_free(map->entries[at].value);
    } else {
        memmove(map->entries + at + 1, map->entries + at, (map->n - at) * sizeof(entry));
        map->n++;
    }
    map->entries[at] = entry;
    return 0;
}

const char *string_map_get(const struct string_map *map, const char *key)
{
    bool found = false;
    size_t at = locate(map, key, &found);
    return found ? map->entries[at].value : NULL;
}

bool string_map_equal(const struct string_map *a, const struct string_map *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->entries[i].key, b->entries[i].key) != 0 ||
            strcmp(a->entries[i].value, b->entries[i].value) != 0)
            return false;
    return true;
}

int string_map_merge(struct string_map *into, const struct string_map *from, struct error **err)
{
    for (size_t i = 0; i < from->n; i++) {
        if (string_map_set(into, from->entries[i].key, from->entries[i].value, err) < 0)
            return -1;
    }
    return 0;
}

static int set_from_member(struct string_map *map, const cJSON *member, struct error **err)
{
    if (!cJSON_IsString(member) && !cJSON_IsNull(member))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "value of \"%s\" is not a string",
                         member->string);
    if (json_has_nul(member->string))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a key contains a NUL character");
    if (cJSON_IsString(member) && json_has_nul(member->valuestring))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "value of \"%s\" contains a NUL character",
                         member->string);
    if (map->n >= STRING_MAP_MAX_ENTRIES && string_map_get(map, member->string) == NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d keys", STRING_MAP_MAX_ENTRIES);
    return string_map_set(map, member->string, cJSON_IsString(member) ? member->valuestring : "", err);
}

int string_map_from_json(struct string_map *map, const char *json, size_t len, int *ret_null,
                         struct error **err)
{
    cleanup_json cJSON *root = json_parse_with(json, len, len, JSON_ALLOW_DUPLICATES | JSON_KEEP_NUL, err);
    if (root == NULL)
        return -1;
    if (!cJSON_IsObject(root) && !cJSON_IsNull(root))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not a JSON object");

    cleanup_string_map struct string_map parsed = {0};
    for (const cJSON *member = root->child; member != NULL; member = member->next) {
        if (set_from_member(&parsed, member, err) < 0)
            return -1;
    }
    string_map_finish(map);
    *map = parsed;
    parsed = (struct string_map){0};
    if (ret_null != NULL)
        *ret_null = cJSON_IsNull(root) ? 1 : 0;
    return 0;
}

char *string_map_to_json(const struct string_map *map, struct error **err)
{
    /* The tree refers to the strings of the map, and the text gets its memory at once, unless there are
     * many escapes: copies of secrets are work, and have to be wiped. */
    cleanup_json cJSON *object = cJSON_CreateObject();
    size_t size = sizeof("{}");
    for (size_t i = 0; object != NULL && i < map->n; i++) {
        const struct string_map_entry *entry = &map->entries[i];
        /* cJSON would copy the bytes as they are, and the reader on the other side would stumble over
         * them. */
        if (!utf8_valid(entry->key, strlen(entry->key)) || !utf8_valid(entry->value, strlen(entry->value))) {
            (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "key or value of \"%s\" is not UTF-8",
                            entry->key);
            return NULL;
        }
        cJSON *value = cJSON_CreateStringReference(entry->value);
        if (!cJSON_AddItemToObjectCS(object, entry->key, value)) {
            cJSON_Delete(value);
            (void)error_no_memory(err, "a map of strings");
            return NULL;
        }
        size += strlen(entry->key) + strlen(entry->value) + sizeof("\"\":\"\",");
    }
    char *text =
        object != NULL && size < INT_MAX ? cJSON_PrintBuffered(object, (int)size, /* fmt= */ 0) : NULL;
    if (text == NULL)
        (void)error_no_memory(err, "a map of strings");
    return text;
}

void string_map_finish(struct string_map *map)
{
    for (size_t i = 0; i < map->n; i++)
        secret_free(map->entries[i].value);
    secret_free(map->entries);
    *map = (struct string_map){0};
}
