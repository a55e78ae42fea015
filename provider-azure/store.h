/*
 * store.h - vault reads shared between mounts of one principal: joined while in flight, kept for republishes.
 *
 * A read is shared only between holders of a token with the same principal (struct token), for the same
 * vault, type, name and version. A first mount (STORE_FRESH) always causes or joins a request; a republish
 * (STORE_RECENT) may be answered with what was read at most `keep_ms` ago, so that a hundred pods of one
 * identity cost one read per object and interval. Failures are never kept. What is kept is bounded in number,
 * bytes and time, and wiped when it goes.
 */
#ifndef PROVIDER_AZURE_STORE_H
#define PROVIDER_AZURE_STORE_H

#include "provider-azure/vault_call.h"

/* Room for the objects of all pods of a node; beyond it the oldest goes first. */
enum { STORE_MAX_ANSWERS = 2000, STORE_MAX_BYTES = 2 * 1024 * 1024 };

enum store_freshness { STORE_FRESH, STORE_RECENT };

struct store;
struct store_wait;

/* `keep_ms` 0 keeps nothing. `network` and `cache` are borrowed. */
struct store *store_create(const struct network *network, struct token_cache *cache, uint64_t keep_ms,
                           struct error **err);

/* As vault_call_start(); the callback gets a reference of its own. The callee keeps its own guard for its
 * deadline: a joined request runs as long as the slowest party allows. */
struct store_wait *store_get(struct store *store, const struct vault_query *query, struct identity *identity,
                             struct token *token, enum store_freshness freshness, uint64_t deadline_ms,
                             vault_callback *callback, void *arg, struct error **err);
void store_wait_cancel(struct store_wait **wait);

size_t store_count(const struct store *store);

/* No wait may be left. Accepts NULL. */
void store_destroy(struct store *store);

#endif
