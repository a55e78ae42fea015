/*
 * http2_stream.h - one request over HTTP/2 and its response (nghttp2). All from the thread of the loop.
 */
#ifndef EMULATOR_HTTP2_STREAM_H
#define EMULATOR_HTTP2_STREAM_H

#include <nghttp2/nghttp2.h>
#include <uv.h>

#include "test/emulator/delays.h"
#include "test/emulator/emulator.h"
#include "test/emulator/map.h"

struct http2_stream;

/* What the streams of a connection know of it. */
struct http2_peer {
    struct emulator *emulator;
    uv_loop_t *loop;
    struct delays *delays;
    nghttp2_session *session;
    struct connection *record;
    void *tls_session; /* GnuTLS' */
    int fd;
    struct http2_stream *streams;
    bool doomed;          /* the connection is to be closed at once */
    bool close_when_sent; /* ... when everything submitted is out */
    void (*submitted)(
        struct http2_peer *peer); /* there is something to send, or to close; may end the peer */
};

/* Joins peer->streams. */
struct http2_stream *http2_stream_create(struct http2_peer *peer, int32_t id);
/* Its memory goes later, when the loop has closed its timer. */
void http2_stream_destroy(struct http2_stream *stream);

/* One header, pseudo headers too. */
void http2_stream_header(struct http2_stream *stream, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len);
/* All headers were there. */
void http2_stream_begin(struct http2_stream *stream);
void http2_stream_body(struct http2_stream *stream, const uint8_t *bytes, size_t len);
/* The whole request was there. The response is submitted now or later. */
void http2_stream_complete(struct http2_stream *stream);
/* nghttp2 has closed the stream. */
void http2_stream_closed(struct http2_stream *stream);

/* Resets the streams that wait without a time. */
void http2_stream_wake_held(struct http2_peer *peer);

#endif
