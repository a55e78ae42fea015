/*
 * pkcs12_crypt.c - the key derivations, the MAC and the ciphers of PKCS#12.
 */
#include "common/crypto/pkcs12_crypt.h"

#include <assert.h>
#include <inttypes.h>
#include <mbedtls/cipher.h>
#include <mbedtls/md.h>
#include <string.h>

#include "common/crypto/pkcs12.h"
#include "common/crypto/pkcs12_cost.h"
#include "common/crypto/pkcs12_kdf.h"
#include "common/crypto/rc2.h"

enum { KEY_MAX = 64, IV_MAX = 16 };

/* The purpose of a derived block (RFC 7292, appendix B.3). */
enum { PURPOSE_KEY = 1, PURPOSE_IV = 2, PURPOSE_MAC = 3 };

static int unsupported(struct der oid, struct error **err)
{
    char text[96];
    der_oid_text(oid, text, sizeof(text));
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: algorithm %s is not supported", text);
}

static int damaged(const char *part, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: damaged %s", part);
}

static int spend(struct pkcs12_work *work, uint64_t iterations, uint64_t cost, struct error **err)
{
    if (iterations == 0 || cost > work->cost_left)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "pkcs12: %" PRIu64 " iterations are not accepted", iterations);
    work->cost_left -= cost;
    work->later = work->later || cost > work->now_left;
    work->now_left -= work->later ? 0 : cost;
    return 0;
}

static size_t hash_len(mbedtls_md_type_t md)
{
    return mbedtls_md_get_size(mbedtls_md_info_from_type(md));
}

static int derive(struct pkcs12_work *work, mbedtls_md_type_t md, struct der salt, uint64_t iterations,
                  uint8_t purpose, uint8_t *out, size_t len, struct error **err)
{
    if (der_len(salt) > PKCS12_SALT_MAX)
        return damaged("salt", err);
    if (spend(work, iterations, pkcs12_cost_of_kdf(iterations, len, hash_len(md)), err) < 0)
        return -1;
    if (!work->later && pkcs12_derive(md, work->bmp, work->bmp_len, salt.at, der_len(salt),
                                      (unsigned)iterations, purpose, work->stop, out, len) < 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: key derivation failed");
    return 0;
}

static mbedtls_md_type_t digest_by_oid(struct der oid)
{
    if (DER_OID_IS(oid, "\x2b\x0e\x03\x02\x1a"))
        return MBEDTLS_MD_SHA1;
    if (DER_OID_IS(oid, "\x60\x86\x48\x01\x65\x03\x04\x02\x04"))
        return MBEDTLS_MD_SHA224;
    if (DER_OID_IS(oid, "\x60\x86\x48\x01\x65\x03\x04\x02\x01"))
        return MBEDTLS_MD_SHA256;
    if (DER_OID_IS(oid, "\x60\x86\x48\x01\x65\x03\x04\x02\x02"))
        return MBEDTLS_MD_SHA384;
    if (DER_OID_IS(oid, "\x60\x86\x48\x01\x65\x03\x04\x02\x03"))
        return MBEDTLS_MD_SHA512;
    return MBEDTLS_MD_NONE;
}

/* --- PBKDF2 (RFC 8018, appendix A.2) --- */

static mbedtls_md_type_t prf_by_oid(struct der oid)
{
    static const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA1, MBEDTLS_MD_SHA224, MBEDTLS_MD_SHA256,
                                              MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512};
    static const char prefix[] = "\x2a\x86\x48\x86\xf7\x0d\x02"; /* 1.2.840.113549.2.x, x from 7 */
    size_t len = sizeof(prefix) - 1;
    if (der_len(oid) != len + 1 || memcmp(oid.at, prefix, len) != 0 || oid.at[len] < 7 ||
        oid.at[len] - 7U >= ARRAY_SIZE(types))
        return MBEDTLS_MD_NONE;
    return types[oid.at[len] - 7U];
}

struct pbkdf2 {
    struct der salt;
    uint64_t iterations;
    unsigned key_len; /* 0: as long as the cipher's */
    mbedtls_md_type_t prf;
};

/* `kdf`: content of the AlgorithmIdentifier. */
static int read_pbkdf2(struct der kdf, struct pbkdf2 *ret, struct error **err)
{
    struct der oid, parameters, prf, prf_oid;
    if (der_take(&kdf, DER_OID, &oid) < 0)
        return damaged("key derivation", err);
    if (!DER_OID_IS(oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c"))
        return unsupported(oid, err);
    if (der_take(&kdf, DER_SEQUENCE, &parameters) < 0 ||
        der_take(&parameters, DER_OCTET_STRING, &ret->salt) < 0 || der_len(ret->salt) > PKCS12_SALT_MAX ||
        der_take_uint64(&parameters, &ret->iterations) < 0)
        return damaged("key derivation", err);
    if (der_is(parameters, DER_INTEGER) && der_take_uint(&parameters, KEY_MAX, &ret->key_len) < 0)
        return damaged("key derivation", err);
    ret->prf = MBEDTLS_MD_SHA1;
    if (der_len(parameters) > 0) {
        if (der_take(&parameters, DER_SEQUENCE, &prf) < 0 || der_take(&prf, DER_OID, &prf_oid) < 0)
            return damaged("key derivation", err);
        ret->prf = prf_by_oid(prf_oid);
        if (ret->prf == MBEDTLS_MD_NONE)
            return unsupported(prf_oid, err);
    }
    return 0;
}

static int derive_pbkdf2(struct pkcs12_work *work, const struct pbkdf2 *kdf, uint8_t *key, size_t len,
                         struct error **err)
{
    if (spend(work, kdf->iterations, pkcs12_cost_of_pbkdf2(kdf->iterations, len, hash_len(kdf->prf)), err) <
        0)
        return -1;
    if (!work->later && pkcs12_pbkdf2(kdf->prf, work->utf8, work->utf8_len, kdf->salt.at, der_len(kdf->salt),
                                      (unsigned)kdf->iterations, work->stop, key, len) < 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: key derivation failed");
    return 0;
}

/* --- the MAC --- */

/* A key that is ready: 1 if the MAC is right, 0 if not. */
static int compare_mac(mbedtls_md_type_t type, const uint8_t *key, size_t key_len, struct der content,
                       struct der expected, struct error **err)
{
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(type);
    uint8_t mac[MBEDTLS_MD_MAX_SIZE];
    size_t len = mbedtls_md_get_size(md);
    if (mbedtls_md_hmac(md, key, key_len, content.at, der_len(content), mac) != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: MAC computation failed");
    int right = der_len(expected) == len && memcmp(mac, expected.at, len) == 0;
    secret_wipe(mac, sizeof(mac));
    return right;
}

/* RFC 9579, section 4: key derivation and HMAC, each an AlgorithmIdentifier; the key's length is given. */
static int verify_pbmac1(struct pkcs12_work *work, struct der parameters, struct der content,
                         struct der expected, struct error **err)
{
    struct der sequence, kdf_algorithm, scheme, oid;
    struct pbkdf2 kdf = {0};
    if (der_take(&parameters, DER_SEQUENCE, &sequence) < 0 ||
        der_take(&sequence, DER_SEQUENCE, &kdf_algorithm) < 0 ||
        der_take(&sequence, DER_SEQUENCE, &scheme) < 0 || der_take(&scheme, DER_OID, &oid) < 0)
        return damaged("MAC", err);
    if (read_pbkdf2(kdf_algorithm, &kdf, err) < 0)
        return -1;
    mbedtls_md_type_t hmac = prf_by_oid(oid);
    if (hmac == MBEDTLS_MD_NONE)
        return unsupported(oid, err);
    if (kdf.key_len == 0)
        return damaged("MAC", err);

    uint8_t key[KEY_MAX] = {0};
    int result = derive_pbkdf2(work, &kdf, key, kdf.key_len, err);
    if (result == 0)
        result = compare_mac(hmac, key, kdf.key_len, content, expected, err);
    secret_wipe(key, sizeof(key));
    return result;
}

int pkcs12_verify_mac(struct pkcs12_work *work, const struct pkcs12_mac *mac, struct der content,
                      struct error **err)
{
    struct der parameters = mac->algorithm, oid;
    if (der_take(&parameters, DER_OID, &oid) < 0)
        return damaged("MAC", err);
    if (DER_OID_IS(oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0e"))
        return verify_pbmac1(work, parameters, content, mac->expected, err);
    mbedtls_md_type_t md = digest_by_oid(oid);
    if (md == MBEDTLS_MD_NONE) {
        char text[96];
        der_oid_text(oid, text, sizeof(text));
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: unknown digest algorithm: %s", text);
    }

    uint8_t key[MBEDTLS_MD_MAX_SIZE] = {0};
    size_t len = hash_len(md);
    int result = derive(work, md, mac->salt, mac->iterations, PURPOSE_MAC, key, len, err);
    if (result == 0)
        result = compare_mac(md, key, len, content, mac->expected, err);
    secret_wipe(key, sizeof(key));
    return result;
}

/* --- ciphers --- */

/* Checks and removes PKCS#7 padding. */
static int unpad(struct secret *plain, size_t block)
{
    size_t len = secret_len(plain);
    const uint8_t *bytes = secret_bytes(plain);
    size_t pad = len > 0 ? bytes[len - 1] : 0;
    if (pad == 0 || pad > block || pad > len)
        return -1;
    for (size_t i = len - pad; i < len; i++) {
        if (bytes[i] != pad)
            return -1;
    }
    secret_truncate(plain, len - pad);
    return 0;
}

static struct secret *decrypt_rc2(const uint8_t *key_bytes, size_t key_len, const uint8_t *iv,
                                  struct der content, struct error **err)
{
    if (der_len(content) == 0 || der_len(content) % RC2_BLOCK != 0) {
        (void)damaged("encrypted content", err);
        return NULL;
    }
    cleanup_secret struct secret *plain = secret_create(der_len(content));
    if (plain == NULL) {
        (void)error_no_memory(err, "PKCS#12");
        return NULL;
    }
    struct rc2_key key;
    rc2_expand(&key, key_bytes, key_len, (unsigned)key_len * 8);
    rc2_decrypt_cbc(&key, iv, content.at, der_len(content), secret_data(plain));
    secret_wipe(&key, sizeof(key));
    if (unpad(plain, RC2_BLOCK) < 0) {
        (void)damaged("encrypted content", err);
        return NULL;
    }
    return steal_ptr(&plain);
}

static struct secret *decrypt_mbedtls(mbedtls_cipher_type_t type, const uint8_t *key, size_t key_len,
                                      const uint8_t *iv, struct der content, struct error **err)
{
    mbedtls_cipher_context_t cipher;
    mbedtls_cipher_init(&cipher);
    size_t cap = der_len(content) + MBEDTLS_MAX_BLOCK_LENGTH, len = 0;
    cleanup_secret struct secret *plain = secret_create(cap);
    struct secret *result = NULL;

    if (plain == NULL) {
        (void)error_no_memory(err, "PKCS#12");
    } else if (mbedtls_cipher_setup(&cipher, mbedtls_cipher_info_from_type(type)) != 0 ||
               mbedtls_cipher_setkey(&cipher, key, (int)key_len * 8, MBEDTLS_DECRYPT) != 0 ||
               mbedtls_cipher_set_padding_mode(&cipher, MBEDTLS_PADDING_PKCS7) != 0 ||
               mbedtls_cipher_crypt(&cipher, iv, mbedtls_cipher_get_block_size(&cipher), content.at,
                                    der_len(content), secret_data(plain), &len) != 0) {
        (void)damaged("encrypted content", err);
    } else {
        secret_truncate(plain, len);
        result = steal_ptr(&plain);
    }
    mbedtls_cipher_free(&cipher);
    return result;
}

/* The ciphers of RFC 7292, appendix C. */
static const struct pkcs12_cipher {
    uint8_t last_arc; /* of 1.2.840.113549.1.12.1.x */
    uint8_t key_len;
    mbedtls_cipher_type_t type; /* NONE: RC2 */
} pkcs12_ciphers[] = {
    {3, 24, MBEDTLS_CIPHER_DES_EDE3_CBC},
    {4, 16, MBEDTLS_CIPHER_DES_EDE_CBC},
    {5, 16, MBEDTLS_CIPHER_NONE},
    {6, 5, MBEDTLS_CIPHER_NONE},
};

static struct secret *decrypt_pkcs12(struct pkcs12_work *work, const struct pkcs12_cipher *cipher,
                                     struct der parameters, struct der content, struct error **err)
{
    struct der sequence, salt;
    uint64_t iterations = 0;
    if (der_take(&parameters, DER_SEQUENCE, &sequence) < 0 ||
        der_take(&sequence, DER_OCTET_STRING, &salt) < 0 || der_take_uint64(&sequence, &iterations) < 0) {
        (void)damaged("cipher parameters", err);
        return NULL;
    }

    uint8_t key[KEY_MAX], iv[IV_MAX];
    struct secret *plain = NULL;
    if (derive(work, MBEDTLS_MD_SHA1, salt, iterations, PURPOSE_KEY, key, cipher->key_len, err) == 0 &&
        derive(work, MBEDTLS_MD_SHA1, salt, iterations, PURPOSE_IV, iv, RC2_BLOCK, err) == 0)
        plain = work->later ? secret_create(0)
                : cipher->type == MBEDTLS_CIPHER_NONE
                    ? decrypt_rc2(key, cipher->key_len, iv, content, err)
                    : decrypt_mbedtls(cipher->type, key, cipher->key_len, iv, content, err);
    secret_wipe(key, sizeof(key));
    return plain;
}

/* --- PBES2 (RFC 8018, section 6.2) --- */

struct pbes2 {
    struct pbkdf2 kdf;
    mbedtls_cipher_type_t cipher;
    size_t key_len;
    struct der iv;
};

static int read_encryption(struct der scheme, struct pbes2 *ret, struct error **err)
{
    static const struct {
        const char *oid;
        size_t oid_len;
        mbedtls_cipher_type_t type;
        size_t key_len;
    } schemes[] = {
        {"\x60\x86\x48\x01\x65\x03\x04\x01\x02", 9, MBEDTLS_CIPHER_AES_128_CBC, 16},
        {"\x60\x86\x48\x01\x65\x03\x04\x01\x16", 9, MBEDTLS_CIPHER_AES_192_CBC, 24},
        {"\x60\x86\x48\x01\x65\x03\x04\x01\x2a", 9, MBEDTLS_CIPHER_AES_256_CBC, 32},
        {"\x2a\x86\x48\x86\xf7\x0d\x03\x07", 8, MBEDTLS_CIPHER_DES_EDE3_CBC, 24},
    };
    struct der oid;
    if (der_take(&scheme, DER_OID, &oid) < 0)
        return damaged("encryption scheme", err);
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (!der_oid_equal(oid, schemes[i].oid, schemes[i].oid_len))
            continue;
        size_t iv_len = schemes[i].type == MBEDTLS_CIPHER_DES_EDE3_CBC ? 8 : 16;
        if (der_take(&scheme, DER_OCTET_STRING, &ret->iv) < 0 || der_len(ret->iv) != iv_len)
            return damaged("encryption scheme", err);
        ret->cipher = schemes[i].type;
        ret->key_len = schemes[i].key_len;
        return 0;
    }
    return unsupported(oid, err);
}

static struct secret *decrypt_pbes2(struct pkcs12_work *work, struct der parameters, struct der content,
                                    struct error **err)
{
    struct der sequence, kdf, scheme;
    struct pbes2 pbes2 = {0};
    if (der_take(&parameters, DER_SEQUENCE, &sequence) < 0 || der_take(&sequence, DER_SEQUENCE, &kdf) < 0 ||
        der_take(&sequence, DER_SEQUENCE, &scheme) < 0) {
        (void)damaged("cipher parameters", err);
        return NULL;
    }
    if (read_pbkdf2(kdf, &pbes2.kdf, err) < 0 || read_encryption(scheme, &pbes2, err) < 0)
        return NULL;

    uint8_t key[KEY_MAX];
    struct secret *plain = NULL;
    if (derive_pbkdf2(work, &pbes2.kdf, key, pbes2.key_len, err) == 0)
        plain = work->later ? secret_create(0)
                            : decrypt_mbedtls(pbes2.cipher, key, pbes2.key_len, pbes2.iv.at, content, err);
    secret_wipe(key, sizeof(key));
    return plain;
}

struct secret *pkcs12_decrypt(struct pkcs12_work *work, struct der algorithm, struct der content,
                              struct error **err)
{
    static const char pkcs12_prefix[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01"; /* 1.2.840.113549.1.12.1.x */
    size_t prefix_len = sizeof(pkcs12_prefix) - 1;
    struct der oid;

    if (der_take(&algorithm, DER_OID, &oid) < 0) {
        (void)damaged("algorithm identifier", err);
        return NULL;
    }
    if (DER_OID_IS(oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"))
        return decrypt_pbes2(work, algorithm, content, err);
    if (der_len(oid) == prefix_len + 1 && memcmp(oid.at, pkcs12_prefix, prefix_len) == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(pkcs12_ciphers); i++) {
            if (oid.at[prefix_len] == pkcs12_ciphers[i].last_arc)
                return decrypt_pkcs12(work, &pkcs12_ciphers[i], algorithm, content, err);
        }
    }
    (void)unsupported(oid, err);
    return NULL;
}
