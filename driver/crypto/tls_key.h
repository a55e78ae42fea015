/*
 * tls_key.h - a private key in any of the usual DER forms, written in the traditional one of its algorithm.
 *
 * Files of type kubernetes.io/tls have always carried "RSA PRIVATE KEY" (PKCS#1, RFC 8017) or
 * "EC PRIVATE KEY" (SEC 1, RFC 5915), whatever the vault returned. mbedTLS parses, checks and writes.
 */
#ifndef DRIVER_CRYPTO_TLS_KEY_H
#define DRIVER_CRYPTO_TLS_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    /* Of one key, in and out: an RSA key of 8192 bits, the largest mbedTLS takes, needs 4.7 KiB. */
    TLS_KEY_DER_MAX = 16 * 1024,
};

/* Reads PKCS#1, PKCS#8 (not encrypted) or SEC 1 and checks that the parts of the key belong together.
 * *ret_label is what its PEM block is called. A public part that is missing is computed. NULL with err set:
 * FAILED_PRECONDITION for anything that is no RSA or EC key; the text never contains a part of it. */
struct secret *tls_key_traditional(const uint8_t *der, size_t len, const char **ret_label,
                                   struct error **err);

#endif
