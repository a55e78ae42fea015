/*
 * retry_policy.c - retry decisions.
 */
#include "provider-azure/network/retry_policy.h"

const struct retry_policy retry_service = {
    .max_retries = 3, .base_ms = 800, .cap_ms = 60000, .try_timeout_ms = 15000};
/* Microsoft's guidance for IMDS, and the pauses of its SDK: about 2, 6, 14, 25, 25, 25 s, together more
 * than the 70 s that a 410 may last. IMDS answers within a second or two: waiting longer than 20 s for
 * it brings nothing. */
const struct retry_policy retry_imds = {.max_retries = 6,
                                        .base_ms = 2000,
                                        .cap_ms = 25000,
                                        .try_timeout_ms = 20000,
                                        .retry_404_410 = true,
                                        .on_node = true,
                                        .min_5xx_ms = 1000};
const struct retry_policy retry_never = {
    .max_retries = 0, .base_ms = 1000, .cap_ms = 1000, .try_timeout_ms = 300000};

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

uint64_t retry_policy_delay_ms(const struct retry_policy *policy, unsigned retry, uint32_t random)
{
    if (retry < 1)
        retry = 1;
    if (retry > 16) /* far above every cap; keeps the shift defined */
        retry = 16;
    uint64_t delay = ((1ULL << retry) - 1) * policy->base_ms;
    delay = delay * (800 + random % 500) / 1000;
    return delay < policy->cap_ms ? delay : policy->cap_ms;
}
