/*
 * version_set.c - object versions shared by volumes.
 */
#include "driver/rotation/version_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "common/base/list.h"

/* All in one allocation: behind `entries` come the texts. */
struct version_set {
    struct hash_link link;
    uint32_t hash;
    uint32_t refs;
    struct string_map map; /* of `entries`; never changed or finished */
    struct string_map_entry entries[];
};

static const struct version_set *set_at(const struct hash_link *link)
{
    return const_container_of(link, struct version_set, link);
}

static uint32_t hash_of(const struct hash_link *link)
{
    return set_at(link)->hash;
}

static bool matches(const struct hash_link *link, const void *versions)
{
    return string_map_equal(&set_at(link)->map, versions);
}

void version_sets_init(struct version_sets *sets)
{
    hash_table_init(&sets->table, hash_of);
}

void version_sets_finish(struct version_sets *sets)
{
    assert(sets->table.n == 0);
    hash_table_finish(&sets->table);
}

static uint32_t hash_versions(const struct string_map *versions)
{
    uint32_t hash = HASH_START;

    for (size_t i = 0; i < versions->n; i++)
        hash = hash_text(hash_text(hash, versions->entries[i].key), versions->entries[i].value);
    return hash;
}

static struct version_set *create(const struct string_map *versions, uint32_t hash)
{
    size_t texts = 0;
    struct version_set *set;
    char *at;

    for (size_t i = 0; i < versions->n; i++)
        texts += strlen(versions->entries[i].key) + strlen(versions->entries[i].value) + 2;
    set = malloc(sizeof(*set) + versions->n * sizeof(struct string_map_entry) + texts);
    if (set == NULL)
        return NULL;
    *set = (struct version_set){.hash = hash, .refs = 1, .map = {.entries = set->entries, .n = versions->n}};
    at = (char *)&set->entries[versions->n];
    for (size_t i = 0; i < versions->n; i++) {
        set->entries[i].key = alloc_put_text(&at, versions->entries[i].key);
        set->entries[i].value = alloc_put_text(&at, versions->entries[i].value);
    }
    return set;
}

struct version_set *version_sets_get(struct version_sets *sets, const struct string_map *versions)
{
    uint32_t hash = hash_versions(versions);
    struct hash_link *link = sets != NULL ? hash_table_find(&sets->table, hash, matches, versions) : NULL;
    struct version_set *set;

    if (versions->n == 0)
        return NULL;
    if (link != NULL) {
        set = container_of(link, struct version_set, link);
        set->refs++;
        return set;
    }
    set = create(versions, hash);
    if (set != NULL && sets != NULL && hash_table_add(&sets->table, &set->link) < 0) {
        free(set);
        return NULL;
    }
    return set;
}

void version_set_unref(struct version_sets *sets, struct version_set *set)
{
    if (set == NULL || --set->refs > 0)
        return;
    if (sets != NULL)
        hash_table_remove(&sets->table, &set->link);
    free(set);
}

const struct string_map *version_set_map(const struct version_set *set)
{
    static const struct string_map empty;

    return set != NULL ? &set->map : &empty;
}
