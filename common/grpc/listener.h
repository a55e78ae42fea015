/*
 * listener.h - a listening socket. On a Unix path the file appears atomically, and only a file of its own is
 * ever removed.
 */
#ifndef COMMON_GRPC_LISTENER_H
#define COMMON_GRPC_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"

struct listener;

/* A connection waits for uv_accept(). One that is not accepted stops the listener until it is. */
typedef void listener_callback(struct listener *listener, void *arg);

struct listener {
    struct list link; /* free for the owner */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv;
    bool is_unix;
    bool waiting; /* set when a connection waits; cleared by the owner when it has accepted it */
    char *path;   /* owned; NULL for TCP */
    dev_t dev;    /* identity of the socket file */
    ino_t ino;
    listener_callback *incoming;
    void *arg;
};

/* Listens. NULL with err set: see grpc_server_listen_unix() and grpc_server_listen_tcp(). */
struct listener *listener_create_unix(uv_loop_t *loop, const char *path, mode_t mode, struct log *log,
                                      listener_callback *incoming, void *arg, struct error **err);
struct listener *listener_create_tcp(uv_loop_t *loop, const char *address, listener_callback *incoming,
                                     void *arg, struct error **err);

/* Initialises the handle of a connection for uv_accept() on this listener: the same kind of handle. */
void listener_init_peer(const struct listener *listener, uv_loop_t *loop, uv_handle_t *peer);

/* Stops, and removes the socket file if it is still the listener's own. Memory is released once libuv has
 * closed the handle. */
void listener_destroy(struct listener *listener);

#endif
