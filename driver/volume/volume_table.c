/*
 * volume_table.c - a table of volumes, by target path.
 */
#include "driver/volume/volume_table.h"

#include "common/base/hash.h"

static struct volume_entry *entry_at(struct hash_link *link)
{
    return link != NULL ? container_of(link, struct volume_entry, link) : NULL;
}

static uint32_t hash_of(const struct hash_link *link)
{
    return shared_names_hash(const_container_of(link, struct volume_entry, link)->names);
}

static bool has_path(const struct hash_link *link, const void *path)
{
    return shared_names_have_path(const_container_of(link, struct volume_entry, link)->names, path);
}

void volume_table_init(struct volume_table *table, struct volume_names_pool *pool)
{
    *table = (struct volume_table){.pool = pool};
    hash_table_init(&table->table, hash_of);
}

void volume_table_finish(struct volume_table *table)
{
    hash_table_finish(&table->table);
}

struct volume_entry *volume_table_find(struct volume_table *table, const char *target_path)
{
    return entry_at(
        hash_table_find(&table->table, hash_text(HASH_START, target_path), has_path, target_path));
}

int volume_table_add(struct volume_table *table, struct volume_entry *entry, const struct volume_names *names)
{
    entry->names = shared_names_get(table->pool, names);
    if (entry->names == NULL)
        return -1;
    if (hash_table_add(&table->table, &entry->link) == 0)
        return 0;
    shared_names_unref(table->pool, entry->names);
    entry->names = NULL;
    return -1;
}

void volume_table_rename(struct volume_table *table, struct volume_entry *entry,
                         const struct volume_names *names)
{
    struct shared_names *renamed =
        shared_names_are(entry->names, names) ? NULL : shared_names_get(table->pool, names);

    if (renamed == NULL)
        return;
    shared_names_unref(table->pool, entry->names);
    entry->names = renamed;
}

void volume_table_remove(struct volume_table *table, struct volume_entry *entry)
{
    if (entry->names == NULL)
        return;
    hash_table_remove(&table->table, &entry->link);
    shared_names_unref(table->pool, entry->names);
    entry->names = NULL;
}

struct volume_entry *volume_table_next(struct volume_table *table, const struct volume_entry *entry)
{
    return entry_at(hash_table_next(&table->table, entry != NULL ? &entry->link : NULL));
}
