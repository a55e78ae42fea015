/*
 * host.h - what the client knows of each host that it sends requests to: its HTTP version, its connections,
 * the requests that wait for it, how soon it usually responds. Private to common/http.
 *
 * curl gets only what it can send. Requests beyond that would wait inside it, and curl 8.14 tries every one
 * of them again whenever any transfer ends: the time of a burst would grow with its square.
 *
 * The number of requests in flight to a host is limited to
 *   1                        until its first connection stands: one request pays for the handshake;
 *   2                        until a response comes, or the second request goes out. If it shares the
 *                            connection, this is HTTP/2. If it has made another one, TLS has got the session
 *                            of the first meanwhile, which all further connections resume;
 *   max_connections_per_host over HTTP/1.1, a connection each;
 *   HOST_STREAMS_MAX         over HTTP/2, approached in steps: each response allows one more while a single
 *                            connection carries them all, and one less while there are more than two.
 *                            So two connections do, however few streams the server allows on one.
 *
 * What lies in between, or the host itself, may let fewer connections through over HTTP/1.1 and close,
 * refuse, or never serve the others. A request whose connection is turned away like this while others to the
 * host stand starts again on one of these, and from then on as many requests are in flight as have not been
 * turned away: the next mount is not to find out once more, which may cost it seconds. The number is doubled
 * every HOST_LIMITED_MS, for the reason may have gone, and forgotten when a request is turned away a second
 * time: then it was not the number.
 *
 * A host is known by name, port, and the peer of its connections (connect_to, a proxy). HOSTS_MAX are
 * remembered; those in use are never forgotten.
 */
#ifndef COMMON_HTTP_HOST_H
#define COMMON_HTTP_HOST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/http/request_queue.h"

enum {
    HOSTS_MAX = 64,         /* vaults and authorities that one node talks to */
    HOST_STREAMS_MAX = 100, /* curl opens another connection beyond that, and common servers allow as many */
    HOST_STREAMS_MIN = 8,   /* requests in flight to an HTTP/2 server, however few streams it allows */

    /* see host_late_ms() */
    HOST_LATE_MIN_MS = 1000,
    HOST_LATE_MAX_MS = 2000,

    HOST_CONNECT_LATE_MS = 3000, /* see host_connect_late_ms() */

    HOST_ADDRESSES_MS = 20 * 1000, /* see host_has_addresses() */

    HOST_LIMITED_MS =
        5 * 60 * 1000, /* a node seldom mounts more often, and to find out again costs a mount */
};

enum host_protocol { HOST_UNKNOWN, HOST_HTTP1, HOST_HTTP2 };

struct host_key {
    const char *name;
    unsigned port;
    bool tls;
    const char *peer;
    unsigned peer_port;
};

struct http_host {
    struct list link; /* in struct host_table */
    char *name;
    char *peer;
    unsigned port;
    unsigned peer_port;
    bool tls;
    enum host_protocol protocol;
    unsigned users; /* calls of any state */
    unsigned in_flight;
    unsigned connections_max;
    unsigned connections_let; /* through, as it was found out at let_ms; 0 = no limit is known */
    uint64_t let_ms;          /* loop time */
    unsigned streams;
    struct request_queue queue;
    struct list connections;
    uint64_t usual_ms;
    uint64_t usual_connect_ms;
    char *addresses; /* of the peer, that curl was given last; NULL: none */
    uint64_t addresses_ms;
};

/* One socket, from its creation on. */
struct http_connection {
    struct list link; /* in its host's `connections` */
    struct http_host *host;
    curl_socket_t fd;
    const void *opener;  /* the call that it was made for, while not `ready`; for comparison only */
    unsigned local_port; /* 0 = not known yet */
    struct list calls;   /* that use it now: struct http_call.on_connection */
    bool ready;          /* a request was sent on it */
    bool kept;           /* it has brought a response */
    bool dropped;        /* it fell silent */
    uint64_t heard_ms;   /* when bytes came last; loop time */
};

struct host_table {
    struct list hosts; /* the one used last at the end */
    unsigned n;
};

void host_table_init(struct host_table *table);

/* All calls and connections must be gone. */
void host_table_finish(struct host_table *table);

/* The host; it is made when it is not known. The caller counts itself in `users`. NULL on lack of memory. */
struct http_host *host_table_get(struct host_table *table, const struct host_key *key,
                                 unsigned connections_max);

/* How many requests may be in flight. */
unsigned host_limit(const struct http_host *host, uint64_t now_ms);

/* Whether a connection stands. */
bool host_is_connected(const struct http_host *host);

/* Whether curl has these addresses from a request before. That is sure while a connection stands: all that
 * curl knows goes after its last connection. And it is for HOST_ADDRESSES_MS: curl keeps addresses for a
 * limited time (call_setup.c). */
bool host_has_addresses(const struct http_host *host, const char *addresses, uint64_t now_ms);

/* A request to which curl was given these addresses at `given_ms` is on a connection: curl has read them. */
void host_gave_addresses(struct http_host *host, const char *addresses, uint64_t given_ms);

/* A response has come over this HTTP version. */
void host_responded(struct http_host *host, enum host_protocol protocol);

/* Two requests are on one connection: HTTP/2, unless it is known better. Over HTTP/1.1, curl may give a
 * connection to the next request before it says that the last one has ended. */
void host_shares_connection(struct http_host *host);

/* The first byte of a response has come `ms` after the request was sent. */
void host_took(struct http_host *host, uint64_t ms);

/* After how many milliseconds without a byte a request on a kept connection is late: four times of what the
 * host usually takes (the longest of late, slowly forgotten), within HOST_LATE_MIN_MS and HOST_LATE_MAX_MS. A
 * host that usually takes more than half of the maximum is given twice its time: otherwise each of its
 * requests would be sent twice. */
uint64_t host_late_ms(const struct http_host *host);

/* Whether a connection over HTTP/1.1 stands. Then another one that is turned away says something about their
 * number. */
bool host_has_let_through(const struct http_host *host);

/* Beside such ones a connection was turned away; its request is not in flight any more. True: no limit was
 * known. */
bool host_turned_away(struct http_host *host, uint64_t now_ms);

/* So was that of a request that was started again: it is not the number. */
void host_turned_away_again(struct http_host *host);

/* A connection has come to stand `ms` after it was begun. */
void host_connected(struct http_host *host, uint64_t ms);

/* After how many milliseconds a connection that does not stand yet is taken for turned away, while others do:
 * four times of what they took, which for a proxy far away are four round trips each, and not less than
 * HOST_CONNECT_LATE_MS, because the handshakes of many connections share one processor. */
uint64_t host_connect_late_ms(const struct http_host *host);

/* --- connections --- */

/* NULL on lack of memory: the connection is not watched. */
struct http_connection *host_connection_add(struct http_host *host, curl_socket_t fd, const void *opener,
                                            uint64_t now_ms);

/* The socket is about to be closed; no call uses it. */
void host_connection_remove(struct http_connection *connection);

/* The socket that was made for this call and is no connection yet; NULL when there is none. */
struct http_connection *host_attempt(const struct http_host *host, const void *opener);

/* A call has ended: forgets the sockets that were made for it and never became connections. Before 8 curl
 * closes such a socket without a word. */
void host_forget_attempts(struct http_host *host, const void *opener);

struct http_connection *host_table_connection(const struct host_table *table, curl_socket_t fd);

/* The connection with this local port; NULL when there is none. */
struct http_connection *host_connection_at(const struct http_host *host, unsigned local_port);

#endif
