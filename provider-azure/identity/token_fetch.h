/*
 * token_fetch.h - one token from a token service.
 *
 *     start ──▶ ENDPOINT ──────▶ BUILD ──────────▶ REQUEST ──▶ callback
 *               token proxy's    the request,         │
 *               only             in a thread          │
 *                                if costly            │
 *                                  ▲                  │ an assertion refused after a lost response, once
 *                                  └──────────────────┘
 *
 * Contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_FETCH_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_FETCH_H

#include "common/base/error.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/token.h"
#include "provider-azure/network/http_retry.h"

struct token_fetch;

/* Exactly one of `token`, a reference, and `failure`. Both belong to the callee. `unusable`: no request
 * was sent, for the credential itself is bad, and will be. */
typedef void token_fetch_callback(struct token *token, struct error *failure, bool unusable, void *arg);

/* `network` is borrowed until the callback or token_fetch_cancel(); a reference to `identity` is taken. NULL
 * with err set: lack of memory, or the request cannot be built. */
struct token_fetch *token_fetch_start(const struct network *network, struct identity *identity,
                                      uint64_t deadline_ms, token_fetch_callback *callback, void *arg,
                                      struct error **err);

/* Another caller waits for the same token: moves the deadline to `deadline_ms` if that is later. */
void token_fetch_extend(struct token_fetch *fetch, uint64_t deadline_ms);

/* The reason why there is no token yet: sets *err. Returns -1. */
int token_fetch_pending_error(const struct token_fetch *fetch, struct error **err);

/* The callback does not run any more. Sets *fetch to NULL; accepts a pointer to NULL. */
void token_fetch_cancel(struct token_fetch **fetch);

#endif
