/*
 * grpc_wire.h - the other end of an HTTP/2 connection, made by hand: frames are written byte by byte and what
 * comes back is kept as a transcript, one line per frame:
 *
 *     SETTINGS
 *     HEADERS 1 END :status=200 content-type=application/grpc grpc-status=12
 *     RST_STREAM 1 code=0
 *
 * Independent of the code under test but for HPACK decoding, which is nghttp2's in both.
 */
#ifndef TEST_UNIT_GRPC_WIRE_H
#define TEST_UNIT_GRPC_WIRE_H

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/cleanup.h"

enum {
    WIRE_DATA = 0,
    WIRE_HEADERS = 1,
    WIRE_RST = 3,
    WIRE_SETTINGS = 4,
    WIRE_PING = 6,
    WIRE_GOAWAY = 7,
    WIRE_WINDOW = 8
};
enum { WIRE_END_STREAM = 1, WIRE_ACK = 1, WIRE_END_HEADERS = 4 };
enum { WIRE_PATIENCE_MS = 60000 };

struct wire {
    uv_loop_t *loop;
    int fd;
    nghttp2_hd_inflater *inflater;
    uint8_t in[1 << 20];
    size_t in_len;
    char log[1 << 17];
    size_t log_len;
    bool eof;
};

static inline struct wire *wire_from_fd(uv_loop_t *loop, int fd)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    if (wire == NULL || fd == -1 || nghttp2_hd_inflate_new(&wire->inflater) != 0)
        abort();
    wire->loop = loop;
    wire->fd = fd;
    return wire;
}

static inline int wire_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        abort();
    return fd;
}

static inline void wire_close(struct wire *wire)
{
    nghttp2_hd_inflate_del(wire->inflater);
    if (wire->fd >= 0)
        (void)close(wire->fd);
    free(wire);
}

__attribute__((format(printf, 2, 3))) static inline void wire_note(struct wire *wire, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (wire->log_len < sizeof(wire->log) - 1)
        wire->log_len +=
            (size_t)vsnprintf(wire->log + wire->log_len, sizeof(wire->log) - wire->log_len, format, args);
    if (wire->log_len > sizeof(wire->log) - 1)
        wire->log_len = sizeof(wire->log) - 1;
    va_end(args);
}

static inline void wire_note_headers(struct wire *wire, const uint8_t *bytes, size_t len)
{
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(wire->inflater, &field, &flags, bytes, len, 1);

        if (used < 0)
            abort();
        bytes += used;
        len -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            wire_note(wire, " %s=%s", (const char *)field.name, (const char *)field.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    (void)nghttp2_hd_inflate_end_headers(wire->inflater);
}

static inline unsigned wire_u32(const uint8_t *at)
{
    return (unsigned)at[0] << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
}

static inline void wire_note_frame(struct wire *wire, const uint8_t *frame, size_t len)
{
    static const char *const names[] = {"DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                        "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                        "WINDOW_UPDATE", "CONTINUATION"};
    unsigned type = frame[3], flags = frame[4], id = wire_u32(frame + 5);
    const uint8_t *payload = frame + 9;

    wire_note(wire, "%s", type < 10 ? names[type] : "?");
    if (id != 0)
        wire_note(wire, " %u", id);
    if (type == WIRE_DATA)
        wire_note(wire, " len=%zu", len);
    if (type <= WIRE_HEADERS && (flags & WIRE_END_STREAM))
        wire_note(wire, " END");
    if ((type == WIRE_SETTINGS || type == WIRE_PING) && (flags & WIRE_ACK))
        wire_note(wire, " ACK");
    if (type == WIRE_HEADERS)
        wire_note_headers(wire, payload, len);
    if (type == WIRE_RST)
        wire_note(wire, " code=%u", wire_u32(payload));
    if (type == WIRE_GOAWAY)
        wire_note(wire, " last=%u code=%u", wire_u32(payload), wire_u32(payload + 4));
    wire_note(wire, "\n");
}

/* Reads what is there and adds it to the transcript. */
static inline void wire_read(struct wire *wire)
{
    ssize_t n = recv(wire->fd, wire->in + wire->in_len, sizeof(wire->in) - wire->in_len, MSG_DONTWAIT);
    size_t at = 0;

    if (n == 0 || (n == -1 && errno != EAGAIN)) {
        if (!wire->eof)
            wire_note(wire, "CLOSED\n");
        wire->eof = true;
    }
    if (n > 0)
        wire->in_len += (size_t)n;
    if (wire->in_len >= 24 && memcmp(wire->in, "PRI * ", 6) == 0)
        at = 24; /* from a client */
    while (wire->in_len - at >= 9) {
        size_t len = (size_t)wire->in[at] << 16 | (size_t)wire->in[at + 1] << 8 | wire->in[at + 2];

        if (wire->in_len - at < 9 + len)
            break;
        wire_note_frame(wire, wire->in + at, len);
        at += 9 + len;
    }
    memmove(wire->in, wire->in + at, wire->in_len - at);
    wire->in_len -= at;
}

/* Runs the loop until `text` stands in the transcript. False when it does not come. */
static inline bool wire_wait(struct wire *wire, const char *text)
{
    uint64_t end = uv_hrtime() / 1000000 + WIRE_PATIENCE_MS;

    while (strstr(wire->log, text) == NULL) {
        if (uv_hrtime() / 1000000 > end) {
            (void)fprintf(stderr, "waited in vain for '%s' in:\n%s", text, wire->log);
            return false;
        }
        (void)uv_run(wire->loop, UV_RUN_NOWAIT);
        wire_read(wire);
    }
    return true;
}

/* Writes everything, running the loop while the socket is full. A closed peer is no error. */
static inline void wire_send(struct wire *wire, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        ssize_t n = send(wire->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n == -1 && errno != EAGAIN)
            return;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
        (void)uv_run(wire->loop, UV_RUN_NOWAIT);
    }
}

static inline void wire_frame(struct wire *wire, unsigned type, unsigned flags, unsigned id,
                              const void *payload, size_t len)
{
    uint8_t *frame = malloc(9 + len);

    if (frame == NULL)
        abort();
    frame[0] = (uint8_t)(len >> 16);
    frame[1] = (uint8_t)(len >> 8);
    frame[2] = (uint8_t)len;
    frame[3] = (uint8_t)type;
    frame[4] = (uint8_t)flags;
    for (unsigned i = 0; i < 4; i++)
        frame[5 + i] = (uint8_t)(id >> (24 - 8 * i));
    if (len > 0)
        memcpy(frame + 9, payload, len);
    wire_send(wire, frame, 9 + len);
    free(frame);
}

/* Fields as name, value, ..., NULL, in literals without indexing (RFC 7541, section 6.2.2). */
static inline void wire_headers(struct wire *wire, unsigned id, unsigned flags, const char *const *fields)
{
    uint8_t block[8192];
    size_t len = 0;

    for (; *fields != NULL; fields += 2) {
        block[len++] = 0;
        for (size_t part = 0; part < 2; part++) {
            size_t n = strlen(fields[part]);

            block[len++] = (uint8_t)n; /* below 127 */
            memcpy(block + len, fields[part], n);
            len += n;
        }
    }
    wire_frame(wire, WIRE_HEADERS, flags | WIRE_END_HEADERS, id, block, len);
}

/* The preface and empty SETTINGS of a client. */
static inline void wire_hello(struct wire *wire)
{
    wire_send(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    wire_frame(wire, WIRE_SETTINGS, 0, 0, NULL, 0);
}

#endif
