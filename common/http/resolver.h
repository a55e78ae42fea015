/*
 * resolver.h - host names to addresses, with a small cache. Private to common/http.
 *
 * libcurl is given addresses instead of names (CURLOPT_RESOLVE), so that lookups of one name are joined,
 * cached and given up at no cost, without threads.
 *
 * Addresses are fresh for their TTL, within RESOLVER_TTL_MIN_MS and RESOLVER_TTL_MAX_MS. For
 * RESOLVER_RENEW_MS more they are still used at once while a lookup renews them: a kept connection needs no
 * address at all, and should not wait for one. Older ones are kept for the time when DNS is down (RFC 8767):
 * they are used when the lookup fails or takes longer than RESOLVER_PATIENCE_MS, and from then on without
 * waiting for RESOLVER_RECHECK_MS. That the name servers do not know a name is no failure; it ends the use of
 * its addresses, and is remembered for RESOLVER_NEGATIVE_MS, so that a retry costs no queries.
 */
#ifndef COMMON_HTTP_RESOLVER_H
#define COMMON_HTTP_RESOLVER_H

#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"

struct resolver;
struct resolver_wait; /* one caller waiting for a lookup */

enum {
    RESOLVER_TTL_MIN_MS = 10 * 1000, /* services that move say 10 s and more; and every request asks */
    RESOLVER_TTL_MAX_MS = 5 * 60 * 1000,
    RESOLVER_RENEW_MS = 60 * 1000,
    RESOLVER_STALE_MS = 24 * 60 * 60 * 1000,
    RESOLVER_PATIENCE_MS = 1800,
    RESOLVER_RECHECK_MS = 30 * 1000,
    RESOLVER_NEGATIVE_MS = 3 * 1000,
    RESOLVER_MAX_HOSTS = 64, /* cached names; the oldest goes first */
};

/* Gets the addresses as CURLOPT_RESOLVE spells them ("192.0.2.1,[2001:db8::1]", borrowed), or NULL and the
 * reason. */
typedef void resolver_callback(const char *addresses, const char *reason, void *arg);

/* `log` may be NULL. NULL on lack of memory. */
struct resolver *resolver_create(uv_loop_t *loop, struct log *log);

/* The cached addresses of a name or the fixed ones of "localhost" and names below it (RFC 6761 6.3); NULL
 * when a lookup is needed. May start a renewal. Valid until control returns to the loop. */
const char *resolver_cached(struct resolver *resolver, const char *host);

/* Looks a name up. Call contract: common/grpc/client.h. */
struct resolver_wait *resolver_start(struct resolver *resolver, const char *host, resolver_callback *callback,
                                     void *arg, struct error **err);
/* Sets *wait to NULL; the callback does not run any more. */
void resolver_cancel(struct resolver_wait **wait);

/* No connection to the addresses of a name could be made: perhaps it has moved. The next use looks it up,
 * unless that has just been done (RESOLVER_TTL_MIN_MS). */
void resolver_invalidate(struct resolver *resolver, const char *host);

/* Waiting callers must be gone. Accepts NULL. */
void resolver_destroy(struct resolver *resolver);

#endif
