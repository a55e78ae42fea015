/*
 * listener.h - one listening socket on the loop.
 */
#ifndef COMMON_GRPC_LISTENER_H
#define COMMON_GRPC_LISTENER_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/list.h"

struct listener;

/* A connection waits for uv_accept(). One that is not accepted stops the listener until it is. */
typedef void listener_callback(struct listener *listener, void *arg);

struct listener {
    struct list link; /* among the listeners of its server */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv;
    bool is_unix;
    bool waiting; /* set when a connection waits; cleared by the owner when it has accepted it */
    listener_callback *incoming;
    void *arg;
};

/* What happens with incoming connections; borrowed during creation. */
struct listener_config {
    uv_loop_t *loop;
    struct list *siblings; /* the new listener is added to it, and leaves it at its end */
    listener_callback *incoming;
    void *arg;
};

/* Accepts connections on `fd`, a listening Unix socket, which the listener owns from now on, also when the
 * creation fails. NULL with err set: out of memory, INTERNAL. */
struct listener *listener_create_unix(const struct listener_config *config, int fd, struct error **err);

/* Listens on TCP. NULL with err set: see grpc_server_listen_tcp(). */
struct listener *listener_create_tcp(const struct listener_config *config, const char *address,
                                     struct error **err);

/* Initialises the handle of a connection for uv_accept() on this listener: the same kind of handle. */
void listener_init_peer(const struct listener *listener, uv_loop_t *loop, uv_handle_t *peer);

/* Has every client that has connected been accepted? */
bool listener_is_idle(const struct listener *listener);

/* Stops. Memory is released once libuv has closed the handle. Accepts NULL. */
void listener_destroy(struct listener *listener);

#endif
