/*
 * pkcs12_write.h - writing a PFX (PKCS#12, RFC 7292): a private key with its certificates, or trusted
 * certificates alone.
 *
 * Two profiles:
 *
 *   modern   PBES2 (RFC 8018): PBKDF2 with HMAC-SHA-256, AES-256-CBC; MAC with SHA-256. 100,000 iterations
 *            each: .NET refuses more than 300,000 for one derivation, and readers pay for three
 *   legacy   pbeWithSHAAnd3-KeyTripleDES-CBC, MAC with SHA-1, 2,000 iterations as Key Vault has them: for
 *            Windows before Server 2019, Java before 8u301
 *
 * The same contents, profile and password give the same bytes. Salts and IVs come out of HMAC-SHA-256 with a
 * key that is a digest of all contents, the private key included, and never of the password. So they differ
 * with anything that is encrypted, no pair of key and IV encrypts two texts, and with a private key nobody
 * who has not got it can know them in advance. The password is left out, because where the contents are
 * public (trusted certificates) a salt made of it would let everybody test guesses without the iterations.
 * What the file gives away beyond one with random salts: that two files have equal contents.
 */
#ifndef COMMON_CRYPTO_PKCS12_WRITE_H
#define COMMON_CRYPTO_PKCS12_WRITE_H

#include <stdatomic.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/der.h"
#include "common/crypto/pkcs12.h"

enum {
    PKCS12_WRITE_CERTIFICATES_MAX = PKCS12_ITEMS_MAX - 3, /* with a key and its two content items */
    PKCS12_WRITE_NAME_MAX = 256,                          /* bytes of a friendlyName */
};

enum pkcs12_profile { PKCS12_MODERN, PKCS12_LEGACY };

/* Everything is borrowed. */
struct pkcs12_certificate {
    struct der der;
    const char *name; /* friendlyName in UTF-8; NULL: none */
};

struct pkcs12_contents {
    struct der key;       /* PrivateKeyInfo (RFC 5208); an empty span: none */
    const char *key_name; /* friendlyName of the key */
    /* With a key, the first certificate is that of the key and gets its localKeyId. Without one, all get the
     * attribute by which Java knows trusted certificates (2.16.840.1.113894.746875.1.1). */
    const struct pkcs12_certificate *certificates;
    size_t n;
};

/* What the derivations cost (pkcs12_cost.h). */
uint64_t pkcs12_write_cost(const struct pkcs12_contents *contents, enum pkcs12_profile profile);

/* Writes a file that `password` (UTF-8, not empty) opens. Takes its time: for worker threads. `stop` (may be
 * NULL): once it is set the call fails within a millisecond. Returns NULL with err set: FAILED_PRECONDITION,
 * "pkcs12: ...", for a password or a name that PKCS#12 cannot hold, and for contents that are too many or too
 * large; RESOURCE_EXHAUSTED for lack of memory. */
struct secret *pkcs12_write(const struct pkcs12_contents *contents, enum pkcs12_profile profile,
                            const char *password, size_t password_len, const atomic_bool *stop,
                            struct error **err);

#endif
