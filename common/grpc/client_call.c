/*
 * client_call.c - one call of a client.
 */
#include "common/grpc/client_call.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/grpc/connection.h"
#include "common/grpc/message.h"
#include "common/grpc/metadata.h"

static void on_granted(void *arg);

static struct grpc_client_call *of(struct http2_stream *stream)
{
    return container_of(stream, struct grpc_client_call, stream);
}

/* --- outcome --- */

static void release_bytes(struct grpc_client_call *call)
{
    if (call->reservation != NULL)
        byte_reservation_release(call->reservation);
}

static void finish(struct grpc_client_call *call)
{
    struct http2_session *session = call->stream.session;

    assert(!call->finished);
    call->finished = true;
    timeout_clear(&call->deadline);
    if (session != NULL) {
        http2_stream_reset(&call->stream, HTTP2_CANCEL);
        grpc_connection_flush(grpc_connection_of(session));
    }
    framing_reader_finish(&call->reader);
    if (call->response == NULL)
        release_bytes(call);
    if (call->ret_pushback != NULL)
        *call->ret_pushback = call->pushback;
    call->context->owner->finished(call);
}

void client_call_fail(struct grpc_client_call *call, struct error **err)
{
    (void)error_move(&call->error, err);
    finish(call);
}

static void fail_text(struct grpc_client_call *call, enum grpc_status status, const char *text)
{
    struct error *err = NULL;

    (void)error_set(&err, status, "%s", text);
    client_call_fail(call, &err);
}

/* --- life --- */

struct grpc_client_call *client_call_create(const struct client_call_context *context, const char *method,
                                            const ProtobufCMessage *request,
                                            const ProtobufCMessageDescriptor *response_type,
                                            uint64_t timeout_ms, struct error **err)
{
    struct grpc_client_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_no_memory(err, "a call");
        return NULL;
    }
    http2_stream_init(&call->stream);
    timeout_init(&call->deadline);
    list_init(&call->link);
    framing_reader_init(&call->reader, context->max_response_bytes);
    call->context = context;
    call->response_type = response_type;
    call->start_ms = timeouts_now(context->timeouts);
    call->deadline_ms = call->start_ms + timeout_ms;
    call->method = strdup(method);
    if (call->method == NULL)
        (void)error_no_memory(err, "a call");
    else
        call->message = message_pack_framed(request, &call->message_len, err);
    if (call->message == NULL) {
        client_call_destroy(call);
        return NULL;
    }
    return call;
}

void client_call_destroy(struct grpc_client_call *call)
{
    http2_stream_reset(&call->stream, HTTP2_CANCEL);
    list_remove(&call->link);
    timeout_clear(&call->deadline);
    http2_stream_finish(&call->stream);
    framing_reader_finish(&call->reader);
    release_bytes(call);
    message_free(call->response);
    error_free(call->error);
    secret_free(call->message);
    free(call->status_message);
    free(call->method);
    free(call);
}

bool client_call_is_waiting(const struct grpc_client_call *call)
{
    return call->sized && call->reservation != NULL && !byte_reservation_is_granted(call->reservation);
}

ProtobufCMessage *client_call_take_response(struct grpc_client_call *call)
{
    if (call->response != NULL)
        call->reservation = NULL;
    return steal_ptr(&call->response);
}

/* --- sending --- */

/* What only the block that ends the stream has to say. */
static void forget_trailers(struct grpc_client_call *call)
{
    call->has_status = false;
    call->status_invalid = false;
    call->pushback = (struct grpc_pushback){0};
}

/* Forgets the response to an attempt that the peer did not accept. */
static void reset_response(struct grpc_client_call *call)
{
    call->final_headers = false;
    call->is_grpc = false;
    forget_trailers(call);
    call->complete = false;
    call->ended = false;
    call->sized = false;
    release_bytes(call);
    free(call->status_message);
    call->status_message = NULL;
    framing_reader_finish(&call->reader);
}

int client_call_send(struct grpc_client_call *call, struct http2_session *session, struct error **err)
{
    const struct client_call_context *context = call->context;
    uint64_t now = timeouts_now(context->timeouts);
    char timeout[METADATA_TIMEOUT_MAX];
    const struct http2_header headers[] = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", call->method},
        {":authority", "localhost"},
        {"content-type", "application/grpc"},
        {"user-agent", context->user_agent},
        {"te", "trailers"},
        {"grpc-timeout", timeout},
    };

    metadata_format_timeout(call->deadline_ms > now ? call->deadline_ms - now : 1, timeout);
    reset_response(call);
    call->stream.keep_output = context->resend;
    if (http2_stream_request(session, &call->stream, headers, ARRAY_SIZE(headers), call->message,
                             call->message_len, err) < 0)
        return -1;
    call->message = NULL; /* with the stream now */
    return 0;
}

/* --- the response --- */

static void on_headers_begin(struct http2_stream *stream)
{
    struct grpc_client_call *call = of(stream);

    header_check_init(&call->headers, call->final_headers ? HEADER_BLOCK_TRAILERS : HEADER_BLOCK_RESPONSE,
                      HEADER_LIST_MAX_RESPONSE);
    forget_trailers(call);
}

/* A second field says something else than the first, or nothing new. */
static void take_pushback(struct grpc_client_call *call, const char *value, size_t len)
{
    if (call->pushback.kind == GRPC_PUSHBACK_NONE)
        call->pushback = metadata_parse_pushback(value, len);
    else
        call->pushback = (struct grpc_pushback){.kind = GRPC_PUSHBACK_NO_RETRY};
}

static void on_header(struct http2_stream *stream, const char *name, size_t name_len, const char *value,
                      size_t value_len)
{
    struct grpc_client_call *call = of(stream);

    if (call->complete || !header_check_field(&call->headers, name, name_len, value, value_len))
        return;
    if (metadata_equal(name, name_len, ":status")) {
        call->http_status = 0;
        for (size_t i = 0; value_len == 3 && i < 3 && value[i] >= '0' && value[i] <= '9'; i++)
            call->http_status = call->http_status * 10 + (unsigned)(value[i] - '0');
    } else if (metadata_equal(name, name_len, "content-type") && !call->final_headers) {
        call->is_grpc = metadata_content_type_is_grpc(value, value_len);
    } else if (metadata_equal(name, name_len, "grpc-status")) {
        call->has_status = true;
        call->status_invalid = metadata_parse_status(value, value_len, &call->status) < 0;
    } else if (metadata_equal(name, name_len, "grpc-message")) {
        free(call->status_message);
        call->status_message = metadata_decode_message(value, value_len); /* NULL: then it has no text */
    } else if (metadata_equal(name, name_len, "grpc-retry-pushback-ms")) {
        take_pushback(call, value, value_len);
    }
}

static void on_headers_end(struct http2_stream *stream, bool end_stream)
{
    struct grpc_client_call *call = of(stream);

    if (call->complete)
        return;
    if (header_check_too_large(&call->headers)) {
        fail_text(call, GRPC_STATUS_INTERNAL, "grpc: response headers are too large");
        return;
    }
    if (!header_check_complete(&call->headers) || (call->final_headers && !end_stream)) {
        fail_text(call, GRPC_STATUS_INTERNAL, "grpc: malformed response headers");
        return;
    }
    if (call->http_status >= 200 || call->http_status < 100)
        call->final_headers = true;
    if (!end_stream)
        forget_trailers(call);
}

static void widen(struct grpc_client_call *call)
{
    if (call->stream.held || call->reader.length > CLIENT_FIRST_WINDOW)
        http2_stream_resume(&call->stream, CLIENT_RECEIVE_WINDOW);
}

/* The response has its bytes: it may come as fast as it can. */
static int receive(struct grpc_client_call *call, struct error **err)
{
    if (framing_reader_reserve(&call->reader, err) < 0)
        return -1;
    widen(call);
    return 0;
}

/* The size of the response has become known. While it waits it has the first window and no more. */
static int request_bytes(struct grpc_client_call *call, struct error **err)
{
    call->sized = true;
    if (call->reservation == NULL) {
        widen(call);
        return 0;
    }
    if (byte_reservation_request(call->reservation, call->budget, call->reader.length, on_granted, call))
        return receive(call, err);
    http2_stream_hold(&call->stream);
    return 0;
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct grpc_client_call *call = of(stream);
    struct error *err = NULL;

    if (call->complete || !call->is_grpc || call->http_status != 200)
        return; /* the body of an HTTP error is of no interest */
    if (framing_reader_feed(&call->reader, bytes, len, &err) < 0 ||
        (!call->sized && call->reader.prefix_len == FRAMING_PREFIX_LEN && request_bytes(call, &err) < 0))
        client_call_fail(call, &err);
}

static int unpack_response(struct grpc_client_call *call, struct error **err)
{
    if (call->http_status != 200)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: status 0 with HTTP status %u", call->http_status);
    if (framing_reader_end(&call->reader, err) < 0)
        return -1;
    errno = 0;
    call->response = message_unpack(call->response_type, call->reader.data, call->reader.len, err);
    if (call->response != NULL)
        return 0;
    (void)error_recode(err, GRPC_STATUS_INTERNAL);
    return error_check_memory(err, "the response");
}

/* Sets call->response or *err for the response that has just ended. */
static int conclude(struct grpc_client_call *call, struct error **err)
{
    if (!call->final_headers)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: response without headers");
    if (call->is_grpc && call->has_status && !call->status_invalid) {
        if (call->status == GRPC_STATUS_OK)
            return unpack_response(call, err);
        return error_set(err, call->status, "%s", call->status_message == NULL ? "" : call->status_message);
    }
    if (call->http_status != 200)
        return error_set(err, metadata_status_from_http(call->http_status), "grpc: unexpected HTTP status %u",
                         call->http_status);
    if (!call->is_grpc)
        return error_set(err, GRPC_STATUS_UNKNOWN,
                         "grpc: the response's content-type is not application/grpc");
    if (call->status_invalid)
        return error_set(err, GRPC_STATUS_UNKNOWN, "grpc: malformed grpc-status");
    return error_set(err, GRPC_STATUS_INTERNAL, "grpc: server closed the stream without sending trailers");
}

static void on_granted(void *arg)
{
    struct grpc_client_call *call = arg;
    struct http2_session *session = call->stream.session;
    struct error *err = NULL;

    if (call->ended) {
        (void)conclude(call, &call->error);
        call->complete = true;
        finish(call);
        return;
    }
    if (receive(call, &err) < 0)
        client_call_fail(call, &err);
    else if (session != NULL)
        grpc_connection_flush(grpc_connection_of(session));
}

static void on_ended(struct http2_stream *stream)
{
    struct grpc_client_call *call = of(stream);

    if (call->complete)
        return;
    call->context->owner->responded(call);
    if (client_call_is_waiting(call)) {
        call->ended = true;
        return;
    }
    (void)conclude(call, &call->error);
    call->complete = true;
    /* A response before the end of the request: nothing else will close the stream. Otherwise `closed` comes
     * next. */
    if (stream->output_off < stream->output_len)
        finish(call);
}

/* nghttp2 has met a field that is too long for it, and ends the connection. A server sends the status in
 * front of the text, so that the status is known. */
static void headers_unreadable(struct grpc_client_call *call)
{
    struct error *err = NULL;

    if (call->has_status && !call->status_invalid && call->status != GRPC_STATUS_OK)
        (void)error_set(&err, call->status,
                        "grpc: a response header is larger than %d KiB, the error's text is lost",
                        HEADER_FIELD_MAX / 1024);
    else
        (void)error_set(&err, GRPC_STATUS_INTERNAL,
                        "grpc: a response header is damaged or larger than %d KiB", HEADER_FIELD_MAX / 1024);
    client_call_fail(call, &err);
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
    struct grpc_client_call *call = of(stream);
    const struct client_call_context *context = call->context;
    cleanup_error struct error *err = NULL;

    if (call->complete) {
        finish(call);
        return;
    }
    if (call->ended)
        return;                   /* on_granted() */
    if (stream->output != NULL) { /* for another attempt */
        call->message = stream->output;
        call->message_len = stream->output_len;
        stream->output = NULL;
    }
    if (code == HTTP2_CONNECTION_LOST) {
        context->owner->orphaned(call);
        return;
    }
    if (code == HTTP2_REFUSED_STREAM) { /* RFC 9113, section 8.7: was not processed */
        (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s: the call was refused", context->address);
        context->owner->refused(call, err);
        return;
    }
    if (code == HTTP2_HEADERS_UNREADABLE) {
        headers_unreadable(call);
        return;
    }
    if (code == HTTP2_CANCEL && timeouts_now(context->timeouts) >= call->deadline_ms)
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded");
    else
        (void)error_set(&err, metadata_status_from_http2(code),
                        "%s: the call was reset with HTTP/2 error code %u", context->address, (unsigned)code);
    client_call_fail(call, &err);
}

const struct http2_events client_call_events = {
    .headers_begin = on_headers_begin,
    .header = on_header,
    .headers_end = on_headers_end,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
};
