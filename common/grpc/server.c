/*
 * server.c - a gRPC server: listeners, connections, stop.
 */
#include "common/grpc/server.h"

#include <assert.h>
#include <stdlib.h>

#include "common/grpc/connection.h"
#include "common/grpc/health.h"
#include "common/grpc/listener.h"
#include "common/grpc/server_call.h"
#include "common/grpc/socket_watch.h"

enum { MAX_REQUEST_BYTES = 4 * 1024 * 1024 }; /* grpc-go's receive limit */
enum { MAX_CALLS = 1024, MAX_CONNECTIONS = 256 };
enum { WRITE_TIMEOUT_MS = 60000 };
/* A client sends its SETTINGS with the first bytes; grpc-go gives a server 20 s. */
enum { HANDSHAKE_TIMEOUT_MS = 20000 };
/* After the last handler has ended: for the last responses to be written. */
enum { STOP_FLUSH_MS = 1000 };

struct grpc_server {
    uv_loop_t *loop;
    struct grpc_server_config config; /* with the defaults filled in */
    struct connection_io io;
    struct service_table services;
    struct health_service health; /* in `services` when it was added */
    struct server_calls calls;
    struct list listeners;
    struct list watches; /* of the Unix sockets; they own their listeners */
    struct list connections;
    unsigned n_connections;
    enum { SERVER_SERVING, SERVER_DRAINING, SERVER_CANCELLING, SERVER_STOPPED } state;
    struct timeout stop_step;
    void (*stop_done)(void *arg);
    void *stop_arg;
};

struct server_connection {
    struct grpc_connection base;
    struct grpc_server *server;
    struct list link;
};

static void accept_waiting(struct grpc_server *server);
static void check_stop(struct grpc_server *server);

static struct server_connection *of(struct grpc_connection *connection)
{
    return container_of(connection, struct server_connection, base);
}

/* --- creation --- */

static void fill_config(struct grpc_server_config *config)
{
    if (config->max_request_bytes == 0)
        config->max_request_bytes = MAX_REQUEST_BYTES;
    if (config->max_calls == 0)
        config->max_calls = MAX_CALLS;
    if (config->max_connections == 0)
        config->max_connections = MAX_CONNECTIONS;
    if (config->max_streams == 0)
        config->max_streams = config->max_calls;
    if (config->write_timeout_ms == 0)
        config->write_timeout_ms = WRITE_TIMEOUT_MS;
}

static void on_handler_ended(struct server_calls *calls)
{
    check_stop(container_of(calls, struct grpc_server, calls));
}

struct grpc_server *grpc_server_create(uv_loop_t *loop, const struct grpc_server_config *config,
                                       struct error **err)
{
    struct grpc_server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        (void)error_no_memory(err, "a server");
        return NULL;
    }
    if (timeouts_init(&server->io.timeouts, loop, err) < 0) {
        free(server);
        return NULL;
    }
    server->loop = loop;
    server->config = *config;
    fill_config(&server->config);
    server->calls = (struct server_calls){.config = &server->config,
                                          .services = &server->services,
                                          .timeouts = &server->io.timeouts,
                                          .handler_ended = on_handler_ended};
    server_calls_init(&server->calls);
    list_init(&server->listeners);
    list_init(&server->watches);
    list_init(&server->connections);
    timeout_init(&server->stop_step);
    return server;
}

void grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service)
{
    assert(list_empty(&server->listeners)); /* calls point at routes: no change once listening */
    service_table_add(&server->services, service);
}

void grpc_server_add_health(struct grpc_server *server, enum grpc_health_mode mode)
{
    health_service_init(&server->health, &server->services, mode);
    grpc_server_add_service(server, &server->health.service);
}

/* --- connections --- */

static void on_received(struct grpc_connection *connection)
{
    server_calls_dispatch(&of(connection)->server->calls);
}

/* The streams have got their `closed` event. A client that goes away is everyday life: debug level. */
static void on_lost(struct grpc_connection *connection, const struct error *error)
{
    if (error != NULL)
        log_debug(of(connection)->server->config.log, 5, "grpc connection ended", LOG_ERR(error));
}

static void on_freed(struct grpc_connection *connection)
{
    struct server_connection *gone = of(connection);
    struct grpc_server *server = gone->server;

    list_remove(&gone->link);
    server->n_connections--;
    free(gone);
    if (server->state == SERVER_SERVING)
        accept_waiting(server);
    else
        check_stop(server);
}

static const struct connection_owner server_owner = {
    .received = on_received,
    .lost = on_lost,
    .freed = on_freed,
};

static void accept_one(struct grpc_server *server, struct listener *listener)
{
    struct grpc_connection_config config = {
        .io = &server->io,
        .owner = &server_owner,
        .session = {.role = HTTP2_SERVER,
                    .max_streams = server->config.max_streams,
                    .events = &server_call_events,
                    .arg = &server->calls},
        .handshake_timeout_ms = HANDSHAKE_TIMEOUT_MS,
        .idle_timeout_ms = server->config.idle_timeout_ms,
        .write_timeout_ms = server->config.write_timeout_ms,
    };
    struct server_connection *connection = calloc(1, sizeof(*connection));
    cleanup_error struct error *err = NULL;
    int rc;

    if (connection == NULL)
        return; /* it waits until another connection is freed */
    connection->server = server;
    list_init(&connection->link);
    grpc_connection_init(&connection->base, &config);
    listener_init_peer(listener, server->loop, &connection->base.uv.handle);
    list_insert_before(&server->connections, &connection->link);
    server->n_connections++;
    listener->waiting = false;
    rc = uv_accept(&listener->uv.stream, &connection->base.uv.stream);
    if (rc < 0)
        (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "accept: %s", uv_strerror(rc));
    if (rc < 0 || grpc_connection_start(&connection->base, &config, &err) < 0) {
        log_warning(server->config.log, "grpc connection refused", LOG_ERR(err));
        grpc_connection_close(&connection->base);
    }
}

static void on_incoming(struct listener *listener, void *arg)
{
    struct grpc_server *server = arg;

    if (server->n_connections < server->config.max_connections)
        accept_one(server, listener);
    else
        log_debug(server->config.log, 4, "grpc connection waits: too many are open");
}

static void accept_waiting(struct grpc_server *server)
{
    for (struct list *at = server->listeners.next; at != &server->listeners; at = at->next) {
        struct listener *listener = container_of(at, struct listener, link);

        if (listener->waiting && server->n_connections < server->config.max_connections)
            accept_one(server, listener);
    }
}

static struct listener_config listener_config(struct grpc_server *server)
{
    return (struct listener_config){
        .loop = server->loop, .siblings = &server->listeners, .incoming = on_incoming, .arg = server};
}

int grpc_server_listen_unix(struct grpc_server *server, const char *path, mode_t mode, struct error **err)
{
    const struct socket_watch_config config = {
        .listener = listener_config(server),
        .log = server->config.log,
        .path = path,
        .mode = mode,
        .observer = server->config.socket_observer,
        .observer_arg = server->config.socket_observer_arg,
    };
    struct socket_watch *watch;

    assert(server->state == SERVER_SERVING);
    watch = socket_watch_create(&config, err);
    if (watch == NULL)
        return -1;
    list_insert_before(&server->watches, socket_watch_link(watch));
    return 0;
}

int grpc_server_check_sockets(struct grpc_server *server, struct error **err)
{
    for (struct list *at = server->watches.next; at != &server->watches; at = at->next) {
        if (socket_watch_check(socket_watch_of(at), err) < 0)
            return -1;
    }
    return 0;
}

int grpc_server_renew_sockets(struct grpc_server *server, struct error **err)
{
    for (struct list *at = server->watches.next; at != &server->watches; at = at->next) {
        if (socket_watch_renew(socket_watch_of(at), err) < 0)
            return -1;
    }
    return 0;
}

int grpc_server_listen_tcp(struct grpc_server *server, const char *address, struct error **err)
{
    const struct listener_config config = listener_config(server);

    assert(server->state == SERVER_SERVING);
    return listener_create_tcp(&config, address, err) == NULL ? -1 : 0;
}

/* --- stop --- */

static void for_each_connection(struct grpc_server *server, void (*func)(struct grpc_connection *connection))
{
    struct list *at = server->connections.next;

    while (at != &server->connections) {
        struct list *next = at->next; /* memory goes in a close callback, never in here */

        func(&container_of(at, struct server_connection, link)->base);
        at = next;
    }
}

static void on_flush_over(struct timeout *timeout)
{
    struct grpc_server *server = container_of(timeout, struct grpc_server, stop_step);

    for_each_connection(server, grpc_connection_close);
}

/* Goes one step further if nothing is left to wait for. */
static void on_stop_check(struct timeout *timeout)
{
    struct grpc_server *server = container_of(timeout, struct grpc_server, stop_step);

    if (server->calls.n_running > 0)
        return; /* the end of the last handler comes back here */
    if (server->n_connections > 0) {
        timeout_set(&server->io.timeouts, timeout, STOP_FLUSH_MS, on_flush_over);
        return;
    }
    timeouts_finish(&server->io.timeouts);
    server->state = SERVER_STOPPED;
    server->stop_done(server->stop_arg); /* may destroy the server */
}

static void on_drain_over(struct timeout *timeout)
{
    struct grpc_server *server = container_of(timeout, struct grpc_server, stop_step);

    server->state = SERVER_CANCELLING;
    server_calls_stop(&server->calls);
    timeout_set(&server->io.timeouts, timeout, 0, on_stop_check);
}

/* A handler has ended its call or a connection is gone: a server that stops may have waited for it. */
static void check_stop(struct grpc_server *server)
{
    if (server->state == SERVER_SERVING || server->calls.n_running > 0)
        return;
    if (server->state == SERVER_CANCELLING || server->n_connections == 0)
        timeout_set(&server->io.timeouts, &server->stop_step, 0, on_stop_check);
}

void grpc_server_stop(struct grpc_server *server, uint64_t drain_ms, void (*done)(void *arg), void *arg)
{
    assert(server->state == SERVER_SERVING);
    server->state = SERVER_DRAINING;
    server->stop_done = done;
    server->stop_arg = arg;
    while (!list_empty(&server->watches))
        socket_watch_destroy(socket_watch_of(server->watches.next));
    while (!list_empty(&server->listeners))
        listener_destroy(container_of(server->listeners.next, struct listener, link));
    for_each_connection(server, grpc_connection_drain);
    if (server->n_connections == 0 && server->calls.n_running == 0)
        drain_ms = 0;
    timeout_set(&server->io.timeouts, &server->stop_step, drain_ms, on_drain_over);
}

void grpc_server_destroy(struct grpc_server *server)
{
    if (server == NULL)
        return;
    assert(server->state == SERVER_STOPPED ||
           (server->state == SERVER_SERVING && list_empty(&server->listeners)));
    timeouts_finish(&server->io.timeouts);
    service_table_finish(&server->services);
    free(server);
}
