/*
 * certificate.h - the secret behind a Key Vault certificate, as PEM: private key and certificates.
 */
#ifndef PROVIDER_AZURE_CONTENT_CERTIFICATE_H
#define PROVIDER_AZURE_CONTENT_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/crypto/certificate_chain.h"
#include "common/crypto/pkcs12_cost.h"

enum certificate_order { CERTIFICATE_ORDER_CHAIN, CERTIFICATE_ORDER_AS_STORED };

/* Appends the PEM form of a PFX given as standard base64 text: every key as PKCS#8 "PRIVATE KEY", EC keys in
 * their usual form (pkcs8_usual_ec()), then every "CERTIFICATE", without attributes. With
 * CERTIFICATE_ORDER_CHAIN they are ordered by certificate_chain_order_pfx(), whose outcome is *ret_chain
 * (ORDERED with CERTIFICATE_ORDER_AS_STORED). FAILED_PRECONDITION with the texts of base64_decode() and
 * pkcs12_read(). *ret_cost is what the file's key derivations have cost (pkcs12_cost.h), also after a
 * failure. `run`: of pkcs12_read_with_password(). */
int certificate_pem_from_pfx(const char *base64, size_t len, enum certificate_order order,
                             struct pkcs12_run *run, struct buffer *out, enum certificate_chain *ret_chain,
                             uint64_t *ret_cost, struct error **err);

/* Appends PEM text with its certificates ordered by the first private key in it that has a certificate
 * (certificate_chain_order()): blocks change their places, everything else stays as it is. Nothing changes
 * without such a key, when a certificate cannot be read, and with more than CERTIFICATE_CHAIN_MAX. */
int certificate_order_pem(const char *pem, size_t len, struct buffer *out, struct error **err);

/* Appends PEM text. Where its line breaks are lost (pem_lines_lost()), all its blocks are written again in 64
 * columns, without what is between them; otherwise it stays as it is. */
int certificate_repair_pem(const char *pem, size_t len, struct buffer *out, struct error **err);

/* Splits PEM text (RFC 7468): every CERTIFICATE block is appended to `certificates`, every other block to
 * `keys`, in order and re-encoded in 64 columns; text outside of blocks is dropped. A block that is cut off
 * is dropped too. */
int certificate_split_pem(const char *pem, size_t len, struct buffer *certificates, struct buffer *keys,
                          struct error **err);

#endif
