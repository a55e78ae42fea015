/*
 * http2_stream.c - see http2_stream.h.
 */
#include "test/emulator/http2_stream.h"

#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "test/emulator/exchange.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/tls.h"

enum { MAX_NV = RESPONSE_MAX_HEADERS + 3 }; /* :status, date, content-length */

struct http2_stream {
    struct request request; /* first: a pointer to it is one to the whole */
    struct http2_stream *next;
    struct http2_stream *previous;
    struct http2_peer *peer;
    int32_t id;
    struct map headers; /* name in lower case -> value */
    bool begun;
    bool held;
    bool answered;      /* the outcome is counted */
    struct delay delay; /* before the response */
    uv_timer_t timer;   /* between the bytes of one that drips */
    struct response response;
    size_t sent;
    size_t send_len; /* of the response's body; less than announced when it is truncated */
    bool may_drip;   /* the next byte's time has come */
};

/* ---- requests ---- */

static const char *find_header(const struct request *request, const char *name)
{
    const struct http2_stream *stream = (const struct http2_stream *)(const void *)request;
    char *lower = lower_copy(name);
    const char *value = map_get(&stream->headers, lower);
    if (value == NULL && strcmp(lower, "host") == 0)
        value = map_get(&stream->headers, ":authority");
    free(lower);
    return value;
}

static bool server_name_is(const struct request *request, const char *name)
{
    const struct http2_stream *stream = (const struct http2_stream *)(const void *)request;
    return tls_server_name_is(stream->peer->tls_session, name);
}

static const struct transport transport = {"h2", find_header, server_name_is};

struct http2_stream *http2_stream_create(struct http2_peer *peer, int32_t id)
{
    struct http2_stream *stream = xcalloc(1, sizeof(*stream));
    stream->request.emulator = peer->emulator;
    stream->request.transport = &transport;
    stream->request.connection = peer->record;
    stream->peer = peer;
    stream->id = id;
    stream->next = peer->streams;
    if (stream->next != NULL)
        stream->next->previous = stream;
    peer->streams = stream;
    (void)uv_timer_init(peer->loop, &stream->timer);
    stream->timer.data = stream;
    return stream;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http2_stream *stream = handle->data;
    map_finish(&stream->headers, free);
    response_finish(&stream->response);
    free(stream);
}

void http2_stream_destroy(struct http2_stream *stream)
{
    if (stream->begun && !stream->answered)
        exchange_give_up(&stream->request);
    if (stream->begun)
        exchange_end(&stream->request);
    *(stream->previous != NULL ? &stream->previous->next : &stream->peer->streams) = stream->next;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    delays_remove(stream->peer->delays, &stream->delay);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

void http2_stream_header(struct http2_stream *stream, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len)
{
    struct text key = {0};
    struct text content = {0};
    text_append_bytes(&key, name, name_len);
    text_append_bytes(&content, value, value_len);
    char *key_text = text_take(&key);
    free(map_set(&stream->headers, key_text, text_take(&content)));
    free(key_text);
}

void http2_stream_begin(struct http2_stream *stream)
{
    /* nghttp2 has checked that both are there. */
    const char *method = map_get(&stream->headers, ":method");
    const char *target = map_get(&stream->headers, ":path");
    (void)snprintf(stream->request.method, sizeof(stream->request.method), "%s", method);
    exchange_begin(&stream->request, target);
    stream->begun = true;
}

void http2_stream_body(struct http2_stream *stream, const uint8_t *bytes, size_t len)
{
    exchange_body(&stream->request, bytes, len);
}

/* ---- responses ---- */

static void on_drip(uv_timer_t *timer)
{
    struct http2_stream *stream = timer->data;
    stream->may_drip = true;
    (void)nghttp2_session_resume_data(stream->peer->session, stream->id);
    stream->peer->submitted(stream->peer);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                         uint32_t *data_flags, nghttp2_data_source *source, void *arg)
{
    struct http2_stream *stream = source->ptr;
    bool drips = stream->request.fault.kind == FAULT_DRIP;
    (void)session;
    (void)id;
    (void)arg;
    if (drips && !stream->may_drip) {
        (void)uv_timer_start(&stream->timer, on_drip, stream->request.fault.drip_ms, 0);
        return NGHTTP2_ERR_DEFERRED;
    }
    stream->may_drip = false;
    size_t n = stream->send_len - stream->sent;
    n = n < size ? n : size;
    n = drips && n > 1 ? 1 : n;
    memcpy(buffer, stream->response.body + stream->sent, n);
    stream->sent += n;
    if (stream->sent == stream->send_len)
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
    union {
        const char *in;
        uint8_t *out;
    } name_bytes = {.in = name}, value_bytes = {.in = value}; /* nghttp2 copies both */
    return (nghttp2_nv){name_bytes.out, value_bytes.out, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* Submits status, headers and body of stream->response. */
static void submit(struct http2_stream *stream)
{
    const struct response *response = &stream->response;
    nghttp2_nv nv[MAX_NV];
    char *names[RESPONSE_MAX_HEADERS];
    char status[16];
    char length[32];
    char date[64];
    size_t n = 0;
    time_t now = unix_now();
    struct tm utc;
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    (void)snprintf(status, sizeof(status), "%u", response->status);
    (void)snprintf(length, sizeof(length), "%zu", response->body_len);
    nv[n++] = header(":status", status);
    nv[n++] = header("date", date);
    nv[n++] = header("content-length", length);
    for (size_t i = 0; i < response->n_headers; i++) {
        names[i] = lower_copy(response->headers[i].name);
        nv[n++] = header(names[i], response->headers[i].value);
    }
    stream->send_len =
        stream->request.fault.kind == FAULT_TRUNCATE ? response->body_len / 2 : response->body_len;
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    (void)nghttp2_submit_response(stream->peer->session, stream->id, nv, n,
                                  response->body_len > 0 ? &body : NULL);
    for (size_t i = 0; i < response->n_headers; i++)
        free(names[i]);
}

/* Sends RST now: disconnecting a connected TCP socket does that on Linux. */
static void reset_connection(const struct http2_peer *peer)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)connect(peer->fd, &nowhere, sizeof(nowhere));
}

/* Announces the end of the connection: this stream is the first one that is not served, or the last one
 * that is. */
static void go_away(const struct http2_stream *stream)
{
    int32_t last = stream->request.fault.accepted ? stream->id : stream->id - 2;
    (void)nghttp2_submit_goaway(stream->peer->session, NGHTTP2_FLAG_NONE, last > 0 ? last : 0,
                                NGHTTP2_NO_ERROR, NULL, 0);
}

static void respond(struct http2_stream *stream)
{
    struct http2_peer *peer = stream->peer;
    const struct fault_decision *fault = &stream->request.fault;
    if (!exchange_respond(&stream->request, &stream->response)) {
        stream->held = true;
        return;
    }
    stream->answered = true;
    if (fault->kind == FAULT_GOAWAY)
        go_away(stream);
    if (fault->kind == FAULT_STREAM_RESET)
        (void)nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, stream->id, fault->http2_error);
    else if (stream->response.status != 0)
        submit(stream);
    else if (fault->kind != FAULT_GOAWAY)
        peer->doomed = true;
    if (fault->kind == FAULT_RESET)
        reset_connection(peer);
}

static struct http2_stream *of_delay(struct delay *delay)
{
    return (struct http2_stream *)(void *)((char *)delay - offsetof(struct http2_stream, delay));
}

/* Responses of one connection that are due together leave together. */
static void on_delay_over(struct delay *delay)
{
    struct http2_stream *stream = of_delay(delay);
    struct http2_peer *peer = stream->peer;
    struct delay *next = peer->delays->first;
    respond(stream);
    if (next == NULL || of_delay(next)->peer != peer || next->deadline_ns > monotonic_ns())
        peer->submitted(peer);
}

void http2_stream_complete(struct http2_stream *stream)
{
    uint64_t deadline_ns;
    switch (exchange_complete(&stream->request, &deadline_ns)) {
    case EXCHANGE_NEVER:
        stream->held = true;
        return;
    case EXCHANGE_LATER:
        delays_add(stream->peer->delays, &stream->delay, deadline_ns, on_delay_over);
        return;
    case EXCHANGE_NOW:
        respond(stream);
    }
}

void http2_stream_closed(struct http2_stream *stream)
{
    if (stream->request.fault.kind == FAULT_CLOSE_AFTER)
        stream->peer->close_when_sent = true;
    http2_stream_destroy(stream);
}

void http2_stream_wake_held(struct http2_peer *peer)
{
    for (struct http2_stream *stream = peer->streams; stream != NULL; stream = stream->next)
        if (stream->held)
            (void)nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    peer->submitted(peer);
}
