/*
 * resolver.h - host names to addresses, on libuv's thread pool, with a small cache. Private to
 * common/http.
 *
 * libcurl is given addresses instead of names (CURLOPT_RESOLVE): its own threaded resolver starts one thread
 * per transfer, and removing a transfer can wait for a thread that is stuck in getaddrinfo(). Here lookups of
 * one name are joined, and giving one up costs nothing. libuv lets lookups occupy at most half of its
 * threads, so a dead name server does not stop file work.
 *
 * Addresses are fresh for RESOLVER_FRESH_MS. Up to RESOLVER_STALE_MS old ones are still used at once while a
 * lookup renews them: a kept connection needs no address at all, and should not wait for one.
 */
#ifndef COMMON_HTTP_RESOLVER_H
#define COMMON_HTTP_RESOLVER_H

#include <uv.h>

#include "common/base/error.h"

struct resolver;
struct resolver_wait; /* one caller waiting for a lookup */

enum {
    RESOLVER_FRESH_MS = 60 * 1000, /* getaddrinfo() returns no TTL; curl's own cache holds 60 s too */
    RESOLVER_STALE_MS = 10 * 60 * 1000,
    RESOLVER_MAX_HOSTS = 64,     /* cached names; the oldest goes first */
    RESOLVER_MAX_ADDRESSES = 16, /* per name */
};

/* Gets the addresses as CURLOPT_RESOLVE spells them ("192.0.2.1,[2001:db8::1]", borrowed), or NULL and the
 * UV_EAI_* code. */
typedef void resolver_callback(const char *addresses, int uv_status, void *arg);

/* NULL on lack of memory. */
struct resolver *resolver_create(uv_loop_t *loop);

/* The cached addresses of a name or the fixed ones of "localhost" and names below it (RFC 6761 6.3); NULL
 * when a lookup is needed. May start a renewal. Valid until control returns to the loop. */
const char *resolver_cached(struct resolver *resolver, const char *host);

/* Looks a name up. Call contract: common/grpc/client.h. */
struct resolver_wait *resolver_start(struct resolver *resolver, const char *host, resolver_callback *callback,
                                     void *arg, struct error **err);
/* Sets *wait to NULL; the callback does not run any more. */
void resolver_cancel(struct resolver_wait **wait);

/* Forgets the addresses of a name, after a connection to them has failed. */
void resolver_forget(struct resolver *resolver, const char *host);

/* Waiting callers must be gone. A lookup that is stuck keeps the loop alive until getaddrinfo() returns.
 * Accepts NULL. */
void resolver_destroy(struct resolver *resolver);

#endif
