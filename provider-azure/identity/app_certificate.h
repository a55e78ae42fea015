/*
 * app_certificate.h - the private key and the certificate of a service principal, from a Secret.
 */
#ifndef PROVIDER_AZURE_IDENTITY_APP_CERTIFICATE_H
#define PROVIDER_AZURE_IDENTITY_APP_CERTIFICATE_H

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/crypto/pkcs12_cost.h"
#include "provider-azure/crypto/signing_key.h"

/* A key and a chain in PEM have some KiB. */
enum { APP_CERTIFICATE_MAX_BYTES = 64 * 1024, APP_CERTIFICATE_MAX_BLOCKS = 32 };

struct app_certificate {
    struct signing_key *key;
    struct secret *certificate; /* DER; that of the key, at any position */
};

/* Reads one of: PEM with a key (PKCS#1, PKCS#8, PKCS#8 encrypted) and certificates in any order; PKCS#12 in
 * base64; PKCS#12 in binary; the PEM in base64. `password` opens an encrypted key or file ("" = none).
 * FAILED_PRECONDITION names the mistake and quotes nothing. `run`: of pkcs12_read_with_password(), or
 * NULL. */
int app_certificate_read(const void *bytes, size_t len, const char *password, size_t password_len,
                         struct pkcs12_run *run, struct app_certificate *ret, struct error **err);

/* Wipes and frees both. Accepts one that is half filled. */
void app_certificate_finish(struct app_certificate *certificate);
#define cleanup_app_certificate CLEANUP(app_certificate_finish)

#endif
