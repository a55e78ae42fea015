/*
 * store.h - vault reads shared between mounts of one principal: joined while in flight, kept for republishes.
 *
 * A read is shared only between holders of a token with the same principal (struct token), for the same
 * vault, type, name and version. Failures, and that an object is not there, are never kept. What is
 * kept is bounded in number, bytes and time, and wiped when it goes.
 *
 * Freshness, counted from the moment a request was sent, which is never later than the vault's own reading:
 * - A first mount is never answered from memory. It joins a request of others that is still to be sent, or
 *   was sent at most STORE_JOIN_MS ago; so what it shows is at most that much older than its own call.
 * - A republish may be answered with what was read at most `keep_ms` ago, provided that this was read after
 *   the volume's answer before (or at most STORE_GRACE_MS ago: who asks again so soon is not rotating). So a
 *   hundred pods of one identity cost one read per object and interval, and each of its passes brings a pod
 *   news that is younger than its pass before.
 * - Time never runs backwards: when two requests for one object were on their way together, their answers
 *   have no known order. If they differ, neither is kept; and nobody joins a request that was sent before
 *   the latest answer about the object was told, to whomever it was told.
 */
#ifndef PROVIDER_AZURE_VAULT_CACHE_H
#define PROVIDER_AZURE_VAULT_CACHE_H

#include "provider-azure/vault/vault_call.h"

/* Room for the objects of all pods of a node; beyond it the oldest goes first. */
enum { STORE_MAX_ANSWERS = 2000, STORE_MAX_BYTES = 2 * 1024 * 1024 };
/* Pods start in bursts, and a vault answers within some ten milliseconds: longer waits are trouble, in which
 * one more request per half a second does not matter. */
enum { STORE_JOIN_MS = 500 };
/* Nobody rotates faster than this; kubelets and drivers that repeat a call do. */
enum { STORE_GRACE_MS = 10 * 1000 };

struct store_freshness {
    bool republish;       /* the volume has content already */
    uint64_t answered_ms; /* republish: when it was answered last; 0 = long ago (volume_log.h) */
};

struct store;
struct store_wait;

/* `keep_ms` 0 keeps nothing. `network` and `cache` are borrowed. */
struct store *store_create(const struct network *network, struct token_cache *cache, uint64_t keep_ms,
                           struct error **err);

/* As vault_call_start(); the callback gets a reference of its own. The callee keeps its own guard for its
 * deadline: a joined request runs as long as the slowest party allows. */
struct store_wait *store_get(struct store *store, const struct vault_query *query, struct identity *identity,
                             struct token *token, const struct store_freshness *freshness,
                             uint64_t deadline_ms, vault_callback *callback, void *arg, struct error **err);
/* Why the answer is not there yet: sets *err. Returns -1. */
int store_wait_why_not_yet(const struct store_wait *wait, struct error **err);
void store_wait_cancel(struct store_wait **wait);

size_t store_count(const struct store *store);

/* No wait may be left. Accepts NULL. */
void store_destroy(struct store *store);

#endif
