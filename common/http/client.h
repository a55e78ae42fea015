/*
 * client.h - an asynchronous HTTPS client on libcurl (multi-socket) and libuv.
 *
 * Connections are kept and reused, HTTP/2 is used where the server offers it, proxies follow the request's
 * policy. DNS never blocks the loop and a cancelled call never waits. Redirects are not followed (no API used
 * here needs them, and credentials must not travel). Call contract: common/grpc/client.h.
 *
 * Each host has a queue in front of curl, with a limit on the requests in flight (host.h). Flows take turns
 * in it (request_queue.h). Waiting counts against the timeout.
 *
 * Silent connections. Load balancers and NAT drop kept connections without a word, and servers fail over. A
 * request on a kept connection that hears nothing for longer than its host usually takes, and at most about
 * two seconds (host_late_ms()), is started again: the connection is dropped with every other one of the host
 * that is idle or has been as silent, so that the new one is fresh and nobody else meets the old ones. Any
 * byte on the connection is a sign of life, also one for another request. What it costs is that time, once.
 *  - Requests are started again when the server may get them twice (`repeatable`), once each. Any other fails
 *    with UNAVAILABLE, and the caller finds out what has become of it.
 *  - A connection that has not brought a response yet is not timed: a host that nothing is known of may take
 *    its time. Nor are requests that the server takes long to respond to by design (`slow`).
 *  - A request that ends (deadline, cancel) without a byte takes its connection along, unless others use it,
 *    or the host usually takes longer to respond.
 *  - Below that, TCP gives up after 20 s of unacknowledged bytes (TCP_USER_TIMEOUT), and idle connections are
 *    closed after 90 s.
 * There is no HTTP/2 PING: curl 8.14 leaves it in its buffer until another request is sent on the connection.
 * Why the sockets are shut down: curl has no call to drop one connection, finds such a socket dead when it
 * next considers it, and this holds for HTTP/1.1 and HTTP/2 and for every version of curl. A multi handle for
 * each generation would also part requests that are healthy from their connections.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/process/metrics.h"

struct http_client;
struct http_call;
struct header_fields;

enum http_proxy_policy {
    HTTP_PROXY_NONE,        /* never (IMDS, NMI, in-cluster API server) */
    HTTP_PROXY_ENVIRONMENT, /* HTTPS_PROXY, HTTP_PROXY, NO_PROXY as read once at http_client_create();
                               loopback never proxied */
    HTTP_PROXY_RULES,       /* the same rules, with the request's proxy_url in place of HTTPS_PROXY and
                               HTTP_PROXY ("" = none), and its no_proxy in place of NO_PROXY; NULL: the
                               environment's */
};

/* Where a call failed, for error texts and metrics. */
enum http_hop {
    HTTP_HOP_NONE,
    HTTP_HOP_DNS,
    HTTP_HOP_CONNECT,
    HTTP_HOP_PROXY,
    HTTP_HOP_TLS,
    HTTP_HOP_SEND,
    HTTP_HOP_RECEIVE,
    HTTP_HOP_TIMEOUT
};

struct http_client_config {
    struct log *log;        /* borrowed, may be NULL */
    const char *user_agent; /* copied */
    const char *ca_file;    /* PEM bundle; NULL = $SSL_CERT_FILE, else the system's bundle */
    const char *ca_dir;     /* directories, ":" between; NULL = $SSL_CERT_DIR, else see ca_bundle.h */
    unsigned max_connections_per_host; /* 0 = 64 */
    unsigned max_connections;          /* total kept; 0 = 256 */
    uint64_t connect_timeout_ms;       /* DNS + TCP + TLS; 0 = 10 s */
    struct metrics *metrics;           /* gets the families of docs/metrics.md; borrowed, may be NULL */
};

struct http_request {
    const char *method;         /* "GET", "POST", ... */
    const char *url;            /* https://... or http://... */
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL; copied, wiped */
    const char *bearer_token;   /* may be NULL; sent as "Authorization: Bearer ..." */
    const void *body;           /* may be NULL; copied into wiped memory */
    size_t body_len;
    uint64_t timeout_ms;       /* of the whole call */
    size_t max_response_bytes; /* 0 = 4 MiB; beyond it: RESOURCE_EXHAUSTED */
    enum http_proxy_policy proxy;
    const char *proxy_url;     /* overrides the policy when not NULL; with HTTP_PROXY_RULES see there */
    const char *no_proxy;      /* only with HTTP_PROXY_RULES */
    const char *ca_file;       /* overrides the client's CA when not NULL */
    const char *extra_ca_file; /* PEM file whose certificates are trusted besides the client's; may be NULL */
    const void *ca_blob;       /* PEM in memory; overrides ca_file when not NULL */
    size_t ca_blob_len;
    const char *connect_to; /* "host:port" to connect to instead of the URL's (TLS name stays the URL's); may
                               be NULL */
    const void *client_cert_pem; /* client certificate and key for mutual TLS; may be NULL */
    size_t client_cert_pem_len;
    const void *client_key_pem; /* followed by a NUL that the length does not count */
    size_t client_key_pem_len;
    bool insecure_skip_verify; /* only for kubeconfig's insecure-skip-tls-verify */
    bool fresh_connection;     /* do not reuse a kept one: for probes, and after a try that heard nothing */
    bool repeatable;           /* the server may get it twice; true of GET and HEAD anyway */
    bool slow;                 /* the server is meant to take long: a watch, a service that waits itself */
    uint64_t flow; /* requests of one flow, a mount, take turns with those of others; 0: on its own */
};

struct http_response {
    int status;         /* HTTP status, 100..599 */
    struct buffer body; /* wiped after the callback; the callee may move it out with buffer assignment and
                           buffer_init() */
    const struct header_fields *fields; /* for http_response_header(); NULL: there are none */
    bool new_connection;                /* a connection had to be made for this call */
    uint64_t duration_ns;
};

/* The value of the last response header field of this name (compared without case), or NULL. It may contain
 * control characters. Valid during the callback. */
const char *http_response_header(const struct http_response *response, const char *name);

/* The outcome of a call. Any HTTP status is a response with `error` NULL. Without a response `error` has the
 * cause ("DNS lookup of 'x' failed: ...") and `hop` the place; codes: UNAVAILABLE, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED (too large), INVALID_ARGUMENT (bad URL). Both are borrowed for the time of the
 * callback. */
typedef void http_callback(struct http_response *response, enum http_hop hop, const struct error *error,
                           void *arg);

/* Initialises libcurl on the wiping allocator (secret.h). Call once in main(), before threads exist and
 * before the first client. -1 with err set when libcurl refuses. */
int http_library_init(struct error **err);

/* Returns NULL with err set. http_library_init() must have been called. */
struct http_client *http_client_create(uv_loop_t *loop, const struct http_client_config *config,
                                       struct error **err);

/* The CA bundle of calls that name none; NULL when there is none. Valid until control returns to the loop. */
const char *http_client_ca_file(const struct http_client *client);

/* Starts a call; everything in `request` is borrowed for the time of this function only. */
struct http_call *http_call_start(struct http_client *client, const struct http_request *request,
                                  http_callback *callback, void *arg, struct error **err);

/* Sets *call to NULL; the callback will not run. Returns at once, also during a DNS lookup. */
void http_call_cancel(struct http_call **call);

/* Cancels the calls in flight (no callbacks) and closes the connections. Accepts NULL. */
void http_client_destroy(struct http_client *client);

/* Whether a proxy's URL can be used as proxy_url: INVALID_ARGUMENT with a text that does not show it. A '@'
 * in its password may stand as it is. */
int http_check_proxy(const char *url, struct error **err);

/* The same check; also where a connection to that proxy goes: the host without brackets, which the caller
 * frees, and the port, the scheme's if the URL has none. */
int http_proxy_address(const char *url, char **ret_host, unsigned *ret_port, struct error **err);

/* Percent-encodes one path segment or query value (RFC 3986 unreserved kept). Caller frees. NULL on lack of
 * memory. */
char *http_escape(const char *text);

/* "application/x-www-form-urlencoded" body building for token requests: appends "&name=value" (or without &
 * at the start), value encoded. */
int http_form_append(struct buffer *form, const char *name, const void *value, size_t value_len,
                     struct error **err);

/* Retry-After in its three spellings (retry-after-ms, x-ms-retry-after-ms, Retry-After in seconds or as
 * HTTP-date; RFC 9110 10.2.3). A date counts from the response's own Date, so that a clock of this node that
 * is off does no harm; without one from `now_unix` (seconds). Returns milliseconds, or -1 when absent or
 * unusable. */
int64_t http_retry_after_ms(const struct http_response *response, int64_t now_unix);

#endif
