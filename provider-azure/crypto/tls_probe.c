/*
 * tls_probe.c - one TLS handshake on the loop.
 *
 *     LOOKUP ──▶ CONNECT ──▶ HANDSHAKE ──▶ callback
 *        │        │   ▲          │
 *        │        └───┘ the next address, after a failure or its share of the time
 *        └──────────┴────────────┴──▶ timer, failure: callback(error)
 *
 * The struct is freed when the lookup has returned and both handles are closed.
 */
#include "provider-azure/crypto/tls_probe.h"

#include <assert.h>
#include <inttypes.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "provider-azure/crypto/kernel_random.h"
#include "provider-azure/crypto/mbedtls_compat.h"

/* A server's flight has some KiB; one that sends more before we look at it is not read further. */
enum { INPUT_MAX = 256 * 1024, READ_BYTES = 16 * 1024 };

struct tls_probe {
    uv_getaddrinfo_t lookup;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    unsigned open; /* handles and the lookup that are not done with */
    bool ended;
    char *address;
    char *server_name;
    uint64_t timeout_ms;
    uint64_t deadline_ms;        /* loop time */
    struct addrinfo *addresses;  /* what the name stands for */
    const struct addrinfo *next; /* the one to try after this */
    const char *stage;           /* literal, for the error when time is over */
    struct buffer input;
    bool eof;
    char block[READ_BYTES];
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt ca;
    tls_probe_callback *callback;
    void *arg;
};

static void release(struct tls_probe *probe)
{
    if (--probe->open > 0)
        return;
    mbedtls_ssl_free(&probe->ssl);
    mbedtls_ssl_config_free(&probe->config);
    mbedtls_x509_crt_free(&probe->ca);
    buffer_finish(&probe->input);
    uv_freeaddrinfo(probe->addresses);
    free(probe->address);
    free(probe->server_name);
    free(probe);
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void end(struct tls_probe *probe)
{
    assert(!probe->ended);
    probe->ended = true;
    (void)uv_cancel((uv_req_t *)&probe->lookup); /* it calls back in any case */
    if (!uv_is_closing(
            (uv_handle_t *)&probe->tcp)) /* else it is between two addresses: see on_tcp_closed() */
        uv_close((uv_handle_t *)&probe->tcp, on_closed);
    uv_close((uv_handle_t *)&probe->timer, on_closed);
}

/* Ends the probe with an outcome; takes over `error`. */
static void deliver(struct tls_probe *probe, const char *const *names, struct error *error)
{
    tls_probe_callback *callback = probe->callback;
    void *arg = probe->arg;
    end(probe);
    if (callback != NULL)
        callback(names, error, arg);
    error_free(error);
}

static void fail(struct tls_probe *probe, const char *what, const char *why)
{
    struct error *error = NULL;
    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s %s: %s", what, probe->address, why);
    deliver(probe, NULL, error);
}

static void try_next_address(struct tls_probe *probe);

/* The time of the probe, or of one address, is over. */
static void on_timer(uv_timer_t *timer)
{
    struct tls_probe *probe = timer->data;
    struct error *error = NULL;

    if (probe->next != NULL && uv_now(timer->loop) < probe->deadline_ms) {
        try_next_address(probe);
        return;
    }
    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s %s: not finished within %" PRIu64 " ms",
                    probe->stage, probe->address, probe->timeout_ms);
    deliver(probe, NULL, error);
}

/* --- the handshake --- */

static int on_receive(void *arg, unsigned char *out, size_t len)
{
    struct tls_probe *probe = arg;
    if (probe->input.len == 0)
        return probe->eof ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    size_t n = len < probe->input.len ? len : probe->input.len;
    memcpy(out, probe->input.data, n);
    buffer_consume(&probe->input, n);
    return (int)n; /* at most INPUT_MAX */
}

struct sending {
    uv_write_t write;
    unsigned char bytes[];
};

static void on_sent(uv_write_t *write, int status)
{
    (void)status; /* reading will tell */
    free(write->data);
}

static int on_send(void *arg, const unsigned char *bytes, size_t len)
{
    struct tls_probe *probe = arg;
    size_t n = len < READ_BYTES ? len : READ_BYTES;
    struct sending *sending = malloc(sizeof(*sending) + n);
    if (sending == NULL)
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    memcpy(sending->bytes, bytes, n);
    sending->write.data = sending;
    uv_buf_t buffer = uv_buf_init((char *)sending->bytes, (unsigned)n);
    if (uv_write(&sending->write, (uv_stream_t *)&probe->tcp, &buffer, 1, on_sent) != 0) {
        free(sending);
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    return (int)n;
}

/* The DNS names among a certificate's alternative names (RFC 5280, 4.2.1.6). Those with a NUL or other odd
 * bytes are passed over. */
static void hand_out_names(struct tls_probe *probe, const mbedtls_x509_crt *certificate)
{
    char *names[TLS_PROBE_MAX_NAMES + 1] = {NULL};
    size_t n = 0;
    const mbedtls_x509_sequence *entry = certificate != NULL ? &certificate->subject_alt_names : NULL;
    for (; entry != NULL && n < TLS_PROBE_MAX_NAMES; entry = entry->next) {
        if (entry->buf.p == NULL ||
            entry->buf.tag != (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME) ||
            memchr(entry->buf.p, '\0', entry->buf.len) != NULL)
            continue;
        names[n] = strndup((const char *)entry->buf.p, entry->buf.len);
        if (names[n] == NULL)
            break;
        n++;
    }
    deliver(probe, (const char *const *)names, NULL);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
}

static void handshake_failed(struct tls_probe *probe, int result)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&probe->ssl);
    char text[256] = "";
    if (result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && flags != 0 && flags != UINT32_MAX) {
        (void)mbedtls_x509_crt_verify_info(text, sizeof(text), "", flags);
        for (char *at = text; *at != '\0'; at++)
            *at = *at == '\n' ? (at[1] == '\0' ? '\0' : ' ') : *at;
    } else if (probe->eof) {
        (void)snprintf(text, sizeof(text), "the connection was closed");
    } else {
        (void)snprintf(text, sizeof(text), "mbedTLS -0x%04x", (unsigned)-result);
    }
    fail(probe, "TLS handshake with", text);
}

static void step(struct tls_probe *probe)
{
    int result = mbedtls_ssl_handshake(&probe->ssl);
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return;
    if (result != 0) {
        handshake_failed(probe, result);
        return;
    }
    hand_out_names(probe, mbedtls_ssl_get_peer_cert(&probe->ssl));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct tls_probe *probe = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(probe->block, sizeof(probe->block));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct tls_probe *probe = stream->data;
    if (n == 0)
        return;
    /* The second: more than any handshake has. */
    if (n < 0 || buffer_append(&probe->input, buffer->base, (size_t)n, NULL) < 0)
        probe->eof = true;
    if (probe->eof)
        (void)uv_read_stop(stream);
    step(probe);
}

/* While there are other addresses, this one has its share of the time. */
static void start_timer(struct tls_probe *probe)
{
    uint64_t now = uv_now(probe->timer.loop);
    uint64_t left = probe->deadline_ms > now ? probe->deadline_ms - now : 0;
    uint64_t shares = 1;
    for (const struct addrinfo *address = probe->next; address != NULL; address = address->ai_next)
        shares++;
    (void)uv_timer_start(&probe->timer, on_timer, left / shares, 0);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct tls_probe *probe = request->data;
    if (uv_is_closing((uv_handle_t *)&probe->tcp))
        return; /* that is why */
    if (status < 0 && probe->next != NULL) {
        try_next_address(probe);
        return;
    }
    if (status < 0) {
        fail(probe, "connect to", uv_strerror(status));
        return;
    }
    probe->stage = "TLS handshake with";
    probe->next = NULL; /* who answers is the server */
    start_timer(probe);
    if (uv_read_start((uv_stream_t *)&probe->tcp, on_alloc, on_read) != 0) {
        fail(probe, "connect to", "the connection can not be read");
        return;
    }
    step(probe);
}

/* --- finding the server --- */

/* Takes the next address; the handle is new. */
static void connect_to_next(struct tls_probe *probe)
{
    const struct addrinfo *address = probe->next;
    probe->next = address->ai_next;
    probe->connect.data = probe;
    start_timer(probe);
    int started = uv_tcp_connect(&probe->connect, &probe->tcp, address->ai_addr, on_connected);
    if (started != 0 && probe->next != NULL)
        try_next_address(probe);
    else if (started != 0)
        fail(probe, "connect to", uv_strerror(started));
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct tls_probe *probe = handle->data;
    if (probe->ended) {
        release(probe);
        return;
    }
    (void)uv_tcp_init(probe->timer.loop, &probe->tcp); /* only sets fields */
    probe->tcp.data = probe;
    connect_to_next(probe);
}

/* A handle that has begun to connect can not begin anew. */
static void try_next_address(struct tls_probe *probe)
{
    (void)uv_timer_stop(&probe->timer);
    uv_close((uv_handle_t *)&probe->tcp, on_tcp_closed);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct tls_probe *probe = request->data;
    probe->addresses = addresses;
    if (!probe->ended && status < 0) {
        fail(probe, "DNS lookup for", uv_strerror(status));
    } else if (!probe->ended) {
        probe->stage = "connect to";
        probe->next = addresses;
        connect_to_next(probe);
    }
    release(probe);
}

static int start_lookup(struct tls_probe *probe, uv_loop_t *loop, struct error **err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    cleanup_free char *host = strdup(probe->address);
    char *port = host != NULL ? strrchr(host, ':') : NULL;
    if (port == NULL || port == host)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "'%s' is not host:port", probe->address);
    *port++ = '\0';
    char *name = host;
    size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name = host + 1;
    }
    int started = uv_getaddrinfo(loop, &probe->lookup, on_lookup, name, port, &hints);
    if (started != 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "DNS lookup for %s: %s", probe->address,
                         uv_strerror(started));
    return 0;
}

static int set_trust(struct tls_probe *probe, const struct tls_probe_request *request, struct error **err)
{
    int result = 0;
    if (request->ca_pem != NULL) {
        /* mbedTLS wants the NUL behind PEM counted. */
        cleanup_free char *pem = strndup(request->ca_pem, request->ca_pem_len);
        result = pem == NULL ? MBEDTLS_ERR_X509_ALLOC_FAILED
                             : mbedtls_x509_crt_parse(&probe->ca, (unsigned char *)pem, strlen(pem) + 1);
    } else {
        result = mbedtls_x509_crt_parse_file(&probe->ca, request->ca_file != NULL ? request->ca_file : "");
    }
    if (result < 0 || probe->ca.raw.len == 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "no CA certificate to verify %s with can be read", probe->server_name);
    return 0; /* some unreadable ones among many do no harm */
}

static int set_up(struct tls_probe *probe, const struct tls_probe_request *request, struct error **err)
{
    if (probe->address == NULL || probe->server_name == NULL || compat_tls_prepare() != 0)
        return error_no_memory(err, NULL);
    if (set_trust(probe, request, err) < 0)
        return -1;
    if (mbedtls_ssl_config_defaults(&probe->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return error_no_memory(err, NULL);
    compat_tls_1_2_and_newer(&probe->config);
    mbedtls_ssl_conf_authmode(&probe->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&probe->config, &probe->ca, NULL);
    mbedtls_ssl_conf_rng(&probe->config, kernel_random, NULL);
    if (mbedtls_ssl_setup(&probe->ssl, &probe->config) != 0 ||
        mbedtls_ssl_set_hostname(&probe->ssl, probe->server_name) != 0)
        return error_no_memory(err, NULL);
    mbedtls_ssl_set_bio(&probe->ssl, probe, on_send, on_receive, NULL);
    return 0;
}

struct tls_probe *tls_probe_start(uv_loop_t *loop, const struct tls_probe_request *request,
                                  tls_probe_callback *callback, void *arg, struct error **err)
{
    struct tls_probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    mbedtls_ssl_init(&probe->ssl);
    mbedtls_ssl_config_init(&probe->config);
    mbedtls_x509_crt_init(&probe->ca);
    buffer_init(&probe->input, INPUT_MAX);
    probe->address = strdup(request->address);
    probe->server_name = strdup(request->server_name);
    probe->timeout_ms = request->timeout_ms;
    probe->stage = "DNS lookup for";
    probe->callback = callback;
    probe->arg = arg;
    probe->open = 1; /* this function, later the lookup */
    if (set_up(probe, request, err) < 0) {
        release(probe);
        return NULL;
    }
    (void)uv_tcp_init(loop, &probe->tcp); /* both only set fields */
    (void)uv_timer_init(loop, &probe->timer);
    probe->open += 2;
    probe->tcp.data = probe;
    probe->timer.data = probe;
    probe->lookup.data = probe;
    if (start_lookup(probe, loop, err) < 0) {
        end(probe);
        release(probe);
        return NULL;
    }
    probe->deadline_ms = uv_now(loop) + probe->timeout_ms;
    start_timer(probe);
    return probe;
}

void tls_probe_cancel(struct tls_probe **probe)
{
    struct tls_probe *gone = *probe;
    *probe = NULL;
    if (gone != NULL)
        end(gone);
}
