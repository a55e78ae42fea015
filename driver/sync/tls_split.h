/*
 * tls_split.h - certificates and private key out of one file, for Secrets of type kubernetes.io/tls.
 *
 * The file is PEM, or else PKCS#12 (DER) with an empty password. Errors are FAILED_PRECONDITION
 * (RESOURCE_EXHAUSTED: memory) and never contain a part of the file.
 */
#ifndef DRIVER_SYNC_TLS_SPLIT_H
#define DRIVER_SYNC_TLS_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    TLS_FILE_MAX = 1 << 20, /* bytes of a file; no Secret can hold more */
};

/* Every block of type CERTIFICATE, written again (64 columns, without header lines and without what is
 * between the blocks). The order is that of certificate_chain_order() by the file's private key, or that of
 * the file when it has no key or no certificate of it. */
struct secret *tls_split_certificates(const void *file, size_t len, struct error **err);

/* The last block that is a private key (its type ends in "PRIVATE KEY"), as tls_key.h writes it. Blocks of
 * other types (CERTIFICATE, EC PARAMETERS, PUBLIC KEY...) are passed over. Encrypted keys, keys that are no
 * RSA or ECDSA keys, and a file without a key are errors. */
struct secret *tls_split_private_key(const void *file, size_t len, struct error **err);

#endif
