/*
 * client_private.h - what client.c (channel, connections, retry) and client_call.c (one call) know of each
 * other.
 *
 *   WAITING ──connection ready──▶ ACTIVE ──outcome known──▶ FINISHED ──callback──▶ freed
 *      ▲  └── no connection in time, deadline ──────────────────▲
 *      └───────── certainly not seen by the peer, time left ────┘ (from ACTIVE)
 *
 * An outcome is only noted when it is met; callbacks run later, from the loop, when no connection is at work.
 * That makes it safe to start, cancel and destroy anything inside of them.
 */
#ifndef COMMON_GRPC_CLIENT_PRIVATE_H
#define COMMON_GRPC_CLIENT_PRIVATE_H

#include "common/base/list.h"
#include "common/grpc/client.h"
#include "common/grpc/connection.h"
#include "common/grpc/framing.h"
#include "common/grpc/header_check.h"
#include "common/grpc/timeouts.h"

struct client_connection {
    struct grpc_connection base;
    struct grpc_channel *channel;
    struct list link;
    uv_connect_t connect;
    struct timeout connect_timeout;
    bool ready;
    bool gone; /* already reported as lost */
};

struct grpc_channel {
    uv_loop_t *loop;
    struct grpc_channel_config config; /* with the defaults filled in */
    char *address;                     /* owned: path or host:port */
    char *user_agent;                  /* owned */
    struct connection_io io;
    struct list connections;           /* all that libuv still holds */
    struct client_connection *current; /* where new calls go: connecting or ready; NULL if there is none */
    struct list waiting;
    struct list active;
    struct list orphans; /* lost their connection just now */
    struct list finished;
    struct list delivering; /* finished ones whose callbacks are being run */
    struct timeout deliver;
    struct timeout retry;
    uint64_t pause_ms;        /* before the next attempt */
    struct error *last_error; /* why there is no connection */
    bool destroyed;
    unsigned open_handles; /* connections and the timer */
};

struct grpc_client_call {
    struct http2_stream stream;
    struct grpc_channel *channel;
    struct list link; /* in one of the channel's lists */
    char *method;     /* owned */
    uint8_t *message; /* owned: the request while it is not with the stream */
    size_t message_len;
    const ProtobufCMessageDescriptor *response_type;
    grpc_client_callback *callback;
    void *arg;
    uint64_t start_ms;
    uint64_t deadline_ms;
    struct timeout deadline;
    bool finished;
    /* the answer so far */
    struct header_check headers;
    bool final_headers; /* a block with a status of 200 or more has come */
    unsigned http_status;
    bool is_grpc;
    bool has_status; /* grpc-status in the block that ended the stream */
    bool status_invalid;
    bool complete; /* the answer has ended; `outcome` waits for the stream to close */
    enum grpc_status status;
    char *status_message; /* owned */
    struct framing_reader reader;
    /* the outcome */
    ProtobufCMessage *response;
    struct error *error;
};

extern const struct http2_events client_call_events;

/* Sends a call on a ready connection. -1 with err set when that is not possible; the call still owns its
 * message. */
int client_call_send(struct grpc_client_call *call, struct http2_session *session, struct error **err);

/* Notes a failure (moved from *err) as the outcome and has it delivered. */
void client_call_fail(struct grpc_client_call *call, struct error **err);

/* Frees a call that is in no session any more. */
void client_call_free(struct grpc_client_call *call);

/* The call was certainly not seen by the peer: puts it back into the queue if its time allows, otherwise
 * fails it with a copy of `error`. */
void grpc_channel_requeue(struct grpc_channel *channel, struct grpc_client_call *call,
                          const struct error *error);

/* The call has its outcome. */
void grpc_channel_finished(struct grpc_channel *channel, struct grpc_client_call *call);

/* The peer of this session takes no new calls. */
void grpc_channel_going_away(struct http2_session *session, uint32_t code);

#endif
