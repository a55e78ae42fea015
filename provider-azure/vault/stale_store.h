/*
 * stale_store.h - outage mode: the last values that were read, kept for first mounts whose vaults cannot
 * answer (--serve-stale-max-age).
 *
 * Rules:
 * - A value is found only by the read it came from and the principal that read it: the key of the republish
 *   cache (vault_cache.h), no less strict.
 * - It is kept for as long as the mounts that read it allow, counted from the time its request was sent, by
 *   two clocks: the one since boot and the wall clock, whichever says more. A timer wipes it then, later by
 *   the time that the machine slept meanwhile.
 * - A refusal ends what was read before it, also what is still in flight or comes from a predecessor: 401 and
 *   403 all of the principal in that vault; "no such object" or "disabled" all versions of the object, or the
 *   one version that was named. What was forgotten in error comes back with the next read; what was not
 *   would be served to somebody without access.
 * - Two responses of unknown order that differ end it, too.
 * - At most STALE_MAX_VALUES and STALE_MAX_BYTES, beyond which the one that was kept first goes. Bytes are
 *   those of a vault_response: its secrets live in memory of the wiping allocator, like all others. Nothing
 *   is written anywhere.
 */
#ifndef PROVIDER_AZURE_VAULT_STALE_STORE_H
#define PROVIDER_AZURE_VAULT_STALE_STORE_H

#include "common/crypto/digest.h"
#include "provider-azure/network/http_retry.h"
#include "provider-azure/vault/vault_response.h"

/* As the republish cache. */
enum { STALE_MAX_VALUES = 2000, STALE_MAX_BYTES = 2 * 1024 * 1024 };
/* Refusals that are remembered, for reads that were in flight meanwhile. Of those that were forgotten the
 * latest time counts for everything. */
enum { STALE_MAX_REFUSALS = 1024 };

struct stale_store;

/* All digests. */
struct stale_key {
    uint8_t read[DIGEST_SHA256_LEN]; /* everything that a response depends on, but the principal */
    uint8_t principal[DIGEST_SHA256_LEN];
    uint8_t object[DIGEST_SHA256_LEN]; /* vault, type and name */
    uint8_t vault[DIGEST_SHA256_LEN];
};

/* A value outside of the store. */
struct stale_value {
    struct stale_key key;
    struct vault_response *response; /* a reference of the holder's */
    uint64_t age_ms;                 /* since its request */
    uint64_t keep_ms;                /* from its request on */
};

/* What a refusal ends. */
enum stale_scope { STALE_SCOPE_READ, STALE_SCOPE_OBJECT, STALE_SCOPE_VAULT };

/* An empty store. Outage mode is off without a store: the functions accept NULL. `network` is borrowed. NULL
 * with err set on lack of memory. */
struct stale_store *stale_store_create(const struct network *network, uint64_t max_age_ms,
                                       struct error **err);

/* Wipes all. To be called before the end of the cache whose responses are kept: lists count their bytes
 * there. */
void stale_store_destroy(struct stale_store *store);

/* Keeps a reference to the response for `keep_ms` from its request on, at most the store's own age, in place
 * of an older one, which may have been kept for longer: then this one is, too. `keep_ms` 0 only replaces. No
 * effect after a refusal that came later than the request. */
void stale_store_keep(struct stale_store *store, const struct stale_key *key, struct vault_response *response,
                      uint64_t keep_ms);

/* The vault has refused, at this time. */
void stale_store_refuse(struct stale_store *store, const struct stale_key *key, enum stale_scope scope);

/* What was kept of the read is not known to be the latest any more. */
void stale_store_forget(struct stale_store *store, const struct stale_key *key);

bool stale_store_is_empty(const struct stale_store *store);

/* Moves the value that was kept first, and may still be served, out of the store, for another process. False:
 * there is none. */
bool stale_store_take_first(struct stale_store *store, struct stale_value *ret_value);

/* What is kept of the read, if it is at most `max_age_ms` old: borrowed, and its age. NULL: nothing. */
struct vault_response *stale_store_get(const struct stale_store *store, const struct stale_key *key,
                                       uint64_t max_age_ms, uint64_t *ret_age_ms);

#endif
