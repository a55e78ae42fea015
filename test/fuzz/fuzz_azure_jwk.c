/*
 * fuzz_azure_jwk.c - numbers of a JSON web key to SubjectPublicKeyInfo; what comes out must be a key for
 * mbedTLS, too.
 */
#include <mbedtls/pk.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "provider-azure/crypto/spki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An EC point that was accepted is one for everybody. For RSA mbedTLS has opinions about sizes. */
static void check(const struct buffer *der, int must_parse)
{
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (mbedtls_pk_parse_public_key(&key, der->data, der->len) != 0 && must_parse)
        abort();
    mbedtls_pk_free(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521", "P-256K"};
    if (size < 2)
        return 0;
    size_t kind = data[0] % 5, first = (size_t)data[1] << (data[0] & 0x80 ? 1 : 0);
    const uint8_t *rest = data + 2;
    size_t len = size - 2;
    if (first > len)
        first = len;
    struct buffer der = {.ceiling = 1 << 16};
    if (kind < 4) {
        if (spki_from_ec(curves[kind], rest, first, rest + first, len - first, &der, NULL) == 0)
            check(&der, 1);
    } else if (spki_from_rsa(rest + first, len - first, rest, first, &der, NULL) == 0) {
        check(&der, 0);
    }
    buffer_finish(&der);
    return 0;
}
