/*
 * key_match.h - whether a certificate belongs to a private key.
 *
 * RSA and EC keys are compared by their public part, which for EC keys without one is computed by mbedTLS. Of
 * other keys (Ed25519, ...) only the algorithm is known, unless they bring their public part with them
 * (RFC 5958, section 2).
 */
#ifndef COMMON_CRYPTO_KEY_MATCH_H
#define COMMON_CRYPTO_KEY_MATCH_H

#include "common/crypto/der.h"

enum {
    KEY_POINT_MAX = 133, /* of an EC key: P-521, not compressed */
};

enum key_match {
    KEY_MATCH_NO,
    KEY_MATCH_UNKNOWN, /* the algorithm is the same; the key's public part is not known */
    KEY_MATCH_YES,
};

/* The public part of a private key; spans into that key's DER. Begins as {0}, which matches nothing. */
struct key_public {
    struct der algorithm; /* OID; empty: by the form of the key */
    struct der numbers;   /* RSA: modulus and exponent with their headers, as in RSAPublicKey */
    uint8_t point[KEY_POINT_MAX];
    size_t point_len; /* EC: the public point; of other keys the bytes of the public key */
};

/* Reads a private key: PKCS#8, PKCS#1 or SEC 1 in DER, borrowed as long as *ret is in use. A key that cannot
 * be read gives one that matches nothing. */
void key_public_read(struct der private_key, struct key_public *ret);

/* Compares with the content of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). */
enum key_match key_public_match(const struct key_public *key, struct der spki);

#endif
