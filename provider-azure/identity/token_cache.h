/*
 * token_cache.h - tokens, one request at a time per credential.
 *
 * An entry is reached only through an identity whose key (a digest over mode, authority, tenant, client,
 * scope, pod and the credential itself) is equal: who does not bring the same credential can not name the
 * entry. Five minutes before a token ends the cache fetches a new one in the background while the old one
 * is still served. At most TOKEN_CACHE_MAX entries; the one that was not asked for longest goes first. A
 * token that has ended is wiped by a timer.
 *
 * Workload identities: the key holds the assertion, so each pod's own service account token costs one
 * exchange, also for a thousand pods of one service account. Sharing by the claims in it would hand one
 * pod's token to whoever can write such claims: only Entra verifies the signature. Vault reads are shared
 * nevertheless, by the principal that each token stands for.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_CACHE_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_CACHE_H

#include "common/base/error.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/token.h"
#include "provider-azure/network/http_retry.h"

/* A token has about 2 KiB: the cache stays below 1 MiB. A node runs at most some hundred pods. Requests
 * in flight may exceed it for as long as they last. */
enum { TOKEN_CACHE_MAX = 400, TOKEN_CACHE_IN_FLIGHT_MAX = 2000 };

struct token_cache;
struct token_waiter;

/* On success `token` is a reference that belongs to the callee; on failure `error` is borrowed. */
typedef void token_callback(struct token *token, const struct error *error, void *arg);

/* `network` is borrowed. NULL with err set on lack of memory. */
struct token_cache *token_cache_create(const struct network *network, struct error **err);

/* Asks for a token of `identity` (a reference is taken where needed). `rejected` (may be NULL) is a token the
 * vault refused: it is not served again. `deadline_ms` bounds the request that this wait may start or join;
 * the callback may come later than that by what the slowest party allows, so the caller keeps its own guard.
 * Contract: common/grpc/client.h. */
struct token_waiter *token_cache_get(struct token_cache *cache, struct identity *identity,
                                     const struct token *rejected, uint64_t deadline_ms,
                                     token_callback *callback, void *arg, struct error **err);
/* Why the token is not there yet: sets *err. Returns -1. */
int token_waiter_pending_error(const struct token_waiter *waiter, struct error **err);
void token_waiter_cancel(struct token_waiter **waiter);

size_t token_cache_count(const struct token_cache *cache);

/* Cancels what runs in the background. No wait may be left. Accepts NULL. */
void token_cache_destroy(struct token_cache *cache);

#endif
