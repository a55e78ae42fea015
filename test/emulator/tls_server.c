/*
 * tls_server.c - see tls_server.h.
 */
#include "test/emulator/tls_server.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <sys/socket.h>

#include "test/emulator/memory.h"

enum { MAX_CLIENT_HELLO_BYTES = 16 * 1024 }; /* one TLS record */

struct tls_server {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
    gnutls_datum_t ticket_key;
};

struct tls_stream {
    gnutls_session_t session;
    int fd;
    bool peeking;  /* the client's first message stays in the socket */
    bool is_http2; /* what ALPN chose */
    size_t peeked; /* bytes of it that GnuTLS has seen */
};

/* ---- what all sessions share ---- */

const char *tls_server_priorities(bool tls12)
{
    return tls12 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
}

static int fill(struct tls_server *server, const struct tls_identity *identity, bool tls12)
{
    const gnutls_datum_t certificate = {(unsigned char *)identity->certificate_pem,
                                        (unsigned)strlen(identity->certificate_pem)};
    const gnutls_datum_t key = {(unsigned char *)identity->key_pem, (unsigned)strlen(identity->key_pem)};
    int code = gnutls_certificate_allocate_credentials(&server->credentials);
    if (code >= 0)
        code =
            gnutls_certificate_set_x509_key_mem(server->credentials, &certificate, &key, GNUTLS_X509_FMT_PEM);
    if (code >= 0)
        code = gnutls_priority_init(&server->priorities, tls_server_priorities(tls12), NULL);
    if (code >= 0)
        code = gnutls_session_ticket_key_generate(&server->ticket_key);
    return code;
}

struct tls_server *tls_server_create(const struct tls_identity *identity, bool tls12)
{
    struct tls_server *server = xcalloc(1, sizeof(*server));
    int code = fill(server, identity, tls12);
    if (code >= 0)
        return server;
    (void)fprintf(stderr, "vault-emulator: TLS: %s\n", gnutls_strerror(code));
    tls_server_destroy(server);
    return NULL;
}

void tls_server_destroy(struct tls_server *server)
{
    if (server->credentials != NULL)
        gnutls_certificate_free_credentials(server->credentials);
    if (server->priorities != NULL)
        gnutls_priority_deinit(server->priorities);
    gnutls_free(server->ticket_key.data);
    free(server);
}

void tls_server_allow_resumption(const struct tls_server *server, void *session)
{
    if (session != NULL)
        (void)gnutls_session_ticket_enable_server(session, &server->ticket_key);
}

/* ---- one connection ---- */

/* Reads what is behind the bytes already seen, and leaves everything in the socket. */
static ssize_t peek(struct tls_stream *stream, void *buffer, size_t size)
{
    unsigned char seen[MAX_CLIENT_HELLO_BYTES];
    int more = (int)stream->peeked + 1;
    ssize_t n = recv(stream->fd, seen, sizeof(seen), MSG_PEEK);
    if (n <= 0)
        return n;
    if ((size_t)n == sizeof(seen))
        return 0; /* no client sends this much at first */
    if ((size_t)n <= stream->peeked) {
        /* The socket is readable again when there is more. */
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVLOWAT, &more, sizeof(more));
        errno = EAGAIN;
        return -1;
    }
    size_t fresh = (size_t)n - stream->peeked;
    fresh = fresh < size ? fresh : size;
    memcpy(buffer, seen + stream->peeked, fresh);
    stream->peeked += fresh;
    return (ssize_t)fresh;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *buffer, size_t size)
{
    struct tls_stream *stream = arg;
    ssize_t n = stream->peeking ? peek(stream, buffer, size) : recv(stream->fd, buffer, size, 0);
    if (n < 0)
        gnutls_transport_set_errno(stream->session, errno);
    return n;
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *bytes, size_t len)
{
    struct tls_stream *stream = arg;
    ssize_t n = send(stream->fd, bytes, len, MSG_NOSIGNAL);
    if (n < 0)
        gnutls_transport_set_errno(stream->session, errno);
    return n;
}

/* Takes the bytes from the socket that GnuTLS has seen. */
static void take_peeked(struct tls_stream *stream)
{
    unsigned char taken[MAX_CLIENT_HELLO_BYTES];
    int usual = 1;
    ssize_t n = recv(stream->fd, taken, stream->peeked, 0);
    (void)n; /* they are there */
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVLOWAT, &usual, sizeof(usual));
    stream->peeking = false;
}

/* The client's first message has been read: here the ways part. */
static int on_client_hello(gnutls_session_t session)
{
    struct tls_stream *stream = gnutls_session_get_ptr(session);
    gnutls_datum_t chosen;
    stream->is_http2 = gnutls_alpn_get_selected_protocol(session, &chosen) == 0 && chosen.size == 2 &&
                       memcmp(chosen.data, "h2", 2) == 0;
    if (!stream->is_http2)
        return GNUTLS_E_APPLICATION_ERROR_MIN; /* ends the handshake on our side; the client knows nothing */
    take_peeked(stream);
    return 0;
}

struct tls_stream *tls_stream_create(const struct tls_server *server, int fd, bool http1)
{
    unsigned char http2[] = "h2"; /* GnuTLS copies both */
    unsigned char http1_1[] = "http/1.1";
    const gnutls_datum_t protocols[] = {{http2, sizeof(http2) - 1}, {http1_1, sizeof(http1_1) - 1}};
    struct tls_stream *stream = xcalloc(1, sizeof(*stream));
    stream->fd = fd;
    stream->peeking = true;
    if (gnutls_init(&stream->session, GNUTLS_SERVER | GNUTLS_NONBLOCK) < 0)
        abort();
    gnutls_session_set_ptr(stream->session, stream);
    (void)gnutls_priority_set(stream->session, server->priorities);
    (void)gnutls_credentials_set(stream->session, GNUTLS_CRD_CERTIFICATE, server->credentials);
    (void)gnutls_alpn_set_protocols(stream->session, protocols, http1 ? 2 : 1,
                                    http1 ? GNUTLS_ALPN_SERVER_PRECEDENCE : GNUTLS_ALPN_MANDATORY);
    tls_server_allow_resumption(server, stream->session);
    gnutls_handshake_set_post_client_hello_function(stream->session, on_client_hello);
    gnutls_transport_set_ptr(stream->session, stream);
    gnutls_transport_set_pull_function(stream->session, pull);
    gnutls_transport_set_push_function(stream->session, push);
    return stream;
}

void tls_stream_destroy(struct tls_stream *stream)
{
    gnutls_deinit(stream->session);
    free(stream);
}

void *tls_stream_session(const struct tls_stream *stream)
{
    return stream->session;
}

static bool is_temporary(ssize_t code)
{
    return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
}

enum tls_step tls_stream_handshake(struct tls_stream *stream)
{
    int code = gnutls_handshake(stream->session);
    if (code == GNUTLS_E_SUCCESS)
        return TLS_HTTP2;
    if (is_temporary(code))
        return TLS_WAIT;
    if (stream->peeking && code != GNUTLS_E_NO_APPLICATION_PROTOCOL)
        return TLS_NOT_HTTP2; /* what is no TLS at all is left to the other server, too */
    (void)gnutls_alert_send_appropriate(stream->session, code);
    return TLS_FAILED;
}

ssize_t tls_stream_recv(struct tls_stream *stream, void *buffer, size_t size)
{
    ssize_t n = gnutls_record_recv(stream->session, buffer, size);
    if (n >= 0)
        return n;
    return is_temporary(n) ? -1 : 0;
}

void tls_stream_send(struct tls_stream *stream, const void *bytes, size_t len)
{
    gnutls_record_cork(stream->session);
    (void)gnutls_record_send(stream->session, bytes, len); /* only copies */
}

int tls_stream_flush(struct tls_stream *stream)
{
    if (gnutls_record_check_corked(stream->session) == 0)
        return 1;
    int code = gnutls_record_uncork(stream->session, 0);
    if (code >= 0)
        return 1;
    return is_temporary(code) ? 0 : -1;
}

void tls_stream_bye(struct tls_stream *stream)
{
    (void)gnutls_bye(stream->session, GNUTLS_SHUT_WR);
}
