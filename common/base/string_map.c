/*
 * string_map.c - a small map from string to string, sorted by key. Values live in wiped memory.
 */
#include "common/base/string_map.h"

#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"

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

int string_map_set(struct string_map *map, const char *key, const char *value, struct error **err)
{
    bool found = false;
    size_t at = locate(map, key, &found);
    cleanup_secret_free char *new_value = secret_strdup(value);
    if (new_value == NULL)
        return error_no_memory(err, "a map of strings");
    if (found) {
        secret_free(map->entries[at].value);
        map->entries[at].value = steal_ptr(&new_value);
        return 0;
    }

    cleanup_free char *new_key = strdup(key);
    if (new_key == NULL)
        return error_no_memory(err, "a map of strings");
    /* The array holds pointers only, so a plain realloc leaves no secret behind. */
    struct string_map_entry *entries = reallocarray(map->entries, map->n + 1, sizeof(*entries));
    if (entries == NULL)
        return error_no_memory(err, "a map of strings");
    memmove(entries + at + 1, entries + at, (map->n - at) * sizeof(*entries));
    entries[at] = (struct string_map_entry){.key = steal_ptr(&new_key), .value = steal_ptr(&new_value)};
    map->entries = entries;
    map->n++;
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

/* --- writing JSON ---
 *
 * Not with cJSON: its tree is a copy of every string, and its text grows by copies. Here the text is
 * measured, and written once. */

/* The letter of a short escape, 'u' where a long one is needed, 0 for none: those of cJSON. */
static char escape_of(char c)
{
    static const char controls[0x20] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c == '"' || c == '\\')
        return c;
    if ((unsigned char)c >= sizeof(controls))
        return 0;
    return controls[(unsigned char)c] != 0 ? controls[(unsigned char)c] : 'u';
}

/* With its quotes. */
static size_t json_string_len(const char *text)
{
    size_t len = 2;
    for (; *text != '\0'; text++) {
        char escape = escape_of(*text);
        len += escape == 0 ? 1 : escape == 'u' ? 6 : 2;
    }
    return len;
}

/* Returns the end of what was written. */
static char *put_json_string(char *to, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '"';
    for (; *text != '\0'; text++) {
        char escape = escape_of(*text);
        if (escape == 0) {
            *to++ = *text;
            continue;
        }
        *to++ = '\\';
        *to++ = escape;
        if (escape == 'u') {
            memcpy(to, "00", 2);
            to[2] = digits[(unsigned char)*text >> 4];
            to[3] = digits[(unsigned char)*text & 0x0F];
            to += 4;
        }
    }
    *to++ = '"';
    return to;
}

char *string_map_to_json(const struct string_map *map, struct error **err)
{
    size_t size = sizeof("{}");
    for (size_t i = 0; i < map->n; i++) {
        const struct string_map_entry *entry = &map->entries[i];
        /* The reader on the other side would stumble over the bytes. */
        if (!utf8_valid(entry->key, strlen(entry->key)) || !utf8_valid(entry->value, strlen(entry->value))) {
            (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "key or value of \"%s\" is not UTF-8",
                            entry->key);
            return NULL;
        }
        size += json_string_len(entry->key) + json_string_len(entry->value) + sizeof(":,") - 1;
    }
    char *text = secret_malloc(size), *at = text;
    if (text == NULL) {
        (void)error_no_memory(err, "a map of strings");
        return NULL;
    }
    *at++ = '{';
    for (size_t i = 0; i < map->n; i++) {
        if (i > 0)
            *at++ = ',';
        at = put_json_string(at, map->entries[i].key);
        *at++ = ':';
        at = put_json_string(at, map->entries[i].value);
    }
    memcpy(at, "}", 2);
    return text;
}

void string_map_finish(struct string_map *map)
{
    for (size_t i = 0; i < map->n; i++) {
        free(map->entries[i].key);
        secret_free(map->entries[i].value);
    }
    free(map->entries);
    *map = (struct string_map){0};
}
