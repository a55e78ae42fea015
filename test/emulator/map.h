/*
 * map.h - a hash table from string to pointer. Keys are copied, values are borrowed.
 */
#ifndef EMULATOR_MAP_H
#define EMULATOR_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct map_entry {
    struct map_entry *next; /* same bucket */
    size_t hash;
    void *value;
    char key[];
};

/* All zero is a valid empty map. */
struct map {
    struct map_entry **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t count;
};

/* The value, or NULL. */
void *map_get(const struct map *map, const char *key);

/* Stores a value (not NULL); returns the one that was there before, or NULL. */
void *map_set(struct map *map, const char *key, void *value);

/* Takes the entry out; returns its value, or NULL when there was none. */
void *map_remove(struct map *map, const char *key);

/* Walks over all entries, in no particular order: start with a zeroed cursor, call until NULL. The current
 * entry may be removed between two calls. */
struct map_cursor {
    size_t bucket;
    struct map_entry *next;
};
struct map_entry *map_next(const struct map *map, struct map_cursor *cursor);

/* Frees the table, after handing every value to `release` (which may be NULL). The map is empty and usable
 * afterwards. */
void map_finish(struct map *map, void (*release)(void *value));

#endif
