/*
 * pkcs8.h - private keys in the form that PKCS#12 holds: PrivateKeyInfo (RFC 5208).
 */
#ifndef PROVIDER_AZURE_CRYPTO_PKCS8_H
#define PROVIDER_AZURE_CRYPTO_PKCS8_H

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/der.h"

/* The PrivateKeyInfo of a key in DER: itself, or one around an RSAPrivateKey (RFC 8017, A.1.2) or an
 * ECPrivateKey (RFC 5915) that names its curve. NULL with err set: FAILED_PRECONDITION when it is none of
 * these, RESOURCE_EXHAUSTED. */
struct secret *pkcs8_from_key(struct der key, struct error **err);

/* An EC key as usual: with its public part, and with the curve named once, by the PrivateKeyInfo. Java,
 * GnuTLS and Bouncy Castle store other forms, which readers made for the usual one refuse (ring, and so
 * rustls). *ret is NULL when `info` is no PrivateKeyInfo of an EC key on a named curve: use it as it is.
 * RESOURCE_EXHAUSTED. */
int pkcs8_usual_ec(struct der info, struct secret **ret, struct error **err);

#endif
