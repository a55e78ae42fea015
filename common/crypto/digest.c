/*
 * digest.c - message digests on mbedTLS; the only file that knows how its SHA-256 is called in 2.28 and
 * in 3.x.
 */
#include "common/crypto/digest.h"

#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include "common/base/secret.h"

int digest_sha256(const void *bytes, size_t len, uint8_t ret_digest[DIGEST_SHA256_LEN])
{
    const unsigned char *input = bytes != NULL ? bytes : (const unsigned char *)"";
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int result = mbedtls_sha256(input, len, ret_digest, /* is224= */ 0);
#else
    int result = mbedtls_sha256_ret(input, len, ret_digest, /* is224= */ 0);
#endif

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
