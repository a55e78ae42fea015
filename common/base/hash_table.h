/*
 * hash_table.h - a chained hash table that grows with its members, through links embedded in them.
 *
 * A member is found in the same number of steps however many there are. A link is one pointer: the table asks
 * for the hash of a member whenever it needs it.
 */
#ifndef COMMON_BASE_HASH_TABLE_H
#define COMMON_BASE_HASH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_link {
    struct hash_link *next; /* in the same bucket */
};

/* The hash of a member, which stays the same as long as it is in a table. */
typedef uint32_t hash_table_hash(const struct hash_link *link);

/* Is it the member that is searched? */
typedef bool hash_table_match(const struct hash_link *link, const void *key);

struct hash_table {
    hash_table_hash *hash;
    struct hash_link **buckets; /* owned; NULL until the first member */
    size_t n_buckets;           /* a power of two; at least half of `n`, unless memory lacked */
    size_t n;
    uint64_t visits; /* members looked at so far, by searches and walks: what tests count instead of time */
};

/* An empty table. */
void hash_table_init(struct hash_table *table, hash_table_hash *hash);

/* Frees what the table has of its own. The members are not touched. */
void hash_table_finish(struct hash_table *table);

/* Adds a member. -1 only on lack of memory, and then only for the first member: a table that cannot grow gets
 * longer chains. */
int hash_table_add(struct hash_table *table, struct hash_link *link);

/* Takes out a member, which is in the table. */
void hash_table_remove(struct hash_table *table, struct hash_link *link);

/* The first member of this hash that matches, or NULL. */
struct hash_link *hash_table_find(struct hash_table *table, uint32_t hash, hash_table_match *match,
                                  const void *key);

/* Walks all members, in no order: the one after `link`, the first after NULL; NULL after the last. A member
 * may be taken out when the one after it is known; none may be added meanwhile. */
struct hash_link *hash_table_next(struct hash_table *table, const struct hash_link *link);

#endif
