/*
 * pkcs12_crypt.h - the key derivations, the MAC and the ciphers of PKCS#12, on mbedTLS.
 *
 * Internal to the PKCS#12 reader. Which mbedTLS is used (2.28 or 3.6) matters in pkcs12_crypt.c only.
 */
#ifndef COMMON_CRYPTO_PKCS12_CRYPT_H
#define COMMON_CRYPTO_PKCS12_CRYPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/der.h"

/* The password in its two forms. PKCS#12's own derivation takes a BMPString with terminator, or no bytes at
 * all when there is no password (RFC 7292, appendix B.1); PBES2 takes UTF-8. All borrowed. */
struct pkcs12_work {
    const uint8_t *bmp; /* NULL: none */
    size_t bmp_len;
    const char *utf8; /* "" when empty or none */
    size_t utf8_len;
    uint64_t cost_left;      /* what derivations may still cost; see pkcs12_cost.h */
    uint64_t now_left;       /* and in this run */
    bool later;              /* that did not suffice: derivations are counted only, and give no key */
    const atomic_bool *stop; /* may be NULL */
};

/* A file's MAC (MacData). */
struct pkcs12_mac {
    struct der algorithm; /* content of its AlgorithmIdentifier: a hash, or PBMAC1 */
    struct der expected;
    struct der salt; /* of no meaning with PBMAC1, as the next */
    uint64_t iterations;
};

/* Verifies the MAC of `content`: with a key by PKCS#12's own derivation (RFC 7292, section 5.1), or PBMAC1
 * (RFC 9579). Returns 1 if it is right, 0 if not (of no meaning with work->later), -1 with err set. */
int pkcs12_verify_mac(struct pkcs12_work *work, const struct pkcs12_mac *mac, struct der content,
                      struct error **err);

/* Decrypts `content` as an AlgorithmIdentifier's content (`algorithm`) says. Returns NULL with err set; with
 * work->later an empty secret. */
struct secret *pkcs12_decrypt(struct pkcs12_work *work, struct der algorithm, struct der content,
                              struct error **err);

#endif
