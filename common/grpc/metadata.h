/*
 * metadata.h - values of gRPC's own header fields, without I/O.
 *
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Header values are spans, not C
 * strings.
 */
#ifndef COMMON_GRPC_METADATA_H
#define COMMON_GRPC_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/status.h"

/* True when a span is exactly this text. Inline: each header field is compared with a dozen names, whose
 * lengths the compiler knows. */
static inline bool metadata_equal(const char *span, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(span, text, len) == 0;
}

/* "grpc-timeout": 1 to 8 digits and one of H M S m u n. Gives nanoseconds, cut at UINT64_MAX. Returns -1 for
 * anything else. */
int metadata_parse_timeout(const char *value, size_t len, uint64_t *ret_ns);

/* Writes a grpc-timeout of at least `timeout_ms` in the finest unit that fits 8 digits, rounded up. */
enum { METADATA_TIMEOUT_MAX = 16 };
void metadata_format_timeout(uint64_t timeout_ms, char out[METADATA_TIMEOUT_MAX]);

/* "application/grpc", alone or followed by '+' or ';'. Letters of the media type are compared without
 * case. */
bool metadata_content_type_is_grpc(const char *value, size_t len);

/* "grpc-status": decimal digits. Returns -1 when it is none; numbers beyond the known codes give UNKNOWN. */
int metadata_parse_status(const char *value, size_t len, enum grpc_status *ret_status);

/* What a server says about another try of a failed call. */
enum grpc_pushback_kind {
    GRPC_PUSHBACK_NONE,     /* nothing: the client's own rules apply */
    GRPC_PUSHBACK_AFTER,    /* not before `pause_ms` */
    GRPC_PUSHBACK_NO_RETRY, /* none at all */
};

struct grpc_pushback {
    enum grpc_pushback_kind kind;
    uint32_t pause_ms;
};

/* "grpc-retry-pushback-ms" (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): a signed
 * 32-bit integer without needless zeros in front. A negative number means no retry, and so does anything
 * else. */
struct grpc_pushback metadata_parse_pushback(const char *value, size_t len);

/* Percent-encodes `message` for "grpc-message": every byte outside 0x20..0x7e and '%'. Bytes that are not
 * UTF-8 become '?' first. The text is cut (at a character) so that the encoded form has at most
 * METADATA_MESSAGE_MAX bytes, because the whole trailer block must stay below the 8 KiB that some clients
 * allow. The caller frees. NULL on lack of memory. */
enum { METADATA_MESSAGE_MAX = 7000 };
char *metadata_encode_message(const char *message);

/* The reverse, lenient: a '%' without two hex digits stays. The result is valid UTF-8 without NUL ('?' in
 * their place), at most `len` bytes long. The caller frees. NULL on lack of memory. */
char *metadata_decode_message(const char *value, size_t len);

/* The gRPC status for an HTTP status, when the response is not gRPC. */
enum grpc_status metadata_status_from_http(unsigned http_status);

/* The gRPC status for an HTTP/2 error code of RST_STREAM. */
enum grpc_status metadata_status_from_http2(uint32_t error_code);

#endif
