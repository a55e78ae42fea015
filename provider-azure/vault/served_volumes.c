/*
 * volume_log.c - moments by volume, oldest out first.
 */
#include "provider-azure/vault/served_volumes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { BUCKETS = 256 };

struct entry {
    LIST_ENTRY(entry) in_bucket;
    TAILQ_ENTRY(entry) in_order;
    uint8_t volume[DIGEST_LEN];
    uint64_t answered_ms;
};
LIST_HEAD(bucket, entry);
TAILQ_HEAD(entry_list, entry);

struct volume_log {
    uint64_t keep_ms;
    uint64_t fallen_ms; /* the latest moment of those that fell out early; 0 = none did */
    struct bucket buckets[BUCKETS];
    struct entry_list order; /* oldest first */
    size_t n;
};

struct volume_log *volume_log_create(uint64_t keep_ms, struct error **err)
{
    struct volume_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    log->keep_ms = keep_ms;
    TAILQ_INIT(&log->order);
    return log;
}

static void entry_free(struct volume_log *log, struct entry *entry)
{
    LIST_REMOVE(entry, in_bucket);
    TAILQ_REMOVE(&log->order, entry, in_order);
    log->n--;
    free(entry);
}

void volume_log_destroy(struct volume_log *log)
{
    struct entry *entry = NULL;
    while (log != NULL && (entry = TAILQ_FIRST(&log->order)) != NULL)
        entry_free(log, entry);
    free(log);
}

static struct entry *find(const struct volume_log *log, const uint8_t volume[DIGEST_LEN])
{
    struct entry *entry = NULL;
    LIST_FOREACH(entry, &log->buckets[volume[0] % BUCKETS], in_bucket)
    {
        if (memcmp(entry->volume, volume, DIGEST_LEN) == 0)
            return entry;
    }
    return NULL;
}

/* Drops what no longer matters, and the oldest when the log is full. */
static void make_room(struct volume_log *log, uint64_t now_ms)
{
    struct entry *oldest = NULL;
    while ((oldest = TAILQ_FIRST(&log->order)) != NULL) {
        bool ended = oldest->answered_ms + log->keep_ms < now_ms;
        if (!ended && log->n < VOLUME_LOG_MAX)
            return;
        if (!ended && oldest->answered_ms > log->fallen_ms)
            log->fallen_ms = oldest->answered_ms;
        entry_free(log, oldest);
    }
}

void volume_log_note(struct volume_log *log, const uint8_t volume[DIGEST_LEN], uint64_t now_ms)
{
    if (log == NULL || log->keep_ms == 0)
        return;
    struct entry *entry = find(log, volume);
    if (entry != NULL)
        entry_free(log, entry);
    make_room(log, now_ms);
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        log->fallen_ms = now_ms;
        return;
    }
    entry->answered_ms = now_ms;
    memcpy(entry->volume, volume, DIGEST_LEN);
    LIST_INSERT_HEAD(&log->buckets[volume[0] % BUCKETS], entry, in_bucket);
    TAILQ_INSERT_TAIL(&log->order, entry, in_order);
    log->n++;
}

uint64_t volume_log_last_ms(const struct volume_log *log, const uint8_t volume[DIGEST_LEN], uint64_t now_ms)
{
    if (log == NULL)
        return 0;
    const struct entry *entry = find(log, volume);
    uint64_t last = entry != NULL ? entry->answered_ms : log->fallen_ms;
    return last + log->keep_ms < now_ms ? 0 : last;
}

size_t volume_log_count(const struct volume_log *log)
{
    return log->n;
}
