/*
 * der_write.h - writing DER (ITU-T X.690), on mbedTLS's ASN.1 writer.
 *
 * It goes from the end of a block towards its start: what stands last in the text is written first, and
 * der_wrap() puts a header in front of what was written since. A block that is too small makes all further
 * steps fail; der_written() says so once at the end.
 */
#ifndef COMMON_CRYPTO_DER_WRITE_H
#define COMMON_CRYPTO_DER_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto/der.h"

struct der_writer {
    uint8_t *start;
    uint8_t *at; /* the first byte that is written */
    size_t len;  /* written so far */
    int failed;  /* mbedTLS's first error, 0 = none */
};

/* A writer into `size` bytes, which are borrowed. */
struct der_writer der_writer_init(uint8_t *block, size_t size);

/* Bytes as they are: an element that is ready. */
void der_put(struct der_writer *writer, const void *bytes, size_t len);

/* A header in front of what was written since writer->len was `before`. */
void der_wrap(struct der_writer *writer, size_t before, int tag);

/* Whole elements. `oid`: the content of an OID, as DER_OID_IS() has it. */
void der_put_octets(struct der_writer *writer, const void *bytes, size_t len);
void der_put_uint(struct der_writer *writer, unsigned value);
void der_put_null(struct der_writer *writer);
void der_put_oid_bytes(struct der_writer *writer, const char *oid, size_t len);
#define der_put_oid(writer, literal) der_put_oid_bytes((writer), (literal), sizeof(literal) - 1)

/* What was written, in the block. -1 when it did not fit. */
int der_written(const struct der_writer *writer, struct der *ret);

#endif
