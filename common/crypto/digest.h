/*
 * digest.h - message digests.
 */
#ifndef COMMON_CRYPTO_DIGEST_H
#define COMMON_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SHA256_LEN = 32, DIGEST_SHA256_HEX_LEN = 2 * DIGEST_SHA256_LEN };

/* SHA-256 (FIPS 180-4) of `len` bytes. `bytes` may be NULL when `len` is 0. Returns -1 only when the crypto
 * library fails; `ret_digest` is all zeros then. */
int digest_sha256(const void *bytes, size_t len, uint8_t ret_digest[DIGEST_SHA256_LEN]);

/* The same in lower-case hexadecimal with a NUL behind it. */
int digest_sha256_hex(const void *bytes, size_t len, char ret_hex[DIGEST_SHA256_HEX_LEN + 1]);

struct digest_field {
    const void *bytes; /* may be NULL when `len` is 0 */
    size_t len;
};

/* SHA-256 over a list of fields, each preceded by its length, so that ("ab","c") and ("a","bc") differ. For
 * keys of tables: it cannot fail, the process ends if the crypto library does. */
void digest_fields(const struct digest_field *fields, size_t n, uint8_t ret_digest[DIGEST_SHA256_LEN]);

#endif
