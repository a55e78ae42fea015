/*
 * http2.h - the connections of the TLS port on one libuv loop: HTTP/2 by nghttp2 for clients that want it,
 * the others go to http1.h.
 */
#ifndef EMULATOR_HTTP2_H
#define EMULATOR_HTTP2_H

#include <uv.h>

#include "test/emulator/delays.h"
#include "test/emulator/emulator.h"
#include "test/emulator/http1.h"
#include "test/emulator/tls_server.h"

struct http2_connection;

/* All borrowed; `first` starts NULL. */
struct http2 {
    struct emulator *emulator;
    uv_loop_t *loop;
    struct delays *delays;
    struct tls_server *tls_server;
    struct http1 *http1;
    struct http2_connection *first;
};

/* Takes an accepted connection, a socket that does not block. */
void http2_accept(struct http2 *http2, int fd);

/* Resets the streams that wait without a time. */
void http2_wake_held(struct http2 *http2);

/* Closes all connections; their memory goes when the loop has run once more. */
void http2_close_all(struct http2 *http2);

#endif
