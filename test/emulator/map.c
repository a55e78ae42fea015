/*
 * map.c - see map.h. Chained buckets, FNV-1a, grown at one entry per bucket.
 */
#include "test/emulator/map.h"

#include <stdint.h>
#include <string.h>

#include "test/emulator/memory.h"

enum { FIRST_BUCKETS = 16 };

static size_t hash_key(const char *key)
{
    uint64_t hash = 14695981039346656037U;
    for (const unsigned char *c = (const unsigned char *)key; *c != '\0'; c++)
        hash = (hash ^ *c) * 1099511628211U;
    return (size_t)(hash ^ (hash >> 32));
}

static void grow(struct map *map)
{
    size_t n = map->n_buckets == 0 ? FIRST_BUCKETS : map->n_buckets * 2;
    struct map_entry **buckets = xcalloc(n, sizeof(struct map_entry *));
    for (size_t i = 0; i < map->n_buckets; i++) {
        for (struct map_entry *entry = map->buckets[i]; entry != NULL;) {
            struct map_entry *next = entry->next;
            entry->next = buckets[entry->hash & (n - 1)];
            buckets[entry->hash & (n - 1)] = entry;
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->n_buckets = n;
}

/* The place that points to the entry, or to the NULL at the end of its bucket. */
static struct map_entry **find(const struct map *map, const char *key, size_t hash)
{
    struct map_entry **place = &map->buckets[hash & (map->n_buckets - 1)];
    while (*place != NULL && ((*place)->hash != hash || strcmp((*place)->key, key) != 0))
        place = &(*place)->next;
    return place;
}

void *map_get(const struct map *map, const char *key)
{
    if (map->n_buckets == 0)
        return NULL;
    struct map_entry *entry = *find(map, key, hash_key(key));
    return entry == NULL ? NULL : entry->value;
}

void *map_set(struct map *map, const char *key, void *value)
{
    if (map->count >= map->n_buckets)
        grow(map);
    size_t hash = hash_key(key);
    struct map_entry **place = find(map, key, hash);
    if (*place != NULL) {
        void *old = (*place)->value;
        (*place)->value = value;
        return old;
    }
    size_t key_size = strlen(key) + 1;
    struct map_entry *entry = xcalloc(1, sizeof(*entry) + key_size);
    memcpy(entry->key, key, key_size);
    entry->hash = hash;
    entry->value = value;
    *place = entry;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, const char *key)
{
    if (map->n_buckets == 0)
        return NULL;
    struct map_entry **place = find(map, key, hash_key(key));
    struct map_entry *entry = *place;
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    *place = entry->next;
    free(entry);
    map->count--;
    return value;
}

struct map_entry *map_next(const struct map *map, struct map_cursor *cursor)
{
    while (cursor->next == NULL && cursor->bucket < map->n_buckets)
        cursor->next = map->buckets[cursor->bucket++];
    struct map_entry *entry = cursor->next;
    if (entry != NULL)
        cursor->next = entry->next;
    return entry;
}

void map_finish(struct map *map, void (*release)(void *value))
{
    struct map_cursor cursor = {0};
    for (struct map_entry *entry; (entry = map_next(map, &cursor)) != NULL;) {
        if (release != NULL)
            release(entry->value);
        free(entry);
    }
    free(map->buckets);
    *map = (struct map){0};
}
