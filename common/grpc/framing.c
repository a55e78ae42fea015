/*
 * framing.c - the five-byte prefix in front of a gRPC message.
 */
#include "common/grpc/framing.h"

#include <assert.h>
#include <string.h>

#include "common/base/secret.h"

/* First allocation for a message; most requests fit. Doubled after that, so that a peer pays in bytes for
 * memory. */
enum { FIRST_CAPACITY = 4096 };

void framing_reader_init(struct framing_reader *reader, size_t max)
{
    *reader = (struct framing_reader){.max = max};
}

static int read_prefix(struct framing_reader *reader, struct error **err)
{
    const uint8_t *prefix = reader->prefix;

    if (prefix[0] == 1)
        return error_set(err, GRPC_STATUS_INTERNAL,
                         "grpc: compressed flag set with identity or empty encoding");
    if (prefix[0] != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: received unexpected payload format %u",
                         (unsigned)prefix[0]);
    reader->length = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
    if (reader->length > reader->max)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "grpc: received message larger than max (%zu vs. %zu)", reader->length, reader->max);
    return 0;
}

static int resize(struct framing_reader *reader, size_t cap, struct error **err)
{
    uint8_t *data;

    if (cap <= reader->cap)
        return 0;
    data = secret_malloc(cap);
    if (data == NULL)
        return error_no_memory(err, "a message");
    if (reader->len > 0)
        memcpy(data, reader->data, reader->len);
    secret_free(reader->data);
    reader->data = data;
    reader->cap = cap;
    return 0;
}

static int grow(struct framing_reader *reader, size_t needed, struct error **err)
{
    size_t cap = reader->cap == 0 ? FIRST_CAPACITY : reader->cap;

    if (needed <= reader->cap)
        return 0;
    while (cap < needed)
        cap *= 2; /* bounded by 2 * max, and max fits 32 bits */
    return resize(reader, cap < reader->length ? cap : reader->length, err);
}

int framing_reader_feed(struct framing_reader *reader, const uint8_t *bytes, size_t len, struct error **err)
{
    while (reader->prefix_len < FRAMING_PREFIX_LEN && len > 0) {
        reader->prefix[reader->prefix_len++] = *bytes++;
        len--;
        if (reader->prefix_len == FRAMING_PREFIX_LEN && read_prefix(reader, err) < 0)
            return -1;
    }
    if (len == 0)
        return 0;
    if (len > reader->length - reader->len)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: more than one message on a unary stream");
    if (grow(reader, reader->len + len, err) < 0)
        return -1;
    memcpy(reader->data + reader->len, bytes, len);
    reader->len += len;
    return 0;
}

int framing_reader_reserve(struct framing_reader *reader, struct error **err)
{
    return resize(reader, reader->length, err);
}

int framing_reader_end(const struct framing_reader *reader, struct error **err)
{
    if (reader->prefix_len == 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: no message on a unary stream");
    if (reader->prefix_len < FRAMING_PREFIX_LEN || reader->len < reader->length)
        return error_set(err, GRPC_STATUS_INTERNAL, "grpc: stream ended inside a message");
    return 0;
}

void framing_reader_finish(struct framing_reader *reader)
{
    secret_free(reader->data);
    framing_reader_init(reader, reader->max);
}

void framing_write_prefix(uint8_t prefix[FRAMING_PREFIX_LEN], size_t len)
{
    assert(len <= UINT32_MAX);
    prefix[0] = 0;
    prefix[1] = (uint8_t)(len >> 24);
    prefix[2] = (uint8_t)(len >> 16);
    prefix[3] = (uint8_t)(len >> 8);
    prefix[4] = (uint8_t)len;
}
