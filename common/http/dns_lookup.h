/*
 * dns_lookup.h - the addresses of one host name: from /etc/hosts, else from the name servers of
 * /etc/resolv.conf (c-ares), on the loop and without threads. Both files are read for each lookup.
 *
 * - A name with a dot is queried as it is first, whatever `ndots` says; the search list follows only when the
 *   name servers do not know it. A name without a dot is queried with the search list.
 * - A and AAAA are queried together. When one of them has brought addresses, or A has failed, the other one
 *   gets DNS_GRACE_MS more (RFC 8305, section 3): name servers that refuse, drop or break AAAA cost no more
 *   than that.
 * - A name server that fails (SERVFAIL, REFUSED, ...) is final for AAAA; for A the others are queried, too.
 * - Truncated responses are fetched over TCP. Responses with a wrong id, question or sender are ignored.
 * - Addresses that the node has a route to come first, of these IPv6 before IPv4.
 */
#ifndef COMMON_HTTP_DNS_LOOKUP_H
#define COMMON_HTTP_DNS_LOOKUP_H

#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

enum {
    DNS_GRACE_MS = 50,
    DNS_TRY_MS = 1500,         /* for the first response of a name server; doubled with each round */
    DNS_TRIES = 2,             /* rounds over all name servers, after a first one */
    DNS_MAX_ADDRESSES = 16,    /* of each family */
    DNS_MAX_ADDRESS_TEXT = 48, /* "[" INET6_ADDRSTRLEN "]," */
};

struct dns_lookup;

enum dns_outcome {
    DNS_FOUND,
    DNS_NOT_FOUND, /* the name servers say that there is no such name, or that it has no address */
    DNS_FAILED,    /* they do not respond, or not with that */
};

struct dns_result {
    enum dns_outcome outcome;
    const char *addresses; /* DNS_FOUND: as CURLOPT_RESOLVE spells them, "192.0.2.1,[2001:db8::1]" */
    uint32_t ttl_s;        /* DNS_FOUND: the shortest of all records; 0 from /etc/hosts */
    const char *reason;    /* otherwise: a literal */
};

/* `result` is borrowed during the call. */
typedef void dns_callback(const struct dns_result *result, void *arg);

/* Looks a name up; addresses and "localhost" need no name server. Contract: common/grpc/client.h. It ends after
 * about DNS_TRY_MS * 2 ^ DNS_TRIES for each name server when none responds. */
struct dns_lookup *dns_lookup_start(uv_loop_t *loop, const char *name, dns_callback *callback, void *arg,
                                    struct error **err);

/* Ends the lookup without a callback. Sets *lookup to NULL; accepts a pointer to NULL. */
void dns_lookup_cancel(struct dns_lookup **lookup);

#endif
