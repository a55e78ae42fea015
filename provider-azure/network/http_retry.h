/*
 * exchange.h - one HTTP question and its answer, with retries, shared back-off and a deadline.
 *
 *               throttled (throttle.h)              429, 5xx, no answer
 *     start ──▶ PAUSE or QUEUE ───────▶ TRY ─────────────────────────────▶ PAUSE ─▶ TRY ...
 *                                        └─▶ any other status, or no retry left: callback
 *
 * A pause that would pass the deadline is not waited for: the callback gets what is known at once.
 * Call contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_NETWORK_HTTP_RETRY_H
#define PROVIDER_AZURE_NETWORK_HTTP_RETRY_H

#include "common/base/error.h"
#include "common/base/log.h"
#include "provider-azure/base/azure_metrics.h"
#include "provider-azure/network/egress.h"
#include "provider-azure/network/retry_policy.h"
#include "provider-azure/network/throttle.h"
#include "provider-azure/network/transport.h"

/* What every room that talks to the network is given. All borrowed. */
struct network {
    const struct transport *transport;
    struct throttle_table *throttles;
    struct azure_metrics *metrics; /* may be NULL */
    struct log *log;               /* may be NULL */
};

enum { HTTP_RETRY_MAX_HEADERS = 8 };

struct http_retry_request {
    const char *service; /* "vault", "entra", "token-proxy", "imds", "nmi": a literal, for metrics and logs */
    const char *host;    /* for texts and the shared back-off; copied */
    const char *
        throttle_scope; /* whose back-off is shared besides the host: see throttle.h. NULL = all of the host */
    const char *method;                              /* a literal */
    const char *url;                                 /* copied */
    const char *headers[HTTP_RETRY_MAX_HEADERS + 1]; /* copied; NULL-terminated */
    const char *bearer;                              /* may be NULL; copied into wiped memory */
    const void *body;                                /* may be NULL; copied into wiped memory */
    size_t body_len;
    size_t max_response_bytes;
    enum http_proxy_policy proxy;
    struct egress *egress;  /* used with HTTP_PROXY_ENVIRONMENT; may be NULL; a reference is taken */
    const char *connect_to; /* see struct http_request; may be NULL; copied */
    const void *ca_pem;     /* trusted instead of the system's; may be NULL; copied */
    size_t ca_pem_len;
    const struct retry_policy *policy; /* borrowed */
    uint64_t deadline_ms;              /* on the transport's clock */
};

struct http_retry;

/* Either `reply` (any status: a retryable one when no retry is left) or `error`: UNAVAILABLE,
 * DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (answer too large, or the host asked for a pause beyond the
 * deadline). `tries` counts HTTP requests. */
typedef void http_retry_callback(struct http_reply *reply, const struct error *error, unsigned tries,
                                 void *arg);

/* `network` is borrowed until the end of the exchange. */
struct http_retry *http_retry_start(const struct network *network, const struct http_retry_request *request,
                                    http_retry_callback *callback, void *arg, struct error **err);

/* Another party waits for the same answer: moves the deadline to `deadline_ms` if that is later. */
void http_retry_extend(struct http_retry *retry, uint64_t deadline_ms);

/* When the request that is under way went out; UINT64_MAX while none is. */
uint64_t http_retry_sent_ms(const struct http_retry *retry);

/* Why there is no answer yet, for somebody who can not wait any longer: sets *err (RESOURCE_EXHAUSTED during
 * a pause after 429, else DEADLINE_EXCEEDED). Returns -1. */
int http_retry_pending_error(const struct http_retry *retry, struct error **err);

/* Sets *retry to NULL; accepts a pointer to NULL. */
void http_retry_cancel(struct http_retry **retry);

#endif
