/*
 * server.c - a gRPC server: services, listeners, connections, stop.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/grpc/server_private.h"

enum { MAX_REQUEST_BYTES = 4 * 1024 * 1024 }; /* grpc-go's receive limit */
enum { MAX_CALLS = 1024, MAX_CONNECTIONS = 256, MAX_STREAMS = 256 };
enum { WRITE_TIMEOUT_MS = 60000 };
/* A client sends its SETTINGS with the first bytes; 20 s is what grpc-go gives a server. */
enum { HANDSHAKE_TIMEOUT_MS = 20000 };
/* After the last handler has ended: for the last answers to be written. */
enum { STOP_FLUSH_MS = 1000 };

struct server_connection {
    struct grpc_connection base;
    struct grpc_server *server;
    struct list link;
};

static void accept_waiting(struct grpc_server *server);

static struct server_connection *of(struct grpc_connection *connection)
{
    return container_of(connection, struct server_connection, base);
}

struct grpc_server *grpc_server_of(struct http2_session *session)
{
    return of(grpc_connection_of(session))->server;
}

/* --- services --- */

struct grpc_server *grpc_server_create(uv_loop_t *loop, const struct grpc_server_config *config,
                                       struct error **err)
{
    struct grpc_server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a server");
        return NULL;
    }
    server->loop = loop;
    server->config = *config;
    if (server->config.max_request_bytes == 0)
        server->config.max_request_bytes = MAX_REQUEST_BYTES;
    if (server->config.max_calls == 0)
        server->config.max_calls = MAX_CALLS;
    if (server->config.max_connections == 0)
        server->config.max_connections = MAX_CONNECTIONS;
    if (server->config.max_streams == 0)
        server->config.max_streams = MAX_STREAMS;
    if (server->config.write_timeout_ms == 0)
        server->config.write_timeout_ms = WRITE_TIMEOUT_MS;
    list_init(&server->listeners);
    list_init(&server->connections);
    list_init(&server->calls);
    list_init(&server->ready);
    timeout_init(&server->stop_step);
    return server;
}

/* Start-up allocations of a few hundred bytes: nothing sensible can be done without them. */
static void *grow_table(void *table, size_t n, size_t size)
{
    void *grown = reallocarray(table, n, size);

    if (grown == NULL)
        abort();
    return grown;
}

static char *route_path(const struct grpc_service *service, const struct grpc_method *method)
{
    size_t service_len = strlen(service->name);
    size_t method_len = strlen(method->name);
    char *path = grow_table(NULL, service_len + method_len + 3, 1);

    assert(service_len + method_len + 2 <= CALL_PATH_MAX);
    path[0] = '/';
    memcpy(path + 1, service->name, service_len);
    path[service_len + 1] = '/';
    memcpy(path + service_len + 2, method->name, method_len + 1);
    return path;
}

void grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service)
{
    for (size_t i = 0; i < server->n_services; i++)
        assert(strcmp(server->services[i]->name, service->name) != 0);
    assert(!server->io_started); /* routes are pointed at by calls: no change once listening */
    server->services =
        grow_table((void *)server->services, server->n_services + 1, sizeof(const struct grpc_service *));
    server->services[server->n_services++] = service;
    if (service->n_methods == 0)
        return;
    server->routes =
        grow_table(server->routes, server->n_routes + service->n_methods, sizeof(*server->routes));
    for (size_t i = 0; i < service->n_methods; i++) {
        server->routes[server->n_routes++] = (struct route){
            .path = route_path(service, &service->methods[i]),
            .service = service,
            .method = &service->methods[i],
        };
    }
}

/* --- connections --- */

static void on_received(struct grpc_connection *connection)
{
    server_call_dispatch(of(connection)->server);
}

/* Streams have got their `closed` event. A client that goes away is everyday life: nothing above debug
 * level. */
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
        grpc_server_call_gone(server);
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
                    .events = &server_call_events},
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

static int add_listener(struct grpc_server *server, struct listener *listener)
{
    if (listener == NULL)
        return -1;
    if (!server->io_started) {
        timeouts_init(&server->io.timeouts, server->loop);
        server->io_started = true;
    }
    list_insert_before(&server->listeners, &listener->link);
    return 0;
}

int grpc_server_listen_unix(struct grpc_server *server, const char *path, mode_t mode, struct error **err)
{
    assert(server->state == SERVER_SERVING);
    return add_listener(
        server, listener_create_unix(server->loop, path, mode, server->config.log, on_incoming, server, err));
}

int grpc_server_listen_tcp(struct grpc_server *server, const char *address, struct error **err)
{
    assert(server->state == SERVER_SERVING);
    return add_listener(server, listener_create_tcp(server->loop, address, on_incoming, server, err));
}

/* --- stop --- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct connection_io *io = container_of(handle, struct connection_io, timeouts.timer);
    struct grpc_server *server = container_of(io, struct grpc_server, io);

    server->state = SERVER_STOPPED;
    server->stop_done(server->stop_arg); /* may destroy the server */
}

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

    if (server->n_running > 0)
        return; /* the last handler calls again */
    if (server->n_connections > 0) {
        timeout_set(&server->io.timeouts, timeout, STOP_FLUSH_MS, on_flush_over);
        return;
    }
    if (!uv_is_closing((uv_handle_t *)&server->io.timeouts.timer))
        timeouts_close(&server->io.timeouts, on_timer_closed);
}

static void on_drain_over(struct timeout *timeout)
{
    struct grpc_server *server = container_of(timeout, struct grpc_server, stop_step);
    struct list seen;

    server->state = SERVER_CANCELLING;
    list_init(&seen);
    while (
        !list_empty(&server->calls)) { /* an answer that is written frees calls, not only the one at hand */
        struct grpc_call *call = container_of(server->calls.next, struct grpc_call, link);

        list_remove(&call->link);
        list_insert_before(&seen, &call->link);
        server_call_stop(call);
    }
    list_move_all(&server->calls, &seen);
    timeout_set(&server->io.timeouts, timeout, 0, on_stop_check);
}

void grpc_server_call_gone(struct grpc_server *server)
{
    if (server->state == SERVER_SERVING || server->n_running > 0)
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
    while (!list_empty(&server->listeners)) {
        struct listener *listener = container_of(server->listeners.next, struct listener, link);

        list_remove(&listener->link);
        listener_destroy(listener);
    }
    if (!server->io_started) {
        timeouts_init(&server->io.timeouts, server->loop);
        server->io_started = true;
    }
    for_each_connection(server, grpc_connection_drain);
    if (server->n_connections == 0 && server->n_running == 0)
        drain_ms = 0;
    timeout_set(&server->io.timeouts, &server->stop_step, drain_ms, on_drain_over);
}

void grpc_server_destroy(struct grpc_server *server)
{
    if (server == NULL)
        return;
    assert(!server->io_started || server->state == SERVER_STOPPED);
    for (size_t i = 0; i < server->n_routes; i++)
        free(server->routes[i].path);
    free(server->routes);
    free((void *)server->services);
    free(server);
}
