/*
 * volume_log.h - when each volume was last answered, for as long as that matters to a republish.
 *
 * A republish shall bring something that was read since the volume's answer before: so the cache may serve a
 * hundred pods with one read, and still no pod waits longer than its own rotation interval, whatever that
 * is. Volumes are named by a digest; nothing else of them is kept. Entries end after `keep_ms`, and at most
 * VOLUME_LOG_MAX are held: of a volume that fell out the latest moment at which it can have been answered is
 * known.
 */
#ifndef PROVIDER_AZURE_SERVED_VOLUMES_H
#define PROVIDER_AZURE_SERVED_VOLUMES_H

#include "common/base/error.h"
#include "provider-azure/crypto/crypto.h"

/* Far above the volumes of one node's pods. */
enum { VOLUME_LOG_MAX = 2000 };

struct volume_log;

struct volume_log *volume_log_create(uint64_t keep_ms, struct error **err);
void volume_log_destroy(struct volume_log *log); /* accepts NULL */

/* The next two accept NULL for the log: nothing is remembered. */

/* The volume was answered at `now_ms`. Lack of memory makes it one that fell out. */
void volume_log_note(struct volume_log *log, const uint8_t volume[DIGEST_LEN], uint64_t now_ms);

/* When the volume was answered last, or may have been; 0 = not by this process within `keep_ms`. */
uint64_t volume_log_last_ms(const struct volume_log *log, const uint8_t volume[DIGEST_LEN], uint64_t now_ms);

size_t volume_log_count(const struct volume_log *log);

#endif
