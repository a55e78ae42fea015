/*
 * spki.h - public keys as DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 3279, RFC 5480).
 */
#ifndef PROVIDER_AZURE_CRYPTO_SPKI_H
#define PROVIDER_AZURE_CRYPTO_SPKI_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

/* Appends an RSA key to `out`. Numbers are big-endian. FAILED_PRECONDITION for a number that is zero or too
 * long. */
int spki_from_rsa(const void *modulus, size_t modulus_len, const void *exponent, size_t exponent_len,
                  struct buffer *out, struct error **err);

/* Appends an EC key to `out`. `curve` is JWK's name (P-256, P-256K, P-384, P-521); others:
 * FAILED_PRECONDITION "curve <crv> is not supported". Coordinates may be shorter than the field (padded) but
 * not longer; a point that is not on the curve is FAILED_PRECONDITION. */
int spki_from_ec(const char *curve, const void *x, size_t x_len, const void *y, size_t y_len,
                 struct buffer *out, struct error **err);

#endif
