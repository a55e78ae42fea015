/*
 * tls_server.h - the server's side of TLS (GnuTLS): resumption for all, and connections that may turn out to
 * be HTTP/2.
 *
 * Which protocol a client wants stands in its first message. That is read without taking it from the socket,
 * so that another HTTP server can have the connection as if nobody had looked.
 */
#ifndef EMULATOR_TLS_SERVER_H
#define EMULATOR_TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "test/emulator/tls.h"

struct tls_server;

/* NULL with a message on stderr. */
struct tls_server *tls_server_create(const struct tls_identity *identity, bool tls12);
void tls_server_destroy(struct tls_server *server);

/* GnuTLS' text for the versions that are offered; static. */
const char *tls_server_priorities(bool tls12);

/* Lets a session that has not begun resume earlier ones, and be resumed. `session` is GnuTLS'. */
void tls_server_allow_resumption(const struct tls_server *server, void *session);

struct tls_stream;

/* Borrows the socket, which does not block. `http1`: HTTP/1.1 is offered beside HTTP/2. */
struct tls_stream *tls_stream_create(const struct tls_server *server, int fd, bool http1);
void tls_stream_destroy(struct tls_stream *stream);

enum tls_step {
    TLS_WAIT,      /* call again when the socket is readable */
    TLS_HTTP2,     /* done */
    TLS_NOT_HTTP2, /* nothing was taken from the socket */
    TLS_FAILED,
};
enum tls_step tls_stream_handshake(struct tls_stream *stream);

/* GnuTLS' session, for tls_server_name_is() and tls_is_resumed(). */
void *tls_stream_session(const struct tls_stream *stream);

/* Bytes received; 0 = the end or a failure, -1 = nothing there yet. */
ssize_t tls_stream_recv(struct tls_stream *stream, void *buffer, size_t size);

/* Takes all bytes; they go out with tls_stream_flush(). */
void tls_stream_send(struct tls_stream *stream, const void *bytes, size_t len);
/* 1 = all has been sent, 0 = call again when the socket is writable, -1 = failure. */
int tls_stream_flush(struct tls_stream *stream);
/* The good-bye of TLS, as far as it can be sent now. */
void tls_stream_bye(struct tls_stream *stream);

#endif
