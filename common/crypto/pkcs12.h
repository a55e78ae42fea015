/*
 * pkcs12.h - reading a PFX (PKCS#12, RFC 7292): with an empty password, as in the certificates of Key Vault,
 * or with a given one.
 *
 * Understood: DER, and BER as NSS, macOS and Bouncy Castle write it (ber.h); password integrity mode with an
 * HMAC over SHA-1 or SHA-2, or PBMAC1 (RFC 9579); any number of content items, plain or
 * password-encrypted; key bags, shrouded key bags, X.509 certificate bags, nested safe contents; the PKCS#12
 * ciphers (RC2-40, RC2-128, 2- and 3-key 3DES, all with SHA-1) and PBES2 (PBKDF2 with AES-CBC or 3DES). The
 * MAC is verified before anything is decrypted, and it decides which of the two empty passwords it is: a
 * lone BMP terminator, or none at all.
 *
 * A file without a MAC is read, too: it is trusted as PEM is, by the place where it was found. Both
 * empty passwords are tried then.
 *
 * Numbers that the file controls are bounded: PKCS12_SIZE_MAX bytes, PKCS12_ITEMS_MAX items over all and
 * PKCS12_COST_MAX (pkcs12_cost.h) for all derivations, so that a hostile file cannot keep the process busy.
 */
#ifndef COMMON_CRYPTO_PKCS12_H
#define COMMON_CRYPTO_PKCS12_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/pkcs12_cost.h"

enum {
    PKCS12_SIZE_MAX = 1 << 20, /* Key Vault's secrets end at 25 KiB */
    PKCS12_ITEMS_MAX = 64,     /* content items, and bags in all of them */
};

/* The localKeyId of a bag (RFC 2985, section 5.5.2), which ties a certificate to its key: a digest or a small
 * number. A longer one is as none. */
enum { PKCS12_KEY_ID_MAX = 39 };
struct pkcs12_key_id {
    uint8_t len; /* 0: none */
    uint8_t bytes[PKCS12_KEY_ID_MAX];
};

struct pkcs12 {
    struct secret *keys[PKCS12_ITEMS_MAX]; /* PrivateKeyInfo (RFC 5208) in DER without attributes, in file
                                              order; owned */
    size_t n_keys;
    struct secret *certificates[PKCS12_ITEMS_MAX]; /* X.509 in DER, in file order; owned */
    size_t n_certificates;
    struct pkcs12_key_id key_ids[PKCS12_ITEMS_MAX];         /* of the keys */
    struct pkcs12_key_id certificate_ids[PKCS12_ITEMS_MAX]; /* of the certificates */
    uint64_t cost;                                          /* of all derivations; see pkcs12_cost.h */
};

/* Whether it is a key store of Java other than PKCS#12 (JKS, JCEKS), which nothing here reads. */
bool pkcs12_is_java_store(const uint8_t *bytes, size_t len);

/* Reads `len` bytes of DER or BER. On failure *ret is left empty but for the cost; the error is
 * RESOURCE_EXHAUSTED for lack of memory, else FAILED_PRECONDITION and starts with "pkcs12: ". The texts of
 * the Go reader are kept: "pkcs12: decryption password incorrect", "pkcs12: unknown digest algorithm:
 * <oid>", "pkcs12: algorithm <oid> is not supported". */
int pkcs12_read(const uint8_t *der, size_t len, struct pkcs12 *ret, struct error **err);

/* The same with a password in UTF-8, borrowed; an empty one is as none at all. `run` may be NULL: no
 * limits but the file's. */
int pkcs12_read_with_password(const uint8_t *der, size_t len, const char *password, size_t password_len,
                              struct pkcs12_run *run, struct pkcs12 *ret, struct error **err);

/* Decrypts an EncryptedPrivateKeyInfo (RFC 5958, section 3), the content of a PEM block "ENCRYPTED PRIVATE
 * KEY", with the ciphers and limits of above. Returns a PrivateKeyInfo without attributes, or NULL with err
 * set; there is no MAC, so a wrong password shows as damaged content. run->cost is what it has cost, in any
 * case. */
struct secret *pkcs8_decrypt(const uint8_t *der, size_t len, const char *password, size_t password_len,
                             struct pkcs12_run *run, struct error **err);

/* Wipes and frees; empty and usable afterwards. */
void pkcs12_finish(struct pkcs12 *pkcs12);
#define cleanup_pkcs12 CLEANUP(pkcs12_finish)

#endif
