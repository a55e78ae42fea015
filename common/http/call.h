/*
 * call.h - one call of the HTTP client, shared by the client's files. Private to common/http.
 *
 * Life of a call:
 *
 *   start --> LOOKUP --addresses--> WAIT --first connection--> TRANSFER --curl is done--> callback --> freed
 *               |                    |                            |
 *               +--------------------+----------------------------+--deadline, failure--> callback --> freed
 *               |                    |                            |
 *               +--------------------+----------------------------+--cancel--> freed
 *
 * LOOKUP is skipped when the addresses are known. A call is in WAIT only while another call makes the first
 * connection to the same server, see origins.c. No user code runs inside curl's callbacks.
 */
#ifndef COMMON_HTTP_CALL_H
#define COMMON_HTTP_CALL_H

#include <curl/curl.h>

#include "common/base/list.h"
#include "common/http/ca_bundle.h"
#include "common/http/client.h"
#include "common/http/curl_loop.h"
#include "common/http/proxy.h"
#include "common/http/resolver.h"
#include "common/http/trust.h"
#include "common/process/loop_timer.h"

struct origin_book;

enum call_state { CALL_LOOKUP, CALL_WAIT, CALL_TRANSFER };

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

struct http_call {
    struct list link; /* in the client's `calls` */
    struct http_client *client;
    enum call_state state;
    enum call_stop stop;

    struct call_target target;
    struct resolver_wait *lookup;
    CURL *easy;
    struct trust *trust;
    struct curl_slist *header_lines;
    struct curl_slist *resolve;
    struct curl_slist *connect_to;
    uint8_t *body; /* wiped memory */
    char curl_text[CURL_ERROR_SIZE];

    struct loop_timer *timer; /* the next of: lookup too slow, waited enough, deadline */
    uint64_t start_ns;        /* uv_hrtime() */
    uint64_t start_ms;        /* loop time */
    uint64_t timeout_ms;      /* as requested */
    uint64_t deadline_ms;     /* loop time */
    uint64_t connect_ms;      /* time for lookup and connecting */

    struct http_response response;
    unsigned n_header_fields;
    size_t header_bytes;
    CURLcode result;
    bool tcp_connected; /* of this call's connection, kept or new: set by curl_loop */
    bool opens;         /* makes the first connection to its server; others WAIT for it */
    bool waited;        /* once is enough */

    http_callback *callback;
    void *arg;
};

struct http_client {
    uv_loop_t *loop;
    struct log *log;
    struct curl_loop *curl;
    struct resolver *resolver;
    struct proxy_settings proxies;
    CURLSH *share; /* TLS sessions survive connections, and multi handles, so that new connections resume */
    struct trust_store *trusts;
    char *user_agent;
    struct ca_bundle *ca_bundle; /* where the node's CAs are */
    uint64_t connect_ms;
    struct origin_book *origins;
    struct list calls;
    bool delivering; /* callbacks run from a loop that goes on with the client */
    bool destroyed;
};

/* --- call_setup.c --- */

/* Fills call->target, call->easy and what belongs to it. INVALID_ARGUMENT for bad URLs and headers. */
int http_call_setup(struct http_call *call, const struct http_request *request, struct error **err);
/* Gives curl the addresses of the peer. -1 only on lack of memory. */
int http_call_set_addresses(struct http_call *call, const char *addresses, struct error **err);
/* Sets the time left for connecting and whether to wait for a connection that is just being made. */
void http_call_set_connecting(struct http_call *call, uint64_t connect_ms, bool wait_for_multiplex);
/* Frees curl's side and the request data; the body of the response stays. */
void http_call_release(struct http_call *call);

/* --- failure.c --- */

/* Sets *err for a failed transfer and returns the hop at which it failed. */
enum http_hop http_call_failure(const struct http_call *call, struct error **err);
/* The same for a call whose deadline has passed. */
enum http_hop http_call_timed_out(const struct http_call *call, struct error **err);

/* --- client.c: curl's callbacks, installed by call_setup.c --- */

int http_call_on_connection(void *arg, char *peer, char *local, int peer_port, int local_port);
size_t http_call_on_header(char *line, size_t size, size_t count, void *arg);
size_t http_call_on_body(char *bytes, size_t size, size_t count, void *arg);

/* --- origins.c: which HTTP version a server was seen to speak --- */

/* Bounded; the oldest server is forgotten. NULL on lack of memory. */
struct origin_book *origin_book_create(void);
void origin_book_destroy(struct origin_book *book);
void origin_book_learn(struct origin_book *book, const char *host, unsigned port, bool multiplexes);
/* 1 = multiplexes (HTTP/2), 0 = does not, -1 = not known. */
int origin_book_lookup(const struct origin_book *book, const char *host, unsigned port);

#endif
