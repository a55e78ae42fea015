/*
 * framing.h - the five-byte prefix in front of a gRPC message, without I/O.
 *
 * "Length-Prefixed-Message" of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: one byte
 * compressed flag, four bytes big-endian length, the message. A unary stream carries exactly one; DATA frame
 * boundaries mean nothing.
 */
#ifndef COMMON_GRPC_FRAMING_H
#define COMMON_GRPC_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum { FRAMING_PREFIX_LEN = 5 };

/* Collects the one message of a stream. Memory grows with the bytes that arrive, not with the announced
 * length, and is wiped. */
struct framing_reader {
    uint8_t prefix[FRAMING_PREFIX_LEN];
    size_t prefix_len; /* bytes of the prefix seen */
    size_t length;     /* announced; valid once the prefix is complete */
    size_t max;
    uint8_t *data;
    size_t len;
    size_t cap;
};

/* An empty reader of messages of at most `max` bytes. Allocates nothing. */
void framing_reader_init(struct framing_reader *reader, size_t max);

/* Takes the next bytes of the stream. Errors: RESOURCE_EXHAUSTED "grpc: received message larger than max (N
 * vs. M)" as soon as the prefix is read, or for lack of memory; INTERNAL for a compressed message, an unknown
 * flag or a second message. After an error the reader must not be fed any more. */
int framing_reader_feed(struct framing_reader *reader, const uint8_t *bytes, size_t len, struct error **err);

/* Makes space for the whole message, whose prefix must have arrived. -1 with err set for lack of memory. */
int framing_reader_reserve(struct framing_reader *reader, struct error **err);

/* Called when the stream has ended: INTERNAL unless exactly one whole message has arrived. */
int framing_reader_end(const struct framing_reader *reader, struct error **err);

/* Wipes and frees; the reader is empty afterwards and keeps its limit. */
void framing_reader_finish(struct framing_reader *reader);

/* Writes the prefix of an uncompressed message of `len` bytes (at most UINT32_MAX). */
void framing_write_prefix(uint8_t prefix[FRAMING_PREFIX_LEN], size_t len);

#endif
