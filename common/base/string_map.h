/*
 * string_map.h - a small map from string to string, sorted by key (bytewise). Values live in wiped memory.
 *
 * It carries the attributes and secrets of the provider protocol: SecretProviderClass parameters, volume
 * context, nodePublishSecretRef data.
 */
#ifndef COMMON_BASE_STRING_MAP_H
#define COMMON_BASE_STRING_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

/* Limit of string_map_from_json(): several times as many as an object in etcd could have. */
enum { STRING_MAP_MAX_ENTRIES = 10000 };

struct string_map_entry {
    char *key;   /* in the memory of the value, behind it */
    char *value; /* owned, wiped */
};

/* {0} is an empty map. */
struct string_map {
    struct string_map_entry *entries; /* sorted by key */
    size_t n;
};

/* Copies both; an existing key gets the new value. -1 only on lack of memory. */
int string_map_set(struct string_map *map, const char *key, const char *value, struct error **err);

/* The value, or NULL. Valid until the map changes. */
const char *string_map_get(const struct string_map *map, const char *key);

/* Have both the same keys and values? */
bool string_map_equal(const struct string_map *a, const struct string_map *b);

/* Sets every entry of `from` in `into`. */
int string_map_merge(struct string_map *into, const struct string_map *from, struct error **err);

/* Parses a JSON object of strings (null values count as ""); literal `null` gives an empty map and *ret_null
 * = 1 (else 0; ret_null may be NULL). INVALID_ARGUMENT for anything else. Duplicate keys: the last one wins.
 * The former content of the map is released on success and kept on failure. */
int string_map_from_json(struct string_map *map, const char *json, size_t len, int *ret_null,
                         struct error **err);

/* A compact JSON object, keys sorted, in wiped memory (secret_free()). INVALID_ARGUMENT when a key or value
 * is not UTF-8. */
char *string_map_to_json(const struct string_map *map, struct error **err);

/* Wipes and frees; the map is empty and usable afterwards. */
void string_map_finish(struct string_map *map);
#define cleanup_string_map CLEANUP(string_map_finish)

#endif
