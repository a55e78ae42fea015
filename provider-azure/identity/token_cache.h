/*
 * token_cache.h - tokens, one request in flight per credential.
 *
 * An entry is reached only through an identity with an equal key (a digest over mode, authority, tenant,
 * client, scope, pod and the credential itself): a mount without the same credential cannot name the entry.
 * Five minutes before a token expires the cache fetches a new one in the background while the old one is
 * still served. At most TOKEN_CACHE_MAX entries; the least recently used goes first. A timer wipes an expired
 * token. That a credential cannot be used at all is kept for ten minutes.
 *
 * Workload identities: the key holds the assertion, so each pod's own service account token costs one
 * request, also for a thousand pods of one service account. Sharing by the claims in it would give one pod's
 * token to any pod that can write such claims: only Entra verifies the signature. Vault reads are shared
 * nevertheless, by the principal of each token.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_CACHE_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_CACHE_H

#include "common/base/error.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/token.h"
#include "provider-azure/network/http_retry.h"

/* A token has about 2 KiB: the cache stays below 1 MiB. A node runs at most some hundred pods. Requests in
 * flight may exceed it while they last. */
enum { TOKEN_CACHE_MAX = 400, TOKEN_CACHE_IN_FLIGHT_MAX = 2000 };

struct token_cache;
struct token_waiter;

/* On success `token` is a reference that belongs to the callee; on failure `error` is borrowed. */
typedef void token_callback(struct token *token, const struct error *error, void *arg);

/* `network` is borrowed. NULL with err set on lack of memory. */
struct token_cache *token_cache_create(const struct network *network, struct error **err);

/* Gets a token of `identity` (a reference is taken where needed). `rejected` (may be NULL) is a token that
 * the vault refused: it is not served again. `deadline_ms` bounds the request that this call starts or joins;
 * the callback may come later, by the longest deadline of all waiters, so the caller keeps its own timer.
 * Contract: common/grpc/client.h. */
struct token_waiter *token_cache_get(struct token_cache *cache, struct identity *identity,
                                     const struct token *rejected, uint64_t deadline_ms,
                                     token_callback *callback, void *arg, struct error **err);
/* The reason why the token is not there yet: sets *err. Returns -1. */
int token_waiter_pending_error(const struct token_waiter *waiter, struct error **err);

/* The callback does not run any more. Sets *waiter to NULL; accepts a pointer to NULL. */
void token_waiter_cancel(struct token_waiter **waiter);

/* Cancels background refreshes. No waiter may be left. Accepts NULL. */
void token_cache_destroy(struct token_cache *cache);

#endif
