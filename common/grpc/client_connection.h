/*
 * client_connection.h - one connection of a client: connecting, the check of the peer, its end. Private to
 * common/grpc.
 */
#ifndef COMMON_GRPC_CLIENT_CONNECTION_H
#define COMMON_GRPC_CLIENT_CONNECTION_H

#include "common/base/list.h"
#include "common/grpc/client.h"
#include "common/grpc/connection.h"

struct client_connection;

struct client_connection_owner {
    /* Calls can be sent from now on. */
    void (*ready)(struct client_connection *connection);
    /* After every read: the place to run callbacks. */
    void (*received)(struct client_connection *connection);
    /* The connection takes no new calls; those that the peer has accepted go on. */
    void (*retired)(struct client_connection *connection, const char *reason);
    /* The connection is over, or was never made. Once per connection, unless it was closed by
     * client_connection_close(). Another attempt makes sense until `window_ms` after the start of a call: for
     * a peer that is busy that is at least the time for connecting, and 0 for one that was refused. */
    void (*over)(struct client_connection *connection, const struct error *error, uint64_t window_ms);
    /* The memory is released after this. */
    void (*freed)(struct client_connection *connection);
};

struct client_connection {
    struct grpc_connection base;
    const struct client_connection_owner *owner; /* borrowed */
    const struct grpc_channel_config *config;    /* borrowed, with the defaults filled in */
    void *arg;                                   /* the owner's */
    struct list link;                            /* the owner's */
    uv_connect_t connect;
    struct timeout connect_timeout;
    bool ready;
    bool over; /* reported, or closed by the owner */
};

/* Allocates a connection; it does nothing yet. NULL on lack of memory. */
struct client_connection *client_connection_create(const struct grpc_channel_config *config,
                                                   const struct client_connection_owner *owner, void *arg);

/* Connects; `over` may run inside. */
void client_connection_open(struct client_connection *connection, uv_loop_t *loop, struct connection_io *io);

/* No new calls; closes when no call is left. */
void client_connection_retire(struct client_connection *connection, const char *reason);

/* Closes at once and silently: of the owner's functions only `freed` runs. */
void client_connection_close(struct client_connection *connection);

#endif
