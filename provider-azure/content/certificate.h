/*
 * certificate.h - the secret behind a Key Vault certificate, as PEM: private key and certificates.
 */
#ifndef PROVIDER_AZURE_CONTENT_CERTIFICATE_H
#define PROVIDER_AZURE_CONTENT_CERTIFICATE_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "provider-azure/content/certificate_chain.h"

enum certificate_order { CERTIFICATE_ORDER_CHAIN, CERTIFICATE_ORDER_AS_STORED };

/* Appends the PEM form of a PFX given as standard base64 text: every key as PKCS#8 "PRIVATE KEY", then every
 * "CERTIFICATE", without attributes. With CERTIFICATE_ORDER_CHAIN the certificates run from leaf to root
 * where they form one chain; *ret_chain says whether they do (ORDERED with CERTIFICATE_ORDER_AS_STORED).
 * FAILED_PRECONDITION with the texts of base64_decode() and pkcs12_read(). */
int certificate_pem_from_pfx(const char *base64, size_t len, enum certificate_order order, struct buffer *out,
                             enum certificate_chain *ret_chain, struct error **err);

/* Splits PEM text (RFC 7468): every CERTIFICATE block is appended to `certificates`, every other block to
 * `keys`, in order and re-encoded in 64 columns; text outside of blocks is dropped. A block that is cut off
 * is dropped too. */
int certificate_split_pem(const char *pem, size_t len, struct buffer *certificates, struct buffer *keys,
                          struct error **err);

#endif
