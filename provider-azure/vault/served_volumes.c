/*
 * served_volumes.c - times by volume, the oldest evicted first.
 */
#include "provider-azure/vault/served_volumes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/list.h"

enum { BUCKETS = 256 };

struct entry {
    struct list in_bucket;
    struct list in_order;
    uint8_t volume[DIGEST_SHA256_LEN];
    uint64_t served_ms;
    uint64_t since_ms; /* served_volumes_renew() */
};

struct served_volumes {
    uint64_t ttl_ms;
    uint64_t evicted_ms; /* the latest time of those that were evicted early; 0 = none was */
    struct list buckets[BUCKETS];
    struct list order; /* oldest first */
    size_t n;
};

struct served_volumes *served_volumes_create(uint64_t ttl_ms, struct error **err)
{
    struct served_volumes *volumes = calloc(1, sizeof(*volumes));
    if (volumes == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    volumes->ttl_ms = ttl_ms;
    list_init(&volumes->order);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&volumes->buckets[i]);
    return volumes;
}

static void entry_free(struct served_volumes *volumes, struct entry *entry)
{
    list_remove(&entry->in_bucket);
    list_remove(&entry->in_order);
    volumes->n--;
    free(entry);
}

void served_volumes_destroy(struct served_volumes *volumes)
{
    while (volumes != NULL && !list_empty(&volumes->order))
        entry_free(volumes, container_of(volumes->order.next, struct entry, in_order));
    free(volumes);
}

static struct entry *find(const struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN])
{
    const struct list *bucket = &volumes->buckets[volume[0] % BUCKETS];
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct entry *entry = container_of(link, struct entry, in_bucket);
        if (memcmp(entry->volume, volume, DIGEST_SHA256_LEN) == 0)
            return entry;
    }
    return NULL;
}

/* Drops what no longer matters, and the oldest when there are too many. */
static void evict(struct served_volumes *volumes, uint64_t now_ms)
{
    while (!list_empty(&volumes->order)) {
        struct entry *oldest = container_of(volumes->order.next, struct entry, in_order);
        bool ended = oldest->served_ms + volumes->ttl_ms < now_ms;
        if (!ended && volumes->n < SERVED_VOLUMES_MAX)
            return;
        if (!ended && oldest->served_ms > volumes->evicted_ms)
            volumes->evicted_ms = oldest->served_ms;
        entry_free(volumes, oldest);
    }
}

void served_volumes_put(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                        uint64_t now_ms)
{
    served_volumes_renew(volumes, volume, now_ms, now_ms);
}

void served_volumes_renew(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                          uint64_t since_ms, uint64_t now_ms)
{
    if (volumes->ttl_ms == 0)
        return;
    struct entry *entry = find(volumes, volume);
    if (entry != NULL)
        entry_free(volumes, entry);
    evict(volumes, now_ms);
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        volumes->evicted_ms = now_ms;
        return;
    }
    entry->served_ms = now_ms;
    entry->since_ms = since_ms;
    memcpy(entry->volume, volume, DIGEST_SHA256_LEN);
    list_insert_before(&volumes->buckets[volume[0] % BUCKETS], &entry->in_bucket);
    list_insert_before(&volumes->order, &entry->in_order);
    volumes->n++;
}

uint64_t served_volumes_last_ms(const struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                                uint64_t now_ms)
{
    const struct entry *entry = find(volumes, volume);
    uint64_t last = entry != NULL ? entry->served_ms : volumes->evicted_ms;
    return last + volumes->ttl_ms < now_ms ? 0 : last;
}

uint64_t served_volumes_since_ms(const struct served_volumes *volumes,
                                 const uint8_t volume[DIGEST_SHA256_LEN], uint64_t now_ms)
{
    const struct entry *entry = find(volumes, volume);
    return entry == NULL || entry->served_ms + volumes->ttl_ms < now_ms ? 0 : entry->since_ms;
}

void served_volumes_forget(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN])
{
    struct entry *entry = find(volumes, volume);
    if (entry != NULL)
        entry_free(volumes, entry);
}
