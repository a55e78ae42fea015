/*
 * connection.c - an HTTP/2 session on a libuv stream.
 */
#include "common/grpc/connection.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/secret.h"

/* How long a graceful end waits for the PING ACK before it sends the last GOAWAY. */
enum { NOTICE_MS = 1000 };

static void check(struct grpc_connection *connection);

struct grpc_connection *grpc_connection_of(struct http2_session *session)
{
    return container_of(session, struct grpc_connection, session);
}

int grpc_connection_peer_uid(const struct grpc_connection *connection, uid_t *ret_uid)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    uv_os_fd_t fd;

    if (connection->uv.handle.type != UV_NAMED_PIPE || uv_fileno(&connection->uv.handle, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
        return -1;
    *ret_uid = peer.uid;
    return 0;
}

/* --- failing and closing --- */

static void on_wake(struct timeout *timeout)
{
    check(container_of(timeout, struct grpc_connection, wake));
}

static void check_soon(struct grpc_connection *connection)
{
    if (!timeout_armed(&connection->wake))
        timeout_set(&connection->io->timeouts, &connection->wake, 0, on_wake);
}

/* Remembers the first failure; the owner learns of it from the loop. */
static void fail(struct grpc_connection *connection, struct error **err)
{
    if (connection->failure == NULL)
        (void)error_move(&connection->failure, err);
    else
        (void)error_move(NULL, err);
    check_soon(connection);
}

static void on_closed(uv_handle_t *handle)
{
    struct grpc_connection *connection = container_of(handle, struct grpc_connection, uv.handle);

    error_free(connection->failure);
    secret_free(connection->unwritten);
    connection->unwritten = NULL;
    connection->failure = NULL;
    connection->owner->freed(connection);
}

static void tear_down(struct grpc_connection *connection, const struct error *error)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_CLOSED;
    timeout_clear(&connection->stall);
    timeout_clear(&connection->idle);
    timeout_clear(&connection->wake);
    if (connection->started)
        http2_session_finish(&connection->session);
    assert(!uv_is_closing(&connection->uv.handle));
    uv_close(&connection->uv.handle, on_closed);
    connection->owner->lost(connection, error);
}

void grpc_connection_close(struct grpc_connection *connection)
{
    tear_down(connection, NULL);
}

/* --- writing --- */

static void on_written(uv_write_t *request, int status)
{
    struct grpc_connection *connection = container_of(request, struct grpc_connection, write);
    struct error *err = NULL;

    secret_free(connection->unwritten);
    connection->unwritten = NULL;
    timeout_clear(&connection->stall);
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (status < 0) {
        (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "write: %s", uv_strerror(status));
        fail(connection, &err);
        return;
    }
    grpc_connection_flush(connection);
    check(connection);
}

static void on_stall(struct timeout *timeout)
{
    struct grpc_connection *connection = container_of(timeout, struct grpc_connection, stall);
    size_t left = uv_stream_get_write_queue_size(&connection->uv.stream);
    struct error *err = NULL;

    if (left < connection->stall_mark) {
        connection->stall_mark = left;
        timeout_set(&connection->io->timeouts, timeout, connection->write_timeout_ms, on_stall);
        return;
    }
    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "the peer has read nothing for %llu ms",
                    (unsigned long long)connection->write_timeout_ms);
    fail(connection, &err);
}

/* Gives libuv the part of a block that the kernel did not take at once. */
static int write_later(struct grpc_connection *connection, const uint8_t *bytes, size_t len,
                       struct error **err)
{
    uv_buf_t buf;
    int rc;

    connection->unwritten = secret_malloc(len);
    if (connection->unwritten == NULL)
        return error_no_memory(err, "output");
    memcpy(connection->unwritten, bytes, len);
    buf = uv_buf_init((char *)connection->unwritten, (unsigned)len);
    rc = uv_write(&connection->write, &connection->uv.stream, &buf, 1, on_written);
    if (rc < 0) {
        secret_free(connection->unwritten);
        connection->unwritten = NULL;
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "write: %s", uv_strerror(rc));
    }
    connection->stall_mark = len;
    timeout_set(&connection->io->timeouts, &connection->stall, connection->write_timeout_ms, on_stall);
    return 0;
}

static int write_block(struct grpc_connection *connection, uint8_t *bytes, size_t len, struct error **err)
{
    uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)len);
    int rc = uv_try_write(&connection->uv.stream, &buf, 1);

    if (rc == UV_EAGAIN)
        rc = 0;
    if (rc < 0) {
        /* Nothing of this block has reached the peer: calls that began in it may be sent again. */
        connection->session.lost_block = connection->session.block;
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "write: %s", uv_strerror(rc));
    }
    if ((size_t)rc < len)
        return write_later(connection, bytes + rc, len - (size_t)rc, err);
    return 0;
}

void grpc_connection_flush(struct grpc_connection *connection)
{
    struct error *err = NULL;
    uint8_t *block = connection->io->write;

    if (!connection->started || connection->state == CONNECTION_CLOSED || connection->session.busy)
        return; /* busy: inside receive, which flushes afterwards */
    while (connection->unwritten == NULL && connection->failure == NULL) {
        ptrdiff_t len = http2_session_output(&connection->session, block, CONNECTION_BLOCK, &err);

        if (len > 0)
            len = write_block(connection, block, (size_t)len, &err) == 0 ? len : -1;
        secret_wipe(block, connection->session.sink_len); /* most blocks are short */
        if (len < 0)
            fail(connection, &err);
        if (len <= 0)
            break;
    }
    if (connection->session.n_streams == 0 &&
        (connection->state != CONNECTION_OPEN || connection->idle_timeout_ms != 0))
        check_soon(connection);
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct grpc_connection *connection = container_of(handle, struct grpc_connection, uv.handle);

    (void)suggested;
    *buf = uv_buf_init((char *)connection->io->read, CONNECTION_READ);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct grpc_connection *connection = container_of(stream, struct grpc_connection, uv.stream);
    cleanup_error struct error *err = NULL;

    if (n == 0)
        return; /* EAGAIN */
    if (n < 0) {
        (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "connection closed by the peer%s%s",
                        n == UV_EOF ? "" : ": ", n == UV_EOF ? "" : uv_strerror((int)n));
        tear_down(connection, err);
        return;
    }
    if (http2_session_receive(&connection->session, (const uint8_t *)buf->base, (size_t)n, &err) < 0) {
        secret_wipe(buf->base, (size_t)n);
        grpc_connection_flush(connection); /* the GOAWAY that explains it, if there is one */
        tear_down(connection, err);
        return;
    }
    secret_wipe(buf->base, (size_t)n);
    if (connection->session.settings_received && !connection->ready) {
        connection->ready = true;
        timeout_clear(&connection->idle);
        if (connection->owner->ready != NULL)
            connection->owner->ready(connection);
    }
    if (connection->state != CONNECTION_CLOSED)
        connection->owner->received(connection);
    grpc_connection_flush(connection);
    check(connection);
}

/* --- timeouts and the graceful end --- */

static void last_goaway(struct grpc_connection *connection)
{
    connection->state = CONNECTION_LAST;
    timeout_clear(&connection->idle);
    http2_session_goaway(&connection->session);
    grpc_connection_flush(connection);
    check_soon(connection);
}

static void on_notice_over(struct timeout *timeout)
{
    last_goaway(container_of(timeout, struct grpc_connection, idle));
}

static void on_idle(struct timeout *timeout)
{
    grpc_connection_drain(container_of(timeout, struct grpc_connection, idle));
}

static void on_no_handshake(struct timeout *timeout)
{
    struct grpc_connection *connection = container_of(timeout, struct grpc_connection, idle);
    struct error *err = NULL;

    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "connected, but the peer does not respond in HTTP/2");
    fail(connection, &err);
}

/* Does what is due for the connection as a whole. Runs from the loop. */
static void check(struct grpc_connection *connection)
{
    bool quiet;

    if (connection->state == CONNECTION_CLOSED)
        return;
    timeout_clear(&connection->wake);
    if (connection->failure != NULL) {
        tear_down(connection, connection->failure);
        return;
    }
    if (connection->state == CONNECTION_NOTICE && connection->session.ping_acked)
        last_goaway(connection);
    quiet = connection->session.n_streams == 0 && connection->unwritten == NULL;
    if ((connection->state == CONNECTION_LAST && quiet) ||
        (connection->unwritten == NULL && http2_session_over(&connection->session))) {
        tear_down(connection, NULL);
        return;
    }
    if (connection->state != CONNECTION_OPEN || !connection->ready || connection->idle_timeout_ms == 0)
        return;
    if (connection->session.n_streams > 0)
        timeout_clear(&connection->idle);
    else if (!timeout_armed(&connection->idle))
        timeout_set(&connection->io->timeouts, &connection->idle, connection->idle_timeout_ms, on_idle);
}

void grpc_connection_drain(struct grpc_connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    timeout_clear(&connection->idle);
    if (!connection->ready || connection->session.role == HTTP2_CLIENT) {
        connection->state = CONNECTION_LAST;
        check_soon(connection);
        return;
    }
    connection->state = CONNECTION_NOTICE;
    http2_session_shutdown_notice(&connection->session);
    http2_session_ping(&connection->session);
    timeout_set(&connection->io->timeouts, &connection->idle, NOTICE_MS, on_notice_over);
    grpc_connection_flush(connection);
}

void grpc_connection_init(struct grpc_connection *connection, const struct grpc_connection_config *config)
{
    *connection = (struct grpc_connection){
        .io = config->io,
        .owner = config->owner,
        .idle_timeout_ms = config->idle_timeout_ms,
        .write_timeout_ms = config->write_timeout_ms,
    };
    timeout_init(&connection->stall);
    timeout_init(&connection->idle);
    timeout_init(&connection->wake);
}

static void on_going_away(struct http2_session *session, uint32_t code)
{
    struct grpc_connection *connection = grpc_connection_of(session);

    if (connection->owner->going_away != NULL)
        connection->owner->going_away(connection, code);
}

int grpc_connection_start(struct grpc_connection *connection, const struct grpc_connection_config *config,
                          struct error **err)
{
    struct http2_session_config session = config->session;
    int rc;

    session.going_away = on_going_away;
    if (http2_session_init(&connection->session, &session, err) < 0)
        return -1;
    connection->started = true;
    rc = uv_read_start(&connection->uv.stream, on_alloc, on_read);
    if (rc < 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "read: %s", uv_strerror(rc));
    timeout_set(&connection->io->timeouts, &connection->idle, config->handshake_timeout_ms, on_no_handshake);
    grpc_connection_flush(connection); /* SETTINGS, without waiting for the peer's */
    return 0;
}
