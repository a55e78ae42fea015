/*
 * server_call.c - the calls of one server.
 */
#include "common/grpc/server_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/grpc/connection.h"
#include "common/grpc/framing.h"
#include "common/grpc/header_check.h"
#include "common/grpc/message.h"
#include "common/grpc/metadata.h"

/* A request is given up when no byte comes for so long: clients send a unary request in one go. */
enum { RECEIVE_STALL_MS = 60000 };
/* Requests that are still arriving, over all connections: far more than 256 mounts need, far less than the
 * memory limit of a pod could be made to hold by 65,536 streams of 4 MiB. */
enum { BUFFERED_BYTES_MAX = 64 * 1024 * 1024 };

enum call_phase { CALL_RECEIVING, CALL_READY, CALL_RUNNING, CALL_ENDED };

struct grpc_call {
    struct http2_stream stream;
    struct server_calls *calls;
    struct list link;       /* in calls->calls */
    struct list ready_link; /* in calls->ready */
    enum call_phase phase;
    bool responded;    /* the stream has its response, or will never have one */
    bool headers_seen; /* later blocks are trailers */
    struct header_check headers;
    bool is_post;
    bool is_grpc;
    bool timeout_invalid;
    bool encoding_unknown;
    bool retry_forbidden;
    char path[SERVICE_PATH_MAX + 1];
    size_t path_len; /* of the whole path, may exceed SERVICE_PATH_MAX */
    const struct service_route *route;
    struct framing_reader reader;
    uint64_t data_len; /* bytes of DATA so far */
    ProtobufCMessage *request;
    uint64_t start_ns;
    uint64_t timeout_ns;
    uint64_t deadline_ms;   /* on the clock of the timeouts; UINT64_MAX = none */
    uint64_t margin_ms;     /* the handler is cancelled so long before the deadline */
    uint64_t progress;      /* bytes moved when `timeout` was set */
    struct timeout timeout; /* deadline, slow request, unread response */
    struct timeout notice;  /* runs `cancelled` from the loop */
    enum grpc_status cancel_reason;
    void (*cancelled)(struct grpc_call *call, void *arg);
    void *cancelled_arg;
    void (*released)(void *arg);
    void *released_arg;
};

static void on_timeout(struct timeout *timeout);

static struct grpc_call *of(struct http2_stream *stream)
{
    return container_of(stream, struct grpc_call, stream);
}

/* --- life --- */

void server_calls_init(struct server_calls *calls)
{
    list_init(&calls->calls);
    list_init(&calls->ready);
}

/* Wipes the request bytes. */
static void drop_bytes(struct grpc_call *call)
{
    call->calls->buffered_bytes -= call->reader.cap;
    framing_reader_finish(&call->reader);
}

/* Frees the call when neither its stream nor its handler holds it any more. */
static void release(struct grpc_call *call)
{
    if (call->stream.session != NULL || call->phase != CALL_ENDED)
        return;
    timeout_clear(&call->timeout);
    timeout_clear(&call->notice);
    list_remove(&call->link);
    list_remove(&call->ready_link);
    drop_bytes(call);
    http2_stream_finish(&call->stream);
    if (call->released != NULL)
        call->released(call->released_arg);
    free(call);
}

static struct http2_stream *on_opened(struct http2_session *session)
{
    struct server_calls *calls = session->arg;
    struct grpc_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return NULL;
    http2_stream_init(&call->stream);
    call->calls = calls;
    call->start_ns = uv_hrtime();
    call->timeout_ns = UINT64_MAX;
    call->deadline_ms = UINT64_MAX;
    framing_reader_init(&call->reader, calls->config->max_request_bytes);
    timeout_init(&call->timeout);
    timeout_init(&call->notice);
    list_init(&call->ready_link);
    list_init(&call->link);
    list_insert_before(&calls->calls, &call->link);
    return &call->stream;
}

/* The call is over for the outside world: counts and logs it. Once per call. */
static void end(struct grpc_call *call, enum grpc_status status)
{
    struct server_calls *calls = call->calls;
    const struct grpc_server_config *config = calls->config;
    uint64_t duration_ns = uv_hrtime() - call->start_ns;
    /* Never a name that the client made up: labels of metrics must be few. */
    const char *method = call->route != NULL ? call->route->path : "unknown";
    bool was_running = call->phase == CALL_RUNNING;

    assert(call->phase != CALL_ENDED);
    call->phase = CALL_ENDED;
    list_remove(&call->ready_link);
    drop_bytes(call);
    message_free(call->request);
    call->request = NULL;
    call->cancelled = NULL;
    timeout_clear(&call->notice);
    log_debug(config->log, 5, "grpc call", LOG_STR("method", method),
              LOG_STR("code", grpc_status_name(status)), LOG_UINT("durationUs", duration_ns / 1000));
    if (config->observer != NULL)
        config->observer(method, status, duration_ns, config->observer_arg);
    if (was_running) {
        calls->n_running--;
        calls->handler_ended(calls);
    }
}

/* --- timeouts --- */

/* Bytes that have moved in the direction that the phase waits for. */
static uint64_t progress(const struct grpc_call *call)
{
    return call->responded ? call->stream.output_off : call->data_len;
}

/* The end of the client's time; before the handler is cancelled, of the handler's. */
static uint64_t due_ms(const struct grpc_call *call)
{
    return call->cancel_reason == GRPC_STATUS_OK ? call->deadline_ms - call->margin_ms : call->deadline_ms;
}

/* Sets the timeout that the phase calls for: the deadline, and a limit on waiting for the peer. */
static void set_timeout(struct grpc_call *call)
{
    struct timeouts *timeouts = call->calls->timeouts;
    uint64_t now = timeouts_now(timeouts);
    uint64_t left = due_ms(call) > now ? due_ms(call) - now : 0;

    call->progress = progress(call);
    if (call->responded)
        left = call->calls->config->write_timeout_ms;
    else if (call->deadline_ms == UINT64_MAX)
        left = UINT64_MAX;
    if (!call->responded && call->phase == CALL_RECEIVING && left > RECEIVE_STALL_MS)
        left = RECEIVE_STALL_MS;
    if (left == UINT64_MAX)
        timeout_clear(&call->timeout);
    else
        timeout_set(timeouts, &call->timeout, left, on_timeout);
}

/* --- responding --- */

/* Ends the stream without a response. */
static void reset(struct grpc_call *call, enum http2_code code)
{
    struct http2_session *session = call->stream.session;

    if (session == NULL)
        return;
    call->responded = true;
    http2_stream_reset(&call->stream, code);
    grpc_connection_flush(grpc_connection_of(session));
}

static void send_error(struct grpc_call *call, const char *http_status, enum grpc_status status,
                       const char *message)
{
    cleanup_free char *encoded = metadata_encode_message(message);
    struct http2_session *session = call->stream.session;
    char number[4] = {0};
    struct http2_header headers[6] = {
        {":status", http_status}, {"content-type", "application/grpc"}, {"grpc-status", number}};
    size_t n = 3;

    if (status >= 10)
        number[0] = (char)('0' + (int)status / 10);
    number[status >= 10 ? 1 : 0] = (char)('0' + (int)status % 10);
    if (call->encoding_unknown)
        headers[n++] = (struct http2_header){"grpc-accept-encoding", "identity"};
    if (call->retry_forbidden)
        headers[n++] = (struct http2_header){"grpc-retry-pushback-ms", "-1"};
    if (encoded != NULL && encoded[0] != '\0')
        headers[n++] = (struct http2_header){"grpc-message", encoded};
    call->responded = true;
    http2_stream_respond(&call->stream, headers, n, /* message= */ NULL, 0);
    set_timeout(call);
    grpc_connection_flush(grpc_connection_of(session));
}

/* Fails a request that gets no handler. */
static void refuse(struct grpc_call *call, const char *http_status, enum grpc_status status,
                   const char *message)
{
    end(call, status);
    send_error(call, http_status, status, message);
}

static void refuse_with(struct grpc_call *call, const struct error *error)
{
    refuse(call, "200", error_code(error), error_message(error));
}

/* A request that breaks HTTP/2 itself (RFC 9113, section 8.1.1). */
static void refuse_malformed(struct grpc_call *call)
{
    struct http2_session *session = call->stream.session;

    end(call, GRPC_STATUS_INTERNAL);
    reset(call, HTTP2_PROTOCOL_ERROR);
    http2_session_glitch(session);
    release(call);
}

/* --- cancelling --- */

static void on_notice(struct timeout *timeout)
{
    struct grpc_call *call = container_of(timeout, struct grpc_call, notice);
    void (*cancelled)(struct grpc_call *, void *) = call->cancelled;

    call->cancelled = NULL;
    if (cancelled != NULL && call->phase == CALL_RUNNING)
        cancelled(call, call->cancelled_arg);
}

/* Records the reason and has the handler notified from the loop. */
static void cancel(struct grpc_call *call, enum grpc_status reason)
{
    if (call->phase != CALL_RUNNING || call->cancel_reason != GRPC_STATUS_OK)
        return;
    call->cancel_reason = reason;
    if (call->cancelled != NULL)
        timeout_set(call->calls->timeouts, &call->notice, 0, on_notice);
}

static void on_deadline(struct grpc_call *call)
{
    static const char message[] = "deadline exceeded";

    if (call->phase == CALL_RUNNING) {
        cancel(call, GRPC_STATUS_DEADLINE_EXCEEDED);
        if (timeouts_now(call->calls->timeouts) < call->deadline_ms)
            set_timeout(call);
        else /* the handler's response is dropped */
            send_error(call, "200", GRPC_STATUS_DEADLINE_EXCEEDED, message);
    } else {
        refuse(call, "200", GRPC_STATUS_DEADLINE_EXCEEDED, message);
    }
}

static void on_timeout(struct timeout *timeout)
{
    struct grpc_call *call = container_of(timeout, struct grpc_call, timeout);

    if (call->stream.session == NULL)
        return;
    if (!call->responded && timeouts_now(call->calls->timeouts) >= due_ms(call)) {
        on_deadline(call);
    } else if (progress(call) != call->progress) {
        set_timeout(call);
    } else if (call->responded) {
        reset(call, HTTP2_CANCEL); /* the peer opens no window for the response */
        release(call);
    } else {
        refuse(call, "200", GRPC_STATUS_DEADLINE_EXCEEDED, "the request did not arrive in time");
    }
}

static void stop(struct grpc_call *call)
{
    if (call->phase == CALL_RUNNING)
        cancel(call, GRPC_STATUS_UNAVAILABLE);
    else if (call->phase != CALL_ENDED)
        refuse(call, "200", GRPC_STATUS_UNAVAILABLE, "the server is stopping");
}

void server_calls_stop(struct server_calls *calls)
{
    struct list seen;

    list_init(&seen);
    while (
        !list_empty(&calls->calls)) { /* a response that is written frees calls, not only the one at hand */
        struct grpc_call *call = container_of(calls->calls.next, struct grpc_call, link);

        list_remove(&call->link);
        list_insert_before(&seen, &call->link);
        stop(call);
    }
    list_move_all(&calls->calls, &seen);
}

/* --- receiving --- */

static void on_headers_begin(struct http2_stream *stream)
{
    struct grpc_call *call = of(stream);

    header_check_init(&call->headers, call->headers_seen ? HEADER_BLOCK_TRAILERS : HEADER_BLOCK_REQUEST,
                      HEADER_LIST_MAX_REQUEST);
}

static void on_header(struct http2_stream *stream, const char *name, size_t name_len, const char *value,
                      size_t value_len)
{
    struct grpc_call *call = of(stream);

    if (!header_check_field(&call->headers, name, name_len, value, value_len) || call->headers_seen)
        return;
    if (metadata_equal(name, name_len, ":method")) {
        call->is_post = metadata_equal(value, value_len, "POST");
    } else if (metadata_equal(name, name_len, ":path")) {
        call->path_len = value_len;
        memcpy(call->path, value, value_len < SERVICE_PATH_MAX ? value_len : SERVICE_PATH_MAX);
    } else if (metadata_equal(name, name_len, "content-type")) {
        call->is_grpc = metadata_content_type_is_grpc(value, value_len);
    } else if (metadata_equal(name, name_len, "grpc-timeout")) {
        call->timeout_invalid = metadata_parse_timeout(value, value_len, &call->timeout_ns) < 0;
    } else if (metadata_equal(name, name_len, "grpc-encoding")) {
        call->encoding_unknown = !metadata_equal(value, value_len, "identity");
    }
}

static void refuse_unknown(struct grpc_call *call)
{
    cleanup_error struct error *err = NULL;

    (void)service_table_refuse(call->calls->services, call->path, call->path_len, &err);
    refuse_with(call, err);
}

/* The request headers are complete: refuses what can be refused by them. */
static void begin(struct grpc_call *call)
{
    uint64_t now = timeouts_now(call->calls->timeouts);

    if (header_check_too_large(&call->headers)) {
        refuse(call, "200", GRPC_STATUS_RESOURCE_EXHAUSTED, "grpc: request headers larger than 16384 bytes");
    } else if (!header_check_complete(&call->headers)) {
        refuse_malformed(call);
    } else if (!call->is_post) {
        refuse(call, "405", GRPC_STATUS_INTERNAL, "http2: the method must be POST");
    } else if (!call->is_grpc) {
        refuse(call, "415", GRPC_STATUS_INVALID_ARGUMENT, "invalid gRPC request content-type");
    } else if (call->timeout_invalid) {
        refuse(call, "400", GRPC_STATUS_INTERNAL, "malformed grpc-timeout");
    } else if (call->encoding_unknown) {
        refuse(call, "200", GRPC_STATUS_UNIMPLEMENTED, "grpc: no compression is supported");
    } else if ((call->route = service_table_find(call->calls->services, call->path, call->path_len)) ==
               NULL) {
        refuse_unknown(call);
    } else if (call->timeout_ns == 0) {
        refuse(call, "200", GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded");
    } else {
        if (call->timeout_ns != UINT64_MAX)
            call->deadline_ms = now + call->timeout_ns / 1000000 + (call->timeout_ns % 1000000 != 0);
        set_timeout(call);
    }
}

static void on_headers_end(struct http2_stream *stream, bool end_stream)
{
    struct grpc_call *call = of(stream);

    if (!call->headers_seen) {
        call->headers_seen = true;
        begin(call);
    } else if (call->phase == CALL_RECEIVING && (!end_stream || !header_check_complete(&call->headers) ||
                                                 header_check_too_large(&call->headers))) {
        refuse_malformed(call); /* trailers end the stream (RFC 9113, section 8.1) */
    }
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct grpc_call *call = of(stream);
    struct server_calls *calls = call->calls;
    cleanup_error struct error *err = NULL;
    size_t cap = call->reader.cap;
    int rc;

    if (call->phase != CALL_RECEIVING)
        return; /* refused already */
    call->data_len += len;
    rc = framing_reader_feed(&call->reader, bytes, len, &err);
    calls->buffered_bytes += call->reader.cap - cap;
    if (rc < 0)
        refuse_with(call, err);
    else if (calls->buffered_bytes > BUFFERED_BYTES_MAX)
        refuse(call, "200", GRPC_STATUS_RESOURCE_EXHAUSTED, "too many requests are arriving at once");
}

static void on_ended(struct http2_stream *stream)
{
    struct grpc_call *call = of(stream);
    cleanup_error struct error *err = NULL;

    if (call->phase != CALL_RECEIVING)
        return;
    if (call->headers.has_content_length && call->headers.kind == HEADER_BLOCK_REQUEST &&
        call->headers.content_length != call->data_len) {
        refuse_malformed(call);
    } else if (framing_reader_end(&call->reader, &err) < 0) {
        refuse_with(call, err);
    } else {
        call->phase = CALL_READY;
        set_timeout(call); /* no stall any more: only the deadline */
        list_insert_before(&call->calls->ready, &call->ready_link);
    }
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
    struct grpc_call *call = of(stream);

    (void)code;
    call->responded = true;
    timeout_clear(&call->timeout);
    http2_stream_finish(stream);
    if (call->phase == CALL_RUNNING)
        cancel(call, GRPC_STATUS_CANCELLED);
    else if (call->phase != CALL_ENDED)
        end(call, GRPC_STATUS_CANCELLED);
    release(call);
}

const struct http2_events server_call_events = {
    .opened = on_opened,
    .headers_begin = on_headers_begin,
    .header = on_header,
    .headers_end = on_headers_end,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
};

/* --- running --- */

static void run(struct grpc_call *call)
{
    struct server_calls *calls = call->calls;
    const struct grpc_method *method = call->route->method;
    cleanup_error struct error *err = NULL;

    if (calls->n_running >= calls->config->max_calls) {
        refuse(call, "200", GRPC_STATUS_RESOURCE_EXHAUSTED, "too many calls are running");
        return;
    }
    call->request = message_unpack(method->request, call->reader.data, call->reader.len, &err);
    if (call->request == NULL) {
        refuse_with(call, err);
        return;
    }
    drop_bytes(call);
    call->phase = CALL_RUNNING;
    calls->n_running++;
    method->handler(call, call->request, call->route->service->arg);
}

void server_calls_dispatch(struct server_calls *calls)
{
    while (!list_empty(&calls->ready)) {
        struct grpc_call *call = container_of(calls->ready.next, struct grpc_call, ready_link);

        list_remove(&call->ready_link);
        run(call);
    }
}

/* --- for handlers --- */

static void reply(struct grpc_call *call, uint8_t *message, size_t len)
{
    static const struct http2_header headers[] = {{":status", "200"}, {"content-type", "application/grpc"}};

    call->responded = true;
    http2_stream_respond(&call->stream, headers, sizeof(headers) / sizeof(headers[0]), message, len);
    set_timeout(call);
    grpc_connection_flush(grpc_connection_of(call->stream.session));
}

void grpc_call_reply(struct grpc_call *call, const ProtobufCMessage *response)
{
    cleanup_error struct error *err = NULL;
    uint8_t *message;
    size_t len;

    assert(call->phase == CALL_RUNNING);
    if (call->responded) { /* the client cannot receive it any more */
        end(call, GRPC_STATUS_OK);
        release(call);
        return;
    }
    message = message_pack_framed(response, &len, &err);
    if (message == NULL) {
        refuse_with(call, err);
        return;
    }
    end(call, GRPC_STATUS_OK);
    reply(call, message, len);
}

void grpc_call_fail(struct grpc_call *call, const struct error *error)
{
    enum grpc_status status = error_code(error) == GRPC_STATUS_OK ? GRPC_STATUS_INTERNAL : error_code(error);

    assert(call->phase == CALL_RUNNING);
    if (call->responded) {
        end(call, status);
        release(call);
        return;
    }
    refuse(call, "200", status, error_message(error));
}

void grpc_call_forbid_retry(struct grpc_call *call)
{
    call->retry_forbidden = true;
}

void grpc_call_on_cancel(struct grpc_call *call, void (*cancelled)(struct grpc_call *call, void *arg),
                         void *arg)
{
    call->cancelled = cancelled;
    call->cancelled_arg = arg;
    if (cancelled == NULL)
        timeout_clear(&call->notice);
    else if (call->cancel_reason != GRPC_STATUS_OK)
        timeout_set(call->calls->timeouts, &call->notice, 0, on_notice);
}

void grpc_call_cancel_early(struct grpc_call *call, uint64_t margin_ms)
{
    uint64_t left = grpc_call_time_left_ms(call);

    if (left == UINT64_MAX)
        return;
    call->margin_ms = margin_ms < left ? margin_ms : left;
    set_timeout(call);
}

void grpc_call_on_released(struct grpc_call *call, void (*released)(void *arg), void *arg)
{
    call->released = released;
    call->released_arg = arg;
}

enum grpc_status grpc_call_cancel_reason(const struct grpc_call *call)
{
    return call->cancel_reason;
}

int grpc_call_peer_uid(const struct grpc_call *call, uid_t *ret_uid, struct error **err)
{
    struct http2_session *session = call->stream.session;

    if (session == NULL || grpc_connection_peer_uid(grpc_connection_of(session), ret_uid) < 0)
        return error_set(err, GRPC_STATUS_PERMISSION_DENIED, "the caller has no credentials");
    return 0;
}

uint64_t grpc_call_time_left_ms(const struct grpc_call *call)
{
    uint64_t now = timeouts_now(call->calls->timeouts);

    if (call->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    return call->deadline_ms > now ? call->deadline_ms - now : 0;
}
