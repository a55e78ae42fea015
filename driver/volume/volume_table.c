/*
 * volume_table.c - a table of volumes, by target path.
 */
#include "driver/volume/volume_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

static size_t bucket_of(const char *target_path)
{
    return hash_text(HASH_START, target_path) % VOLUME_TABLE_BUCKETS;
}

void volume_table_init(struct volume_table *table)
{
    *table = (struct volume_table){0};
    list_init(&table->entries);
}

struct volume_entry *volume_table_find(const struct volume_table *table, const char *target_path)
{
    struct volume_entry *entry = table->buckets[bucket_of(target_path)];

    while (entry != NULL && strcmp(entry->target_path, target_path) != 0)
        entry = entry->next;
    return entry;
}

int volume_table_add(struct volume_table *table, struct volume_entry *entry, const char *target_path)
{
    size_t bucket = bucket_of(target_path);

    entry->target_path = strdup(target_path);
    if (entry->target_path == NULL)
        return -1;
    entry->next = table->buckets[bucket];
    table->buckets[bucket] = entry;
    list_insert_before(&table->entries, &entry->link);
    table->n++;
    return 0;
}

void volume_table_remove(struct volume_table *table, struct volume_entry *entry)
{
    struct volume_entry **at;

    if (entry->target_path == NULL)
        return;
    at = &table->buckets[bucket_of(entry->target_path)];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    list_remove(&entry->link);
    table->n--;
    free(entry->target_path);
    entry->target_path = NULL;
}
