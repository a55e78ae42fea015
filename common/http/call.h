/*
 * call.h - one call of the HTTP client, shared by the client's files. Private to common/http.
 *
 * Life of a call:
 *
 *   start ──▶ LOOKUP ── addresses ──▶ QUEUED ── its turn ──▶ TRANSFER ── curl is done ──▶ callback ──▶ freed
 *               │                       │ ▲                    │
 *               │                       │ └── connection silent ┤
 *               ├───────────────────────┴──────────────────────┴── deadline, failure ──▶ callback ──▶ freed
 *               └────────────────────────────────────────────────── cancel ──▶ freed
 *
 * LOOKUP is skipped when the addresses are known. QUEUED ends at once while the host's limit allows (host.h).
 * FAILED is the state of a call whose end is delivered from its timer, because it was found out where no
 * callback may run. No user code runs inside curl's callbacks.
 */
#ifndef COMMON_HTTP_CALL_H
#define COMMON_HTTP_CALL_H

#include <curl/curl.h>

#include "common/base/list.h"
#include "common/http/ca_bundle.h"
#include "common/http/client.h"
#include "common/http/curl_loop.h"
#include "common/http/header_fields.h"
#include "common/http/host.h"
#include "common/http/proxy.h"
#include "common/http/resolver.h"
#include "common/http/trust.h"
#include "common/process/loop_timer.h"

enum { HTTP_DEAD_PEER_MS = 20 * 1000 }; /* unacknowledged bytes for so long mean the connection is dead */

enum call_state { CALL_LOOKUP, CALL_QUEUED, CALL_TRANSFER, CALL_FAILED };

/* The limit for which the client itself stopped a transfer, from inside a curl callback. */
enum call_stop { CALL_STOP_NONE, CALL_STOP_TOO_LARGE, CALL_STOP_HEADERS };

/* The parts of the URL that matter here, and the peer the socket goes to. */
struct call_target {
    char *host; /* without brackets */
    unsigned port;
    bool tls;
    char *peer_host; /* the host to connect to: the target, connect_to or the proxy */
    unsigned peer_port;
    bool peer_is_address; /* nothing to look up */
    bool proxied;
    bool tls_proxy; /* the connection to the proxy is a TLS one itself */
};

/* What the URL of the last request began with, up to its path, and says: most requests go where the last one
 * went, and to parse an URL costs twenty times as much as to compare it. */
struct call_origin {
    char *text; /* "https://..."; NULL: none yet */
    size_t len;
    char *host;
    unsigned port;
};

struct http_call {
    struct list link; /* in the client's `calls` */
    struct http_client *client;
    enum call_state state;
    enum call_stop stop;
    bool repeatable; /* see struct http_request */
    bool slow;
    bool restarted;   /* once is enough */
    bool turned_away; /* that is why */

    struct call_target target;
    struct resolver_wait *lookup;
    CURL *easy;
    struct trust *trust;
    struct curl_slist *header_lines;
    char *addresses;            /* of the peer; NULL: it is an address itself */
    struct curl_slist *resolve; /* what curl was given of them; NULL: nothing */
    uint64_t resolve_ms;        /* when; loop time */
    struct curl_slist *connect_to;
    uint8_t *body; /* wiped memory */
    char curl_text[CURL_ERROR_SIZE];

    struct http_host *host;             /* NULL before the end of setup */
    struct queue_entry entry;           /* QUEUED */
    struct http_connection *connection; /* TRANSFER: from the time when the request is sent */
    struct list on_connection;
    bool may_be_late; /* by host_late_ms(): the connection was kept when the request was sent on it */
    uint64_t sent_ms; /* loop time */

    struct loop_timer *timer; /* the next of: lookup too slow, no connection, response late, deadline */
    uint64_t start_ns;        /* uv_hrtime() */
    uint64_t connect_from_ms; /* loop time: connect_ms counts from here; waiting for others does not count */
    uint64_t queued_ms;       /* loop time */
    uint64_t timeout_ms;      /* as requested */
    uint64_t deadline_ms;     /* loop time */
    uint64_t connect_ms;      /* time for lookup and connecting, the queue not counted */
    struct error *failure;    /* FAILED */
    enum http_hop failure_hop;

    struct http_response response;
    struct header_fields fields;
    CURLcode result;
    bool tcp_connected; /* of this call's connection, kept or new: set by curl_loop */

    http_callback *callback;
    void *arg;
};

struct http_client_metrics { /* NULL: not counted */
    struct metric_family *silent;
    struct metric_family *restarted;
    struct metric_family *waiting;
};

struct http_client {
    uv_loop_t *loop;
    struct log *log;
    struct curl_loop *curl;
    struct resolver *resolver;
    struct proxy_settings proxies;
    struct call_origin origin;
    CURLSH *share; /* TLS sessions survive connections, and multi handles, so that new connections resume */
    struct trust_store *trusts;
    char *user_agent;
    struct ca_bundle *ca_bundle; /* where the node's CAs are */
    uint64_t connect_ms;
    unsigned connections_max; /* per host */
    struct host_table hosts;
    struct list calls;
    struct http_client_metrics metrics;
    bool pump;       /* curl has run, and more requests may be sent than before */
    bool delivering; /* callbacks run from a loop that goes on with the client */
    bool destroyed;
};

/* --- call_setup.c --- */

/* Fills call->target, call->easy and what belongs to it. INVALID_ARGUMENT for bad URLs and headers. */
int http_call_setup(struct http_call *call, const struct http_request *request, struct error **err);
/* Copies the addresses of the peer. -1 only on lack of memory. */
int http_call_set_addresses(struct http_call *call, const char *addresses, struct error **err);
/* Gives curl the addresses of the peer, if there are any and curl needs them. -1 only on lack of memory. */
int http_call_give_addresses(struct http_call *call, struct error **err);
/* Sets the time left for connecting and whether to wait for a connection that is just being made. */
void http_call_set_connecting(struct http_call *call, uint64_t connect_ms, bool wait_for_multiplex);
/* Makes a call that was taken back from curl ready for another start. `fresh`: on a connection of its own. */
void http_call_reset(struct http_call *call, bool fresh);
/* Frees the texts. */
void http_call_origin_finish(struct call_origin *origin);
/* Frees curl's side and the request data; the body of the response stays. */
void http_call_release(struct http_call *call);

/* --- failure.c --- */

/* Sets *err for a failed transfer and returns the hop at which it failed. */
enum http_hop http_call_failure(const struct http_call *call, struct error **err);
/* The same for a call whose deadline has passed. */
enum http_hop http_call_timed_out(const struct http_call *call, struct error **err);
/* Whether a transfer failed before its connection stood, so that nothing was sent, and neither for a
 * certificate nor because a proxy refuses such requests. */
bool http_call_got_no_connection(const struct http_call *call);

/* --- dispatch.c: when a call is handed to curl, and when it is taken back --- */

/* Puts a call that knows its addresses into the queue of its host, and sends what may be sent. Not inside
 * curl. */
void http_call_dispatch(struct http_call *call);
/* Sends what may be sent to this host. Not inside curl. */
void http_host_pump(struct http_client *client, struct http_host *host);
/* The same for all hosts, if client->pump is set. */
void http_client_pump(struct http_client *client);
/* Takes a call away from queue, curl and host; what it leaves free goes to others. Not inside curl. */
void http_call_withdraw(struct http_call *call);
/* When the call has to be looked at next; loop time. */
uint64_t http_call_wake_ms(const struct http_call *call);
/* Whether the connection of a call has fallen silent (host_late_ms()). */
bool http_call_is_late(const struct http_call *call);
/* Drops the connection of a late call, and those of its host that may be as dead: their calls start again, or
 * become FAILED. One that has no connection yet starts again on those that serve its host. */
void http_call_drop_connection(struct http_call *call);
/* A failed call starts again if its own connection was turned away beside others that stand (host.h). False:
 * the failure is for the caller. Not inside curl. */
bool http_call_try_again(struct http_call *call, const struct error *reason);
/* The loop time at which the lookup and the TCP and TLS handshakes must be done. */
uint64_t http_call_connect_deadline(const struct http_call *call);
/* Starts the call's timer. */
void http_call_arm_timer(struct http_call *call);

/* curl's callbacks about sockets, installed by call_setup.c and curl_loop.c. */
int http_socket_made(void *call, curl_socket_t fd, curlsocktype purpose);
int http_socket_close(void *client, curl_socket_t fd);
void http_socket_heard(void *client, curl_socket_t fd);
bool http_socket_keeps(void *client, curl_socket_t fd);
int http_call_on_connection(void *arg, char *peer, char *local, int peer_port, int local_port);

/* --- client.c: curl's callbacks, installed by call_setup.c --- */

size_t http_call_on_header(char *line, size_t size, size_t count, void *arg);
size_t http_call_on_body(char *bytes, size_t size, size_t count, void *arg);

#endif
