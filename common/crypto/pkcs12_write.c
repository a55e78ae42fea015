/*
 * pkcs12_write.c - writing a PFX. Section numbers are RFC 7292's.
 */
#include "common/crypto/pkcs12_write.h"

#include <mbedtls/cipher.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/utf8.h"
#include "common/crypto/der_write.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs12_kdf.h"

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { MODERN_ITERATIONS = 100000, LEGACY_ITERATIONS = 2000 };
#else
enum { MODERN_ITERATIONS = 20, LEGACY_ITERATIONS = 20 };
#endif

enum {
    SALT_MAX = 16,
    IV_MAX = 16,
    KEY_MAX = 32,
    PURPOSE_KEY = 1, /* appendix B.3 */
    PURPOSE_IV = 2,
    PURPOSE_MAC = 3,
    BMP_NAME_MAX = 2 * PKCS12_WRITE_NAME_MAX + 2,
    ATTRIBUTE_MAX = BMP_NAME_MAX + 64,
    BAG_OVERHEAD = 2 * ATTRIBUTE_MAX + 128,
    FILE_OVERHEAD = 1024,
    SHA1_LEN = 20,
};

static const struct profile {
    unsigned iterations;
    mbedtls_md_type_t mac;
    mbedtls_cipher_type_t cipher;
    uint8_t salt_len, key_len, iv_len;
} profiles[] = {
    [PKCS12_MODERN] = {MODERN_ITERATIONS, MBEDTLS_MD_SHA256, MBEDTLS_CIPHER_AES_256_CBC, 16, 32, 16},
    [PKCS12_LEGACY] = {LEGACY_ITERATIONS, MBEDTLS_MD_SHA1, MBEDTLS_CIPHER_DES_EDE3_CBC, 8, 24, 8},
};

struct writer {
    const struct pkcs12_contents *contents;
    enum pkcs12_profile kind;
    const struct profile *profile;
    const char *password;
    size_t password_len;
    struct secret *bmp;
    uint8_t seed[DIGEST_SHA256_LEN];
    const atomic_bool *stop;
};

static int failed(const char *what, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: %s", what);
}

static bool has_key(const struct pkcs12_contents *contents)
{
    return der_len(contents->key) > 0;
}

/* --- salts and IVs --- */

/* A digest of all that is encrypted, and of how. */
static void make_seed(struct writer *writer)
{
    const struct pkcs12_contents *contents = writer->contents;
    struct digest_field fields[3 + 2 * PKCS12_WRITE_CERTIFICATES_MAX];
    uint8_t kind = (uint8_t)writer->kind;
    const char *key_name = contents->key_name != NULL ? contents->key_name : "";
    size_t n = 0;
    fields[n++] = (struct digest_field){&kind, 1};
    fields[n++] = (struct digest_field){contents->key.at, der_len(contents->key)};
    fields[n++] = (struct digest_field){key_name, strlen(key_name)};
    for (size_t i = 0; i < contents->n; i++) {
        const char *name = contents->certificates[i].name != NULL ? contents->certificates[i].name : "";
        fields[n++] =
            (struct digest_field){contents->certificates[i].der.at, der_len(contents->certificates[i].der)};
        fields[n++] = (struct digest_field){name, strlen(name)};
    }
    digest_fields(fields, n, writer->seed);
}

/* `len` bytes that belong to this use of this file alone. */
static int expand(const struct writer *writer, const char *use, uint8_t *out, size_t len, struct error **err)
{
    uint8_t mac[DIGEST_SHA256_LEN];
    if (mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), writer->seed, sizeof(writer->seed),
                        (const unsigned char *)use, strlen(use), mac) != 0)
        return failed("encryption failed", err);
    memcpy(out, mac, len);
    secret_wipe(mac, sizeof(mac));
    return 0;
}

/* --- encryption --- */

struct encryption {
    uint8_t salt[SALT_MAX];
    uint8_t iv[IV_MAX]; /* legacy: derived, and not written */
    struct secret *content;
};

static void encryption_finish(struct encryption *encryption)
{
    secret_destroy(encryption->content);
}
#define cleanup_encryption CLEANUP(encryption_finish)

static int derive_key(const struct writer *writer, struct encryption *encryption, uint8_t key[KEY_MAX],
                      struct error **err)
{
    const struct profile *profile = writer->profile;
    const uint8_t *salt = encryption->salt;
    int result = 0;
    if (writer->kind == PKCS12_MODERN)
        result = pkcs12_pbkdf2(MBEDTLS_MD_SHA256, writer->password, writer->password_len, salt,
                               profile->salt_len, profile->iterations, writer->stop, key, profile->key_len);
    else if (pkcs12_derive(MBEDTLS_MD_SHA1, secret_bytes(writer->bmp), secret_len(writer->bmp), salt,
                           profile->salt_len, profile->iterations, PURPOSE_KEY, writer->stop, key,
                           profile->key_len) < 0 ||
             pkcs12_derive(MBEDTLS_MD_SHA1, secret_bytes(writer->bmp), secret_len(writer->bmp), salt,
                           profile->salt_len, profile->iterations, PURPOSE_IV, writer->stop, encryption->iv,
                           profile->iv_len) < 0)
        result = -1;
    return result == 0 ? 0 : failed("encryption failed", err);
}

static int encrypt_with(const struct writer *writer, const uint8_t *key, struct der plain,
                        struct encryption *encryption, struct error **err)
{
    const struct profile *profile = writer->profile;
    mbedtls_cipher_context_t cipher;
    size_t len = 0;
    int result = 0;
    encryption->content = secret_create(der_len(plain) + 2 * (size_t)MBEDTLS_MAX_BLOCK_LENGTH);
    if (encryption->content == NULL)
        return error_no_memory(err, "PKCS#12");
    mbedtls_cipher_init(&cipher);
    if (mbedtls_cipher_setup(&cipher, mbedtls_cipher_info_from_type(profile->cipher)) != 0 ||
        mbedtls_cipher_setkey(&cipher, key, profile->key_len * 8, MBEDTLS_ENCRYPT) != 0 ||
        mbedtls_cipher_set_padding_mode(&cipher, MBEDTLS_PADDING_PKCS7) != 0 ||
        mbedtls_cipher_crypt(&cipher, encryption->iv, profile->iv_len, plain.at, der_len(plain),
                             secret_data(encryption->content), &len) != 0)
        result = failed("encryption failed", err);
    else
        secret_truncate(encryption->content, len);
    mbedtls_cipher_free(&cipher);
    return result;
}

/* `part`: what is encrypted, for its salt. */
static int encrypt_part(const struct writer *writer, const char *part, struct der plain,
                        struct encryption *encryption, struct error **err)
{
    char use[32];
    uint8_t key[KEY_MAX];
    (void)snprintf(use, sizeof(use), "%s iv", part);
    if (expand(writer, part, encryption->salt, writer->profile->salt_len, err) < 0 ||
        expand(writer, use, encryption->iv, writer->profile->iv_len, err) < 0)
        return -1;
    int result = derive_key(writer, encryption, key, err);
    if (result == 0)
        result = encrypt_with(writer, key, plain, encryption, err);
    secret_wipe(key, sizeof(key));
    return result;
}

/* PBKDF2-params (RFC 8018, appendix A.2) in its AlgorithmIdentifier. */
static void put_pbkdf2(struct der_writer *out, const struct profile *profile,
                       const struct encryption *encryption)
{
    size_t before = out->len;
    der_put_null(out);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x02\x09"); /* hmacWithSHA256 */
    der_wrap(out, before, DER_SEQUENCE);
    der_put_uint(out, profile->iterations);
    der_put_octets(out, encryption->salt, profile->salt_len);
    der_wrap(out, before, DER_SEQUENCE);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c"); /* pkcs5PBKDF2 */
    der_wrap(out, before, DER_SEQUENCE);
}

static void put_algorithm(struct der_writer *out, const struct writer *writer,
                          const struct encryption *encryption)
{
    const struct profile *profile = writer->profile;
    size_t before = out->len;
    if (writer->kind == PKCS12_MODERN) {
        der_put_octets(out, encryption->iv, profile->iv_len);
        der_put_oid(out, "\x60\x86\x48\x01\x65\x03\x04\x01\x2a"); /* aes256-CBC-PAD */
        der_wrap(out, before, DER_SEQUENCE);
        put_pbkdf2(out, profile, encryption);
        der_wrap(out, before, DER_SEQUENCE);
        der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"); /* pkcs5PBES2 */
    } else {
        der_put_uint(out, profile->iterations);
        der_put_octets(out, encryption->salt, profile->salt_len);
        der_wrap(out, before, DER_SEQUENCE);
        der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03"); /* pbeWithSHAAnd3-KeyTripleDES-CBC */
    }
    der_wrap(out, before, DER_SEQUENCE);
}

/* --- bags (section 4.2) --- */

/* One attribute; `block` holds it. An empty span when there is none. */
static int make_name(const char *name, uint8_t block[ATTRIBUTE_MAX], struct der *ret, struct error **err)
{
    struct der_writer out = der_writer_init(block, ATTRIBUTE_MAX);
    *ret = der_span(block, 0);
    if (name == NULL || *name == '\0')
        return 0;
    if (strlen(name) > PKCS12_WRITE_NAME_MAX || !utf8_valid(name, strlen(name)))
        return failed("a friendlyName is not UTF-8 of at most 256 bytes", err);
    cleanup_secret struct secret *bmp = pkcs12_bmp_password(name, strlen(name), err);
    if (bmp == NULL)
        return -1;
    der_put(&out, secret_bytes(bmp), secret_len(bmp) - 2); /* without the terminator */
    der_wrap(&out, 0, DER_BMP_STRING);
    der_wrap(&out, 0, DER_SET);
    der_put_oid(&out, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14"); /* friendlyName */
    der_wrap(&out, 0, DER_SEQUENCE);
    return der_written(&out, ret) == 0 ? 0 : failed("too many or too large certificates", err);
}

/* The SHA-1 of the certificate, as other writers have it. */
static int make_key_id(struct der certificate, uint8_t block[ATTRIBUTE_MAX], struct der *ret,
                       struct error **err)
{
    struct der_writer out = der_writer_init(block, ATTRIBUTE_MAX);
    uint8_t digest[SHA1_LEN];
    if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), certificate.at, der_len(certificate),
                   digest) != 0)
        return failed("encryption failed", err);
    der_put_octets(&out, digest, sizeof(digest));
    der_wrap(&out, 0, DER_SET);
    der_put_oid(&out, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x15"); /* localKeyId */
    der_wrap(&out, 0, DER_SEQUENCE);
    return der_written(&out, ret);
}

/* Java's trustedKeyUsage: anyExtendedKeyUsage. */
static int make_trusted(uint8_t block[ATTRIBUTE_MAX], struct der *ret)
{
    struct der_writer out = der_writer_init(block, ATTRIBUTE_MAX);
    der_put_oid(&out, "\x55\x1d\x25\x00");
    der_wrap(&out, 0, DER_SET);
    der_put_oid(&out, "\x60\x86\x48\x01\x86\xf9\x66\xad\xca\x7b\x01\x01");
    der_wrap(&out, 0, DER_SEQUENCE);
    return der_written(&out, ret);
}

/* A SET OF in DER is sorted (X.690, 11.6). None of the two is the beginning of the other. */
static bool stands_first(struct der one, struct der other)
{
    size_t len = der_len(one) < der_len(other) ? der_len(one) : der_len(other);
    return memcmp(one.at, other.at, len) < 0;
}

static void put_attributes(struct der_writer *out, struct der one, struct der other)
{
    size_t before = out->len;
    bool in_order = stands_first(one, other);
    der_put(out, in_order ? other.at : one.at, der_len(in_order ? other : one));
    der_put(out, in_order ? one.at : other.at, der_len(in_order ? one : other));
    if (out->len > before)
        der_wrap(out, before, DER_SET);
}

static int put_certificate(struct der_writer *out, const struct writer *writer, size_t i, struct error **err)
{
    const struct pkcs12_certificate *certificate = &writer->contents->certificates[i];
    uint8_t name_block[ATTRIBUTE_MAX], other_block[ATTRIBUTE_MAX];
    struct der name, other = der_span(certificate->der.at, 0);
    size_t before = out->len;
    if (make_name(certificate->name, name_block, &name, err) < 0)
        return -1;
    if (!has_key(writer->contents) && make_trusted(other_block, &other) < 0)
        return failed("too many or too large certificates", err);
    if (has_key(writer->contents) && i == 0 && make_key_id(certificate->der, other_block, &other, err) < 0)
        return -1;
    put_attributes(out, name, other);
    size_t bag = out->len;
    der_put_octets(out, certificate->der.at, der_len(certificate->der));
    der_wrap(out, bag, DER_CONTEXT_0_CONSTRUCTED);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01"); /* x509Certificate */
    der_wrap(out, bag, DER_SEQUENCE);
    der_wrap(out, bag, DER_CONTEXT_0_CONSTRUCTED);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x03"); /* certBag */
    der_wrap(out, before, DER_SEQUENCE);
    return 0;
}

static int put_key(struct der_writer *out, const struct writer *writer, struct error **err)
{
    const struct pkcs12_contents *contents = writer->contents;
    uint8_t name_block[ATTRIBUTE_MAX], id_block[ATTRIBUTE_MAX];
    struct der name, id;
    cleanup_encryption struct encryption encryption = {.content = NULL};
    if (encrypt_part(writer, "key", contents->key, &encryption, err) < 0 ||
        make_name(contents->key_name, name_block, &name, err) < 0 ||
        make_key_id(contents->certificates[0].der, id_block, &id, err) < 0)
        return -1;
    put_attributes(out, name, id);
    size_t bag = out->len;
    der_put_octets(out, secret_bytes(encryption.content), secret_len(encryption.content));
    put_algorithm(out, writer, &encryption);
    der_wrap(out, bag, DER_SEQUENCE);
    der_wrap(out, bag, DER_CONTEXT_0_CONSTRUCTED);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02"); /* pkcs8ShroudedKeyBag */
    der_wrap(out, 0, DER_SEQUENCE);
    return 0;
}

/* --- content items (section 4.1) --- */

/* Of all certificates, encrypted. `room`: bytes for the plain text. */
static int put_certificates(struct der_writer *out, const struct writer *writer, size_t room,
                            struct error **err)
{
    struct der plain;
    cleanup_encryption struct encryption encryption = {.content = NULL};
    cleanup_secret struct secret *block = secret_create(room);
    if (block == NULL)
        return error_no_memory(err, "PKCS#12");
    struct der_writer safe = der_writer_init(secret_data(block), room);
    for (size_t i = writer->contents->n; i > 0; i--)
        if (put_certificate(&safe, writer, i - 1, err) < 0)
            return -1;
    der_wrap(&safe, 0, DER_SEQUENCE);
    if (der_written(&safe, &plain) < 0)
        return failed("too many or too large certificates", err);
    if (encrypt_part(writer, "certificates", plain, &encryption, err) < 0)
        return -1;
    size_t before = out->len;
    der_put(out, secret_bytes(encryption.content), secret_len(encryption.content));
    der_wrap(out, before, DER_CONTEXT_0);
    put_algorithm(out, writer, &encryption);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"); /* data */
    der_wrap(out, before, DER_SEQUENCE);
    der_put_uint(out, 0);
    der_wrap(out, before, DER_SEQUENCE);
    der_wrap(out, before, DER_CONTEXT_0_CONSTRUCTED);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06"); /* encryptedData */
    der_wrap(out, before, DER_SEQUENCE);
    return 0;
}

/* ContentInfo of type data around what was written since `before`. */
static void wrap_data(struct der_writer *out, size_t before)
{
    der_wrap(out, before, DER_OCTET_STRING);
    der_wrap(out, before, DER_CONTEXT_0_CONSTRUCTED);
    der_put_oid(out, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
    der_wrap(out, before, DER_SEQUENCE);
}

static int write_safe(struct der_writer *out, const struct writer *writer, size_t room, struct error **err)
{
    if (has_key(writer->contents)) {
        if (put_key(out, writer, err) < 0)
            return -1;
        der_wrap(out, 0, DER_SEQUENCE);
        wrap_data(out, 0);
    }
    if (put_certificates(out, writer, room, err) < 0)
        return -1;
    der_wrap(out, 0, DER_SEQUENCE);
    return 0;
}

/* --- the file (section 4) --- */

static int put_mac(struct der_writer *out, const struct writer *writer, struct der safe, struct error **err)
{
    const struct profile *profile = writer->profile;
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(profile->mac);
    uint8_t salt[SALT_MAX], key[MBEDTLS_MD_MAX_SIZE], mac[MBEDTLS_MD_MAX_SIZE];
    size_t len = mbedtls_md_get_size(md);
    if (expand(writer, "mac", salt, profile->salt_len, err) < 0)
        return -1;
    int result = pkcs12_derive(profile->mac, secret_bytes(writer->bmp), secret_len(writer->bmp), salt,
                               profile->salt_len, profile->iterations, PURPOSE_MAC, writer->stop, key, len);
    if (result == 0)
        result = mbedtls_md_hmac(md, key, len, safe.at, der_len(safe), mac);
    secret_wipe(key, sizeof(key));
    if (result != 0)
        return failed("encryption failed", err);
    der_put_uint(out, profile->iterations);
    der_put_octets(out, salt, profile->salt_len);
    size_t info = out->len;
    der_put_octets(out, mac, len);
    size_t algorithm = out->len;
    der_put_null(out);
    if (profile->mac == MBEDTLS_MD_SHA256)
        der_put_oid(out, "\x60\x86\x48\x01\x65\x03\x04\x02\x01");
    else
        der_put_oid(out, "\x2b\x0e\x03\x02\x1a"); /* SHA-1 */
    der_wrap(out, algorithm, DER_SEQUENCE);
    der_wrap(out, info, DER_SEQUENCE);
    der_wrap(out, 0, DER_SEQUENCE);
    return 0;
}

static struct secret *write_file(const struct writer *writer, size_t room, struct error **err)
{
    struct der safe_der, whole;
    cleanup_secret struct secret *safe_block = secret_create(room);
    cleanup_secret struct secret *block = secret_create(room);
    if (safe_block == NULL || block == NULL) {
        (void)error_no_memory(err, "PKCS#12");
        return NULL;
    }
    struct der_writer safe = der_writer_init(secret_data(safe_block), room);
    struct der_writer out = der_writer_init(secret_data(block), room);
    if (write_safe(&safe, writer, room, err) < 0)
        return NULL;
    if (der_written(&safe, &safe_der) < 0) {
        (void)failed("too many or too large certificates", err);
        return NULL;
    }
    if (put_mac(&out, writer, safe_der, err) < 0)
        return NULL;
    size_t before = out.len;
    der_put(&out, safe_der.at, der_len(safe_der));
    wrap_data(&out, before);
    der_put_uint(&out, 3);
    der_wrap(&out, 0, DER_SEQUENCE);
    if (der_written(&out, &whole) < 0) {
        (void)failed("too many or too large certificates", err);
        return NULL;
    }
    struct secret *file = secret_from_bytes(whole.at, der_len(whole));
    if (file == NULL)
        (void)error_no_memory(err, "PKCS#12");
    return file;
}

/* Bytes that are surely enough for the file; 0 when it would be larger than the reader takes. */
static size_t room_for(const struct pkcs12_contents *contents)
{
    size_t room = FILE_OVERHEAD + BAG_OVERHEAD + der_len(contents->key);
    for (size_t i = 0; i < contents->n && room <= PKCS12_SIZE_MAX; i++)
        room += BAG_OVERHEAD + der_len(contents->certificates[i].der);
    return room <= PKCS12_SIZE_MAX ? room : 0;
}

uint64_t pkcs12_write_cost(const struct pkcs12_contents *contents, enum pkcs12_profile kind)
{
    const struct profile *profile = &profiles[kind];
    size_t hash_len = mbedtls_md_get_size(mbedtls_md_info_from_type(profile->mac));
    uint64_t part =
        kind == PKCS12_MODERN
            ? pkcs12_cost_of_pbkdf2(profile->iterations, profile->key_len, hash_len)
            : pkcs12_cost_of_kdf(profile->iterations, profile->key_len, hash_len) + profile->iterations;
    return pkcs12_cost_of_kdf(profile->iterations, hash_len, hash_len) + (has_key(contents) ? 2 : 1) * part;
}

struct secret *pkcs12_write(const struct pkcs12_contents *contents, enum pkcs12_profile profile,
                            const char *password, size_t password_len, const atomic_bool *stop,
                            struct error **err)
{
    struct writer writer = {.contents = contents,
                            .kind = profile,
                            .profile = &profiles[profile],
                            .password = password,
                            .password_len = password_len,
                            .stop = stop};
    size_t room = contents->n <= PKCS12_WRITE_CERTIFICATES_MAX ? room_for(contents) : 0;
    if (room == 0 || contents->n == 0 || password_len == 0) {
        (void)failed(password_len == 0  ? "the password is empty"
                     : contents->n == 0 ? "there is no certificate"
                                        : "too many or too large certificates",
                     err);
        return NULL;
    }
    cleanup_secret struct secret *bmp = pkcs12_bmp_password(password, password_len, err);
    if (bmp == NULL)
        return NULL;
    writer.bmp = bmp;
    make_seed(&writer);
    struct secret *file = write_file(&writer, room, err);
    secret_wipe(writer.seed, sizeof(writer.seed));
    return file;
}
