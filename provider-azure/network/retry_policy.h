/*
 * retry_policy.h - when to try again, and after how long. Pure decisions, no I/O.
 *
 * The delays are those the Azure SDK uses: (2^n - 1) x base, with a random factor in [0.8, 1.3), n = 1 for
 * the first retry; what the server asks for in Retry-After replaces them.
 */
#ifndef PROVIDER_AZURE_NETWORK_RETRY_POLICY_H
#define PROVIDER_AZURE_NETWORK_RETRY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/http/client.h"

/* A server that asks for more than this is taken at its word: no retry, the caller's own retry comes later.
 */
enum { RETRY_AFTER_MAX_MS = 60 * 1000 };

struct retry_policy {
    unsigned max_retries;
    uint64_t base_ms;
    uint64_t cap_ms;
    uint64_t try_timeout_ms; /* limit of one try */
    bool retry_404_410;      /* IMDS: its way of saying "updating"; a 410 may last 70 s */
    bool on_node;            /* a service of the node: where nobody takes the connection it is not there */
    uint64_t min_5xx_ms;     /* a 5xx is not repeated sooner, whatever the server says */
};

extern const struct retry_policy retry_service; /* Key Vault and Entra */
extern const struct retry_policy retry_imds;
extern const struct retry_policy retry_never; /* NMI waits by itself for up to a minute and more */

/* Whether an HTTP status is worth another try: 408, 429, 500, 502, 503, 504 and, for IMDS, 404, 410 and all
 * 5xx. */
bool retry_policy_allows_status(const struct retry_policy *policy, int status);

/* Whether a failure without an answer is. `tries` counts those made, this one included. A name that does not
 * resolve gets one more try only (it usually is a wrong vault name, and the user waits), and so does a
 * service of the node without a connection; a TLS failure none. */
bool retry_policy_allows_failure(const struct retry_policy *policy, const struct error *error,
                                 enum http_hop hop, unsigned tries);

/* Delay before retry number `retry` (from 1). `random` is any 32-bit number. */
uint64_t retry_policy_delay_ms(const struct retry_policy *policy, unsigned retry, uint32_t random);

#endif
