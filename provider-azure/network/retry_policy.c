/*
 * retry_policy.c - retry decisions.
 */
#include "provider-azure/network/retry_policy.h"

/* The delays of the Azure SDK: (2^n - 1) x `first`, n = 1 for the first retry, times a random factor from 0.8
 * to 1.3; `cap` bounds the product. */
#define AZURE_BACKOFF(first_ms, cap_ms)                                                                      \
    {                                                                                                        \
        .first = (first_ms), .step = (first_ms), .growth_percent = 200, .cap = (cap_ms),                     \
        .jitter_min_percent = 80, .jitter_max_percent = 130, .cap_after_jitter = true                        \
    }

const struct retry_policy retry_service = {
    .max_retries = 3, .backoff_ms = AZURE_BACKOFF(800, 60000), .try_timeout_ms = 15000, .patient = true};
/* Microsoft's guidance for IMDS, and the pauses of its SDK: about 2, 6, 14, 25, 25, 25 s, together more
 * than the 70 s that a 410 may last. IMDS responds within a second or two: waiting longer than 20 s
 * brings nothing. */
const struct retry_policy retry_imds = {.max_retries = 6,
                                        .backoff_ms = AZURE_BACKOFF(2000, 25000),
                                        .try_timeout_ms = 20000,
                                        .retry_404_410 = true,
                                        .on_node = true,
                                        .min_5xx_ms = 1000};
const struct retry_policy retry_never = {.max_retries = 0,
                                         .backoff_ms = AZURE_BACKOFF(1000, 1000),
                                         .try_timeout_ms = 300000,
                                         .service_waits = true};

bool retry_policy_allows_status(const struct retry_policy *policy, int status)
{
    switch (status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    case 404:
    case 410:
        return policy->retry_404_410;
    default:
        return policy->retry_404_410 && status >= 500 && status <= 511;
    }
}

bool retry_policy_allows_failure(const struct retry_policy *policy, const struct error *error,
                                 enum http_hop hop, unsigned tries)
{
    enum grpc_status code = error_code(error);
    if (code != GRPC_STATUS_UNAVAILABLE && code != GRPC_STATUS_DEADLINE_EXCEEDED)
        return false;
    if (hop == HTTP_HOP_TLS)
        return false;
    if (hop == HTTP_HOP_DNS || (hop == HTTP_HOP_CONNECT && policy->on_node))
        return tries < 2;
    return true;
}
