/*
 * server_private.h - what server.c (connections, life) and server_call.c (one call) know of each other.
 *
 *   RECEIVING ──whole request──▶ READY ──dispatched──▶ RUNNING ──reply/fail──▶ ENDED
 *       └── refused, deadline, reset ────────────────────────────────────────────▲
 *
 * A call has two holders: its stream (until the answer is out or the peer is gone) and its handler (until it
 * ends the call). It is freed when both have let go.
 */
#ifndef COMMON_GRPC_SERVER_PRIVATE_H
#define COMMON_GRPC_SERVER_PRIVATE_H

#include "common/base/list.h"
#include "common/grpc/connection.h"
#include "common/grpc/framing.h"
#include "common/grpc/header_check.h"
#include "common/grpc/listener.h"
#include "common/grpc/server.h"
#include "common/grpc/timeouts.h"

struct route {
    char *path; /* owned: "/csi.v1.Node/NodePublishVolume" */
    const struct grpc_service *service;
    const struct grpc_method *method;
};

struct grpc_server {
    uv_loop_t *loop;
    struct grpc_server_config config; /* with the defaults filled in */
    struct connection_io io;
    bool io_started;
    struct route *routes;
    size_t n_routes;
    const struct grpc_service **services;
    size_t n_services;
    struct grpc_service health; /* used when health was added */
    struct grpc_method health_method;
    enum grpc_health_mode health_mode;
    struct list listeners;
    struct list connections;
    unsigned n_connections;
    struct list calls;     /* all, in whatever phase */
    struct list ready;     /* complete requests to be dispatched */
    unsigned n_running;    /* handlers that have not ended their call: counts towards max_calls */
    size_t buffered_bytes; /* of requests not dispatched yet */
    enum { SERVER_SERVING, SERVER_DRAINING, SERVER_CANCELLING, SERVER_STOPPED } state;
    struct timeout stop_step;
    void (*stop_done)(void *arg);
    void *stop_arg;
};

enum call_phase { CALL_RECEIVING, CALL_READY, CALL_RUNNING, CALL_ENDED };

/* Longest path that is kept; longer ones match no method. */
enum { CALL_PATH_MAX = 128 };

struct grpc_call {
    struct http2_stream stream;
    struct grpc_server *server;
    struct list link;       /* in server->calls */
    struct list ready_link; /* in server->ready */
    enum call_phase phase;
    bool answered;     /* the stream has its answer (or never will) */
    bool headers_seen; /* later blocks are trailers */
    struct header_check headers;
    bool is_post;
    bool is_grpc;
    bool timeout_invalid;
    bool encoding_unknown;
    char path[CALL_PATH_MAX + 1];
    size_t path_len; /* the real one, may exceed CALL_PATH_MAX */
    const struct route *route;
    struct framing_reader reader;
    uint64_t data_len; /* bytes of DATA so far */
    ProtobufCMessage *request;
    uint64_t start_ns;
    uint64_t timeout_ns;
    uint64_t deadline_ms;   /* on the clock of the timeouts; UINT64_MAX = none */
    uint64_t progress;      /* bytes moved when `timeout` was set */
    struct timeout timeout; /* deadline, slow request, unread answer */
    struct timeout notice;  /* runs `cancelled` from the loop */
    enum grpc_status cancel_reason;
    void (*cancelled)(struct grpc_call *call, void *arg);
    void *cancelled_arg;
};

extern const struct http2_events server_call_events;

/* Dispatches the complete requests. Not inside the session. */
void server_call_dispatch(struct grpc_server *server);

/* The server stops: tells a running handler; refuses a request that is still arriving. */
void server_call_stop(struct grpc_call *call);

/* Called by server_call.c when a handler has ended; the server may be waiting for it. */
void grpc_server_call_gone(struct grpc_server *server);

/* The server of a session's connection. */
struct grpc_server *grpc_server_of(struct http2_session *session);

#endif
