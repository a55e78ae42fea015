/*
 * tls_probe.c - one TLS handshake on the loop.
 *
 *     LOOKUP ──▶ CONNECT ──▶ HANDSHAKE ──▶ callback
 *        │        │   ▲          │
 *        │        └───┘ the next address, after a failure or its share of the time
 *        └──────────┴────────────┴──▶ timer, failure: callback(error)
 *
 * The struct is freed when the connection is closed.
 */
#include "provider-azure/network/tls_probe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/dns_lookup.h"
#include "common/process/loop_timer.h"
#include "provider-azure/crypto/tls_handshake.h"

enum { READ_BYTES = 16 * 1024, MAX_ADDRESSES = 2 * DNS_MAX_ADDRESSES };

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct tls_probe {
    struct dns_lookup *lookup; /* LOOKUP */
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct loop_timer *timer;
    bool ended;
    char *address;
    int port;
    uint64_t timeout_ms;
    uint64_t deadline_ms;            /* loop time */
    union peer peers[MAX_ADDRESSES]; /* the addresses that are left, the next one first */
    size_t n_peers;
    size_t next_peer;
    const char *stage; /* literal, for the error when time is over */
    struct tls_handshake *handshake;
    char block[READ_BYTES];
    tls_probe_callback *callback;
    void *arg;
};

static void probe_free(struct tls_probe *probe)
{
    loop_timer_destroy(probe->timer);
    tls_handshake_destroy(probe->handshake);
    free(probe->address);
    free(probe);
}

static void on_closed(uv_handle_t *handle)
{
    probe_free(handle->data);
}

static void end(struct tls_probe *probe)
{
    assert(!probe->ended);
    probe->ended = true;
    dns_lookup_cancel(&probe->lookup);
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

/* Whether there are addresses that were not tried. */
static bool has_more(const struct tls_probe *probe)
{
    return probe->next_peer < probe->n_peers;
}

/* The time of the probe, or of one address, is over. */
static void on_timer(void *arg)
{
    struct tls_probe *probe = arg;
    struct error *error = NULL;

    if (has_more(probe) && uv_now(probe->tcp.loop) < probe->deadline_ms) {
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
    loop_timer_start(probe->timer, left / (1 + probe->n_peers - probe->next_peer));
}

static void on_connected(uv_connect_t *request, int status)
{
    struct tls_probe *probe = request->data;
    if (uv_is_closing((uv_handle_t *)&probe->tcp))
        return; /* that is why */
    if (status < 0 && has_more(probe)) {
        try_next_address(probe);
        return;
    }
    if (status < 0) {
        fail(probe, "connect to", uv_strerror(status));
        return;
    }
    probe->stage = "TLS handshake with";
    probe->n_peers = probe->next_peer = 0; /* this address is the server */
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
    const union peer *peer = &probe->peers[probe->next_peer++];
    probe->connect.data = probe;
    start_timer(probe);
    int started = uv_tcp_connect(&probe->connect, &probe->tcp, &peer->any, on_connected);
    if (started != 0 && has_more(probe))
        try_next_address(probe);
    else if (started != 0)
        fail(probe, "connect to", uv_strerror(started));
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct tls_probe *probe = handle->data;
    if (probe->ended) {
        probe_free(probe);
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

/* Takes addresses as dns_lookup.h spells them. */
static void read_addresses(struct tls_probe *probe, const char *text)
{
    char address[DNS_MAX_ADDRESS_TEXT];
    for (const char *at = text; *at != '\0' && probe->n_peers < MAX_ADDRESSES;) {
        bool v6 = *at == '[';
        at += v6;
        size_t len = strcspn(at, v6 ? "]" : ",");
        (void)snprintf(address, sizeof(address), "%.*s", (int)len, at);
        at += len;
        at += strspn(at, "],");
        union peer *peer = &probe->peers[probe->n_peers];
        if ((v6 ? uv_ip6_addr(address, probe->port, &peer->v6)
                : uv_ip4_addr(address, probe->port, &peer->v4)) == 0)
            probe->n_peers++;
    }
}

static void on_lookup_end(const struct dns_result *result, void *arg)
{
    struct tls_probe *probe = arg;
    probe->lookup = NULL;
    if (result->outcome == DNS_FOUND)
        read_addresses(probe, result->addresses);
    if (!has_more(probe)) {
        fail(probe, "DNS lookup for", result->reason != NULL ? result->reason : "no usable address");
        return;
    }
    probe->stage = "connect to";
    connect_to_next(probe);
}

/* Takes "host:port" apart, the host without the brackets of an IPv6 address. */
static int split_address(char *address, char **ret_host, int *ret_port)
{
    char *port = strrchr(address, ':');
    if (port == NULL || port == address)
        return -1;
    *port++ = '\0';
    size_t digits = strspn(port, "0123456789");
    long number = digits > 0 && digits < 6 && port[digits] == '\0' ? strtol(port, NULL, 10) : 0;
    if (number < 1 || number > UINT16_MAX)
        return -1;
    size_t len = strlen(address);
    bool v6 = address[0] == '[' && address[len - 1] == ']';
    if (v6)
        address[len - 1] = '\0';
    *ret_host = address + v6;
    *ret_port = (int)number;
    return 0;
}

static int start_lookup(struct tls_probe *probe, uv_loop_t *loop, struct error **err)
{
    cleanup_free char *copy = strdup(probe->address);
    char *host = NULL;
    if (copy == NULL)
        return error_no_memory(err, NULL);
    if (split_address(copy, &host, &probe->port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "'%s' is not host:port", probe->address);
    probe->lookup = dns_lookup_start(loop, host, on_lookup_end, probe, err);
    return probe->lookup == NULL ? -1 : 0;
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
    if (set_up(probe, loop, request, err) < 0 || start_lookup(probe, loop, err) < 0) {
        probe_free(probe);
        return NULL;
    }
    (void)uv_tcp_init(loop, &probe->tcp); /* only sets fields */
    probe->tcp.data = probe;
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
