/*
 * client.c - a gRPC channel: connecting, reconnecting, queueing, retrying what was never sent.
 */
#include "common/grpc/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/base/secret.h"
#include "common/grpc/address.h"
#include "common/grpc/client_private.h"
#include "common/grpc/message.h"
#include "common/process/lifecycle.h"

enum { MAX_RESPONSE_BYTES = 4 * 1024 * 1024 }; /* grpc-go's receive limit */
enum { CONNECT_TIMEOUT_MS = 5000 };
enum { WRITE_TIMEOUT_MS = 60000 };
/* Receive window of a stream and of the connection: a 1 MiB answer needs no extra round trip. */
enum { RECEIVE_WINDOW = 1024 * 1024 };
/* Pauses between attempts: short at first because a provider restarts within a fraction of a second. */
enum { PAUSE_FIRST_MS = 20, PAUSE_MAX_MS = 500 };
/* What "no deadline" means here: nothing waits for ever. */
#define TIMEOUT_MAX_MS ((uint64_t)24 * 3600 * 1000)

static void proceed(struct grpc_channel *channel);
static void connection_over(struct client_connection *connection, const struct error *error);

static struct client_connection *of(struct grpc_connection *connection)
{
    return container_of(connection, struct client_connection, base);
}

static const char *kind(const struct grpc_channel *channel)
{
    return channel->config.unix_path != NULL ? "socket" : "address";
}

/* --- delivering outcomes --- */

static void deliver(struct grpc_channel *channel)
{
    list_move_all(&channel->delivering, &channel->finished);
    while (!list_empty(&channel->delivering)) {
        struct grpc_client_call *call = container_of(channel->delivering.next, struct grpc_client_call, link);
        grpc_client_callback *callback = call->callback;
        void *arg = call->arg;
        ProtobufCMessage *response = steal_ptr(&call->response);
        cleanup_error struct error *error = steal_ptr(&call->error);

        client_call_free(call);
        callback(response, error, arg); /* may cancel the others, start more, destroy the channel */
    }
}

static void on_deliver(struct timeout *timeout)
{
    deliver(container_of(timeout, struct grpc_channel, deliver));
}

void grpc_channel_finished(struct grpc_channel *channel, struct grpc_client_call *call)
{
    list_remove(&call->link);
    list_insert_before(&channel->finished, &call->link);
    if (!timeout_armed(&channel->deliver))
        timeout_set(&channel->io.timeouts, &channel->deliver, 0, on_deliver);
}

/* --- retry --- */

static void on_retry(struct timeout *timeout)
{
    proceed(container_of(timeout, struct grpc_channel, retry));
}

static void pause_attempts(struct grpc_channel *channel)
{
    if (timeout_armed(&channel->retry))
        return;
    if (channel->pause_ms == 0)
        channel->pause_ms = PAUSE_FIRST_MS;
    timeout_set(&channel->io.timeouts, &channel->retry, channel->pause_ms, on_retry);
    channel->pause_ms = channel->pause_ms * 8 / 5; /* 1.6, as gRPC's connection backoff */
    if (channel->pause_ms > PAUSE_MAX_MS)
        channel->pause_ms = PAUSE_MAX_MS;
}

/* Would another attempt still lie within the call's window? */
static bool may_wait(const struct grpc_channel *channel, const struct grpc_client_call *call,
                     uint64_t window_ms)
{
    uint64_t pause = channel->pause_ms == 0 ? PAUSE_FIRST_MS : channel->pause_ms;

    return timeouts_now(&channel->io.timeouts) + pause < call->start_ms + window_ms;
}

static void fail_copy(struct grpc_client_call *call, const struct error *error)
{
    struct error *copy = error_copy(error);

    client_call_fail(call, &copy);
}

static void fail_lost(struct grpc_client_call *call, const struct error *error)
{
    struct error *lost = error_copy(error);

    if (lost != NULL)
        (void)error_set_type(&lost, GRPC_CLIENT_LOST);
    client_call_fail(call, &lost);
}

void grpc_channel_requeue(struct grpc_channel *channel, struct grpc_client_call *call,
                          const struct error *error)
{
    if (call->message == NULL || !may_wait(channel, call, channel->config.retry_unavailable_ms)) {
        fail_copy(call, error);
        return;
    }
    list_remove(&call->link);
    list_insert_before(&channel->waiting, &call->link);
    pause_attempts(channel);
}

/* No connection could be made: calls whose window is over learn why, the others wait for the next attempt.
 * `window_ms` is at least the configured one. */
static void attempt_failed(struct grpc_channel *channel, const struct error *error, uint64_t window_ms)
{
    struct list calls;

    error_free(channel->last_error);
    channel->last_error = error_copy(error);
    list_init(&calls);
    list_move_all(&calls, &channel->waiting);
    while (!list_empty(&calls)) {
        struct grpc_client_call *call = container_of(calls.next, struct grpc_client_call, link);

        list_remove(&call->link);
        list_insert_before(&channel->waiting, &call->link);
        if (!may_wait(channel, call, window_ms))
            fail_copy(call, error);
    }
    if (!list_empty(&channel->waiting))
        pause_attempts(channel);
}

/* --- connections --- */

static void on_ready(struct grpc_connection *connection)
{
    struct client_connection *ready = of(connection);

    ready->ready = true;
    timeout_clear(&ready->connect_timeout);
    if (ready->channel->current == ready) /* otherwise its first words were that it is going away */
        proceed(ready->channel);
}

static void on_received(struct grpc_connection *connection)
{
    deliver(of(connection)->channel);
}

static void on_lost(struct grpc_connection *connection, const struct error *error)
{
    cleanup_error struct error *err = NULL;
    struct grpc_channel *channel = of(connection)->channel;

    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s %s: %s", kind(channel), channel->address,
                    error == NULL ? "connection closed" : error_message(error));
    connection_over(of(connection), err);
}

static void release(struct grpc_channel *channel)
{
    if (--channel->open_handles > 0)
        return;
    error_free(channel->last_error);
    free(channel->address);
    free(channel->user_agent);
    free(channel);
}

static void on_freed(struct grpc_connection *connection)
{
    struct client_connection *gone = of(connection);
    struct grpc_channel *channel = gone->channel;

    list_remove(&gone->link);
    free(gone);
    release(channel);
}

static const struct connection_owner client_owner = {
    .ready = on_ready,
    .received = on_received,
    .lost = on_lost,
    .freed = on_freed,
};

/* The connection is no more; `error` tells its calls why. Runs once per connection. */
static void connection_over(struct client_connection *connection, const struct error *error)
{
    struct grpc_channel *channel = connection->channel;
    bool was_ready = connection->ready;

    if (connection->gone)
        return;
    connection->gone = true;
    timeout_clear(&connection->connect_timeout);
    if (channel->current == connection)
        channel->current = NULL;
    if (channel->destroyed)
        return;
    while (!list_empty(&channel->orphans)) {
        struct grpc_client_call *call = container_of(channel->orphans.next, struct grpc_client_call, link);

        if (http2_stream_was_sent(&call->stream, &connection->base.session))
            fail_lost(call, error);
        else
            grpc_channel_requeue(channel, call, error);
    }
    if (!was_ready)
        attempt_failed(channel, error, channel->config.retry_unavailable_ms);
    else if (!list_empty(&channel->waiting))
        pause_attempts(channel);
}

/* Ends a connection that never came to be. */
static void connect_failed(struct client_connection *connection, const struct error *error)
{
    connection_over(connection, error);
    grpc_connection_close(&connection->base);
}

static int check_peer(struct grpc_channel *channel, struct client_connection *connection, struct error **err)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    struct stat st;
    uv_os_fd_t fd;

    if (channel->config.peer_check == NULL || channel->config.unix_path == NULL)
        return 0;
    if (uv_fileno(&connection->base.uv.handle, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "socket %s: peer credentials",
                               channel->address);
    if (stat(channel->address, &st) == -1)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "socket %s", channel->address);
    return channel->config.peer_check(peer.uid, peer.pid, st.st_uid, channel->config.peer_check_arg, err);
}

static struct grpc_connection_config connection_config(struct grpc_channel *channel)
{
    return (struct grpc_connection_config){
        .io = &channel->io,
        .owner = &client_owner,
        .session = {.role = HTTP2_CLIENT, .window = RECEIVE_WINDOW, .events = &client_call_events},
        .handshake_timeout_ms = channel->config.connect_timeout_ms,
        .write_timeout_ms = WRITE_TIMEOUT_MS,
    };
}

/* A full backlog means that the peer is there and busy: waited for even without a retry window. */
static uint64_t window_for(const struct grpc_channel *channel, int status)
{
    uint64_t window = channel->config.retry_unavailable_ms;

    if (status == UV_EAGAIN && window < channel->config.connect_timeout_ms)
        window = channel->config.connect_timeout_ms;
    return window;
}

static void fail_attempt(struct client_connection *connection, int status)
{
    struct grpc_channel *channel = connection->channel;
    cleanup_error struct error *err = NULL;

    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s %s: %s", kind(channel), channel->address,
                    uv_strerror(status));
    connection->gone = true;
    channel->current = NULL;
    timeout_clear(&connection->connect_timeout);
    attempt_failed(channel, err, window_for(channel, status));
    grpc_connection_close(&connection->base);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct client_connection *connection = container_of(request, struct client_connection, connect);
    struct grpc_channel *channel = connection->channel;
    struct grpc_connection_config config = connection_config(channel);
    cleanup_error struct error *err = NULL;

    if (connection->gone)
        return; /* closed meanwhile */
    if (status < 0) {
        fail_attempt(connection, status);
        return;
    }
    timeout_clear(&connection->connect_timeout);
    if (check_peer(channel, connection, &err) < 0) {
        connection->gone = true;
        channel->current = NULL;
        attempt_failed(channel, err, 0); /* nothing that waiting would change */
        grpc_connection_close(&connection->base);
        return;
    }
    if (grpc_connection_start(&connection->base, &config, &err) < 0)
        connect_failed(connection, err);
}

static void on_connect_timeout(struct timeout *timeout)
{
    fail_attempt(container_of(timeout, struct client_connection, connect_timeout), UV_ETIMEDOUT);
}

static void start_connecting(struct grpc_channel *channel)
{
    struct grpc_connection_config config = connection_config(channel);
    struct client_connection *connection = calloc(1, sizeof(*connection));
    cleanup_error struct error *err = NULL;
    struct sockaddr_storage address;
    int rc;

    timeout_clear(&channel->retry);
    if (connection == NULL) {
        (void)error_set(&err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%s: no memory for a connection",
                        channel->address);
        attempt_failed(channel, err, channel->config.retry_unavailable_ms);
        return;
    }
    connection->channel = channel;
    timeout_init(&connection->connect_timeout);
    list_init(&connection->link);
    list_insert_before(&channel->connections, &connection->link);
    channel->open_handles++;
    channel->current = connection;
    grpc_connection_init(&connection->base, &config);
    timeout_set(&channel->io.timeouts, &connection->connect_timeout, channel->config.connect_timeout_ms,
                on_connect_timeout);
    if (channel->config.unix_path != NULL) {
        (void)uv_pipe_init(channel->loop, &connection->base.uv.pipe, /* ipc= */ 0); /* never fails */
        uv_pipe_connect(&connection->connect, &connection->base.uv.pipe, channel->address, on_connect);
        return;
    }
    (void)uv_tcp_init(channel->loop, &connection->base.uv.tcp); /* never fails */
    rc = address_tcp(channel->address, &address, &err);
    if (rc == 0)
        rc = uv_tcp_connect(&connection->connect, &connection->base.uv.tcp, (const struct sockaddr *)&address,
                            on_connect);
    if (rc < 0)
        fail_attempt(connection, rc);
}

/* The connection takes no new calls; those that it has accepted go on there. Calls that still waited for it
 * count this as a failed attempt: a peer that says so at once, every time, must not keep us busy. */
static void retire(struct client_connection *connection, const char *reason)
{
    struct grpc_channel *channel = connection->channel;
    cleanup_error struct error *err = NULL;

    grpc_connection_drain(&connection->base);
    if (channel->current != connection)
        return;
    channel->current = NULL;
    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s %s: %s", kind(channel), channel->address, reason);
    if (!list_empty(&channel->waiting))
        attempt_failed(channel, err, channel->config.retry_unavailable_ms);
}

void grpc_channel_going_away(struct http2_session *session, uint32_t code)
{
    struct client_connection *connection = of(grpc_connection_of(session));
    struct grpc_channel *channel = connection->channel;

    if (code != HTTP2_NO_ERROR)
        log_debug(channel->config.log, 4, "grpc peer ends the connection",
                  LOG_STR("address", channel->address), LOG_UINT("http2_code", code));
    retire(connection, "the peer ends the connection");
}

/* Does what can be done for the calls that wait: sends them, or connects. */
static void proceed(struct grpc_channel *channel)
{
    struct client_connection *connection = channel->current;

    while (connection != NULL && connection->ready && !list_empty(&channel->waiting)) {
        struct grpc_client_call *call = container_of(channel->waiting.next, struct grpc_client_call, link);
        struct error *err = NULL;

        list_remove(&call->link);
        list_insert_before(&channel->active, &call->link);
        if (client_call_send(call, &connection->base.session, &err) == 0)
            continue;
        if (error_code(err) != GRPC_STATUS_UNAVAILABLE) {
            client_call_fail(call, &err);
            continue;
        }
        list_remove(&call->link);
        list_insert_before(channel->waiting.next, &call->link);
        retire(connection, error_message(err));
        error_free(err);
        return;
    }
    if (connection != NULL && connection->ready)
        grpc_connection_flush(&connection->base);
    if (channel->current == NULL && !list_empty(&channel->waiting))
        start_connecting(channel);
}

/* --- channel --- */

static int copy_config(struct grpc_channel *channel, struct error **err)
{
    struct grpc_channel_config *config = &channel->config;
    const char *address = config->unix_path != NULL ? config->unix_path : config->tcp_address;
    struct sockaddr_un unix_address;
    struct sockaddr_storage tcp_address;
    int rc;

    assert((config->unix_path == NULL) != (config->tcp_address == NULL));
    rc = config->unix_path != NULL ? address_unix(address, &unix_address, err)
                                   : address_tcp(address, &tcp_address, err);
    if (rc < 0)
        return -1;
    channel->address = strdup(address);
    if (config->user_agent != NULL)
        channel->user_agent = strdup(config->user_agent);
    else if (asprintf(&channel->user_agent, "grpc-c-secrets-store/%s", build_version()) == -1)
        channel->user_agent = NULL;
    if (channel->address == NULL || channel->user_agent == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a channel");
    if (config->unix_path != NULL)
        config->unix_path = channel->address;
    config->tcp_address = NULL;
    config->user_agent = channel->user_agent;
    if (config->max_response_bytes == 0)
        config->max_response_bytes = MAX_RESPONSE_BYTES;
    if (config->connect_timeout_ms == 0)
        config->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    return 0;
}

struct grpc_channel *grpc_channel_create(uv_loop_t *loop, const struct grpc_channel_config *config,
                                         struct error **err)
{
    struct grpc_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a channel");
        return NULL;
    }
    channel->loop = loop;
    channel->config = *config;
    if (copy_config(channel, err) < 0) {
        free(channel->address);
        free(channel->user_agent);
        free(channel);
        return NULL;
    }
    list_init(&channel->connections);
    list_init(&channel->waiting);
    list_init(&channel->active);
    list_init(&channel->orphans);
    list_init(&channel->finished);
    list_init(&channel->delivering);
    timeout_init(&channel->deliver);
    timeout_init(&channel->retry);
    timeouts_init(&channel->io.timeouts, loop);
    channel->open_handles = 1;
    return channel;
}

static void drop_calls(struct list *calls)
{
    while (!list_empty(calls)) {
        struct grpc_client_call *call = container_of(calls->next, struct grpc_client_call, link);

        http2_stream_reset(&call->stream, HTTP2_CANCEL);
        client_call_free(call);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct connection_io *io = container_of(handle, struct connection_io, timeouts.timer);

    release(container_of(io, struct grpc_channel, io));
}

void grpc_channel_destroy(struct grpc_channel *channel)
{
    struct list *at;

    if (channel == NULL)
        return;
    assert(!channel->destroyed);
    channel->destroyed = true;
    drop_calls(&channel->waiting);
    drop_calls(&channel->active);
    drop_calls(&channel->finished);
    drop_calls(&channel->delivering);
    at = channel->connections.next;
    while (at != &channel->connections) {
        struct client_connection *connection = container_of(at, struct client_connection, link);

        at = at->next;
        connection->gone = true;
        timeout_clear(&connection->connect_timeout);
        grpc_connection_flush(&connection->base); /* the RST_STREAMs, as far as they go at once */
        grpc_connection_close(&connection->base);
    }
    channel->current = NULL;
    timeouts_close(&channel->io.timeouts, on_timer_closed);
}

/* --- calls --- */

static void on_call_deadline(struct timeout *timeout)
{
    struct grpc_client_call *call = container_of(timeout, struct grpc_client_call, deadline);
    struct error *err = NULL;

    if (call->stream.session == NULL && call->channel->last_error != NULL)
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded while connecting: %s",
                        error_message(call->channel->last_error));
    else
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded");
    client_call_fail(call, &err);
}

struct grpc_client_call *grpc_client_call_start(struct grpc_channel *channel, const char *method,
                                                const ProtobufCMessage *request,
                                                const ProtobufCMessageDescriptor *response_type,
                                                uint64_t timeout_ms, grpc_client_callback *callback,
                                                void *arg, struct error **err)
{
    struct grpc_client_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a call");
        return NULL;
    }
    if (timeout_ms > TIMEOUT_MAX_MS)
        timeout_ms = TIMEOUT_MAX_MS;
    http2_stream_init(&call->stream);
    timeout_init(&call->deadline);
    list_init(&call->link);
    framing_reader_init(&call->reader, channel->config.max_response_bytes);
    call->channel = channel;
    call->response_type = response_type;
    call->callback = callback;
    call->arg = arg;
    call->start_ms = timeouts_now(&channel->io.timeouts);
    call->deadline_ms = call->start_ms + timeout_ms;
    call->method = strdup(method);
    if (call->method == NULL)
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a call");
    else
        call->message = message_pack_framed(request, &call->message_len, err);
    if (call->message == NULL) {
        client_call_free(call);
        return NULL;
    }
    list_insert_before(&channel->waiting, &call->link);
    timeout_set(&channel->io.timeouts, &call->deadline, timeout_ms, on_call_deadline);
    proceed(channel);
    return call;
}

void grpc_client_call_cancel(struct grpc_client_call **call)
{
    struct http2_session *session = (*call)->stream.session;

    http2_stream_reset(&(*call)->stream, HTTP2_CANCEL);
    if (session != NULL)
        grpc_connection_flush(grpc_connection_of(session));
    client_call_free(*call);
    *call = NULL;
}
