/*
 * http2_session.c - an HTTP/2 session for gRPC, without I/O.
 */
#include "common/grpc/http2_session.h"

#include <assert.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/grpc/header_check.h"
#include "common/grpc/nghttp2_compat.h"

/* Header fields in a block that is sent: at most a dozen. */
enum { SEND_HEADERS_MAX = 16 };
/* Misbehaviours of one peer over the life of its connection. Well-behaved clients have none; each costs a
 * frame or two. */
enum { GLITCHES_MAX = 1000 };
/* Frames waiting to be sent. nghttp2 bounds the ACKs (1000), the open streams bound the responses; a peer
 * beyond this sends and does not read. */
enum { OUTBOUND_QUEUE_MAX = 4096 };
/* CONTINUATION frames of a response's block. Peers fill them (16 KiB), and may have one more per field. */
enum { RESPONSE_CONTINUATIONS_MAX = HEADER_LIST_MAX_RESPONSE / (16 * 1024) * 2 };

/* Makes the running (or next) receive or output fail. */
static void abort_session(struct http2_session *session)
{
    session->aborted = true;
}

static struct http2_stream *find_stream(struct http2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->nghttp2, id);
}

static void detach(struct http2_stream *stream)
{
    stream->session->n_streams--;
    list_remove(&stream->link);
    stream->session = NULL;
}

static void attach(struct http2_session *session, struct http2_stream *stream, int32_t id)
{
    stream->session = session;
    stream->id = id;
    list_insert_before(&session->streams, &stream->link);
    session->n_streams++;
}

/* --- nghttp2's callbacks --- */

static int result(const struct http2_session *session)
{
    return session->aborted ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream;

    if (session->role == HTTP2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream = session->events->opened(session);
        if (stream == NULL)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        attach(session, stream, frame->hd.stream_id);
        if (nghttp2_session_set_stream_user_data(nghttp2, frame->hd.stream_id, stream) != 0)
            session->aborted = true; /* the stream exists: it was just opened */
    }
    session->open_block = frame->hd.stream_id;
    stream = find_stream(session, frame->hd.stream_id);
    if (stream != NULL)
        session->events->headers_begin(stream);
    return result(session);
}

static int on_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream = find_stream(session, frame->hd.stream_id);

    (void)nghttp2;
    (void)flags;
    if (stream != NULL)
        session->events->header(stream, (const char *)name, name_len, (const char *)value, value_len);
    return result(session);
}

static void report_ended(struct http2_session *session, int32_t id)
{
    struct http2_stream *stream = find_stream(session, id); /* again: an event before may have reset it */

    if (stream != NULL)
        session->events->ended(stream);
}

static int on_frame_recv(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct http2_stream *stream;

    (void)nghttp2;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        session->open_block = 0;
        stream = find_stream(session, frame->hd.stream_id);
        if (stream != NULL)
            session->events->headers_end(stream, end_stream);
        if (end_stream)
            report_ended(session, frame->hd.stream_id);
        break;
    case NGHTTP2_DATA:
        if (end_stream)
            report_ended(session, frame->hd.stream_id);
        break;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
            session->settings_received = true;
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
            session->ping_acked = true;
        break;
    case NGHTTP2_GOAWAY:
        if (session->going_away != NULL)
            session->going_away(session, frame->goaway.error_code);
        break;
    default:
        break;
    }
    return result(session);
}

/* The peer may send as much again: on the connection always, so that a stream that is held stops no other. A
 * server's streams are never held, and nghttp2 does this for them. */
static void open_window(struct http2_session *session, int32_t id, size_t len)
{
    struct http2_stream *stream = find_stream(session, id); /* again: the event may have reset it */

    if (nghttp2_session_consume_connection(session->nghttp2, len) != 0)
        abort_session(session);
    if (stream != NULL && stream->held)
        stream->held_len += len;
    else if (nghttp2_session_consume_stream(session->nghttp2, id, len) != 0)
        abort_session(session);
}

static int on_data_chunk(nghttp2_session *nghttp2, uint8_t flags, int32_t id, const uint8_t *bytes,
                         size_t len, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream = find_stream(session, id);

    (void)nghttp2;
    (void)flags;
    if (stream != NULL)
        session->events->data(stream, bytes, len);
    if (session->role == HTTP2_CLIENT)
        open_window(session, id, len);
    return result(session);
}

static int on_stream_close(nghttp2_session *nghttp2, int32_t id, uint32_t code, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream = find_stream(session, id);

    (void)nghttp2;
    if (stream != NULL) {
        detach(stream);
        session->events->closed(stream, code);
    }
    return result(session);
}

static int on_invalid_frame(nghttp2_session *nghttp2, const nghttp2_frame *frame, int error, void *arg)
{
    struct http2_session *session = arg;

    (void)nghttp2;
    (void)frame;
    (void)error;
    http2_session_glitch(session);
    return result(session);
}

static int on_frame_send(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream;

    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code == NGHTTP2_COMPRESSION_ERROR)
        session->undecodable = true;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    stream = find_stream(session, frame->hd.stream_id);
    if (stream != NULL && !stream->headers_sent) {
        stream->headers_sent = true;
        stream->sent_block = session->block;
    }
    /* A response before the end of the request: the client should stop (RFC 9113, section 8.1). */
    if (session->role == HTTP2_SERVER && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        nghttp2_session_get_stream_remote_close(nghttp2, frame->hd.stream_id) == 0 &&
        nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR) != 0)
        session->aborted = true;
    return result(session);
}

/* A header field for nghttp2, which copies both strings and only lacks the const. */
static nghttp2_nv make_field(const char *name, const char *value)
{
    union {
        const char *text;
        uint8_t *bytes;
    } field_name = {.text = name}, field_value = {.text = value};

    return (nghttp2_nv){
        .name = field_name.bytes,
        .value = field_value.bytes,
        .namelen = strlen(name),
        .valuelen = strlen(value),
    };
}

/* How much of the message goes into the next DATA frame. */
static http2_ssize on_read_message(nghttp2_session *nghttp2, int32_t id,
                                   uint8_t *buffer, // NOLINT(readability-non-const-parameter)
                                   size_t len, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    const nghttp2_nv ok_trailer = make_field("grpc-status", "0");
    struct http2_session *session = arg;
    struct http2_stream *stream = find_stream(session, id); /* not from `source`: the stream may be gone */
    size_t left;

    (void)buffer;
    (void)source;
    if (stream == NULL)
        return NGHTTP2_ERR_DEFERRED; /* was reset: the RST_STREAM is on its way */
    left = stream->output_len - stream->output_off;
    if (len > left)
        len = left;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (len == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->rest_is_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(nghttp2, id, &ok_trailer, 1) != 0)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return (http2_ssize)len;
}

/* nghttp2 has made the header of that DATA frame; both go straight into the output. */
static int on_send_data(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *frame_header,
                        size_t len, nghttp2_data_source *source, void *arg)
{
    enum { FRAME_HEADER_LEN = 9 };
    struct http2_session *session = arg;
    struct http2_stream *stream = find_stream(session, frame->hd.stream_id);

    (void)nghttp2;
    (void)source;
    assert(frame->data.padlen == 0); /* no padding callback is set */
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (session->sink_cap - session->sink_len < FRAME_HEADER_LEN + len)
        return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(session->sink + session->sink_len, frame_header, FRAME_HEADER_LEN);
    if (len > 0)
        memcpy(session->sink + session->sink_len + FRAME_HEADER_LEN, stream->output + stream->output_off,
               len);
    session->sink_len += FRAME_HEADER_LEN + len;
    stream->output_off += len;
    if (stream->output_off == stream->output_len && !stream->keep_output) {
        secret_free(stream->output); /* as soon as possible */
        stream->output = NULL;
    }
    return 0;
}

/* --- life of a session --- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    return callbacks;
}

static void *memory_alloc(size_t size, void *arg)
{
    (void)arg;
    return secret_malloc(size);
}

static void *memory_alloc_zeroed(size_t count, size_t size, void *arg)
{
    (void)arg;
    return secret_calloc(count, size);
}

static void *memory_resize(void *ptr, size_t size, void *arg)
{
    (void)arg;
    return secret_realloc(ptr, size);
}

static void memory_free(void *ptr, void *arg)
{
    (void)arg;
    secret_free(ptr);
}

static int make_session(struct http2_session *session)
{
    /* Copied. Frames and header fields carry tokens and parts of secrets, and the same few blocks serve all
     * requests (secret_cache.h). */
    nghttp2_mem memory = {
        .malloc = memory_alloc, .free = memory_free, .calloc = memory_alloc_zeroed, .realloc = memory_resize};
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = NULL;
    int rc = -1;

    if (callbacks == NULL || nghttp2_option_new(&option) != 0)
        goto out;
    nghttp2_option_set_no_http_messaging(option, 1); /* header_check.h does it */
    nghttp2_option_set_no_closed_streams(option, 1); /* keep no memory for streams that are done */
    nghttp2_option_set_max_deflate_dynamic_table_size(option,
                                                      0); /* the few header fields are not worth a table */
    if (session->role == HTTP2_CLIENT) {
        nghttp2_option_set_max_continuations(option, RESPONSE_CONTINUATIONS_MAX);
        nghttp2_option_set_no_auto_window_update(option, 1); /* open_window() does it */
    }
    if (session->role == HTTP2_SERVER)
        rc = nghttp2_session_server_new3(&session->nghttp2, callbacks, session, option, &memory);
    else
        rc = nghttp2_session_client_new3(&session->nghttp2, callbacks, session, option, &memory);
out:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc;
}

static int submit_settings(struct http2_session *session, const struct http2_session_config *config)
{
    nghttp2_settings_entry entries[4];
    size_t n = 0;

    if (config->role == HTTP2_SERVER) {
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX_REQUEST};
        entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_streams};
    } else {
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX_RESPONSE};
        entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
        entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0};
    }
    if (nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, entries, n) != 0)
        return -1;
    if (config->window != 0 && nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
                                                                     (int32_t)config->window) != 0)
        return -1;
    return 0;
}

int http2_session_init(struct http2_session *session, const struct http2_session_config *config,
                       struct error **err)
{
    *session = (struct http2_session){
        .events = config->events, .going_away = config->going_away, .arg = config->arg, .role = config->role};
    list_init(&session->streams);
    if (make_session(session) != 0 || submit_settings(session, config) != 0) {
        http2_session_finish(session);
        return error_no_memory(err, "an HTTP/2 session");
    }
    return 0;
}

void http2_session_finish(struct http2_session *session)
{
    assert(!session->busy);
    if (session->nghttp2 != NULL)
        nghttp2_session_del(session->nghttp2); /* runs no callback for the streams that are still open */
    session->nghttp2 = NULL;
    while (!list_empty(&session->streams)) {
        struct http2_stream *stream = container_of(session->streams.next, struct http2_stream, link);

        bool is_cause = session->undecodable && stream->id == session->open_block;

        detach(stream);
        session->events->closed(stream, is_cause ? HTTP2_HEADERS_UNREADABLE : HTTP2_CONNECTION_LOST);
    }
}

int http2_session_receive(struct http2_session *session, const uint8_t *bytes, size_t len, struct error **err)
{
    http2_ssize rc;

    assert(!session->busy);
    if (session->aborted)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "HTTP/2: connection aborted");
    session->busy = true;
    rc = http2_mem_recv(session->nghttp2, bytes, len);
    session->busy = false;
    if (rc < 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "HTTP/2: %s", nghttp2_strerror((int)rc));
    if (nghttp2_session_get_outbound_queue_size(session->nghttp2) > OUTBOUND_QUEUE_MAX)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "HTTP/2: the peer does not read its responses");
    return 0;
}

/* Moves held output into the sink. Returns false when the sink is full. */
static bool drain_held(struct http2_session *session)
{
    size_t room = session->sink_cap - session->sink_len;
    size_t len = session->held_len < room ? session->held_len : room;

    if (len > 0)
        memcpy(session->sink + session->sink_len, session->held, len);
    session->sink_len += len;
    session->held += len;
    session->held_len -= len;
    return session->held_len == 0;
}

ptrdiff_t http2_session_output(struct http2_session *session, uint8_t *out, size_t cap, struct error **err)
{
    http2_ssize rc = 0;

    assert(!session->busy && cap >= HTTP2_OUTPUT_MIN);
    session->busy = true;
    session->block++;
    session->sink = out;
    session->sink_len = 0;
    session->sink_cap = cap;
    while (session->held_len == 0 || drain_held(session)) {
        rc = http2_mem_send(session->nghttp2, &session->held);
        if (rc <= 0)
            break; /* an error, nothing to send, or a DATA frame that does not fit any more */
        session->held_len = (size_t)rc;
    }
    session->busy = false;
    session->sink = NULL;
    if (rc < 0) {
        session->held_len = 0;
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "HTTP/2: %s", nghttp2_strerror((int)rc));
    }
    return (ptrdiff_t)session->sink_len;
}

bool http2_session_over(struct http2_session *session)
{
    return session->held_len == 0 && nghttp2_session_want_read(session->nghttp2) == 0 &&
           nghttp2_session_want_write(session->nghttp2) == 0;
}

void http2_session_glitch(struct http2_session *session)
{
    if (++session->glitches > GLITCHES_MAX)
        abort_session(session);
}

void http2_session_shutdown_notice(struct http2_session *session)
{
    if (nghttp2_submit_shutdown_notice(session->nghttp2) != 0)
        abort_session(session);
}

void http2_session_goaway(struct http2_session *session)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->nghttp2);

    if (nghttp2_submit_goaway(session->nghttp2, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) != 0)
        abort_session(session);
}

void http2_session_ping(struct http2_session *session)
{
    session->ping_acked = false;
    if (nghttp2_submit_ping(session->nghttp2, NGHTTP2_FLAG_NONE, NULL) != 0)
        abort_session(session);
}

/* --- streams --- */

void http2_stream_init(struct http2_stream *stream)
{
    *stream = (struct http2_stream){.id = -1};
    list_init(&stream->link);
}

void http2_stream_finish(struct http2_stream *stream)
{
    assert(stream->session == NULL);
    secret_free(stream->output);
    stream->output = NULL;
}

static void take_message(struct http2_stream *stream, uint8_t *message, size_t len)
{
    stream->output = message;
    stream->output_len = len;
    stream->output_off = 0;
}

static size_t make_fields(nghttp2_nv *fields, const struct http2_header *headers, size_t n)
{
    assert(n <= SEND_HEADERS_MAX);
    for (size_t i = 0; i < n; i++)
        fields[i] = make_field(headers[i].name, headers[i].value);
    return n;
}

int http2_stream_request(struct http2_session *session, struct http2_stream *stream,
                         const struct http2_header *headers, size_t n_headers, uint8_t *message, size_t len,
                         struct error **err)
{
    http2_data_provider provider = {.read_callback = on_read_message};
    nghttp2_nv fields[SEND_HEADERS_MAX];
    int32_t id;

    assert(stream->session == NULL && stream->output == NULL && message != NULL);
    if (session->aborted || nghttp2_session_check_request_allowed(session->nghttp2) == 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "HTTP/2: the connection takes no new calls");
    id = http2_submit_request(session->nghttp2, NULL, fields, make_fields(fields, headers, n_headers),
                              &provider, stream);
    if (id < 0)
        return error_set(err,
                         id == NGHTTP2_ERR_NOMEM ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_UNAVAILABLE,
                         "HTTP/2: %s", nghttp2_strerror(id));
    take_message(stream, message, len);
    stream->headers_sent = false;
    attach(session, stream, id);
    return 0;
}

void http2_stream_respond(struct http2_stream *stream, const struct http2_header *headers, size_t n_headers,
                          uint8_t *message, size_t len)
{
    struct http2_session *session = stream->session;
    http2_data_provider provider = {.read_callback = on_read_message};
    nghttp2_nv fields[SEND_HEADERS_MAX];

    assert(stream->output == NULL);
    stream->rest_is_trailers = message != NULL;
    take_message(stream, message, len);
    if (http2_submit_response(session->nghttp2, stream->id, fields, make_fields(fields, headers, n_headers),
                              message != NULL ? &provider : NULL) != 0)
        abort_session(session);
}

void http2_stream_reset(struct http2_stream *stream, enum http2_code code)
{
    struct http2_session *session = stream->session;

    if (session == NULL)
        return;
    detach(stream);
    /* The order matters for a request that still waits in nghttp2's queue: the second call cancels it
     * there. */
    if (nghttp2_session_set_stream_user_data(session->nghttp2, stream->id, NULL) != 0 ||
        nghttp2_submit_rst_stream(session->nghttp2, NGHTTP2_FLAG_NONE, stream->id, code) != 0)
        abort_session(session);
}

void http2_stream_hold(struct http2_stream *stream)
{
    stream->held = true;
}

void http2_stream_resume(struct http2_stream *stream, uint32_t window)
{
    struct http2_session *session = stream->session;
    size_t len = stream->held_len;

    stream->held = false;
    stream->held_len = 0;
    if (session == NULL)
        return;
    if (nghttp2_session_consume_stream(session->nghttp2, stream->id, len) != 0 ||
        nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, stream->id,
                                              (int32_t)window) != 0)
        abort_session(session);
}

bool http2_stream_was_sent(const struct http2_stream *stream, const struct http2_session *session)
{
    return stream->headers_sent && stream->sent_block != session->lost_block;
}
