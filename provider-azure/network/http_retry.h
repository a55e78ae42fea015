/*
 * http_retry.h - one HTTP request with retries, shared back-off and a deadline.
 *
 *               throttled (throttle.h)              429, 5xx, no response
 *     start ──▶ PAUSE or QUEUE ───────▶ TRY ─────────────────────────────▶ PAUSE ─▶ TRY ...
 *                                        └─▶ any other status, or no retry left: callback
 *
 * A pause that would pass the deadline is not waited for: the callback gets the last outcome at once.
 * Contract: common/grpc/client.h.
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

/* The means of every module that sends requests. All borrowed. */
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
    const char *throttle_scope; /* shares the back-off, besides the host: throttle.h. NULL: all of the host */
    const char *method;         /* a literal */
    const char *url;            /* copied */
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
    uint64_t flow;                     /* see struct http_request */
    bool gives_way;    /* while the scope is throttled: others go first, such as those of new pods */
    uint64_t since_ms; /* and those that wait since an earlier time; 0 = since now */
};

struct http_retry;

/* error_type() when the host throttles beyond the deadline (RESOURCE_EXHAUSTED), and when nothing was sent
 * because the deadline had passed (DEADLINE_EXCEEDED). */
#define HTTP_RETRY_THROTTLED "HttpThrottled"
#define HTTP_RETRY_NO_TIME   "HttpNoTime"

/* Either `reply` (any status: a retryable one when no retry is left) or `error`: UNAVAILABLE,
 * DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (response too large, or the host throttles beyond the deadline).
 * `tries` counts HTTP requests. */
typedef void http_retry_callback(struct http_reply *reply, const struct error *error, unsigned tries,
                                 void *arg);

/* `network` is borrowed until the callback or http_retry_cancel(). NULL with err set on lack of memory. */
struct http_retry *http_retry_start(const struct network *network, const struct http_retry_request *request,
                                    http_retry_callback *callback, void *arg, struct error **err);

/* Another caller waits for the same response: moves the deadline to `deadline_ms` if that is later. */
void http_retry_extend(struct http_retry *retry, uint64_t deadline_ms);

/* A caller waits for the same response, since that time, whose request would not give way. */
void http_retry_hurry(struct http_retry *retry, uint64_t since_ms);

/* The time at which the request in flight was sent; UINT64_MAX while none is in flight. */
uint64_t http_retry_sent_ms(const struct http_retry *retry);

/* Whether it waits because of a 429, to itself or to another request. */
bool http_retry_is_throttled(const struct http_retry *retry);

/* The reason why there is no response yet, for a caller whose time is over: sets *err (RESOURCE_EXHAUSTED,
 * HTTP_RETRY_THROTTLED, during a pause after 429, else DEADLINE_EXCEEDED). Returns -1. */
int http_retry_pending_error(const struct http_retry *retry, struct error **err);

/* The callback does not run any more. Sets *retry to NULL; accepts a pointer to NULL. */
void http_retry_cancel(struct http_retry **retry);

#endif
