/*
 * key_match.c - public parts of private keys, compared with those of certificates.
 */
#include "common/crypto/key_match.h"

#include <mbedtls/pk.h>
#include <string.h>

#include "common/crypto/kernel_random.h"
#include "common/crypto/mbedtls_compat.h"

enum { TAG_BIT_STRING = 0x03, TAG_PUBLIC_IMPLICIT = 0x81, TAG_PUBLIC_EXPLICIT = 0xa1 };

static bool same(struct der a, struct der b)
{
    return der_len(a) == der_len(b) && memcmp(a.at, b.at, der_len(a)) == 0;
}

/* --- the private key --- */

/* RSAPrivateKey (RFC 8017, appendix A.1.2) behind its version: modulus, exponent, ... */
static void read_rsa(struct der numbers, struct key_public *ret)
{
    struct der rest = numbers, modulus, exponent;
    if (der_take(&rest, DER_INTEGER, &modulus) < 0 || der_take(&rest, DER_INTEGER, &exponent) < 0)
        return;
    ret->numbers = der_span(numbers.at, (size_t)(rest.at - numbers.at));
}

/* The content of a BIT STRING without its count of unused bits. */
static void take_bits(struct der bits, struct key_public *ret)
{
    if (der_len(bits) < 2 || bits.at[0] != 0 || der_len(bits) - 1 > sizeof(ret->point))
        return;
    ret->point_len = der_len(bits) - 1;
    memcpy(ret->point, bits.at + 1, ret->point_len);
}

static void compute_point(struct der private_key, struct key_public *ret)
{
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (compat_pk_parse_key(&key, private_key.at, der_len(private_key), kernel_random) == 0) {
        unsigned char *start = ret->point + sizeof(ret->point); /* written from the end */
        int len = mbedtls_pk_write_pubkey(&start, ret->point, &key);
        if (len > 0) {
            memmove(ret->point, start, (size_t)len);
            ret->point_len = (size_t)len;
        }
    }
    mbedtls_pk_free(&key);
}

/* ECPrivateKey (RFC 5915, section 3) behind its version; `whole` is the key as mbedTLS reads it. */
static void read_ec(struct der key, struct der whole, struct key_public *ret)
{
    struct der element;
    while (der_len(key) > 0 && !der_is(key, TAG_PUBLIC_EXPLICIT)) {
        if (der_take_any(&key, &element) < 0)
            return;
    }
    if (der_take(&key, TAG_PUBLIC_EXPLICIT, &element) == 0 && der_take(&element, TAG_BIT_STRING, &key) == 0)
        take_bits(key, ret);
    if (ret->point_len == 0 || ret->point[0] != 4) /* missing, or compressed */
        compute_point(whole, ret);
}

/* PrivateKeyInfo (RFC 5958, section 2) behind its version: algorithm, key, [0] attributes, [1] public key. */
static void read_pkcs8(struct der info, struct der whole, struct key_public *ret)
{
    struct der algorithm, octets, key, element;
    unsigned version = 0;
    if (der_take(&info, DER_SEQUENCE, &algorithm) < 0 || der_take(&algorithm, DER_OID, &ret->algorithm) < 0 ||
        der_take(&info, DER_OCTET_STRING, &octets) < 0)
        return;
    if (der_take(&octets, DER_SEQUENCE, &key) == 0 && der_take_uint(&key, 1, &version) == 0) {
        if (der_is(key, DER_INTEGER))
            read_rsa(key, ret);
        else
            read_ec(key, whole, ret);
        return;
    }
    while (der_len(info) > 0 && !der_is(info, TAG_PUBLIC_IMPLICIT)) {
        if (der_take_any(&info, &element) < 0)
            return;
    }
    if (der_take(&info, TAG_PUBLIC_IMPLICIT, &element) == 0)
        take_bits(element, ret);
}

void key_public_read(struct der private_key, struct key_public *ret)
{
    static const uint8_t nothing[1] = {0};
    struct der rest = private_key, key;
    unsigned version = 0;

    *ret = (struct key_public){.algorithm = der_span(nothing, 0), .numbers = der_span(nothing, 0)};
    if (der_take(&rest, DER_SEQUENCE, &key) < 0 || der_take_uint(&key, 1, &version) < 0)
        return;
    if (der_is(key, DER_SEQUENCE))
        read_pkcs8(key, private_key, ret);
    else if (der_is(key, DER_INTEGER))
        read_rsa(key, ret);
    else
        read_ec(key, private_key, ret);
}

/* --- comparison --- */

/* SEC 1, section 2.3.3: 04 X Y, or 02/03 X by the last bit of Y. */
static bool same_point(const struct key_public *key, struct der point)
{
    size_t len = der_len(point);
    if (same(der_span(key->point, key->point_len), point))
        return true;
    return len > 1 && key->point_len == 2 * len - 1 && key->point[0] == 4 &&
           point.at[0] == (2U | (key->point[key->point_len - 1] & 1U)) &&
           memcmp(point.at + 1, key->point + 1, len - 1) == 0;
}

static bool same_numbers(const struct key_public *key, struct der public)
{
    struct der numbers;
    return der_take(&public, DER_SEQUENCE, &numbers) == 0 && same(numbers, key->numbers);
}

enum key_match key_public_match(const struct key_public *key, struct der spki)
{
    struct der algorithm, oid, bits;
    if (der_take(&spki, DER_SEQUENCE, &algorithm) < 0 || der_take(&algorithm, DER_OID, &oid) < 0 ||
        der_take(&spki, TAG_BIT_STRING, &bits) < 0 || der_len(bits) < 2)
        return KEY_MATCH_NO;
    bits.at++; /* no unused bits: the content is DER or a point */
    if (der_len(key->numbers) > 0)
        return same_numbers(key, bits) ? KEY_MATCH_YES : KEY_MATCH_NO;
    if (key->point_len > 0)
        return same_point(key, bits) ? KEY_MATCH_YES : KEY_MATCH_NO;
    return der_len(key->algorithm) > 0 && same(key->algorithm, oid) ? KEY_MATCH_UNKNOWN : KEY_MATCH_NO;
}
