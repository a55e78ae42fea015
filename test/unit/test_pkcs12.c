/*
 * test_pkcs12.c - the PKCS#12 reader against files made by OpenSSL's command line.
 *
 * Every combination of key type, cipher and MAC is made in a temporary directory; what the reader finds is
 * compared with the key and the certificates as OpenSSL itself writes them in DER.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/crypto/encoding.h"
#include "common/crypto/pkcs12.h"
#include "common/crypto/pkcs12_cost.h"
#include "common/crypto/pkcs12_kdf.h"
#include "test/unit/scratch.h"

static struct scratch scratch;

static void read_into(const char *name, struct buffer *out)
{
    assert_int_equal(scratch_read(&scratch, name, out), 0);
}

static int make_chain(void **state)
{
    (void)state;
    assert_int_equal(scratch_make(&scratch), 0);
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 2"),
        0);
    static const char *const kinds[][2] = {
        {"rsa2048", "rsa:2048"},
        {"rsa4096", "rsa:4096"},
        {"p256", "ec -pkeyopt ec_paramgen_curve:P-256"},
        {"p384", "ec -pkeyopt ec_paramgen_curve:P-384"},
        {"p521", "ec -pkeyopt ec_paramgen_curve:P-521"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *name = kinds[i][0];
        assert_int_equal(scratch_run(&scratch,
                                     "openssl req -newkey %s -nodes -keyout %s.key -out %s.csr -subj /CN=%s",
                                     kinds[i][1], name, name, name),
                         0);
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out %s.pem -days 1",
                name, name),
            0);
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl x509 -in %s.pem -outform DER -out %s.crt.der && openssl pkcs8 -topk8 -nocrypt -in %s.key -outform DER -out %s.key.der",
                name, name, name, name),
            0);
    }
    return scratch_run(&scratch, "openssl x509 -in ca.pem -outform DER -out ca.crt.der");
}

static int remove_dir(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static void assert_equals_file(const struct secret *found, const char *name)
{
    cleanup_buffer struct buffer wanted = {0};
    read_into(name, &wanted);
    assert_int_equal(secret_len(found), wanted.len);
    assert_memory_equal(secret_bytes(found), wanted.data, wanted.len);
}

static int read_pfx(struct pkcs12 *pkcs12, struct error **err)
{
    cleanup_buffer struct buffer pfx = {0};
    read_into("out.pfx", &pfx);
    return pkcs12_read(pfx.data, pfx.len, pkcs12, err);
}

static void every_cipher_and_key_type_of_openssl_is_read(void **state)
{
    (void)state;
    static const char *const protections[] = {
        "-legacy",
        "-legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-RC2-40",
        "-legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-2DES",
        "-legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
        "-certpbe NONE -keypbe PBE-SHA1-3DES -macalg sha1",
        "-keypbe NONE -certpbe NONE",
        "-certpbe AES-128-CBC -keypbe AES-192-CBC -macalg sha384",
        "-certpbe AES-256-CBC -keypbe AES-256-CBC -macalg sha512 -iter 1",
        "-macalg sha224 -nomaciter",
        "", /* OpenSSL 3's default: PBES2, AES-256, SHA-256 */
    };
    static const char *const kinds[] = {"rsa2048", "rsa4096", "p256", "p384", "p521"};
    for (size_t i = 0; i < ARRAY_SIZE(protections) * ARRAY_SIZE(kinds); i++) {
        const char *kind = kinds[i % ARRAY_SIZE(kinds)], *protection = protections[i / ARRAY_SIZE(kinds)];
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        cleanup_error struct error *error = NULL;
        char name[64];

        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -export -passout pass: -inkey %s.key -in %s.pem -certfile ca.pem %s -out out.pfx",
                kind, kind, protection),
            0);
        if (read_pfx(&pkcs12, &error) < 0)
            fail_msg("%s '%s': %s", kind, protection, error_message(error));
        assert_int_equal(pkcs12.n_keys, 1);
        assert_int_equal(pkcs12.n_certificates, 2);
        (void)snprintf(name, sizeof(name), "%s.key.der", kind);
        assert_equals_file(pkcs12.keys[0], name);
        (void)snprintf(name, sizeof(name), "%s.crt.der", kind);
        assert_equals_file(pkcs12.certificates[0], name);
        assert_equals_file(pkcs12.certificates[1], "ca.crt.der");
    }
}

static void a_file_with_only_a_key_or_only_certificates_is_read(void **state)
{
    (void)state;
    cleanup_pkcs12 struct pkcs12 keys = {0}, certificates = {0};

    assert_int_equal(
        scratch_run(&scratch, "openssl pkcs12 -export -passout pass: -inkey p256.key -nocerts -out out.pfx"),
        0);
    assert_int_equal(read_pfx(&keys, NULL), 0);
    assert_int_equal(keys.n_keys, 1);
    assert_int_equal(keys.n_certificates, 0);

    assert_int_equal(
        scratch_run(&scratch, "openssl pkcs12 -export -passout pass: -nokeys -in ca.pem -out out.pfx"), 0);
    assert_int_equal(read_pfx(&certificates, NULL), 0);
    assert_int_equal(certificates.n_keys, 0);
    assert_int_equal(certificates.n_certificates, 1);
}

static void assert_refused(const char *options, const char *message)
{
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    cleanup_error struct error *error = NULL;
    assert_int_equal(
        scratch_run(&scratch, "openssl pkcs12 -export %s -inkey p256.key -in p256.pem -out out.pfx", options),
        0);
    assert_int_equal(read_pfx(&pkcs12, &error), -1);
    assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
    assert_string_equal(error_message(error), message);
    assert_int_equal(pkcs12.n_keys + pkcs12.n_certificates, 0);
}

static void an_untrustworthy_file_is_refused_with_the_known_texts(void **state)
{
    (void)state;
    assert_refused("-passout pass:secret", "pkcs12: decryption password incorrect");
    assert_refused("-passout pass: -certpbe NONE -keypbe CAMELLIA-128-CBC",
                   "pkcs12: algorithm 1.2.392.200011.61.1.1.1.2 is not supported");
    assert_refused("-passout pass: -macalg md5 -certpbe NONE -keypbe NONE",
                   "pkcs12: unknown digest algorithm: 1.2.840.113549.2.5");
}

/* Some bytes mean nothing (the NULL behind a digest's OID): then the content must be the true one. */
static void a_changed_byte_never_changes_the_result(void **state)
{
    (void)state;
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl pkcs12 -export -passout pass: -inkey p256.key -in p256.pem -certpbe NONE -keypbe NONE -out out.pfx"),
        0);
    cleanup_buffer struct buffer pfx = {0};
    read_into("out.pfx", &pfx);
    size_t refused = 0;
    for (size_t i = 0; i < pfx.len; i++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        pfx.data[i] ^= 0x40;
        if (pkcs12_read(pfx.data, pfx.len, &pkcs12, NULL) < 0) {
            refused++;
        } else {
            assert_equals_file(pkcs12.keys[0], "p256.key.der");
            assert_equals_file(pkcs12.certificates[0], "p256.crt.der");
        }
        pfx.data[i] ^= 0x40;
    }
    assert_true(refused + 4 > pfx.len);
}

static void a_truncated_file_is_refused_at_every_length(void **state)
{
    (void)state;
    assert_int_equal(
        scratch_run(&scratch,
                    "openssl pkcs12 -export -passout pass: -inkey p256.key -in p256.pem -out out.pfx"),
        0);
    cleanup_buffer struct buffer pfx = {0};
    read_into("out.pfx", &pfx);
    for (size_t len = 0; len < pfx.len; len++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        assert_int_equal(pkcs12_read(pfx.data, len, &pkcs12, NULL), -1);
    }
}

/* The passwords have what a shell needs quoted left out; the long ones are beyond mbedTLS' own derivation. */
static const char *const passwords[] = {
    "x",
    "secret",
    "3f6c1f0e-8c8e-4c53-9f5b-0a7f0c9d2e11",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "p\xc3\xa4ssw\xc3\xb6rt \xe2\x82\xac \xf0\x9f\x94\x91",
};

static void a_file_with_a_password_opens_with_that_password_only(void **state)
{
    (void)state;
    static const char *const protections[] = {
        "", "-legacy", "-legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1", "-macalg sha512"};
    for (size_t i = 0; i < ARRAY_SIZE(protections) * ARRAY_SIZE(passwords); i++) {
        const char *password = passwords[i % ARRAY_SIZE(passwords)];
        const char *protection = protections[i / ARRAY_SIZE(passwords)];
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0}, wrong = {0}, none = {0};
        cleanup_error struct error *error = NULL, *wrong_error = NULL;
        cleanup_buffer struct buffer pfx = {0};

        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -export -passout 'pass:%s' -inkey rsa2048.key -in rsa2048.pem %s -out out.pfx",
                password, protection),
            0);
        read_into("out.pfx", &pfx);
        if (pkcs12_read_with_password(pfx.data, pfx.len, password, strlen(password), NULL, &pkcs12, &error) <
            0)
            fail_msg("'%s' '%s': %s", password, protection, error_message(error));
        assert_int_equal(pkcs12.n_keys, 1);
        assert_equals_file(pkcs12.keys[0], "rsa2048.key.der");
        assert_equals_file(pkcs12.certificates[0], "rsa2048.crt.der");
        assert_int_equal(pkcs12_read_with_password(pfx.data, pfx.len, "wrong", 5, NULL, &wrong, &wrong_error),
                         -1);
        assert_string_equal(error_message(wrong_error), "pkcs12: decryption password incorrect");
        assert_int_equal(pkcs12_read(pfx.data, pfx.len, &none, NULL), -1);
    }
}

static void an_encrypted_private_key_opens_with_its_password(void **state)
{
    (void)state;
    static const char *const options[] = {"-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA512",
                                          "-v2 des3", "-v1 PBE-SHA1-3DES"};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const char *password = passwords[2 + i % 3];
        cleanup_buffer struct buffer file = {0};
        cleanup_error struct error *error = NULL;
        assert_int_equal(
            scratch_run(&scratch,
                        "openssl pkcs8 -topk8 -in rsa2048.key -outform DER -out out.p8 -passout 'pass:%s' %s",
                        password, options[i]),
            0);
        read_into("out.p8", &file);
        cleanup_secret struct secret *key =
            pkcs8_decrypt(file.data, file.len, password, strlen(password), NULL, &error);
        if (key == NULL)
            fail_msg("%s: %s", options[i], error_message(error));
        assert_equals_file(key, "rsa2048.key.der");
        /* No MAC: with a wrong password what comes out is damaged, whatever it is. */
        assert_null(pkcs8_decrypt(file.data, file.len, "wrong", 5, NULL, NULL));
    }
}

static void a_password_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"a\0b", 3}, {"\xff", 1}, {"\xed\xa0\x80", 3}};
    cleanup_buffer struct buffer pfx = {0};
    read_into("out.pfx", &pfx);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        cleanup_error struct error *error = NULL;
        assert_int_equal(
            pkcs12_read_with_password(pfx.data, pfx.len, bad[i].bytes, bad[i].len, NULL, &pkcs12, &error),
            -1);
        assert_string_equal(error_message(error), "pkcs12: the password is not UTF-8 of at most 512 bytes");
    }
}

/* GnuTLS' default, and what is recommended for PBKDF2. */
static void as_many_rounds_as_are_recommended_are_read(void **state)
{
    (void)state;
    static const char *const protections[] = {"", "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
                                              "-certpbe AES-128-CBC -keypbe AES-128-CBC -macalg sha512"};
    for (size_t i = 0; i < ARRAY_SIZE(protections); i++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        cleanup_error struct error *error = NULL;
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -export -passout pass: -iter 600000 -inkey p256.key -in p256.pem -certfile ca.pem %s -out out.pfx",
                protections[i]),
            0);
        if (read_pfx(&pkcs12, &error) < 0)
            fail_msg("'%s': %s", protections[i], error_message(error));
        assert_equals_file(pkcs12.keys[0], "p256.key.der");
        assert_equals_file(pkcs12.certificates[0], "p256.crt.der");
        assert_true(pkcs12.cost >= 3 * 600000);
    }
    cleanup_buffer struct buffer file = {0};
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl pkcs8 -topk8 -in rsa2048.key -outform DER -out out.p8 -passout pass:x -iter 600000 -v2prf hmacWithSHA1"),
        0);
    read_into("out.p8", &file);
    cleanup_secret struct secret *key = pkcs8_decrypt(file.data, file.len, "x", 1, NULL, NULL);
    assert_non_null(key);
    assert_equals_file(key, "rsa2048.key.der");
}

/* The iterations of a PFX are the last INTEGER of the file. */
static void more_rounds_than_the_budget_are_refused_with_their_number(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[9];
        size_t len;
        const char *message;
    } numbers[] = {
        {{0}, 1, "pkcs12: 0 iterations are not accepted"},
        {{0x00, 0x80, 0x2c, 0x81}, 4, "pkcs12: 8400001 iterations are not accepted"},
        {{0x7f, 0xff, 0xff, 0xff}, 4, "pkcs12: 2147483647 iterations are not accepted"},
        {{0x01, 0, 0, 0, 0}, 5, "pkcs12: 4294967296 iterations are not accepted"},
        {{0x01, 0, 0, 0, 1}, 5, "pkcs12: 4294967297 iterations are not accepted"},
        {{0x7f, 0, 0, 0, 0, 0, 0, 0, 0}, 9, "pkcs12: 18446744073709551615 iterations are not accepted"},
        {{0x80, 0}, 2, "pkcs12: damaged MAC"},
    };
    cleanup_buffer struct buffer pfx = {0};
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl pkcs12 -export -passout pass: -macalg sha256 -inkey p256.key -in p256.pem -out out.pfx"),
        0);
    read_into("out.pfx", &pfx);
    /* 30 82 LL LL ... 30 41 (DigestInfo 31) (salt 04 08) 02 02 08 00 */
    assert_memory_equal(pfx.data + pfx.len - 4, "\x02\x02\x08\x00", 4);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint8_t file[16 * 1024];
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        cleanup_error struct error *error = NULL;
        size_t head = pfx.len - 4, more = numbers[i].len - 2, mac = pfx.len - 4 - 10 - 51 - 2;
        memcpy(file, pfx.data, head);
        file[head] = 0x02;
        file[head + 1] = (uint8_t)numbers[i].len;
        memcpy(file + head + 2, numbers[i].bytes, numbers[i].len);
        size_t whole = ((size_t)file[2] << 8 | file[3]) + more;
        file[2] = (uint8_t)(whole >> 8);
        file[3] = (uint8_t)whole;
        assert_int_equal(file[mac], 0x30);
        file[mac + 1] = (uint8_t)(file[mac + 1] + more);
        assert_int_equal(pkcs12_read(file, pfx.len + more, &pkcs12, &error), -1);
        assert_string_equal(error_message(error), numbers[i].message);
        assert_int_equal(pkcs12.cost, 0);
    }
}

static void the_cost_is_rounds_times_blocks_times_computations(void **state)
{
    (void)state;
    static const struct {
        uint64_t rounds;
        size_t out_len, hash_len;
        uint64_t kdf, pbkdf2;
    } rows[] = {
        {1, 20, 20, 1, 2},
        {1000, 20, 20, 1000, 2000},
        {1000, 24, 20, 2000, 4000}, /* 3DES with SHA-1 */
        {600000, 32, 20, 1200000, 2400000},
        {600000, 32, 32, 600000, 1200000},
        {600000, 64, 64, 600000, 1200000},
        {UINT64_MAX, 1, 20, UINT64_MAX, UINT64_MAX},
        {UINT64_MAX / 2 + 1, 32, 20, UINT64_MAX, UINT64_MAX},
        {0, 32, 20, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(pkcs12_cost_of_kdf(rows[i].rounds, rows[i].out_len, rows[i].hash_len) == rows[i].kdf);
        assert_true(pkcs12_cost_of_pbkdf2(rows[i].rounds, rows[i].out_len, rows[i].hash_len) ==
                    rows[i].pbkdf2);
    }
    /* MAC of both empty passwords, and three parts with SHA-1; or six with SHA-256 */
    assert_true(2 * pkcs12_cost_of_kdf(600000, 20, 20) + 3 * pkcs12_cost_of_pbkdf2(600000, 32, 20) <=
                PKCS12_COST_MAX);
    assert_true(2 * pkcs12_cost_of_kdf(600000, 32, 32) + 6 * pkcs12_cost_of_pbkdf2(600000, 32, 32) <=
                PKCS12_COST_MAX);
}

/* RFC 6070 (the first two), RFC 7914, section 11; the others are of Python's hashlib. */
static void pbkdf2_gives_the_known_vectors(void **state)
{
    (void)state;
    static const struct {
        mbedtls_md_type_t hash;
        const char *password, *salt;
        unsigned iterations;
        const char *hex;
    } rows[] = {
        {MBEDTLS_MD_SHA1, "password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
        {MBEDTLS_MD_SHA1, "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
         "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
        {MBEDTLS_MD_SHA256, "passwd", "salt", 1,
         "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"},
        {MBEDTLS_MD_SHA512,
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
         "salt", 3,
         "1c769e8b10406bfabfdeaddaa014cb76bb74887cd27c73d1933ae9172b6ae1c4e3ba6be47970f16fbcfa67965ac070e780a978a7757ece1a48d3bb0d1680c8be"},
        {MBEDTLS_MD_SHA224, "", "", 2,
         "91565d346d1c1fe2036dd195f5e601d254b96f6f9c7b61e35e7f562f09f97922f69163b1c7a8198cc125a4a173e5fcc7"},
        {MBEDTLS_MD_SHA384,
         "01234567012345670123456701234567012345670123456701234567012345670123456701234567012345670123456701234567012345670123456701234567",
         "s", 2,
         "11f7d98b8b0e9ee551c7a1244e18d4b8204bcc738b205a99d1a6ccf4168d6c47bc9240afaa9aab3a3dab0f152c109ad3dd72b915127a4d8b62cfdfcbe13caf2e"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t out[PKCS12_DERIVED_MAX];
        cleanup_secret struct secret *wanted = hex_decode(rows[i].hex, strlen(rows[i].hex), NULL);
        assert_int_equal(pkcs12_pbkdf2(rows[i].hash, rows[i].password, strlen(rows[i].password),
                                       (const uint8_t *)rows[i].salt, strlen(rows[i].salt),
                                       rows[i].iterations, NULL, out, secret_len(wanted)),
                         0);
        assert_memory_equal(out, secret_bytes(wanted), secret_len(wanted));
    }
}

static void a_file_without_a_mac_is_read_with_its_password(void **state)
{
    (void)state;
    static const char *const protections[] = {"", "-legacy", "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES",
                                              "-keypbe NONE -certpbe NONE"};
    for (size_t i = 0; i < 2 * ARRAY_SIZE(protections); i++) {
        const char *password = i % 2 == 0 ? "" : "secret", *protection = protections[i / 2];
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0}, wrong = {0};
        cleanup_error struct error *error = NULL;
        cleanup_buffer struct buffer pfx = {0};
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -export -passout pass:%s -nomac -inkey p256.key -in p256.pem -certfile ca.pem %s -out out.pfx",
                password, protection),
            0);
        read_into("out.pfx", &pfx);
        if (pkcs12_read_with_password(pfx.data, pfx.len, password, strlen(password), NULL, &pkcs12, &error) <
            0)
            fail_msg("'%s' '%s': %s", protection, password, error_message(error));
        assert_int_equal(pkcs12.n_certificates, 2);
        assert_equals_file(pkcs12.keys[0], "p256.key.der");
        bool encrypted = strstr(protection, "NONE") == NULL;
        assert_int_equal(pkcs12_read_with_password(pfx.data, pfx.len, "wrong", 5, NULL, &wrong, NULL),
                         encrypted ? -1 : 0);
    }
}

/* Two parts and a MAC of 100,000 rounds: the MAC's 100,000 computations, twice for two empty passwords,
 * and for either part 200,000 (an HMAC a round) for a key of 32 bytes. */
static void a_run_that_may_not_cost_so_much_says_what_the_file_costs(void **state)
{
    (void)state;
    static const struct {
        uint64_t now;
        bool later;
    } rows[] = {{0, true},      {99999, true},   {100000, true},
                {499999, true}, {500000, false}, {UINT64_MAX, false}};
    cleanup_buffer struct buffer pfx = {0};
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl pkcs12 -export -passout pass:secret -iter 100000 -maciter -macalg sha256 -keypbe AES-256-CBC "
            "-certpbe AES-256-CBC -inkey p256.key -in p256.pem -out out.pfx"),
        0);
    read_into("out.pfx", &pfx);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        struct pkcs12_run run = {.cost_now = rows[i].now};
        int result = pkcs12_read_with_password(pfx.data, pfx.len, "secret", 6, &run, &pkcs12, NULL);
        assert_int_equal(run.later, rows[i].later);
        assert_int_equal(result, rows[i].later ? -1 : 0);
        assert_int_equal(pkcs12.n_keys, rows[i].later ? 0 : 1);
        if (run.later)
            assert_int_equal(run.cost, 500000);
    }
}

static void a_run_says_what_is_wrong_with_a_file_at_once(void **state)
{
    (void)state;
    static const uint8_t junk[] = {0x30, 0x03, 0x02, 0x01, 0x03};
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    cleanup_error struct error *error = NULL;
    struct pkcs12_run run = {.cost_now = 0};
    assert_int_equal(pkcs12_read_with_password(junk, sizeof(junk), "", 0, &run, &pkcs12, &error), -1);
    assert_false(run.later);
    assert_string_equal(error_message(error), "pkcs12: damaged file, or not a PKCS#12 file in DER");
}

static void a_key_store_of_java_is_named(void **state)
{
    (void)state;
    static const uint8_t stores[][8] = {{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2},
                                        {0xce, 0xce, 0xce, 0xce, 0, 0, 0, 2}};
    for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
        cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
        cleanup_error struct error *error = NULL;
        assert_int_equal(pkcs12_read(stores[i], sizeof(stores[i]), &pkcs12, &error), -1);
        assert_non_null(strstr(error_message(error), "pkcs12: it is a Java key store"));
    }
}

/* In processor time: 600,000 rounds take some tenths of a second. */
static void a_run_that_is_stopped_ends_within_a_millisecond(void **state)
{
    (void)state;
    atomic_bool stop = true;
    uint8_t out[32];
    clock_t began = clock();
    assert_int_equal(pkcs12_pbkdf2(MBEDTLS_MD_SHA256, "x", 1, out, 8, 100000000, &stop, out, sizeof(out)),
                     -1);
    assert_int_equal(pkcs12_derive(MBEDTLS_MD_SHA256, out, 2, out, 8, 100000000, 1, &stop, out, sizeof(out)),
                     -1);
    assert_true(clock() - began < CLOCKS_PER_SEC / 10);
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    cleanup_buffer struct buffer pfx = {0};
    struct pkcs12_run run = {.cost_now = UINT64_MAX, .stop = &stop};
    read_into("out.pfx", &pfx); /* of the test above */
    assert_int_equal(pkcs12_read_with_password(pfx.data, pfx.len, "secret", 6, &run, &pkcs12, NULL), -1);
    assert_false(run.later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_with_a_password_opens_with_that_password_only),
        cmocka_unit_test(an_encrypted_private_key_opens_with_its_password),
        cmocka_unit_test(a_password_that_is_none_is_refused),
        cmocka_unit_test(every_cipher_and_key_type_of_openssl_is_read),
        cmocka_unit_test(a_file_with_only_a_key_or_only_certificates_is_read),
        cmocka_unit_test(an_untrustworthy_file_is_refused_with_the_known_texts),
        cmocka_unit_test(as_many_rounds_as_are_recommended_are_read),
        cmocka_unit_test(more_rounds_than_the_budget_are_refused_with_their_number),
        cmocka_unit_test(the_cost_is_rounds_times_blocks_times_computations),
        cmocka_unit_test(pbkdf2_gives_the_known_vectors),
        cmocka_unit_test(a_file_without_a_mac_is_read_with_its_password),
        cmocka_unit_test(a_run_that_may_not_cost_so_much_says_what_the_file_costs),
        cmocka_unit_test(a_run_says_what_is_wrong_with_a_file_at_once),
        cmocka_unit_test(a_key_store_of_java_is_named),
        cmocka_unit_test(a_run_that_is_stopped_ends_within_a_millisecond),
        cmocka_unit_test(a_changed_byte_never_changes_the_result),
        cmocka_unit_test(a_truncated_file_is_refused_at_every_length),
    };
    return cmocka_run_group_tests_name("pkcs12", tests, make_chain, remove_dir);
}
