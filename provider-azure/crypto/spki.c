/*
 * spki.c - public keys as DER, on mbedTLS.
 */
#include "provider-azure/crypto/spki.h"

#include <errno.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <stdbool.h>
#include <string.h>

#include "common/crypto/der_write.h"

/* RSA keys of Key Vault have 2048 to 4096 bits; four times that is accepted. */
enum { RSA_MAX_BYTES = 2048, EC_MAX_BYTES = 66, SPKI_OVERHEAD = 64 };

static const uint8_t *skip_zeros(const uint8_t *bytes, size_t *len)
{
    while (*len > 0 && bytes[0] == 0) {
        bytes++;
        (*len)--;
    }
    return bytes;
}

/* INTEGER of unsigned big-endian bytes without leading zeros: one zero byte in front of a set top bit. */
static void put_unsigned(struct der_writer *der, const uint8_t *bytes, size_t len)
{
    size_t before = der->len;
    der_put(der, bytes, len);
    if (len > 0 && (bytes[0] & 0x80) != 0)
        der_put(der, (const uint8_t[]){0}, 1);
    der_wrap(der, before, DER_INTEGER);
}

/* The content is that of the BIT STRING, without its count of unused bits. */
static void wrap_bits(struct der_writer *der)
{
    der_put(der, (const uint8_t[]){0}, 1);
    der_wrap(der, 0, DER_BIT_STRING);
}

static int finish(const struct der_writer *der, struct buffer *out, struct error **err)
{
    struct der written;
    if (der_written(der, &written) < 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "encoding a public key failed (mbedTLS -0x%04x)",
                         (unsigned)-der->failed);
    return buffer_append(out, written.at, der_len(written), err);
}

int spki_from_rsa(const void *modulus, size_t modulus_len, const void *exponent, size_t exponent_len,
                  struct buffer *out, struct error **err)
{
    const uint8_t *n = skip_zeros(modulus, &modulus_len);
    const uint8_t *e = skip_zeros(exponent, &exponent_len);
    if (modulus_len == 0 || modulus_len > RSA_MAX_BYTES || exponent_len == 0 || exponent_len > RSA_MAX_BYTES)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the RSA key's modulus or exponent is zero or has a bad length");

    uint8_t block[2 * RSA_MAX_BYTES + SPKI_OVERHEAD];
    struct der_writer der = der_writer_init(block, sizeof(block));

    put_unsigned(&der, e, exponent_len);
    put_unsigned(&der, n, modulus_len);
    der_wrap(&der, 0, DER_SEQUENCE);
    wrap_bits(&der);
    size_t before = der.len;
    der_put_null(&der);
    der_put_oid_bytes(&der, MBEDTLS_OID_PKCS1_RSA, MBEDTLS_OID_SIZE(MBEDTLS_OID_PKCS1_RSA));
    der_wrap(&der, before, DER_SEQUENCE);
    der_wrap(&der, 0, DER_SEQUENCE);
    return finish(&der, out, err);
}

static const struct curve {
    const char *name; /* JWK (RFC 7518 6.2.1.1) */
    mbedtls_ecp_group_id group;
    size_t field_len;
    const char *oid;
    size_t oid_len;
} curves[] = {
    {"P-256", MBEDTLS_ECP_DP_SECP256R1, 32, MBEDTLS_OID_EC_GRP_SECP256R1,
     MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_GRP_SECP256R1)},
    {"P-256K", MBEDTLS_ECP_DP_SECP256K1, 32, MBEDTLS_OID_EC_GRP_SECP256K1,
     MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_GRP_SECP256K1)},
    {"SECP256K1", MBEDTLS_ECP_DP_SECP256K1, 32, MBEDTLS_OID_EC_GRP_SECP256K1, /* Key Vault's name before */
     MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_GRP_SECP256K1)},
    {"P-384", MBEDTLS_ECP_DP_SECP384R1, 48, MBEDTLS_OID_EC_GRP_SECP384R1,
     MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_GRP_SECP384R1)},
    {"P-521", MBEDTLS_ECP_DP_SECP521R1, 66, MBEDTLS_OID_EC_GRP_SECP521R1,
     MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_GRP_SECP521R1)},
};

/* Right-aligned into `field_len` bytes; -1 when it does not fit. */
static int put_coordinate(uint8_t *into, size_t field_len, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return -1; /* not there at all */
    bytes = skip_zeros(bytes, &len);
    if (len > field_len)
        return -1;
    memset(into, 0, field_len - len);
    if (len > 0)
        memcpy(into + (field_len - len), bytes, len);
    return 0;
}

static bool on_curve(mbedtls_ecp_group_id id, const uint8_t *point, size_t len)
{
    mbedtls_ecp_group group;
    mbedtls_ecp_point parsed;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&parsed);
    bool good = mbedtls_ecp_group_load(&group, id) == 0 &&
                mbedtls_ecp_point_read_binary(&group, &parsed, point, len) == 0 &&
                mbedtls_ecp_check_pubkey(&group, &parsed) == 0;
    mbedtls_ecp_point_free(&parsed);
    mbedtls_ecp_group_free(&group);
    return good;
}

int spki_from_ec(const char *curve, const void *x, size_t x_len, const void *y, size_t y_len,
                 struct buffer *out, struct error **err)
{
    const struct curve *found = NULL;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].name, curve) == 0)
            found = &curves[i];
    }
    if (found == NULL)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "curve %s is not supported", curve);

    uint8_t point[1 + 2 * EC_MAX_BYTES] = {0x04}; /* uncompressed (SEC 1, 2.3.3) */
    size_t point_len = 1 + 2 * found->field_len;
    if (put_coordinate(point + 1, found->field_len, x, x_len) < 0 ||
        put_coordinate(point + 1 + found->field_len, found->field_len, y, y_len) < 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "a coordinate of the %s key has a bad length",
                         curve);
    errno = 0;
    if (!on_curve(found->group, point, point_len)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the key is not a point on curve %s", curve);
        return error_check_memory(err, "the public key");
    }

    uint8_t block[sizeof(point) + SPKI_OVERHEAD];
    struct der_writer der = der_writer_init(block, sizeof(block));
    der_put(&der, point, point_len);
    wrap_bits(&der);
    size_t before = der.len;
    der_put_oid_bytes(&der, found->oid, found->oid_len);
    der_put_oid_bytes(&der, MBEDTLS_OID_EC_ALG_UNRESTRICTED,
                      MBEDTLS_OID_SIZE(MBEDTLS_OID_EC_ALG_UNRESTRICTED));
    der_wrap(&der, before, DER_SEQUENCE);
    der_wrap(&der, 0, DER_SEQUENCE);
    return finish(&der, out, err);
}
