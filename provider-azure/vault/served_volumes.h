/*
 * served_volumes.h - when each volume was last served, for as long as that matters to a republish.
 *
 * A republish shall bring something that was read since the volume was served before: so the cache may serve
 * a hundred pods with one read, and still no pod waits longer than its own rotation interval, whatever that
 * is. Volumes are named by a digest; nothing else of them is kept. Entries end after `ttl_ms`, and at most
 * SERVED_VOLUMES_MAX are held: of a volume that was evicted the latest time at which it can have been served
 * is known.
 */
#ifndef PROVIDER_AZURE_VAULT_SERVED_VOLUMES_H
#define PROVIDER_AZURE_VAULT_SERVED_VOLUMES_H

#include "common/base/error.h"
#include "common/crypto/digest.h"

/* Far above the volumes of one node's pods. */
enum { SERVED_VOLUMES_MAX = 2000 };

struct served_volumes;

/* No volumes yet; `ttl_ms` 0 remembers none. NULL with err set on lack of memory. */
struct served_volumes *served_volumes_create(uint64_t ttl_ms, struct error **err);

/* Accepts NULL. */
void served_volumes_destroy(struct served_volumes *volumes);

/* The volume was served at `now_ms`. Without memory for it, it counts as evicted. */
void served_volumes_put(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                        uint64_t now_ms);

/* When the volume was served last, or may have been; 0 = not by this process within `ttl_ms`. */
uint64_t served_volumes_last_ms(const struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                                uint64_t now_ms);

/* Puts `now_ms`, so that the volume is remembered from now on, with the time of an earlier event. */
void served_volumes_renew(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN],
                          uint64_t since_ms, uint64_t now_ms);

/* The time of that event for exactly this volume; 0 if nothing was put for it within `ttl_ms`. */
uint64_t served_volumes_since_ms(const struct served_volumes *volumes,
                                 const uint8_t volume[DIGEST_SHA256_LEN], uint64_t now_ms);

/* Harmless for a volume that is not known. */
void served_volumes_forget(struct served_volumes *volumes, const uint8_t volume[DIGEST_SHA256_LEN]);

#endif
