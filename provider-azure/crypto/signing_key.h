/*
 * signing_key.h - an RSA private key that signs JSON web tokens (RFC 7518, 3.3 and 3.5), on mbedTLS.
 */
#ifndef PROVIDER_AZURE_CRYPTO_SIGNING_KEY_H
#define PROVIDER_AZURE_CRYPTO_SIGNING_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* Entra takes 2048 bits and more. A signature with 4096 costs the loop some ten milliseconds, once per token
 * request; twice that size costs eight times as much. */
enum { SIGNING_KEY_MIN_BITS = 2048, SIGNING_KEY_MAX_BITS = 4096, SIGNATURE_MAX = SIGNING_KEY_MAX_BITS / 8 };

enum signature_scheme {
    SIGNATURE_PS256, /* RSASSA-PSS, SHA-256, salt of 32 bytes */
    SIGNATURE_RS256, /* RSASSA-PKCS1-v1_5, SHA-256 */
};

struct signing_key;

/* Reads a PrivateKeyInfo (PKCS#8) or RSAPrivateKey (PKCS#1) in DER. NULL with err set: FAILED_PRECONDITION
 * for anything but an RSA key of an accepted size. */
struct signing_key *signing_key_read(const uint8_t *der, size_t len, struct error **err);

/* Wipes and frees the key. Accepts NULL. */
void signing_key_destroy(struct signing_key *key);

/* Whether the X.509 certificate (DER) is for this key. False also for bytes that are no certificate. */
bool signing_key_matches(const struct signing_key *key, const uint8_t *certificate, size_t len);

/* Signs `len` bytes of text. FAILED_PRECONDITION when mbedTLS cannot sign with the key. */
int signing_key_sign(struct signing_key *key, enum signature_scheme scheme, const void *text, size_t len,
                     uint8_t ret_signature[SIGNATURE_MAX], size_t *ret_len, struct error **err);

enum { THUMBPRINT_SHA1_LEN = 20 };

/* SHA-1 of a certificate, for "x5t" (RFC 7515, 4.1.7). Returns 0, or mbedTLS's error. */
int thumbprint_sha1(const void *bytes, size_t len, uint8_t ret[THUMBPRINT_SHA1_LEN]);

#endif
