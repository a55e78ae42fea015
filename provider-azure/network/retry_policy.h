/*
 * retry_policy.h - when to retry, and after how long. Pure decisions, no I/O.
 *
 * The delays are those of the Azure SDK (retry_policy.c); a server's Retry-After replaces them.
 */
#ifndef PROVIDER_AZURE_NETWORK_RETRY_POLICY_H
#define PROVIDER_AZURE_NETWORK_RETRY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/backoff.h"
#include "common/base/error.h"
#include "common/http/client.h"

/* A longer Retry-After is not waited for: no retry, the caller's own retry comes later. It is also the
 * longest pause that a 429 makes for all requests of a scope (throttle.h), whatever its Retry-After says. */
enum { RETRY_AFTER_MAX_MS = 60 * 1000 };

struct retry_policy {
    unsigned max_retries;
    struct backoff backoff_ms;
    uint64_t try_timeout_ms; /* limit of one try */
    bool patient;            /* a 429 is retried up to the deadline: the limit is shared by many nodes */
    bool retry_404_410;      /* IMDS sends them while it updates itself; a 410 may last 70 s */
    bool service_waits;      /* it responds late by design: a late response is no sign of a dead connection */
    bool on_node;            /* a service of the node: a refused connection means that it is absent */
    uint64_t min_5xx_ms;     /* the shortest delay after a 5xx, Retry-After or not */
};

extern const struct retry_policy retry_service; /* Key Vault and Entra */
extern const struct retry_policy retry_imds;
extern const struct retry_policy retry_never; /* NMI waits by itself for up to a minute and more */

/* Whether a response with this HTTP status is retried: 408, 429, 500, 502, 503, 504 and, for IMDS, 404, 410
 * and all 5xx. */
bool retry_policy_allows_status(const struct retry_policy *policy, int status);

/* Whether a failure without a response is retried. `tries` counts the tries made, this one included. A name
 * that does not resolve gets one retry only (it usually is a wrong vault name, and the user waits), and so
 * does a service of the node without a connection; a TLS failure gets none. */
bool retry_policy_allows_failure(const struct retry_policy *policy, const struct error *error,
                                 enum http_hop hop, unsigned tries);

#endif
