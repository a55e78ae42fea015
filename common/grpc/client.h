/*
 * client.h - a gRPC client for unary methods over HTTP/2 cleartext on a Unix socket (or TCP), on a libuv
 * loop.
 *
 * A channel stands for one peer. It connects when the first call needs it, keeps the connection, and
 * reconnects after it was lost; calls share the connection. `:authority` is always "localhost" (providers
 * check it).
 *
 * Contract of a call (the same for every asynchronous operation in this tree):
 *   1. x_start() either returns NULL with err set and never calls back, or returns a call that calls back
 *      exactly once.
 *   2. The callback never runs inside x_start().
 *   3. In the callback the call is already gone; x_cancel() must not be used on it any more.
 *   4. x_cancel(&call) sets the pointer to NULL; the callback will not run any more.
 *   5. Every call has a deadline.
 *
 * The process must ignore SIGPIPE (lifecycle_create() does).
 */
#ifndef COMMON_GRPC_CLIENT_H
#define COMMON_GRPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/grpc/metadata.h"
#include "common/process/byte_budget.h"

struct grpc_channel;
struct grpc_client_call;

/* Checks the peer's credentials (SO_PEERCRED) right after connecting; `socket_owner` is the owner of the
 * socket file. Returns -1 with err set to refuse the connection (calls then fail with that error). */
typedef int grpc_peer_check(uid_t peer_uid, pid_t peer_pid, uid_t socket_owner, void *arg,
                            struct error **err);

struct grpc_channel_config {
    struct log *log;           /* borrowed, may be NULL */
    const char *unix_path;     /* copied; exactly one of unix_path and tcp_address */
    const char *tcp_address;   /* "host:port", numeric host or localhost; copied */
    size_t max_response_bytes; /* 0 = 4 MiB; beyond it: RESOURCE_EXHAUSTED "grpc: received message larger than
                                  max (N vs. M)" */
    uint64_t connect_timeout_ms;   /* 0 = 5 s */
    uint64_t retry_unavailable_ms; /* window for the bounded retry while the peer restarts: a call that could
                                    * not be *sent* (connection refused, socket missing, GOAWAY,
                                    * REFUSED_STREAM) is retried, with short growing pauses, until so long
                                    * after its start; 0 = never */
    grpc_peer_check *peer_check;   /* may be NULL */
    void *peer_check_arg;
    const char *user_agent; /* copied; NULL = "grpc-c-secrets-store/<version>" */
};

/* error_type() of a call that had been sent when its connection ended: the peer may have processed it, so
 * that only the caller can decide whether to send it again. */
#define GRPC_CLIENT_LOST "ConnectionLost"

/* error_type() of a call whose response did not get its bytes before the deadline: see
 * grpc_client_call_reserve(). */
#define GRPC_CLIENT_WAITED "WaitedForMemory"

/* The outcome of a call. On success `error` is NULL and `response` belongs to the callee, which frees it with
 * protobuf_c_message_free_unpacked(response, secret_protobuf_allocator()). On failure `response` is NULL and
 * `error` is borrowed. A response counts as success only with HTTP 200, a gRPC content-type, grpc-status 0
 * and exactly one whole message. */
typedef void grpc_client_callback(ProtobufCMessage *response, const struct error *error, void *arg);

/* Connects nothing yet. Returns NULL with err set (INVALID_ARGUMENT for a bad address or too long a path). */
struct grpc_channel *grpc_channel_create(uv_loop_t *loop, const struct grpc_channel_config *config,
                                         struct error **err);

/* Starts a unary call. `method` is the full path "/pkg.Service/Method" (copied), `request` is packed at once
 * (borrowed during this call only). `timeout_ms` is sent as grpc-timeout and enforced here (UINT64_MAX = 24
 * h). Failure codes delivered: the server's own; DEADLINE_EXCEEDED; UNAVAILABLE with the reason
 * (socket missing, connection refused, connection lost); RESOURCE_EXHAUSTED; INTERNAL for protocol
 * violations. */
struct grpc_client_call *grpc_client_call_start(struct grpc_channel *channel, const char *method,
                                                const ProtobufCMessage *request,
                                                const ProtobufCMessageDescriptor *response_type,
                                                uint64_t timeout_ms, grpc_client_callback *callback,
                                                void *arg, struct error **err);

/* Right after grpc_client_call_start(): the response is received only once `reservation`, which holds nothing
 * yet, has got its bytes from the budget; until then the peer can send 64 KiB of it. Both are borrowed until
 * the end of the call. After a success the reservation is the caller's to release, when it has freed what it
 * took from the response; after a failure or a cancellation it holds nothing. */
void grpc_client_call_reserve(struct grpc_client_call *call, struct byte_budget *budget,
                              struct byte_reservation *reservation);

/* Right after grpc_client_call_start(): *ret gets what the peer says about another try, before the callback.
 * Borrowed until then. The client itself follows none of it: it repeats only what the peer has not seen. */
void grpc_client_call_pushback(struct grpc_client_call *call, struct grpc_pushback *ret);

/* Cancels: the server sees RST_STREAM(CANCEL). Sets *call to NULL. */
void grpc_client_call_cancel(struct grpc_client_call **call);

/* Cancels the calls in flight (no callbacks) and closes the connection; memory is released once libuv has
 * closed the handles. Accepts NULL. */
void grpc_channel_destroy(struct grpc_channel *channel);

#endif
