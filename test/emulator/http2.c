/*
 * http2.c - see http2.h. Life of a connection:
 *
 *   handshake ──┬──────────> HTTP/2: frames in, frames out ──> closed
 *               └─ HTTP/1.1 ──> handed to http1.h
 */
#include "test/emulator/http2.h"

#include <unistd.h>

#include "test/emulator/counters.h"
#include "test/emulator/http2_stream.h"
#include "test/emulator/memory.h"

enum { READ_BYTES = 16 * 1024, SEND_BATCH_BYTES = 64 * 1024 };

struct http2_connection {
    struct http2_peer peer; /* first: a pointer to it is one to the whole */
    struct http2 *http2;
    struct http2_connection *next;
    struct http2_connection *previous;
    struct http_settings settings;
    struct tls_stream *tls;
    uv_poll_t poll;
};

/* ---- end ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Lets go of everything but the socket. */
static void forget(struct http2_connection *connection)
{
    while (connection->peer.streams != NULL)
        http2_stream_destroy(connection->peer.streams);
    *(connection->previous != NULL ? &connection->previous->next : &connection->http2->first) =
        connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    nghttp2_session_del(connection->peer.session);
    tls_stream_destroy(connection->tls);
    (void)uv_poll_stop(&connection->poll);
    uv_close((uv_handle_t *)&connection->poll, on_poll_closed);
}

static void close_connection(struct http2_connection *connection)
{
    struct emulator *emulator = connection->http2->emulator;
    struct connection *record = connection->peer.record;
    int fd = connection->peer.fd;
    if (record != NULL && !record->silent)
        tls_stream_bye(connection->tls);
    forget(connection);
    if (record != NULL) {
        counters_connection(emulator->counters, false);
        (void)pthread_mutex_lock(&emulator->lock);
        connections_remove(emulator->connections, record);
        (void)pthread_mutex_unlock(&emulator->lock);
    }
    (void)close(fd);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2_connection *connection = arg;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        (void)nghttp2_session_set_stream_user_data(
            session, frame->hd.stream_id, http2_stream_create(&connection->peer, frame->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (stream != NULL)
        http2_stream_header(stream, name, name_len, value, value_len);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    const struct http2_connection *connection = arg;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        http2_stream_begin(stream);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        http2_stream_complete(stream);
    return connection->peer.doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                   void *arg)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)arg;
    if (stream != NULL)
        http2_stream_body(stream, bytes, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *arg)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)error_code;
    (void)arg;
    if (stream != NULL)
        http2_stream_closed(stream);
    return 0;
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t frame_type, int32_t id,
                              int32_t session_window, int32_t stream_window, uint32_t max_frame, void *arg)
{
    const struct http2_connection *connection = arg;
    ssize_t len = connection->settings.frame_bytes;
    (void)session;
    (void)frame_type;
    (void)id;
    len = len < session_window ? len : session_window;
    len = len < stream_window ? len : stream_window;
    return len < max_frame ? len : max_frame;
}

static void make_session(struct http2_connection *connection)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, connection->settings.max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, connection->settings.initial_window},
    };
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
    nghttp2_option_set_no_auto_window_update(option, connection->settings.window_updates ? 0 : 1);
    if (nghttp2_session_server_new2(&connection->peer.session, callbacks, connection, option) != 0 ||
        nghttp2_submit_settings(connection->peer.session, NGHTTP2_FLAG_NONE, settings,
                                ARRAY_SIZE(settings)) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

/* ---- bytes in and out ---- */

static bool is_silent(const struct http2_connection *connection)
{
    struct emulator *emulator = connection->http2->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    bool silent = connection->peer.record->silent;
    (void)pthread_mutex_unlock(&emulator->lock);
    return silent;
}

/* False: the connection has ended. */
static bool receive(struct http2_connection *connection)
{
    unsigned char bytes[READ_BYTES];
    bool silent = is_silent(connection);
    for (ssize_t n; (n = tls_stream_recv(connection->tls, bytes, sizeof(bytes))) >= 0;) {
        if (n == 0)
            return false;
        if (!silent && nghttp2_session_mem_recv(connection->peer.session, bytes, (size_t)n) < 0)
            return false;
    }
    return true;
}

/* 1 = all is out, 0 = the socket takes no more for now, -1 = failure. */
static int send_all(struct http2_connection *connection)
{
    for (;;) {
        size_t batch = 0;
        ssize_t n = 0;
        int flushed = tls_stream_flush(connection->tls);
        if (flushed <= 0)
            return flushed;
        for (const uint8_t *bytes; batch < SEND_BATCH_BYTES; batch += (size_t)n) {
            n = nghttp2_session_mem_send(connection->peer.session, &bytes);
            if (n <= 0)
                break;
            tls_stream_send(connection->tls, bytes, (size_t)n);
        }
        if (n < 0)
            return -1;
        if (batch == 0)
            return 1;
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Sends what there is, and ends the connection if that is due. */
static void on_submitted(struct http2_peer *peer)
{
    struct http2_connection *connection = (struct http2_connection *)(void *)peer;
    int sent = 1;
    if (!peer->doomed && !is_silent(connection)) {
        sent = send_all(connection);
        if (sent < 0 || (sent > 0 && (peer->close_when_sent || (!nghttp2_session_want_read(peer->session) &&
                                                                !nghttp2_session_want_write(peer->session)))))
            peer->doomed = true;
    }
    if (peer->doomed)
        close_connection(connection);
    else
        (void)uv_poll_start(&connection->poll, sent == 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

/* ---- handshake ---- */

static void begin_http2(struct http2_connection *connection)
{
    struct emulator *emulator = connection->http2->emulator;
    struct http2_peer *peer = &connection->peer;
    peer->tls_session = tls_stream_session(connection->tls);
    counters_connection(emulator->counters, true);
    (void)pthread_mutex_lock(&emulator->lock);
    peer->record = connections_add(emulator->connections, "tls", "h2", peer->fd);
    peer->record->resumed = tls_is_resumed(peer->tls_session);
    (void)pthread_mutex_unlock(&emulator->lock);
    make_session(connection);
}

static void hand_over(struct http2_connection *connection)
{
    struct http1 *http1 = connection->http2->http1;
    int fd = connection->peer.fd;
    forget(connection);
    http1_add_tls(http1, fd);
}

/* True: HTTP/2 can begin. Otherwise `connection` may be gone. */
static bool shake_hands(struct http2_connection *connection)
{
    switch (tls_stream_handshake(connection->tls)) {
    case TLS_HTTP2:
        begin_http2(connection);
        return true;
    case TLS_NOT_HTTP2:
        hand_over(connection);
        break;
    case TLS_FAILED:
        close_connection(connection);
        break;
    case TLS_WAIT:
        break;
    }
    return false;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http2_connection *connection = poll->data;
    (void)status; /* reading shows what it is */
    (void)events;
    if (connection->peer.session == NULL && !shake_hands(connection))
        return;
    if (!receive(connection))
        connection->peer.doomed = true;
    on_submitted(&connection->peer);
}

void http2_accept(struct http2 *http2, int fd)
{
    struct emulator *emulator = http2->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    struct http_settings settings = emulator->http;
    (void)pthread_mutex_unlock(&emulator->lock);
    if (!settings.http2) {
        http1_add_tls(http2->http1, fd);
        return;
    }
    struct http2_connection *connection = xcalloc(1, sizeof(*connection));
    connection->peer = (struct http2_peer){.emulator = emulator,
                                           .loop = http2->loop,
                                           .delays = http2->delays,
                                           .fd = fd,
                                           .submitted = on_submitted};
    connection->http2 = http2;
    connection->settings = settings;
    connection->tls = tls_stream_create(http2->tls_server, fd, settings.http1);
    connection->poll.data = connection;
    connection->next = http2->first;
    if (connection->next != NULL)
        connection->next->previous = connection;
    http2->first = connection;
    if (uv_poll_init(http2->loop, &connection->poll, fd) != 0)
        abort();
    (void)uv_poll_start(&connection->poll, UV_READABLE, on_poll);
}

void http2_wake_held(struct http2 *http2)
{
    for (struct http2_connection *connection = http2->first; connection != NULL;) {
        struct http2_connection *next = connection->next;
        if (connection->peer.session != NULL)
            http2_stream_wake_held(&connection->peer);
        connection = next;
    }
}

void http2_close_all(struct http2 *http2)
{
    while (http2->first != NULL)
        close_connection(http2->first);
}
