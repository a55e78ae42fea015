/*
 * crypto.h - the few primitives taken from mbedTLS; the only header of this room that stands for it.
 */
#ifndef PROVIDER_AZURE_CRYPTO_CRYPTO_H
#define PROVIDER_AZURE_CRYPTO_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { DIGEST_LEN = 32 };

/* SHA-256 over a list of fields, each preceded by its length, so that ("ab","c") and ("a","bc") differ. */
struct digest_field {
    const void *bytes;
    size_t len;
};
void digest_fields(const struct digest_field *fields, size_t n, uint8_t ret_digest[DIGEST_LEN]);

/* mbedTLS' kind of random number generator, on the kernel's. `arg` is not used. */
int crypto_random(void *arg, unsigned char *out, size_t len);

/* DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 3279, RFC 5480) appended to `out`. Numbers are big-endian.
 */
int spki_from_rsa(const void *modulus, size_t modulus_len, const void *exponent, size_t exponent_len,
                  struct buffer *out, struct error **err);

/* `curve` is JWK's name (P-256, P-384, P-521); others: FAILED_PRECONDITION "curve <crv> is not supported".
 * Coordinates may be shorter than the field (padded) but not longer; a point that is not on the curve is
 * FAILED_PRECONDITION. */
int spki_from_ec(const char *curve, const void *x, size_t x_len, const void *y, size_t y_len,
                 struct buffer *out, struct error **err);

#endif
