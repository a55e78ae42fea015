/*
 * header_check.h - checks that a block of HTTP/2 header fields is well-formed (RFC 9113, sections 8.2 and
 * 8.3). Without I/O.
 *
 * nghttp2's own check cannot be used: it also rejects `:authority` values that gRPC clients on Unix sockets
 * really send (a path, an empty one, none). This one accepts any authority and keeps the rest.
 */
#ifndef COMMON_GRPC_HEADER_CHECK_H
#define COMMON_GRPC_HEADER_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest sum of name + value + 32 of a block (RFC 9113, section 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE); also
 * announced to the peer. Requests have some hundred bytes, and gRPC stacks commonly accept 16 KiB. Responses
 * may carry long error messages, and grpc-go accepts 16 MiB: a server of it that cannot send a message within
 * the announced limit resets the stream, and its status is lost with the text. Fields are read one by one and
 * not kept, so that the limit costs no memory. One field is limited by nghttp2: see HEADER_FIELD_MAX. */
enum { HEADER_LIST_MAX_REQUEST = 16 * 1024, HEADER_LIST_MAX_RESPONSE = 16 * 1024 * 1024 };

/* Longest name or value, as it is encoded (NGHTTP2_HD_MAX_NV in nghttp2's lib/nghttp2_hd.h; no option
 * changes it; the static build compiles nghttp2 with HEADER_LIST_MAX_RESPONSE, mk/flags.mk). With a longer
 * one nghttp2 ends the connection with COMPRESSION_ERROR, after the fields in front of it. */
#ifndef HTTP2_FIELD_KIB
#define HTTP2_FIELD_KIB 64
#endif
enum { HEADER_FIELD_MAX = HTTP2_FIELD_KIB * 1024 };

enum header_block { HEADER_BLOCK_REQUEST, HEADER_BLOCK_RESPONSE, HEADER_BLOCK_TRAILERS };

struct header_check {
    enum header_block kind;
    size_t size;
    size_t max;
    uint32_t pseudo_seen; /* a bit per known pseudo header */
    bool regular_seen;
    bool malformed;
    bool has_content_length;
    uint64_t content_length;
};

/* `max` is one of HEADER_LIST_MAX_*. */
void header_check_init(struct header_check *check, enum header_block kind, size_t max);

/* Checks the next field. Returns false when it is to be ignored: the block is malformed or too large
 * already. */
bool header_check_field(struct header_check *check, const char *name, size_t name_len, const char *value,
                        size_t value_len);

/* After the last field: true when the required pseudo headers are there (:method and :path, or :status) and
 * every field was well-formed. */
bool header_check_complete(const struct header_check *check);

/* True once the block is larger than `max`. */
bool header_check_too_large(const struct header_check *check);

#endif
