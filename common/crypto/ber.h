/*
 * ber.h - from BER to DER (ITU-T X.690), for files of tools that write lengths before they are known: NSS,
 * macOS, Bouncy Castle.
 */
#ifndef COMMON_CRYPTO_BER_H
#define COMMON_CRYPTO_BER_H

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/der.h"

/* Rewrites an element and all elements in it: indefinite lengths (8.1.3.6) become definite, OCTET STRINGs in
 * segments (8.7.3) become one. What is inside of primitive elements stays as it is. *ret is the new text,
 * bytes behind the element included; NULL when there is nothing to rewrite, or when it is no BER (nested
 * deeper than BER_DEPTH_MAX, cut off, ...): a reader of DER finds out what is wrong with it. -1 only for
 * lack of memory. */
enum { BER_DEPTH_MAX = 24 };
int ber_to_der(struct der ber, struct secret **ret, struct error **err);

/* One OCTET STRING of all that `segments` (DER) consists of. NULL with err set: FAILED_PRECONDITION when
 * there is something else in it, RESOURCE_EXHAUSTED for lack of memory. */
struct secret *ber_join_octets(struct der segments, struct error **err);

#endif
