/*
 * pkcs12_kdf.h - passwords and key derivation of PKCS#12 (RFC 7292, appendix B).
 *
 * mbedTLS has this derivation, but only for passwords of at most 31 characters; generated ones (a GUID, 40
 * random characters) are longer. Hence these few lines on its hashes.
 */
#ifndef COMMON_CRYPTO_PKCS12_KDF_H
#define COMMON_CRYPTO_PKCS12_KDF_H

#include <mbedtls/md.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    PKCS12_PASSWORD_MAX = 512, /* bytes of UTF-8; generated passwords have a tenth of that */
    PKCS12_SALT_MAX = 64,      /* 8 to 20 bytes are common */
    PKCS12_DERIVED_MAX = 64,   /* bytes of one derivation: the largest hash */
};

/* UTF-8 as BMPString with the terminator (big-endian UTF-16; appendix B.1). Characters beyond the basic plane
 * become surrogate pairs, as common tools write them. NULL with err set (FAILED_PRECONDITION) when the
 * password is too long, has a NUL or is no UTF-8. */
struct secret *pkcs12_bmp_password(const char *password, size_t len, struct error **err);

/* Appendix B.2: derives `out_len` bytes (at most PKCS12_DERIVED_MAX) for a purpose (1 = key, 2 = IV, 3 = MAC
 * key) from `password` (BMPString with terminator, or no bytes at all) and salt. -1 when a length is out of
 * bounds, the hash is not available, or `stop` (may be NULL) was set. */
int pkcs12_derive(mbedtls_md_type_t hash, const uint8_t *password, size_t password_len, const uint8_t *salt,
                  size_t salt_len, unsigned iterations, uint8_t purpose, const atomic_bool *stop,
                  uint8_t *out, size_t out_len);

/* PBKDF2 (RFC 8018, section 5.2) with HMAC over a hash. It does half of the work of mbedTLS's own function,
 * which prepares the key in every round again: with 600,000 rounds that counts. -1 when the hash is not
 * available, or `stop` (may be NULL) was set. */
int pkcs12_pbkdf2(mbedtls_md_type_t hash, const void *password, size_t password_len, const uint8_t *salt,
                  size_t salt_len, unsigned iterations, const atomic_bool *stop, uint8_t *out,
                  size_t out_len);

#endif
