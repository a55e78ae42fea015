/*
 * volume_table.h - a table of volumes, by target path.
 *
 * Entries are embedded in the structs of the table's user. They are found in constant time, and walked in no
 * order:
 *
 *     for (struct volume_entry *at = NULL; (at = volume_table_next(&table, at)) != NULL;)
 *         ... container_of(at, struct thing, entry) ...
 *
 * The names of a volume are shared with the other tables of the same pool. Loop thread only.
 */
#ifndef DRIVER_VOLUME_VOLUME_TABLE_H
#define DRIVER_VOLUME_VOLUME_TABLE_H

#include <stddef.h>

#include "common/base/list.h"
#include "driver/volume/volume_names.h"

struct volume_entry {
    struct hash_link link;
    struct shared_names *names; /* a reference; NULL when it is in no table */
};

struct volume_table {
    struct hash_table table;        /* struct volume_entry */
    struct volume_names_pool *pool; /* borrowed; may be NULL */
};

/* An empty table. `pool` is borrowed for life; NULL: names are not shared. */
void volume_table_init(struct volume_table *table, struct volume_names_pool *pool);

/* The table is empty. */
void volume_table_finish(struct volume_table *table);

/* The entry, or NULL. Valid until it is removed. */
struct volume_entry *volume_table_find(struct volume_table *table, const char *target_path);

/* Adds an entry, of whatever content, under names whose path is not in the table. -1 only on lack of memory.
 * */
int volume_table_add(struct volume_table *table, struct volume_entry *entry,
                     const struct volume_names *names);

/* Gives an entry other names, with the same path. It keeps the earlier ones on lack of memory. */
void volume_table_rename(struct volume_table *table, struct volume_entry *entry,
                         const struct volume_names *names);

/* Takes an entry out and ends its reference. Harmless for one that is zeroed or has been taken out. */
void volume_table_remove(struct volume_table *table, struct volume_entry *entry);

/* Walks all entries: the one after `entry`, the first after NULL; NULL after the last. An entry may be
 * removed when the one after it is known. */
struct volume_entry *volume_table_next(struct volume_table *table, const struct volume_entry *entry);

static inline size_t volume_table_count(const struct volume_table *table)
{
    return table->table.n;
}

/* The path of an entry that is in a table, written to `path`, which it returns. */
static inline const char *volume_entry_path(const struct volume_entry *entry, char path[TARGET_PATH_MAX + 1])
{
    return shared_names_read(entry->names, path).target_path;
}

#endif
