/*
 * server.h - a gRPC server for unary methods, HTTP/2 cleartext (prior knowledge), on a libuv loop.
 *
 * Protocol: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md over RFC 9113 (nghttp2).
 *
 * Life of a call: a complete request message arrives -> it is unpacked -> the method's handler runs on the
 * loop with a `struct grpc_call` -> the handler (now or later, but exactly once) ends the call with
 * grpc_call_reply() or grpc_call_fail(). After that the call must not be touched.
 *
 * Cancellation: when the deadline of the client passes, the client resets the stream, the connection closes
 * or the server is stopped, the call's cancel callback runs once, from the loop. It is a notice: the owner
 * still has to end the call, soon; its response is dropped if the client cannot receive it any more.
 *
 * The server itself rejects unknown methods (UNIMPLEMENTED), bad framing, compression, oversized messages,
 * bad timeouts; acknowledges PINGs; limits header bytes, streams, connections, resets, queued output; drops
 * idle half-open connections; quietly accepts any or no `:authority`.
 *
 * All functions run on the loop's thread. The process must ignore SIGPIPE (lifecycle_create() does).
 */
#ifndef COMMON_GRPC_SERVER_H
#define COMMON_GRPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"

struct grpc_server;
struct grpc_call;

/* Handles one call. `request` belongs to the call and lives until the call is ended. `arg` is the
 * service's. */
typedef void grpc_handler(struct grpc_call *call, const ProtobufCMessage *request, void *arg);

/* Runs once per ended call ("unknown" stands for every path that is no registered method), for metrics and
 * request logs. `duration_ns` counts from the request headers. */
typedef void grpc_call_observer(const char *full_method, enum grpc_status status, uint64_t duration_ns,
                                void *arg);

/* What happens to a Unix socket of a server at its path (socket_watch.h). */
enum grpc_socket_event {
    GRPC_SOCKET_LOST,          /* removed, or the path leads to another process */
    GRPC_SOCKET_CREATED_AGAIN, /* clients reach the server by the path again */
};

/* Runs from the loop. It may not stop the server. */
typedef void grpc_socket_observer(enum grpc_socket_event event, void *arg);

struct grpc_method {
    const char *name; /* "NodePublishVolume" */
    const ProtobufCMessageDescriptor *request;
    grpc_handler *handler;
};

/* Borrowed by the server for its whole life; usually a static const table plus `arg`. */
struct grpc_service {
    const char *name; /* full name: "csi.v1.Node" */
    const struct grpc_method *methods;
    size_t n_methods;
    void *arg;
};

struct grpc_server_config {
    struct log *log;          /* borrowed, may be NULL */
    size_t max_request_bytes; /* largest request message; 0 = 4 MiB */
    unsigned max_calls;       /* handlers running at once, over all connections; more get
                                 RESOURCE_EXHAUSTED; 0 = 1024 */
    unsigned max_connections; /* 0 = 256; further ones wait in the listen queue */
    unsigned max_streams;     /* announced MAX_CONCURRENT_STREAMS per connection; 0 = max_calls: a call that
                                 waits in the client for a stream knows only that its time is over */
    uint64_t
        idle_timeout_ms; /* a connection without any stream for so long is closed gracefully; 0 = never */
    uint64_t write_timeout_ms; /* a connection whose queued output does not move for so long is dropped; 0 =
                                  60 s */
    grpc_call_observer *observer; /* may be NULL */
    void *observer_arg;
    grpc_socket_observer *socket_observer; /* may be NULL */
    void *socket_observer_arg;
};

/* `loop` and the log of `config` are borrowed. Returns NULL with err set on lack of memory. */
struct grpc_server *grpc_server_create(uv_loop_t *loop, const struct grpc_server_config *config,
                                       struct error **err);

/* Adds a service; `service` is borrowed until grpc_server_destroy(). Call before listening. Adding the same
 * name twice is a programming error (assert). */
void grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service);

/* Adds grpc.health.v1.Health: Check returns SERVING for "" and every added service name, NOT_FOUND otherwise
 * (or always SERVING with GRPC_HEALTH_ANY_SERVICE, as the Azure provider in Go does); List and Watch are
 * UNIMPLEMENTED. */
enum grpc_health_mode { GRPC_HEALTH_KNOWN_SERVICES, GRPC_HEALTH_ANY_SERVICE };
void grpc_server_add_health(struct grpc_server *server, enum grpc_health_mode mode);

/* Listens on a Unix socket with exactly this file mode (0600, 0700...). A socket file that is there already
 * is replaced, with a warning if a process still listens on it (a predecessor in a rolling update with
 * surge); the new socket appears atomically (bind to a temporary name in the same directory, listen, rename),
 * and the server removes the file on stop only if it is still its own. Until then it keeps the socket
 * reachable: a file that another process removes is created again within a second. Errors: INVALID_ARGUMENT
 * (empty, or longer than sun_path allows), FAILED_PRECONDITION (the path exists and is not a socket),
 * INTERNAL otherwise. */
int grpc_server_listen_unix(struct grpc_server *server, const char *path, mode_t mode, struct error **err);

/* Examines the paths of the Unix sockets now, and creates a socket again that was removed. UNAVAILABLE: a
 * path leads to another process, which is named, or the socket cannot be created again. */
int grpc_server_check_sockets(struct grpc_server *server, struct error **err);

/* Replaces each Unix socket by a new one, atomically, for a peer that waits for a new file. Connections stay.
 * FAILED_PRECONDITION: another process listens at the path. */
int grpc_server_renew_sockets(struct grpc_server *server, struct error **err);

/* Listens on "host:port", ":port" or "[v6]:port"; numeric hosts or "localhost". */
int grpc_server_listen_tcp(struct grpc_server *server, const char *address, struct error **err);

/* Stops gracefully: removes the socket files, stops accepting, sends GOAWAY, lets running calls finish for up
 * to `drain_ms`, then cancels the rest, waits for the handlers to end them, closes everything. `done` runs
 * once, from the loop, never inside this call. Only once per server. */
void grpc_server_stop(struct grpc_server *server, uint64_t drain_ms, void (*done)(void *arg), void *arg);

/* Frees a server that was never listening or whose stop has completed. A timer closes in the next turn of the
 * loop. Accepts NULL. */
void grpc_server_destroy(struct grpc_server *server);

/* --- a call, as its handler sees it --- */

/* Ends the call with OK and `response` (packed before the call returns; the caller keeps and frees it). If
 * packing exceeds memory the client gets RESOURCE_EXHAUSTED. */
void grpc_call_reply(struct grpc_call *call, const ProtobufCMessage *response);

/* Ends the call with the error's code and message (percent-encoded, cut to ERROR_MESSAGE_MAX). `error` is
 * borrowed; an error with code OK is sent as INTERNAL. */
void grpc_call_fail(struct grpc_call *call, const struct error *error);

/* Clients are not to repeat this call by themselves if it fails: the handler has made all tries that make
 * sense. Sent as "grpc-retry-pushback-ms: -1" ("Pushback" in
 * https://github.com/grpc/proposal/blob/master/A6-client-retries.md), which the retry policies of gRPC's
 * libraries honour. What the server itself responds while it stops or is overloaded does not have it. */
void grpc_call_forbid_retry(struct grpc_call *call);

/* `released` runs once, when the memory of the call is gone: after its end, and after its response has left.
 * It may not use the call any more. */
void grpc_call_on_released(struct grpc_call *call, void (*released)(void *arg), void *arg);

/* Sets the cancel callback (see above); NULL removes it. If the call is already cancelled, `cancelled` runs
 * from the next loop turn. */
void grpc_call_on_cancel(struct grpc_call *call, void (*cancelled)(struct grpc_call *call, void *arg),
                         void *arg);

/* The handler is cancelled (DEADLINE_EXCEEDED) so long before the client's deadline: until then it may end
 * the call with a response of its own, which says more than that the time is over. */
void grpc_call_cancel_early(struct grpc_call *call, uint64_t margin_ms);

/* The reason of the cancellation: DEADLINE_EXCEEDED, CANCELLED (reset, connection gone) or UNAVAILABLE
 * (server stopping); OK while it is not. */
enum grpc_status grpc_call_cancel_reason(const struct grpc_call *call);

/* Milliseconds until the client's deadline (0 when it has passed), or UINT64_MAX without one. */
uint64_t grpc_call_time_left_ms(const struct grpc_call *call);

/* The user of the process that has connected (SO_PEERCRED). PERMISSION_DENIED for a call that did not come
 * over a Unix socket, or whose connection is gone. */
int grpc_call_peer_uid(const struct grpc_call *call, uid_t *ret_uid, struct error **err);

#endif
