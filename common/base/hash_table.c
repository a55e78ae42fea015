/*
 * hash_table.c - a chained hash table that grows.
 */
#include "common/base/hash_table.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BUCKETS_MIN = 16,
    CHAIN_MAX = 2, /* members per bucket, on average, before the table grows */
};

void hash_table_init(struct hash_table *table, hash_table_hash *hash)
{
    *table = (struct hash_table){.hash = hash};
}

void hash_table_finish(struct hash_table *table)
{
    free(table->buckets);
    *table = (struct hash_table){.hash = table->hash};
}

static size_t bucket_of(const struct hash_table *table, uint32_t hash)
{
    return hash & (table->n_buckets - 1);
}

static void insert(struct hash_table *table, struct hash_link *link)
{
    struct hash_link **bucket = &table->buckets[bucket_of(table, table->hash(link))];

    link->next = *bucket;
    *bucket = link;
}

static int grow(struct hash_table *table)
{
    struct hash_table larger = *table;

    larger.n_buckets = table->n_buckets == 0 ? BUCKETS_MIN : 2 * table->n_buckets;
    larger.buckets = calloc(larger.n_buckets, sizeof(struct hash_link *));
    if (larger.buckets == NULL)
        return -1;
    for (size_t i = 0; i < table->n_buckets; i++)
        while (table->buckets[i] != NULL) {
            struct hash_link *link = table->buckets[i];

            table->buckets[i] = link->next;
            insert(&larger, link);
        }
    free(table->buckets);
    *table = larger;
    return 0;
}

int hash_table_add(struct hash_table *table, struct hash_link *link)
{
    if (table->n >= CHAIN_MAX * table->n_buckets && grow(table) < 0 && table->n_buckets == 0)
        return -1;
    insert(table, link);
    table->n++;
    return 0;
}

void hash_table_remove(struct hash_table *table, struct hash_link *link)
{
    struct hash_link **at = &table->buckets[bucket_of(table, table->hash(link))];

    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    table->n--;
}

struct hash_link *hash_table_find(struct hash_table *table, uint32_t hash, hash_table_match *match,
                                  const void *key)
{
    struct hash_link *link = table->n_buckets > 0 ? table->buckets[bucket_of(table, hash)] : NULL;

    for (; link != NULL; link = link->next) {
        table->visits++;
        if (table->hash(link) == hash && match(link, key))
            return link;
    }
    return NULL;
}

struct hash_link *hash_table_next(struct hash_table *table, const struct hash_link *link)
{
    size_t bucket = 0;

    if (link != NULL) {
        bucket = bucket_of(table, table->hash(link)) + 1;
        link = link->next;
    }
    while (link == NULL && bucket < table->n_buckets)
        link = table->buckets[bucket++];
    if (link != NULL)
        table->visits++;
    return (struct hash_link *)(uintptr_t)link;
}
