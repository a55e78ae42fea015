/*
 * vault_cache.h - vault reads shared between mounts of one principal: joined while in flight, cached for
 * republishes.
 *
 * A read is shared only between holders of a token with the same principal (struct token), for the same
 * vault, type, name and version, a list only for the same filter. Failures, and that there is no such object,
 * are never cached. What is cached is bounded in number, bytes and time, and wiped when it goes.
 *
 * Freshness, counted from the time a request was sent, which is never later than the vault's own reading:
 * - A first mount is never served from the cache. It joins a request of others that is still to be sent, or
 *   was sent at most VAULT_CACHE_JOIN_MS ago; so its contents are at most that much older than its own call.
 *   A mount that failed because the vault throttled may be served what was read since its first call,
 *   however long ago that is: what such a volume still waits for is held (vault_cache_hold()).
 * - A republish may be served a response that is at most `ttl_ms` old, provided that it was read after the
 *   volume was served before (or at most VAULT_CACHE_GRACE_MS ago: a caller that repeats a call so soon is
 *   not rotating). So a hundred pods of one identity cost one read per object and interval, and each rotation
 *   check brings a pod contents that are younger than its check before.
 * - Time never runs backwards: the responses of two requests for one object that were in flight together have
 *   no known order. If they differ, neither is cached; and a read does not join a request that was sent
 *   before the latest response about the object was served, to any principal.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_CACHE_H
#define PROVIDER_AZURE_VAULT_VAULT_CACHE_H

#include "provider-azure/vault/stale_store.h"
#include "provider-azure/vault/vault_call.h"

/* Pods start in bursts, and a vault responds within some ten milliseconds: longer waits are trouble, in which
 * one more request per half a second does not matter. */
enum { VAULT_CACHE_JOIN_MS = 500 };
/* No rotation interval is shorter than this; kubelets and drivers that repeat a call do. */
enum { VAULT_CACHE_GRACE_MS = 10 * 1000 };

/* How old a response may be. */
struct vault_freshness {
    bool republish;            /* the volume has content already */
    uint64_t volume_served_ms; /* republish: when it was served last; 0 = long ago (served_volumes.h) */
    uint64_t tried_ms; /* first mount: its first call, if the vault throttled it; 0 = this one is it */
    /* How old a response may be that is kept for outages and served to a first mount then; 0: none is. */
    uint64_t stale_max_age_ms;
};

struct vault_cache;
struct vault_waiter;

/* An empty cache; `ttl_ms` 0 caches nothing. `network`, `tokens` and `stale` are borrowed; without `stale`
 * nothing is kept for outages. NULL with err set on lack of memory. */
struct vault_cache *vault_cache_create(const struct network *network, struct token_cache *tokens,
                                       uint64_t ttl_ms, struct stale_store *stale, struct error **err);

/* Serves a cached response, joins a read in flight, or starts one, as vault_call_start(); the callback gets a
 * reference of its own. A joined read runs as long as the latest deadline of its waiters: the caller watches
 * its own deadline itself. */
struct vault_waiter *vault_cache_get(struct vault_cache *cache, const struct vault_query *query,
                                     struct identity *identity, struct token *token,
                                     const struct vault_freshness *freshness, uint64_t deadline_ms,
                                     vault_callback *callback, void *arg, struct error **err);

/* A volume without content needs this read, and its next call comes before `until_ms`. The response that is
 * cached, or that others wait for, is there until then, whatever its age: for volumes whose first call was
 * before the read. For all others it is as old as it is. A call that is served it prolongs the hold to its
 * own end. `response` is what the volume itself has read, or NULL: if it has expired during the call (which
 * takes a `ttl_ms` below the time of a call) it is cached again, unless a vault has refused a read since,
 * maybe this one. */
void vault_cache_hold(struct vault_cache *cache, const struct vault_query *query, const struct token *token,
                      struct vault_response *response, uint64_t until_ms);

/* Why the response is not there yet: sets *err. Returns -1. */
int vault_waiter_pending_error(const struct vault_waiter *waiter, struct error **err);

/* Whether the read waits because of a 429 of the vault. */
bool vault_waiter_is_throttled(const struct vault_waiter *waiter);

/* Ends the wait without a callback; the read goes on while others wait for it. */
void vault_waiter_cancel(struct vault_waiter **waiter);

/* Whether something at most `max_age_ms` old is kept of this read for outages, and its age. The holder of
 * `token` has proved to be its principal. */
bool vault_cache_has_stale(const struct vault_cache *cache, const struct vault_query *query,
                           const struct token *token, uint64_t max_age_ms, uint64_t *ret_age_ms);

/* Another vault has refused the object of which this vault has a copy: what is kept of it ends as if this
 * vault had (stale_store.h). `not_found`: the other one does not have the object; else it was a 401 or
 * 403. */
void vault_cache_refuse_stale(struct vault_cache *cache, const struct vault_query *query,
                              const struct token *token, bool not_found);

/* The same response, a reference of the caller's, and its age, for a first mount whose vault cannot answer
 * (vault_failure.h): logged, with the `cause`, and counted. NULL: nothing is kept. */
struct vault_response *vault_cache_serve_stale(const struct vault_cache *cache,
                                               const struct vault_query *query, const struct token *token,
                                               uint64_t max_age_ms, const struct error *cause,
                                               uint64_t *ret_age_ms);

/* Wipes what is cached. No waiter may be left. Accepts NULL. */
void vault_cache_destroy(struct vault_cache *cache);

#endif
