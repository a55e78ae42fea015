/*
 * volume_table.h - a table of volumes, by target path.
 *
 * Entries are embedded in the structs of the table's user. They are found in constant time up to some
 * thousand volumes, and walked in the order in which they were added:
 *
 *     for (struct list *at = table.entries.next; at != &table.entries; at = at->next)
 *         ... container_of(volume_entry_at(at), struct thing, entry) ...
 *
 * Loop thread only.
 */
#ifndef DRIVER_VOLUME_VOLUME_TABLE_H
#define DRIVER_VOLUME_VOLUME_TABLE_H

#include <stddef.h>

#include "common/base/list.h"

/* Chains of a fixed number: a node runs some hundred pods, a test some thousand. */
enum { VOLUME_TABLE_BUCKETS = 256 };

struct volume_entry {
    struct list link;          /* in the table's `entries` */
    struct volume_entry *next; /* of the same bucket */
    char *target_path;         /* owned; NULL when it is in no table */
};

struct volume_table {
    struct list entries; /* struct volume_entry */
    size_t n;
    struct volume_entry *buckets[VOLUME_TABLE_BUCKETS];
};

/* An empty table. It owns nothing but its entries' paths: an empty table needs no finish. */
void volume_table_init(struct volume_table *table);

/* The entry, or NULL. Valid until it is removed. */
struct volume_entry *volume_table_find(const struct volume_table *table, const char *target_path);

/* Adds an entry, of whatever content, under a copy of a path that is not in the table. -1 only on lack of
 * memory. */
int volume_table_add(struct volume_table *table, struct volume_entry *entry, const char *target_path);

/* Takes an entry out and frees its path. Harmless for one that is zeroed or has been taken out. */
void volume_table_remove(struct volume_table *table, struct volume_entry *entry);

static inline struct volume_entry *volume_entry_at(struct list *link)
{
    return container_of(link, struct volume_entry, link);
}

#endif
