/*
 * tls_probe.c - one TLS handshake on the loop.
 *
 *     LOOKUP ──▶ CONNECT ──▶ HANDSHAKE ──▶ callback
 *        │        │   ▲          │
 *        │        └───┘ the next address, after a failure or its share of the time
 *        └──────────┴────────────┴──▶ timer, failure: callback(error)
 *
 * The struct is freed when the lookup has returned and the connection is closed.
 */
#include "provider-azure/network/tls_probe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/process/loop_timer.h"
#include "provider-azure/crypto/tls_handshake.h"

enum { READ_BYTES = 16 * 1024 };

struct tls_probe {
    uv_getaddrinfo_t lookup;
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct loop_timer *timer;
    unsigned open; /* the connection and the lookup, while they are not over */
    bool ended;
    char *address;
    uint64_t timeout_ms;
    uint64_t deadline_ms;        /* loop time */
    struct addrinfo *addresses;  /* of the name */
    const struct addrinfo *next; /* the one to try after this */
    const char *stage;           /* literal, for the error when time is over */
    struct tls_handshake *handshake;
    char block[READ_BYTES];
    tls_probe_callback *callback;
    void *arg;
};

static void release(struct tls_probe *probe)
{
    if (--probe->open > 0)
        return;
    tls_handshake_destroy(probe->handshake);
    uv_freeaddrinfo(probe->addresses);
    free(probe->address);
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
    loop_timer_destroy(probe->timer);
    probe->timer = NULL;
}

/* Ends the probe with an outcome; takes over `error`. */
static void deliver(struct tls_probe *probe, const char *const *names, struct error *error)
{
    tls_probe_callback *callback = probe->callback;
    void *arg = probe->arg;
    end(probe);
    callback(names, error, arg);
    error_free(error);
}

static void fail(struct tls_probe *probe, const char *stage, const char *reason)
{
    struct error *error = NULL;
    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s %s: %s", stage, probe->address, reason);
    deliver(probe, NULL, error);
}

static void try_next_address(struct tls_probe *probe);

/* The time of the probe, or of one address, is over. */
static void on_timer(void *arg)
{
    struct tls_probe *probe = arg;
    struct error *error = NULL;

    if (probe->next != NULL && uv_now(probe->tcp.loop) < probe->deadline_ms) {
        try_next_address(probe);
        return;
    }
    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s %s: not finished within %" PRIu64 " ms",
                    probe->stage, probe->address, probe->timeout_ms);
    deliver(probe, NULL, error);
}

/* --- the handshake --- */

struct sending {
    uv_write_t write;
    unsigned char bytes[];
};

static void on_sent(uv_write_t *write, int status)
{
    (void)status; /* a failure shows when reading */
    free(write->data);
}

/* Sends the handshake's output. Returns 0 or libuv's error. */
static int send_output(struct tls_probe *probe)
{
    struct buffer *output = tls_handshake_output(probe->handshake);
    if (output->len == 0)
        return 0;
    struct sending *sending = malloc(sizeof(*sending) + output->len);
    if (sending == NULL)
        return UV_ENOMEM;
    memcpy(sending->bytes, output->data, output->len);
    sending->write.data = sending;
    uv_buf_t buffer = uv_buf_init((char *)sending->bytes, (unsigned)output->len);
    buffer_consume(output, output->len);
    int result = uv_write(&sending->write, (uv_stream_t *)&probe->tcp, &buffer, 1, on_sent);
    if (result != 0)
        free(sending);
    return result;
}

static void deliver_names(struct tls_probe *probe)
{
    char *names[TLS_PROBE_MAX_NAMES + 1] = {NULL};
    size_t n = tls_handshake_names(probe->handshake, names, TLS_PROBE_MAX_NAMES);

    deliver(probe, (const char *const *)names, NULL);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
}

static void step(struct tls_probe *probe)
{
    enum tls_handshake_state state = tls_handshake_step(probe->handshake);
    int sent = send_output(probe);
    char reason[256];

    if (state == TLS_HANDSHAKE_DONE) {
        deliver_names(probe);
    } else if (state == TLS_HANDSHAKE_FAILED) {
        tls_handshake_reason(probe->handshake, reason, sizeof(reason));
        fail(probe, "TLS handshake with", reason);
    } else if (sent != 0) {
        fail(probe, "TLS handshake with", uv_strerror(sent));
    }
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
    if (n < 0)
        tls_handshake_receive_end(probe->handshake);
    else
        tls_handshake_receive(probe->handshake, buffer->base, (size_t)n);
    if (tls_handshake_at_end(probe->handshake))
        (void)uv_read_stop(stream);
    step(probe);
}

/* While there are other addresses, this one has its share of the time. */
static void start_timer(struct tls_probe *probe)
{
    uint64_t now = uv_now(probe->tcp.loop);
    uint64_t left = probe->deadline_ms > now ? probe->deadline_ms - now : 0;
    uint64_t shares = 1;
    for (const struct addrinfo *address = probe->next; address != NULL; address = address->ai_next)
        shares++;
    loop_timer_start(probe->timer, left / shares);
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
    probe->next = NULL; /* this address is the server */
    start_timer(probe);
    if (uv_read_start((uv_stream_t *)&probe->tcp, on_alloc, on_read) != 0) {
        fail(probe, "connect to", "the connection cannot be read");
        return;
    }
    step(probe);
}

/* --- the connection --- */

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
    (void)uv_tcp_init(probe->tcp.loop, &probe->tcp); /* only sets fields */
    probe->tcp.data = probe;
    connect_to_next(probe);
}

/* A handle connects only once. */
static void try_next_address(struct tls_probe *probe)
{
    loop_timer_stop(probe->timer);
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

static int set_up(struct tls_probe *probe, uv_loop_t *loop, const struct tls_probe_request *request,
                  struct error **err)
{
    const struct tls_trust trust = {
        .ca_pem = request->ca_pem, .ca_pem_len = request->ca_pem_len, .ca_file = request->ca_file};

    probe->address = strdup(request->address);
    if (probe->address == NULL)
        return error_no_memory(err, NULL);
    probe->handshake = tls_handshake_create(request->server_name, &trust, err);
    if (probe->handshake == NULL)
        return -1;
    probe->timer = loop_timer_create(loop, on_timer, probe, err);
    return probe->timer == NULL ? -1 : 0;
}

struct tls_probe *tls_probe_start(uv_loop_t *loop, const struct tls_probe_request *request,
                                  tls_probe_callback *callback, void *arg, struct error **err)
{
    struct tls_probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    probe->timeout_ms = request->timeout_ms;
    probe->stage = "DNS lookup for";
    probe->callback = callback;
    probe->arg = arg;
    probe->open = 1; /* this function, later the lookup */
    if (set_up(probe, loop, request, err) < 0) {
        release(probe);
        return NULL;
    }
    (void)uv_tcp_init(loop, &probe->tcp); /* only sets fields */
    probe->open++;
    probe->tcp.data = probe;
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
