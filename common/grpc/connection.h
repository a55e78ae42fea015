/*
 * connection.h - an HTTP/2 session on a libuv stream: reading, writing, timeouts, closing. For both roles.
 *
 *   OPEN ──drain()──▶ NOTICE ────PING ACK─────▶ LAST ──no streams──▶ CLOSED ──libuv done──▶ `freed`
 *     └────────────── close(), peer gone, protocol error, timeouts ─────────▶┘
 *
 * Output is bounded: at most one block (CONNECTION_BLOCK) is handed to libuv at a time; the next one is made
 * when that was written. The responses that wait meanwhile belong to open streams, whose number is limited.
 */
#ifndef COMMON_GRPC_CONNECTION_H
#define COMMON_GRPC_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/grpc/http2_session.h"
#include "common/grpc/timeouts.h"

/* Two full DATA frames: few system calls for large messages, little memory. */
enum { CONNECTION_BLOCK = 2 * HTTP2_OUTPUT_MIN };
/* Bytes per read. nghttp2 queues an ACK per PING and gives up beyond 1000; 16 KiB hold at most 963, and each
 * read is followed by a write. */
enum { CONNECTION_READ = 16 * 1024 };

/* Shared by all connections of one server or channel: libuv reads and writes one after the other. */
struct connection_io {
    struct timeouts timeouts;
    uint8_t read[CONNECTION_READ];
    uint8_t write[CONNECTION_BLOCK];
};

struct grpc_connection;

struct connection_owner {
    /* The peer's SETTINGS have arrived: it is alive and speaks HTTP/2. May be NULL. */
    void (*ready)(struct grpc_connection *connection);
    /* After every read, outside of the session: the place to run handlers and callbacks. The connection may
     * be closed in it. */
    void (*received)(struct grpc_connection *connection);
    /* Client: the peer takes no new streams, see http2_session_config. Inside the session. May be NULL. */
    void (*going_away)(struct grpc_connection *connection, uint32_t code);
    /* The connection is over; its streams have had their `closed` event. `error` has the reason, NULL after
     * an orderly end. */
    void (*lost)(struct grpc_connection *connection, const struct error *error);
    /* libuv has let go of it: the memory may be released. */
    void (*freed)(struct grpc_connection *connection);
};

struct grpc_connection_config {
    struct connection_io *io;             /* borrowed */
    const struct connection_owner *owner; /* borrowed */
    struct http2_session_config session;  /* without `going_away` */
    uint64_t handshake_timeout_ms;        /* until the peer's SETTINGS */
    uint64_t idle_timeout_ms;             /* without streams; 0 = never */
    uint64_t write_timeout_ms;            /* without progress */
};

struct grpc_connection {
    struct http2_session session;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv; /* initialised by the owner: uv_pipe_init(), uv_tcp_init() */
    struct connection_io *io;
    const struct connection_owner *owner;
    enum { CONNECTION_OPEN, CONNECTION_NOTICE, CONNECTION_LAST, CONNECTION_CLOSED } state;
    bool started; /* grpc_connection_start() has succeeded */
    bool ready;
    uv_write_t write;
    uint8_t *unwritten; /* owned: the bytes that libuv is writing, or NULL */
    size_t unwritten_len;
    size_t stall_mark; /* bytes that were left when the stall timeout was set */
    uint64_t idle_timeout_ms;
    uint64_t write_timeout_ms;
    struct timeout stall;
    struct timeout idle; /* handshake, idle and drain: one at a time */
    struct timeout wake;
    struct error *failure; /* met where no callback may run; `wake` deals with it */
};

/* Prepares the struct; the owner then initialises `uv` and connects or accepts. Cannot fail. */
void grpc_connection_init(struct grpc_connection *connection, const struct grpc_connection_config *config);

/* Starts talking on the connected stream. On failure (-1, err set) the owner calls
 * grpc_connection_close(). */
int grpc_connection_start(struct grpc_connection *connection, const struct grpc_connection_config *config,
                          struct error **err);

/* Writes the session's output. Anywhere, except in http2_events; runs no callbacks of the owner but
 * http2 `closed`. */
void grpc_connection_flush(struct grpc_connection *connection);

/* Ends the connection gracefully: GOAWAY, streams may finish. For a client: no GOAWAY, closes when no stream
 * is left. */
void grpc_connection_drain(struct grpc_connection *connection);

/* Ends it now. `lost` runs inside (with a NULL error); `freed` later. Not in http2_events. Harmless on a
 * closed one. `uv` must have been initialised. */
void grpc_connection_close(struct grpc_connection *connection);

/* The connection that `session` belongs to. */
struct grpc_connection *grpc_connection_of(struct http2_session *session);

/* The user of the process that has connected (SO_PEERCRED). -1 if it is no Unix socket, or closed. */
int grpc_connection_peer_uid(const struct grpc_connection *connection, uid_t *ret_uid);

#endif
