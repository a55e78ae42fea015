/*
 * certificate_chain.h - the order in which certificates are written: leaf, intermediates, root, others.
 *
 * Servers take the first certificate of a file for that of the private key, so the leaf is the certificate of
 * the key. Names, key identifiers and validity decide what follows (RFC 5280, 4.1.2.4 to 4.1.2.6, 4.2.1.1,
 * 4.2.1.2). Signatures are not verified: a TLS client does that.
 */
#ifndef COMMON_CRYPTO_CERTIFICATE_CHAIN_H
#define COMMON_CRYPTO_CERTIFICATE_CHAIN_H

#include <stddef.h>

#include "common/crypto/der.h"
#include "common/crypto/pkcs12.h"

enum {
    CERTIFICATE_CHAIN_MAX = PKCS12_ITEMS_MAX /* certificates of one file */
};

enum certificate_chain {
    CERTIFICATE_CHAIN_ORDERED, /* one chain from the leaf; others are only further issuers of its members */
    CERTIFICATE_CHAIN_INCOMPLETE, /* there are others, for example because an intermediate is missing */
    CERTIFICATE_CHAIN_UNREADABLE, /* one is no X.509 certificate; it stands among the others */
    CERTIFICATE_CHAIN_OTHER_KEY,  /* no certificate belongs to the private key */
};

/* A certificate, or a private key, and the localKeyId (RFC 2985, section 5.5.2) that a PKCS#12 file gives it;
 * borrowed. An empty span: none. */
struct chain_part {
    struct der der;
    struct der local_key_id;
};

/* Finds the order of `n` certificates, at most CERTIFICATE_CHAIN_MAX: ret_order[0] is the index of the first,
 * and so on.
 *
 * The leaf has the public key of `key`; among several the localKeyId decides, then the one that is no CA,
 * issued no other, is valid longest. Without a key (an empty span), or when no certificate belongs to it, the
 * leaf is a certificate that issued no other and is no CA, and among several the one with the longest chain.
 * Each is followed by its issuer, as far as there is one: subject and issuer are the same, and so are the key
 * identifiers; among several the one that is valid together with the leaf, then the one from which the chain
 * goes on longest, then one that is not self-signed, then the one that is valid longest. All others
 * follow in the order in which they came. */
enum certificate_chain certificate_chain_order(const struct chain_part *certificates, size_t n,
                                               const struct chain_part *key, size_t *ret_order);

/* Drops repeated certificates of a PKCS#12 file (identical DER, the first stays), then orders the rest in
 * place by the first key that has a certificate; this key becomes the first. */
enum certificate_chain certificate_chain_order_pfx(struct pkcs12 *pfx);

#endif
