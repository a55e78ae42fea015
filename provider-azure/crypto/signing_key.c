/*
 * signing_key.c - RSA signatures and certificate thumbprints.
 */
#include "provider-azure/crypto/signing_key.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>

#include "common/crypto/digest.h"
#include "common/crypto/kernel_random.h"
#include "common/crypto/mbedtls_compat.h"

struct signing_key {
    mbedtls_pk_context pk;
};

static int check(const mbedtls_pk_context *pk, struct error **err)
{
    if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_RSA)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the private key is not an RSA key; Entra ID takes certificates with RSA keys only");
    size_t bits = mbedtls_pk_get_bitlen(pk);
    if (bits < SIGNING_KEY_MIN_BITS || bits > SIGNING_KEY_MAX_BITS)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the RSA key has %zu bits, %d to %d are accepted", bits, SIGNING_KEY_MIN_BITS,
                         SIGNING_KEY_MAX_BITS);
    return 0;
}

struct signing_key *signing_key_read(const uint8_t *der, size_t len, struct error **err)
{
    struct signing_key *key = calloc(1, sizeof(*key));
    if (key == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    mbedtls_pk_init(&key->pk);
    int result = compat_pk_parse_key(&key->pk, der, len, kernel_random);
    if (result != 0)
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "the private key cannot be read (mbedTLS -0x%04x)", (unsigned)-result);
    if (result != 0 || check(&key->pk, err) < 0) {
        signing_key_destroy(key);
        return NULL;
    }
    return key;
}

void signing_key_destroy(struct signing_key *key)
{
    if (key == NULL)
        return;
    mbedtls_pk_free(&key->pk); /* wipes */
    free(key);
}

bool signing_key_matches(const struct signing_key *key, const uint8_t *certificate, size_t len)
{
    mbedtls_x509_crt parsed;
    mbedtls_x509_crt_init(&parsed);
    bool matches = mbedtls_x509_crt_parse_der(&parsed, certificate, len) == 0 &&
                   mbedtls_pk_get_type(&parsed.pk) == MBEDTLS_PK_RSA &&
                   compat_pk_check_pair(&parsed.pk, &key->pk, kernel_random) == 0;
    mbedtls_x509_crt_free(&parsed);
    return matches;
}

int signing_key_sign(struct signing_key *key, enum signature_scheme scheme, const void *text, size_t len,
                     uint8_t ret_signature[SIGNATURE_MAX], size_t *ret_len, struct error **err)
{
    uint8_t hash[DIGEST_SHA256_LEN];
    mbedtls_rsa_context *rsa = mbedtls_pk_rsa(key->pk);
    errno = 0;
    int result = digest_sha256(text, len, hash);

    if (result == 0 && scheme == SIGNATURE_PS256) {
        (void)mbedtls_rsa_set_padding(rsa, MBEDTLS_RSA_PKCS_V21, MBEDTLS_MD_SHA256);
        result =
            mbedtls_rsa_rsassa_pss_sign_ext(rsa, kernel_random, /* p_rng= */ NULL, MBEDTLS_MD_SHA256,
                                            sizeof(hash), hash, /* saltlen= */ sizeof(hash), ret_signature);
    } else if (result == 0) {
        (void)mbedtls_rsa_set_padding(rsa, MBEDTLS_RSA_PKCS_V15, MBEDTLS_MD_NONE);
        result =
            compat_rsa_pkcs1_sign(rsa, kernel_random, MBEDTLS_MD_SHA256, sizeof(hash), hash, ret_signature);
    }
    if (result != 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "signing with the private key failed (mbedTLS -0x%04x)", (unsigned)-result);
        return error_check_memory(err, "a signature");
    }
    *ret_len = mbedtls_rsa_get_len(rsa);
    return 0;
}

int thumbprint_sha1(const void *bytes, size_t len, uint8_t ret[THUMBPRINT_SHA1_LEN])
{
    return mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), bytes, len, ret);
}
