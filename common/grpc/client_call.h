/*
 * client_call.h - one call of a client: request out, response in, outcome. Private to common/grpc.
 *
 *   WAITING ──connection ready──▶ ACTIVE ──outcome known──▶ FINISHED ──callback──▶ freed
 *      ▲  └── no connection in time, deadline ──────────────────▲
 *      └───────── certainly not seen by the peer, time left ────┘ (from ACTIVE)
 *
 * The owner (client.c) keeps the call in a list per state. An outcome is only recorded when it is met; the
 * owner runs the callback later, from the loop, when no connection is at work. That makes it safe to start,
 * cancel and destroy anything inside of it.
 */
#ifndef COMMON_GRPC_CLIENT_CALL_H
#define COMMON_GRPC_CLIENT_CALL_H

#include "common/base/list.h"
#include "common/grpc/client.h"
#include "common/grpc/framing.h"
#include "common/grpc/header_check.h"
#include "common/grpc/http2_session.h"
#include "common/grpc/timeouts.h"
#include "common/process/byte_budget.h"

/* Receive window of the connection, and of a call whose response is larger than the default window: 1 MiB
 * needs no extra round trip. */
enum { CLIENT_RECEIVE_WINDOW = 1024 * 1024, CLIENT_FIRST_WINDOW = 65535 };

struct client_call_owner {
    /* The peer has sent a whole response: it works. */
    void (*responded)(struct grpc_client_call *call);
    /* The call has its outcome (call->response or call->error) and is in no session any more. */
    void (*finished)(struct grpc_client_call *call);
    /* The peer has certainly not processed the call, which may be sent again. `error` has the reason. */
    void (*refused)(struct grpc_client_call *call, const struct error *error);
    /* The connection of the call is lost; connection_owner.lost follows with the reason. */
    void (*orphaned)(struct grpc_client_call *call);
};

/* Shared by the calls of one channel. */
struct client_call_context {
    const struct client_call_owner *owner;
    struct timeouts *timeouts;
    const char *address;       /* for error texts */
    const char *user_agent;    /* header field */
    size_t max_response_bytes; /* of the response message */
    bool resend;               /* keeps the sent request, so that a refused call can be sent again */
};

struct grpc_client_call {
    struct http2_stream stream;
    const struct client_call_context *context; /* borrowed */
    struct list link;                          /* for the owner */
    char *method;                              /* owned */
    uint8_t *message;                          /* owned: the request while it is not with the stream */
    size_t message_len;
    const ProtobufCMessageDescriptor *response_type;
    grpc_client_callback *callback;
    void *arg;
    uint64_t start_ms;
    uint64_t deadline_ms;
    struct timeout deadline; /* for the owner */
    bool finished;
    /* the response so far */
    struct header_check headers;
    bool final_headers; /* a block with a status of 200 or more has come */
    unsigned http_status;
    bool is_grpc;
    bool has_status; /* grpc-status in the block that ended the stream */
    bool status_invalid;
    bool complete; /* the response has ended; the outcome waits for the stream to close */
    enum grpc_status status;
    struct grpc_pushback pushback;
    char *status_message; /* owned */
    struct framing_reader reader;
    /* the bytes of the response; NULL: it is received without a reservation */
    struct byte_budget *budget;
    struct byte_reservation *reservation; /* borrowed */
    bool sized;                           /* the size of the response was seen, and so many bytes requested */
    bool ended;                           /* the whole response is there and waits for its bytes */
    struct grpc_pushback *ret_pushback;   /* borrowed; NULL: of no interest */
    /* the outcome */
    ProtobufCMessage *response;
    struct error *error;
};

/* The events of the sessions of a channel's connections. */
extern const struct http2_events client_call_events;

/* A call with its request packed; parameters as in grpc_client_call_start(). Its deadline is not armed. NULL
 * with err set (RESOURCE_EXHAUSTED). */
struct grpc_client_call *client_call_create(const struct client_call_context *context, const char *method,
                                            const ProtobufCMessage *request,
                                            const ProtobufCMessageDescriptor *response_type,
                                            uint64_t timeout_ms, struct error **err);

/* Sends a call on a ready connection. -1 with err set when that is not possible (UNAVAILABLE: the session
 * takes no new calls); the call still owns its message. */
int client_call_send(struct grpc_client_call *call, struct http2_session *session, struct error **err);

/* Records a failure (moved from *err) as the outcome: `finished` runs inside. */
void client_call_fail(struct grpc_client_call *call, struct error **err);

/* The response waits for its bytes. */
bool client_call_is_waiting(const struct grpc_client_call *call);

/* Takes over the response, and the bytes that are reserved for it stay reserved. */
ProtobufCMessage *client_call_take_response(struct grpc_client_call *call);

/* Resets the stream, if there is one, and frees the call. */
void client_call_destroy(struct grpc_client_call *call);

#endif
