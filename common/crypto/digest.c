/*
 * digest.c - message digests on mbedTLS; the only file that knows how its SHA-256 is called in 2.28 and
 * in 3.x.
 */
#include "common/crypto/digest.h"

#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <stdlib.h>

#include "common/base/secret.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256        mbedtls_sha256_ret
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

int digest_sha256(const void *bytes, size_t len, uint8_t ret_digest[DIGEST_SHA256_LEN])
{
    const unsigned char *input = bytes != NULL ? bytes : (const unsigned char *)"";
    int result = mbedtls_sha256(input, len, ret_digest, /* is224= */ 0);

    if (result == 0)
        return 0;
    secret_wipe(ret_digest, DIGEST_SHA256_LEN);
    return -1;
}

int digest_sha256_hex(const void *bytes, size_t len, char ret_hex[DIGEST_SHA256_HEX_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[DIGEST_SHA256_LEN];
    int result = digest_sha256(bytes, len, digest);

    for (size_t i = 0; i < DIGEST_SHA256_LEN; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 0x0f];
    }
    ret_hex[DIGEST_SHA256_HEX_LEN] = '\0';
    return result;
}

/* mbedTLS's software SHA-256 reports failure only for hardware engines; a key that could not be computed must
 * not equal another, so the process ends instead. */
static void must(int result)
{
    if (result != 0)
        abort();
}

void digest_fields(const struct digest_field *fields, size_t n, uint8_t ret_digest[DIGEST_SHA256_LEN])
{
    mbedtls_sha256_context context;

    mbedtls_sha256_init(&context);
    must(mbedtls_sha256_starts(&context, /* is224= */ 0));
    for (size_t i = 0; i < n; i++) {
        uint8_t prefix[8];
        for (size_t k = 0; k < sizeof(prefix); k++)
            prefix[k] = (uint8_t)((uint64_t)fields[i].len >> (8 * k));
        must(mbedtls_sha256_update(&context, prefix, sizeof(prefix)));
        if (fields[i].len > 0)
            must(mbedtls_sha256_update(&context, fields[i].bytes, fields[i].len));
    }
    must(mbedtls_sha256_finish(&context, ret_digest));
    mbedtls_sha256_free(&context);
}
