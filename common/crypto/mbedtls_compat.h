/*
 * mbedtls_compat.h - where mbedTLS 2.28 (Debian 12) and 3.x (Debian 13) differ, as far as this software is
 * concerned.
 */
#ifndef COMMON_CRYPTO_MBEDTLS_COMPAT_H
#define COMMON_CRYPTO_MBEDTLS_COMPAT_H

#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define COMPAT_PRIVATE(member) member

/* Keys without a password, and a source of randomness where one is wanted. */
#define compat_pk_parse_key(pk, der, len, rng) mbedtls_pk_parse_key((pk), (der), (len), NULL, 0)
#define compat_pk_check_pair(public, key, rng) mbedtls_pk_check_pair((public), (key))
#define compat_rsa_pkcs1_sign(rsa, rng, md, hash_len, hash, out)                                             \
    mbedtls_rsa_pkcs1_sign((rsa), (rng), NULL, MBEDTLS_RSA_PRIVATE, (md), (hash_len), (hash), (out))

#define compat_tls_prepare() 0
#define compat_tls_1_2_and_newer(config)                                                                     \
    mbedtls_ssl_conf_min_version((config), MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3)
#else
#define COMPAT_PRIVATE(member) MBEDTLS_PRIVATE(member)

#define compat_pk_parse_key(pk, der, len, rng) mbedtls_pk_parse_key((pk), (der), (len), NULL, 0, (rng), NULL)
#define compat_pk_check_pair(public, key, rng) mbedtls_pk_check_pair((public), (key), (rng), NULL)
#define compat_rsa_pkcs1_sign(rsa, rng, md, hash_len, hash, out)                                             \
    mbedtls_rsa_pkcs1_sign((rsa), (rng), NULL, (md), (hash_len), (hash), (out))

/* TLS 1.3 stands on the PSA functions; calling this again does nothing. */
#define compat_tls_prepare() (psa_crypto_init() == PSA_SUCCESS ? 0 : -1)
#define compat_tls_1_2_and_newer(config)                                                                     \
    mbedtls_ssl_conf_min_tls_version((config), MBEDTLS_SSL_VERSION_TLS1_2)
#endif

#endif
