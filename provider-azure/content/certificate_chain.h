/*
 * certificate_chain.h - the order in which the certificates of a PFX are written: leaf, intermediates, root.
 *
 * Only names and key identifiers count (RFC 5280, 4.1.2.4, 4.1.2.6, 4.2.1.1, 4.2.1.2). Signatures are not
 * verified: a TLS client does that.
 */
#ifndef PROVIDER_AZURE_CONTENT_CERTIFICATE_CHAIN_H
#define PROVIDER_AZURE_CONTENT_CERTIFICATE_CHAIN_H

#include <stddef.h>

#include "common/base/secret.h"

enum certificate_chain {
    CERTIFICATE_CHAIN_ORDERED,    /* one chain from one leaf through all certificates */
    CERTIFICATE_CHAIN_INCOMPLETE, /* an intermediate or the root is missing, or there are others beside the
                                     chain: left as it was */
    CERTIFICATE_CHAIN_UNREADABLE, /* a certificate is no X.509, or they form a cycle: left as it was */
};

/* Drops repeated certificates (identical DER, the first stays; *n shrinks, the others are destroyed), then
 * orders the rest in place: every certificate is followed by its issuer. The issuer of A is the first other
 * certificate whose subject key identifier equals A's authority key identifier, or, where one of the two is
 * missing, whose subject equals A's issuer. The leaf is the first that issued no other. */
enum certificate_chain certificate_chain_order(struct secret **certificates, size_t *n);

#endif
