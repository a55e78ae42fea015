/*
 * rc2.h - RC2 decryption (RFC 2268), only for reading PKCS#12.
 *
 * Key Vault and common tools still protect the certificates of a PFX with 40-bit RC2, under an empty
 * password: it is a matter of format, not of secrecy. mbedTLS has no RC2, and OpenSSL only with its legacy
 * provider; hence these few lines.
 */
#ifndef COMMON_CRYPTO_RC2_H
#define COMMON_CRYPTO_RC2_H

#include <stddef.h>
#include <stdint.h>

enum { RC2_BLOCK = 8, RC2_KEY_MAX = 128 };

struct rc2_key {
    uint16_t words[64];
};

/* Expands `len` (1 to RC2_KEY_MAX) bytes of key to an effective key length of `effective_bits` (1 to 1024).
 * RFC 2268, section 2. */
void rc2_expand(struct rc2_key *key, const uint8_t *bytes, size_t len, unsigned effective_bits);

/* Decrypts `len` bytes (a multiple of RC2_BLOCK) in CBC mode. RFC 2268, section 4. `out` has `len` bytes and
 * does not overlap `in`. */
void rc2_decrypt_cbc(const struct rc2_key *key, const uint8_t iv[RC2_BLOCK], const uint8_t *in, size_t len,
                     uint8_t *out);

#endif
