/*
 * client_call.c - one call of a client: request headers out, answer in, outcome.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/grpc/client_private.h"
#include "common/grpc/message.h"
#include "common/grpc/metadata.h"

static struct grpc_client_call *of(struct http2_stream *stream)
{
    return container_of(stream, struct grpc_client_call, stream);
}

static bool is(const char *span, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(span, text, len) == 0;
}

/* --- outcome --- */

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
    grpc_channel_finished(call->channel, call);
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

void client_call_free(struct grpc_client_call *call)
{
    assert(call->stream.session == NULL);
    list_remove(&call->link);
    timeout_clear(&call->deadline);
    http2_stream_finish(&call->stream);
    framing_reader_finish(&call->reader);
    message_free(call->response);
    error_free(call->error);
    secret_free(call->message);
    free(call->status_message);
    free(call->method);
    free(call);
}

/* --- sending --- */

/* Forgets the answer to an attempt that the peer did not accept. */
static void reset_answer(struct grpc_client_call *call)
{
    call->final_headers = false;
    call->is_grpc = false;
    call->has_status = false;
    call->status_invalid = false;
    call->complete = false;
    free(call->status_message);
    call->status_message = NULL;
    framing_reader_finish(&call->reader);
}

int client_call_send(struct grpc_client_call *call, struct http2_session *session, struct error **err)
{
    struct grpc_channel *channel = call->channel;
    uint64_t now = timeouts_now(&channel->io.timeouts);
    char timeout[METADATA_TIMEOUT_MAX];
    const struct http2_header headers[] = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", call->method},
        {":authority", "localhost"},
        {"content-type", "application/grpc"},
        {"user-agent", channel->user_agent},
        {"te", "trailers"},
        {"grpc-timeout", timeout},
    };

    metadata_format_timeout(call->deadline_ms > now ? call->deadline_ms - now : 1, timeout);
    reset_answer(call);
    call->stream.keep_output = channel->config.retry_unavailable_ms > 0;
    if (http2_stream_request(session, &call->stream, headers, sizeof(headers) / sizeof(headers[0]),
                             call->message, call->message_len, err) < 0)
        return -1;
    call->message = NULL; /* with the stream now */
    return 0;
}

/* --- the answer --- */

static void on_headers_begin(struct http2_stream *stream)
{
    struct grpc_client_call *call = of(stream);

    header_check_init(&call->headers, call->final_headers ? HEADER_BLOCK_TRAILERS : HEADER_BLOCK_RESPONSE,
                      HEADER_LIST_MAX_RESPONSE);
    call->has_status = false; /* only the one in the block that ends the stream counts */
    call->status_invalid = false;
}

static void on_header(struct http2_stream *stream, const char *name, size_t name_len, const char *value,
                      size_t value_len)
{
    struct grpc_client_call *call = of(stream);

    if (call->complete || !header_check_field(&call->headers, name, name_len, value, value_len))
        return;
    if (is(name, name_len, ":status")) {
        call->http_status = 0;
        for (size_t i = 0; value_len == 3 && i < 3 && value[i] >= '0' && value[i] <= '9'; i++)
            call->http_status = call->http_status * 10 + (unsigned)(value[i] - '0');
    } else if (is(name, name_len, "content-type") && !call->final_headers) {
        call->is_grpc = metadata_content_type_is_grpc(value, value_len);
    } else if (is(name, name_len, "grpc-status")) {
        call->has_status = true;
        call->status_invalid = metadata_parse_status(value, value_len, &call->status) < 0;
    } else if (is(name, name_len, "grpc-message")) {
        free(call->status_message);
        call->status_message = metadata_decode_message(value, value_len); /* NULL: then it has no text */
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
        call->has_status = false;
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct grpc_client_call *call = of(stream);
    struct error *err = NULL;

    if (call->complete || !call->is_grpc || call->http_status != 200)
        return; /* the body of an HTTP error is of no interest */
    if (framing_reader_feed(&call->reader, bytes, len, &err) < 0)
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
    return error_check_memory(err, "the answer");
}

/* Judges the answer that has just ended. Sets call->response or *err. */
static int judge(struct grpc_client_call *call, struct error **err)
{
    if (!call->final_headers)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: answer without headers");
    if (call->is_grpc && call->has_status && !call->status_invalid) {
        if (call->status == GRPC_STATUS_OK)
            return unpack_response(call, err);
        return error_set(err, call->status, "%s", call->status_message == NULL ? "" : call->status_message);
    }
    if (call->http_status != 200)
        return error_set(err, metadata_status_from_http(call->http_status), "grpc: unexpected HTTP status %u",
                         call->http_status);
    if (!call->is_grpc)
        return error_set(err, GRPC_STATUS_UNKNOWN, "grpc: the answer's content-type is not application/grpc");
    if (call->status_invalid)
        return error_set(err, GRPC_STATUS_UNKNOWN, "grpc: malformed grpc-status");
    return error_set(err, GRPC_STATUS_INTERNAL, "grpc: server closed the stream without sending trailers");
}

static void on_ended(struct http2_stream *stream)
{
    struct grpc_client_call *call = of(stream);

    if (call->complete)
        return;
    call->channel->pause_ms = 0; /* the peer works: the next trouble is a new one */
    (void)judge(call, &call->error);
    call->complete = true;
    /* Answered before it has our whole request: nothing will close the stream but us. Otherwise `closed`
     * comes next. */
    if (stream->output_off < stream->output_len)
        finish(call);
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
    struct grpc_client_call *call = of(stream);
    struct grpc_channel *channel = call->channel;
    cleanup_error struct error *err = NULL;

    if (call->complete) {
        finish(call);
        return;
    }
    if (stream->output != NULL) { /* take it back, for another attempt */
        call->message = stream->output;
        call->message_len = stream->output_len;
        stream->output = NULL;
    }
    if (code == HTTP2_CONNECTION_LOST) {
        list_remove(&call->link);
        list_insert_before(&channel->orphans, &call->link); /* the channel is about to learn the reason */
        return;
    }
    if (code == HTTP2_REFUSED_STREAM) { /* RFC 9113, section 8.7: was not processed */
        (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s: the call was refused", channel->address);
        grpc_channel_requeue(channel, call, err);
        return;
    }
    if (code == HTTP2_CANCEL && timeouts_now(&channel->io.timeouts) >= call->deadline_ms)
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded");
    else
        (void)error_set(&err, metadata_status_from_http2(code),
                        "%s: the call was reset with HTTP/2 error code %u", channel->address, (unsigned)code);
    client_call_fail(call, &err);
}

const struct http2_events client_call_events = {
    .headers_begin = on_headers_begin,
    .header = on_header,
    .headers_end = on_headers_end,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
    .going_away = grpc_channel_going_away,
};
