/*
 * version_set.c - object versions shared by volumes.
 */
#include "driver/rotation/version_set.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/base/hash.h"

struct version_set {
    struct list link; /* in its bucket */
    size_t refs;
    struct string_map map;
};

void version_sets_init(struct version_sets *sets)
{
    for (size_t i = 0; i < VERSION_SETS_BUCKETS; i++)
        list_init(&sets->buckets[i]);
}

static struct list *bucket_of(struct version_sets *sets, const struct string_map *versions)
{
    uint32_t hash = HASH_START;

    for (size_t i = 0; i < versions->n; i++)
        hash = hash_text(hash_text(hash, versions->entries[i].key), versions->entries[i].value);
    return &sets->buckets[hash % VERSION_SETS_BUCKETS];
}

static struct version_set *find(const struct list *bucket, const struct string_map *versions)
{
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct version_set *set = container_of(link, struct version_set, link);

        if (string_map_equal(&set->map, versions))
            return set;
    }
    return NULL;
}

struct version_set *version_sets_get(struct version_sets *sets, struct string_map *versions)
{
    cleanup_string_map struct string_map map = *versions;
    struct list *bucket = bucket_of(sets, &map);
    struct version_set *set = find(bucket, &map);

    *versions = (struct string_map){0};
    if (map.n == 0)
        return NULL;
    if (set == NULL) {
        set = calloc(1, sizeof(*set));
        if (set == NULL)
            return NULL;
        set->map = map;
        map = (struct string_map){0};
        list_insert_before(bucket, &set->link);
    }
    set->refs++;
    return set;
}

void version_set_unref(struct version_set *set)
{
    if (set == NULL || --set->refs > 0)
        return;
    list_remove(&set->link);
    string_map_finish(&set->map);
    free(set);
}

const struct string_map *version_set_map(const struct version_set *set)
{
    static const struct string_map empty;

    return set != NULL ? &set->map : &empty;
}
