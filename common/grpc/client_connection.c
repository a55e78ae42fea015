/*
 * client_connection.c - one connection of a client.
 */
#include "common/grpc/client_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/grpc/address.h"
#include "common/grpc/client_call.h"

enum { WRITE_TIMEOUT_MS = 60000 };

static struct client_connection *of(struct grpc_connection *connection)
{
    return container_of(connection, struct client_connection, base);
}

static const char *address_of(const struct client_connection *connection)
{
    const struct grpc_channel_config *config = connection->config;

    return config->unix_path != NULL ? config->unix_path : config->tcp_address;
}

static int set_error(const struct client_connection *connection, const char *reason, struct error **err)
{
    return error_set(err, GRPC_STATUS_UNAVAILABLE, "%s %s: %s",
                     connection->config->unix_path != NULL ? "socket" : "address", address_of(connection),
                     reason);
}

/* --- the end --- */

static void report_over(struct client_connection *connection, const struct error *error, uint64_t window_ms)
{
    if (connection->over)
        return;
    connection->over = true;
    timeout_clear(&connection->connect_timeout);
    connection->owner->over(connection, error, window_ms);
}

/* Ends a connection that was never made. */
static void fail(struct client_connection *connection, const struct error *error, uint64_t window_ms)
{
    report_over(connection, error, window_ms);
    grpc_connection_close(&connection->base);
}

static void fail_connecting(struct client_connection *connection, int status)
{
    const struct grpc_channel_config *config = connection->config;
    cleanup_error struct error *err = NULL;
    uint64_t window_ms = config->retry_unavailable_ms;

    /* A full backlog means that the peer is there and busy: waited for even without a retry window. */
    if (status == UV_EAGAIN && window_ms < config->connect_timeout_ms)
        window_ms = config->connect_timeout_ms;
    (void)set_error(connection, uv_strerror(status), &err);
    fail(connection, err, window_ms);
}

void client_connection_retire(struct client_connection *connection, const char *reason)
{
    grpc_connection_drain(&connection->base);
    connection->owner->retired(connection, reason);
}

void client_connection_close(struct client_connection *connection)
{
    connection->over = true;
    timeout_clear(&connection->connect_timeout);
    grpc_connection_flush(&connection->base); /* the RST_STREAMs, as far as they go at once */
    grpc_connection_close(&connection->base);
}

/* --- events of the HTTP/2 connection --- */

static void on_ready(struct grpc_connection *connection)
{
    of(connection)->ready = true;
    timeout_clear(&of(connection)->connect_timeout);
    of(connection)->owner->ready(of(connection));
}

static void on_received(struct grpc_connection *connection)
{
    of(connection)->owner->received(of(connection));
}

static void on_going_away(struct grpc_connection *connection, uint32_t code)
{
    if (code != HTTP2_NO_ERROR)
        log_debug(of(connection)->config->log, 4, "grpc peer ends the connection",
                  LOG_STR("address", address_of(of(connection))), LOG_UINT("http2Code", code));
    client_connection_retire(of(connection), "the peer ends the connection");
}

static void on_lost(struct grpc_connection *connection, const struct error *error)
{
    cleanup_error struct error *err = NULL;

    (void)set_error(of(connection), error == NULL ? "connection closed" : error_message(error), &err);
    report_over(of(connection), err, of(connection)->config->retry_unavailable_ms);
}

static void on_freed(struct grpc_connection *connection)
{
    of(connection)->owner->freed(of(connection));
    free(of(connection));
}

static const struct connection_owner connection_owner = {
    .ready = on_ready,
    .received = on_received,
    .going_away = on_going_away,
    .lost = on_lost,
    .freed = on_freed,
};

/* --- connecting --- */

static struct grpc_connection_config base_config(const struct client_connection *connection,
                                                 struct connection_io *io)
{
    return (struct grpc_connection_config){
        .io = io,
        .owner = &connection_owner,
        .session = {.role = HTTP2_CLIENT, .window = CLIENT_RECEIVE_WINDOW, .events = &client_call_events},
        .handshake_timeout_ms = connection->config->connect_timeout_ms,
        .write_timeout_ms = WRITE_TIMEOUT_MS,
    };
}

static int check_peer(struct client_connection *connection, struct error **err)
{
    const struct grpc_channel_config *config = connection->config;
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    struct stat st;
    uv_os_fd_t fd;

    if (config->peer_check == NULL || config->unix_path == NULL)
        return 0;
    if (uv_fileno(&connection->base.uv.handle, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "socket %s: peer credentials",
                               config->unix_path);
    if (stat(config->unix_path, &st) == -1)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "socket %s", config->unix_path);
    return config->peer_check(peer.uid, peer.pid, st.st_uid, config->peer_check_arg, err);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct client_connection *connection = container_of(request, struct client_connection, connect);
    struct grpc_connection_config config = base_config(connection, connection->base.io);
    cleanup_error struct error *err = NULL;

    if (connection->over)
        return; /* closed meanwhile */
    if (status < 0) {
        fail_connecting(connection, status);
        return;
    }
    timeout_clear(&connection->connect_timeout);
    if (check_peer(connection, &err) < 0)
        fail(connection, err, /* window_ms= */ 0); /* waiting changes nothing about that */
    else if (grpc_connection_start(&connection->base, &config, &err) < 0)
        fail(connection, err, connection->config->retry_unavailable_ms);
}

static void on_connect_timeout(struct timeout *timeout)
{
    fail_connecting(container_of(timeout, struct client_connection, connect_timeout), UV_ETIMEDOUT);
}

struct client_connection *client_connection_create(const struct grpc_channel_config *config,
                                                   const struct client_connection_owner *owner, void *arg)
{
    struct client_connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL)
        return NULL;
    connection->owner = owner;
    connection->config = config;
    connection->arg = arg;
    timeout_init(&connection->connect_timeout);
    list_init(&connection->link);
    return connection;
}

void client_connection_open(struct client_connection *connection, uv_loop_t *loop, struct connection_io *io)
{
    const struct grpc_channel_config *config = connection->config;
    struct grpc_connection_config base = base_config(connection, io);
    cleanup_error struct error *err = NULL;
    struct sockaddr_storage address;
    int rc;

    grpc_connection_init(&connection->base, &base);
    timeout_set(&io->timeouts, &connection->connect_timeout, config->connect_timeout_ms, on_connect_timeout);
    if (config->unix_path != NULL) {
        (void)uv_pipe_init(loop, &connection->base.uv.pipe, /* ipc= */ 0); /* never fails */
        uv_pipe_connect(&connection->connect, &connection->base.uv.pipe, config->unix_path, on_connect);
        return;
    }
    (void)uv_tcp_init(loop, &connection->base.uv.tcp); /* never fails */
    rc = address_tcp(config->tcp_address, &address, &err);
    if (rc == 0)
        rc = uv_tcp_connect(&connection->connect, &connection->base.uv.tcp, (const struct sockaddr *)&address,
                            on_connect);
    if (rc < 0)
        fail_connecting(connection, rc);
}
