/*
 * http2_session.h - an HTTP/2 session (RFC 9113) for gRPC, without I/O: bytes in, bytes and events out.
 *
 * Wraps nghttp2: nothing above this file sees it. Both roles use it: a server's streams are opened by the
 * peer and end with http2_stream_respond(), a client's are opened by http2_stream_request(). Messages are
 * given as one block of wiped memory and leave without another copy in nghttp2's own buffers.
 *
 * Events run inside http2_session_receive() or http2_session_output(). In an event the owner may start,
 * respond to and reset streams, but must not call the two functions again, nor
 * http2_session_finish().
 */
#ifndef COMMON_GRPC_HTTP2_SESSION_H
#define COMMON_GRPC_HTTP2_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/list.h"

struct nghttp2_session;
struct http2_session;

/* Error codes of RFC 9113, section 7, that this project sends. */
enum http2_code {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11,
};
/* Given to `closed` when the session went away under the stream. */
#define HTTP2_CONNECTION_LOST UINT32_MAX
/* Given to `closed` for the stream whose header fields nghttp2 could not read, for which it has ended the
 * session. */
#define HTTP2_HEADERS_UNREADABLE (UINT32_MAX - 1)

/* Largest frame that http2_session_output() writes at once: 16 KiB of payload and the frame header. */
enum { HTTP2_OUTPUT_MIN = 16384 + 9 };

/* Embedded in the object that stands for a call. */
struct http2_stream {
    struct list link;              /* in session->streams while attached */
    struct http2_session *session; /* NULL: not open, or detached */
    int32_t id;
    bool headers_sent;     /* HEADERS have left through http2_session_output() */
    uint64_t sent_block;   /* ...in this block of output */
    bool rest_is_trailers; /* server: "grpc-status: 0" follows the message */
    bool held;             /* client: the peer gets no new window for what it sends */
    size_t held_len;       /* bytes that came meanwhile */
    bool keep_output;      /* client: do not free the message once it is out, it may have to be sent again */
    uint8_t *output;       /* owned: the message being sent */
    size_t output_len;
    size_t output_off;
};

struct http2_header {
    const char *name; /* both borrowed during the call they are given to */
    const char *value;
};

struct http2_events {
    /* Server: the peer opens a stream. Return the initialised stream to attach, or NULL to refuse it. */
    struct http2_stream *(*opened)(struct http2_session *session);
    /* A block of header fields begins, its fields, its end. */
    void (*headers_begin)(struct http2_stream *stream);
    void (*header)(struct http2_stream *stream, const char *name, size_t name_len, const char *value,
                   size_t value_len);
    void (*headers_end)(struct http2_stream *stream, bool end_stream);
    void (*data)(struct http2_stream *stream, const uint8_t *bytes, size_t len);
    /* The peer has sent END_STREAM (also after headers_end with end_stream). */
    void (*ended)(struct http2_stream *stream);
    /* The stream is closed and already detached. Not for a stream that was reset by http2_stream_reset(). */
    void (*closed)(struct http2_stream *stream, uint32_t code);
};

enum http2_role { HTTP2_SERVER, HTTP2_CLIENT };

struct http2_session_config {
    enum http2_role role;
    unsigned max_streams; /* server: announced MAX_CONCURRENT_STREAMS */
    uint32_t window; /* receive window of the connection; 0 = the default of 65535. That of a stream is the
                             default until http2_stream_resume() */
    const struct http2_events *events; /* borrowed */
    /* Client: the peer takes no new streams. Streams that it has not seen are closed with
     * HTTP2_REFUSED_STREAM right after. May be NULL. An event like those above. */
    void (*going_away)(struct http2_session *session, uint32_t code);
    void *arg; /* for the owner of the streams: session->arg */
};

struct http2_session {
    struct nghttp2_session *nghttp2; /* NULL: finished */
    const struct http2_events *events;
    void (*going_away)(struct http2_session *session, uint32_t code);
    void *arg;
    enum http2_role role;
    struct list streams; /* attached ones */
    size_t n_streams;
    bool settings_received; /* the peer's first SETTINGS have arrived */
    bool ping_acked;        /* the ACK of the last http2_session_ping() has come */
    bool aborted;
    bool busy;           /* inside receive or output */
    int32_t open_block;  /* stream whose header fields are being read; 0 = none */
    bool undecodable;    /* nghttp2 has ended the session because of a header field */
    unsigned glitches;   /* malformed frames and requests so far */
    uint64_t block;      /* number of the current block of output */
    uint64_t lost_block; /* this block is known not to have reached the peer; 0 = none */
    const uint8_t *held; /* output that nghttp2 has made and that did not fit yet */
    size_t held_len;
    uint8_t *sink;   /* while http2_session_output() runs */
    size_t sink_len; /* bytes that the last http2_session_output() has put there, also when it failed */
    size_t sink_cap;
};

/* SETTINGS are queued for output at once. Returns -1 with err set (RESOURCE_EXHAUSTED) on lack of memory. */
int http2_session_init(struct http2_session *session, const struct http2_session_config *config,
                       struct error **err);

/* Detaches all streams and frees the session's memory. Each stream gets `closed` with HTTP2_CONNECTION_LOST,
 * or with HTTP2_HEADERS_UNREADABLE if the session ended for its header fields. Safe to call twice. */
void http2_session_finish(struct http2_session *session);

/* Takes bytes from the peer. -1 with err set (UNAVAILABLE): the connection must be dropped (write the rest
 * of the output, then close). */
int http2_session_receive(struct http2_session *session, const uint8_t *bytes, size_t len,
                          struct error **err);

/* Writes the next bytes for the peer into `out` (`cap` at least HTTP2_OUTPUT_MIN), whole frames as far as
 * possible. Returns their number, 0 when there is no output, -1 with err set when the connection must be
 * dropped. */
ptrdiff_t http2_session_output(struct http2_session *session, uint8_t *out, size_t cap, struct error **err);

/* True when neither side can send anything any more. */
bool http2_session_over(struct http2_session *session);

/* Graceful end of a server: first the notice (a GOAWAY that allows streams on their way), then
 * http2_session_ping(), and after its ACK the real GOAWAY. */
void http2_session_shutdown_notice(struct http2_session *session);
void http2_session_goaway(struct http2_session *session);
void http2_session_ping(struct http2_session *session);

/* Counts a misbehaviour of the peer that is no error of the connection; too many abort the session. */
void http2_session_glitch(struct http2_session *session);

/* --- streams --- */

/* A detached stream without a message. */
void http2_stream_init(struct http2_stream *stream);

/* Client: opens a stream with these request headers and one message (taken over on success only). -1 with err
 * set: UNAVAILABLE (the session takes no new streams) or RESOURCE_EXHAUSTED. */
int http2_stream_request(struct http2_session *session, struct http2_stream *stream,
                         const struct http2_header *headers, size_t n_headers, uint8_t *message, size_t len,
                         struct error **err);

/* Server: sends headers, the message (taken over) and "grpc-status: 0"; without a message (NULL) the headers
 * alone, which then are trailers-only. A peer that is still sending after that gets RST_STREAM(NO_ERROR).
 * Failures (memory) abort the session. */
void http2_stream_respond(struct http2_stream *stream, const struct http2_header *headers, size_t n_headers,
                          uint8_t *message, size_t len);

/* Sends RST_STREAM and detaches: no event comes any more and the memory of the stream may be reused. Harmless
 * when detached. */
void http2_stream_reset(struct http2_stream *stream, enum http2_code code);

/* Client: the peer may send no more than the window that it has, until http2_stream_resume(), which gives it
 * this one. Both are harmless when detached. */
void http2_stream_hold(struct http2_stream *stream);
void http2_stream_resume(struct http2_stream *stream, uint32_t window);

/* True unless it is certain that the peer has seen nothing of the stream. Meaningful in `closed` too. */
bool http2_stream_was_sent(const struct http2_stream *stream, const struct http2_session *session);

/* Wipes and frees the message, if any. The stream must be detached. */
void http2_stream_finish(struct http2_stream *stream);

#endif
