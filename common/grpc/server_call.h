/*
 * server_call.h - the calls of one server: from their header fields to the end of their responses. Private to
 * common/grpc.
 *
 *   RECEIVING ──whole request──▶ READY ──dispatched──▶ RUNNING ──reply/fail──▶ ENDED
 *       └── refused, deadline, reset ────────────────────────────────────────────▲
 *
 * A call has two holders: its stream (until the response is out or the peer is gone) and its handler (until
 * it ends the call). It is freed when both have let go.
 */
#ifndef COMMON_GRPC_SERVER_CALL_H
#define COMMON_GRPC_SERVER_CALL_H

#include "common/base/list.h"
#include "common/grpc/http2_session.h"
#include "common/grpc/server.h"
#include "common/grpc/service_table.h"
#include "common/grpc/timeouts.h"

/* Embedded in the server. The session of each of its connections has it as `arg`. */
struct server_calls {
    const struct grpc_server_config *config; /* borrowed, with the defaults filled in */
    const struct service_table *services;    /* borrowed */
    struct timeouts *timeouts;               /* borrowed */
    void (*handler_ended)(struct server_calls *calls);
    struct list calls;     /* in every phase */
    struct list ready;     /* complete requests, to be dispatched */
    unsigned n_running;    /* handlers that have not ended their call: counts towards max_calls */
    size_t buffered_bytes; /* of requests not dispatched yet */
};

/* The events of the sessions of a server's connections. */
extern const struct http2_events server_call_events;

/* The caller fills in the borrowed members and `handler_ended`, which runs after each handler has ended its
 * call. */
void server_calls_init(struct server_calls *calls);

/* Runs the handlers of the complete requests. Not inside a session. */
void server_calls_dispatch(struct server_calls *calls);

/* The server stops: cancels the calls whose handlers run, refuses requests that are still arriving. */
void server_calls_stop(struct server_calls *calls);

#endif
