/*
 * der.h - stepping through DER (ITU-T X.690) with a cursor, on mbedTLS's ASN.1 reader.
 *
 * A cursor is a span of bytes that shrinks from the front. Every function checks lengths and fails without
 * moving past the end.
 */
#ifndef COMMON_CRYPTO_DER_H
#define COMMON_CRYPTO_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct der {
    const uint8_t *at;
    const uint8_t *end;
};

/* Tags used by callers (X.690, 8.1.2). */
enum {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_BMP_STRING = 0x1e,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0x80,             /* [0], primitive */
    DER_CONTEXT_0_CONSTRUCTED = 0xa0, /* [0], constructed */
};

/* `bytes` may be NULL without any. */
static inline struct der der_span(const uint8_t *bytes, size_t len)
{
    return (struct der){.at = bytes, .end = len > 0 ? bytes + len : bytes};
}

static inline size_t der_len(struct der der)
{
    return (size_t)(der.end - der.at);
}

/* True when the next element has this tag. */
bool der_is(struct der der, int tag);

/* Takes the next element, which must have this tag; *ret_content is its content. -1 when it is not there or
 * damaged (the cursor stays). */
int der_take(struct der *der, int tag, struct der *ret_content);

/* Takes the next element of any tag; *ret_whole spans its header and content. */
int der_take_any(struct der *der, struct der *ret_whole);

/* Takes a non-negative INTEGER of at most `max`. */
int der_take_uint(struct der *der, unsigned max, unsigned *ret);

/* Takes a non-negative INTEGER of any size; UINT64_MAX for one that does not fit. */
int der_take_uint64(struct der *der, uint64_t *ret);

/* True when an OID's content equals the bytes of `oid` (a string literal of DER content). */
bool der_oid_equal(struct der oid, const char *bytes, size_t len);
#define DER_OID_IS(oid, literal) der_oid_equal((oid), (literal), sizeof(literal) - 1)

/* Writes an OID's content in dotted form, cut to `cap`. "?" when it is damaged. */
void der_oid_text(struct der oid, char *text, size_t cap);

#endif
