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

#endif
