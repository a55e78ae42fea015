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

#include "common/base/cleanup.h"
#include "common/crypto/pkcs12.h"
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
    assert_refused("-passout pass: -nomac", "pkcs12: no MAC in data");
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
        if (pkcs12_read_with_password(pfx.data, pfx.len, password, strlen(password), &pkcs12, &error) < 0)
            fail_msg("'%s' '%s': %s", password, protection, error_message(error));
        assert_int_equal(pkcs12.n_keys, 1);
        assert_equals_file(pkcs12.keys[0], "rsa2048.key.der");
        assert_equals_file(pkcs12.certificates[0], "rsa2048.crt.der");
        assert_int_equal(pkcs12_read_with_password(pfx.data, pfx.len, "wrong", 5, &wrong, &wrong_error), -1);
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
            pkcs8_decrypt(file.data, file.len, password, strlen(password), &error);
        if (key == NULL)
            fail_msg("%s: %s", options[i], error_message(error));
        assert_equals_file(key, "rsa2048.key.der");
        /* No MAC: with a wrong password what comes out is damaged, whatever it is. */
        assert_null(pkcs8_decrypt(file.data, file.len, "wrong", 5, NULL));
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
            pkcs12_read_with_password(pfx.data, pfx.len, bad[i].bytes, bad[i].len, &pkcs12, &error), -1);
        assert_string_equal(error_message(error), "pkcs12: the password is not UTF-8 of at most 512 bytes");
    }
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
        cmocka_unit_test(a_changed_byte_never_changes_the_result),
        cmocka_unit_test(a_truncated_file_is_refused_at_every_length),
    };
    return cmocka_run_group_tests_name("pkcs12", tests, make_chain, remove_dir);
}
