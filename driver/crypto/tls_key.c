/*
 * tls_key.c - private keys on mbedTLS.
 */
#include "driver/crypto/tls_key.h"

#include <errno.h>
#include <mbedtls/pk.h>
#include <stdbool.h>

#include "common/crypto/der.h"
#include "common/crypto/kernel_random.h"
#include "common/crypto/mbedtls_compat.h"

/* The first number of both forms: 0 in RSAPrivateKey, 1 in ECPrivateKey. (Keys on Montgomery curves, which
 * newer versions read, are written as PKCS#8, whose first number is 0.) */
static bool has_version(const struct secret *der, unsigned wanted)
{
    struct der all = der_span(secret_bytes(der), secret_len(der)), key;
    unsigned version = 0;

    return der_take(&all, DER_SEQUENCE, &key) == 0 && der_take_uint(&key, 1, &version) == 0 &&
           version == wanted;
}

static struct secret *write_key(mbedtls_pk_context *key, struct error **err)
{
    cleanup_secret struct secret *block = secret_create(TLS_KEY_DER_MAX);
    struct secret *der;
    int len;

    if (block == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    len = mbedtls_pk_write_key_der(key, secret_data(block), TLS_KEY_DER_MAX); /* at the end of the block */
    if (len <= 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the private key cannot be written");
        return NULL;
    }
    der = secret_from_bytes(secret_bytes(block) + (TLS_KEY_DER_MAX - len), (size_t)len);
    if (der == NULL)
        (void)error_no_memory(err, NULL);
    return der;
}

static struct secret *convert(mbedtls_pk_context *key, const char **ret_label, struct error **err)
{
    bool is_rsa = mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA;
    cleanup_secret struct secret *der = NULL;

    if (compat_pk_check_pair(key, key, kernel_random) != 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "the parts of the private key do not belong together");
        return NULL;
    }
    der = write_key(key, err);
    if (der == NULL)
        return NULL;
    if (!has_version(der, is_rsa ? 0 : 1)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "the private key's algorithm is not supported, only RSA and ECDSA are");
        return NULL;
    }
    *ret_label = is_rsa ? "RSA PRIVATE KEY" : "EC PRIVATE KEY";
    return steal_ptr(&der);
}

struct secret *tls_key_traditional(const uint8_t *der, size_t len, const char **ret_label, struct error **err)
{
    mbedtls_pk_context key;
    struct secret *written = NULL;

    if (len == 0 || len > TLS_KEY_DER_MAX) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "a private key of %zu bytes is not supported",
                        len);
        return NULL;
    }
    errno = 0;
    mbedtls_pk_init(&key);
    if (compat_pk_parse_key(&key, der, len, kernel_random) == 0)
        written = convert(&key, ret_label, err);
    else
        (void)error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the private key is damaged, encrypted or not supported (PKCS#1, PKCS#8 and SEC 1 with RSA or ECDSA are)");
    mbedtls_pk_free(&key);
    if (written == NULL)
        (void)error_check_memory(err, "the private key");
    return written;
}
