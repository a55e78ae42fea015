/*
 * test_pkcs12_write.c - written PFX files, read by OpenSSL's command line and by our own reader. Other
 * readers (Java, NSS, GnuTLS, Python): test/integration/test_pkcs12_files.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs12.h"
#include "common/crypto/pkcs12_write.h"
#include "test/unit/scratch.h"

static struct scratch scratch;

static const char *const kinds[] = {"rsa", "ec", "ed"};
static struct buffer keys[ARRAY_SIZE(kinds)], certificates[ARRAY_SIZE(kinds)], root;

static int make_files(void **state)
{
    static const char *const algorithms[] = {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"};
    (void)state;
    assert_int_equal(scratch_make(&scratch), 0);
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 2 && openssl x509 -in ca.pem -outform DER -out ca.der"),
        0);
    assert_int_equal(scratch_read(&scratch, "ca.der", &root), 0);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        char name[32];
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl req -newkey %s -nodes -keyout %s.pem -out r.csr -subj /CN=%s && openssl x509 -req -in r.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out %s.crt -days 1 "
                "&& openssl x509 -in %s.crt -outform DER -out %s.der && openssl pkcs8 -topk8 -nocrypt -in %s.pem -outform DER -out %s.key",
                algorithms[i], kinds[i], kinds[i], kinds[i], kinds[i], kinds[i], kinds[i], kinds[i]),
            0);
        (void)snprintf(name, sizeof(name), "%s.key", kinds[i]);
        assert_int_equal(scratch_read(&scratch, name, &keys[i]), 0);
        (void)snprintf(name, sizeof(name), "%s.der", kinds[i]);
        assert_int_equal(scratch_read(&scratch, name, &certificates[i]), 0);
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        buffer_finish(&keys[i]);
        buffer_finish(&certificates[i]);
    }
    buffer_finish(&root);
    return scratch_remove(&scratch);
}

static struct der span(const struct buffer *buffer)
{
    return der_span(buffer->data, buffer->len);
}

static struct secret *write_named(size_t kind, enum pkcs12_profile profile, const char *name,
                                  const char *password)
{
    const struct pkcs12_certificate chain[] = {{span(&certificates[kind]), name}, {span(&root), NULL}};
    const struct pkcs12_contents contents = {
        .key = span(&keys[kind]), .key_name = name, .certificates = chain, .n = 2};
    cleanup_error struct error *error = NULL;
    struct secret *file = pkcs12_write(&contents, profile, password, strlen(password), NULL, &error);
    if (file == NULL)
        fail_msg("%s", error_message(error));
    return file;
}

static void save(const struct secret *file, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", scratch.dir, name);
    cleanup_file FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(secret_bytes(file), 1, secret_len(file), out), secret_len(file));
}

static void assert_same(const struct secret *found, const struct buffer *wanted)
{
    assert_int_equal(secret_len(found), wanted->len);
    assert_memory_equal(secret_bytes(found), wanted->data, wanted->len);
}

static void openssl_and_our_reader_read_every_key_in_both_profiles(void **state)
{
    static const char *const passwords[] = {"secret", "p\xc3\xa4ss w\xc3\xb6rt",
                                            "0123456789012345678901234567890123456789"};
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
        size_t kind = i % ARRAY_SIZE(kinds);
        enum pkcs12_profile profile = i < ARRAY_SIZE(kinds) ? PKCS12_MODERN : PKCS12_LEGACY;
        const char *password = passwords[kind];
        cleanup_secret struct secret *file = write_named(kind, profile, "web", password);
        cleanup_pkcs12 struct pkcs12 found = {0};
        cleanup_error struct error *error = NULL;

        if (pkcs12_read_with_password(secret_bytes(file), secret_len(file), password, strlen(password), NULL,
                                      &found, &error) < 0)
            fail_msg("%s", error_message(error));
        assert_int_equal(found.n_keys, 1);
        assert_int_equal(found.n_certificates, 2);
        assert_same(found.keys[0], &keys[kind]);
        assert_same(found.certificates[0], &certificates[kind]);
        assert_same(found.certificates[1], &root);
        assert_int_equal(found.key_ids[0].len, 20);
        assert_memory_equal(&found.key_ids[0], &found.certificate_ids[0], sizeof(found.key_ids[0]));
        assert_int_equal(found.certificate_ids[1].len, 0);
        const struct pkcs12_certificate chain[] = {{span(&certificates[kind]), NULL}};
        const struct pkcs12_contents contents = {.key = span(&keys[kind]), .certificates = chain, .n = 1};
        assert_int_equal(pkcs12_write_cost(&contents, profile), found.cost);

        save(file, "out.p12");
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -in out.p12 -passin pass:'%s' -nodes -nocerts -out k && openssl pkcs8 -topk8 -nocrypt -in k -outform DER | cmp - %s.key "
                "&& openssl pkcs12 -in out.p12 -passin pass:'%s' -nokeys -clcerts -out c && grep -q 'friendlyName: web' c && openssl x509 -in c -outform DER | cmp - %s.der "
                "&& openssl pkcs12 -in out.p12 -passin pass:'%s' -nokeys -cacerts -out a && ! grep -q friendlyName a && openssl x509 -in a -outform DER | cmp - ca.der",
                password, kinds[kind], password, kinds[kind], password),
            0);
        assert_int_equal(
            scratch_run(&scratch, "! openssl pkcs12 -in out.p12 -passin pass:wrong -noout 2>err"), 0);
    }
}

static void openssl_shows_the_profiles_algorithms(void **state)
{
    static const char *const patterns[] = {
        "MAC: sha256, Iteration 100000.*MAC length: 32, salt length: 16.*PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256.*Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256",
        "MAC: sha1, Iteration 2000.*pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2000.*Shrouded Keybag: pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2000"};
    (void)state;
    for (size_t profile = 0; profile < ARRAY_SIZE(patterns); profile++) {
        cleanup_secret struct secret *file = write_named(0, (enum pkcs12_profile)profile, "web", "secret");
        save(file, "out.p12");
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -in out.p12 -passin pass:secret -info -nodes -out /dev/null 2>&1 | tr '\\n' ' ' >info; grep -q '%s' info || { cat info; false; }",
                patterns[profile]),
            0);
    }
}

static size_t common_bytes(const struct secret *one, const struct secret *other)
{
    size_t same = 0;
    for (size_t i = 0; i < secret_len(one) && i < secret_len(other); i++)
        same += secret_bytes(one)[i] == secret_bytes(other)[i];
    return same;
}

/* How many OCTET STRINGs of 16 bytes, as the salts and IVs of the modern profile are, `other` shares with
 * `one`. */
static size_t shared_octets(const struct secret *one, const struct secret *other)
{
    size_t n = 0;
    for (size_t i = 0; i + 18 <= secret_len(one); i++) {
        if (memcmp(secret_bytes(one) + i, "\x04\x10", 2) == 0 &&
            memmem(secret_bytes(other), secret_len(other), secret_bytes(one) + i, 18) != NULL)
            n++;
    }
    return n;
}

static void the_same_input_gives_the_same_bytes_and_any_other_new_salts(void **state)
{
    (void)state;
    cleanup_secret struct secret *one = write_named(1, PKCS12_MODERN, "web", "secret");
    cleanup_secret struct secret *again = write_named(1, PKCS12_MODERN, "web", "secret");
    cleanup_secret struct secret *name = write_named(1, PKCS12_MODERN, "wed", "secret");
    cleanup_secret struct secret *password = write_named(1, PKCS12_MODERN, "web", "secret2");
    assert_int_equal(secret_len(one), secret_len(again));
    assert_memory_equal(secret_bytes(one), secret_bytes(again), secret_len(one));
    assert_int_equal(shared_octets(one, name), 0);
    /* With another password the salts stay (salt and IV of two parts, salt of the MAC), and the encrypted
     * parts are others, in which bytes may stand that could be one more salt. */
    assert_int_equal(shared_octets(one, password), 5);
    assert_true(common_bytes(one, password) < secret_len(one) / 2);
}

static void trusted_certificates_have_names_and_javas_mark(void **state)
{
    (void)state;
    const struct pkcs12_certificate trusted[] = {{span(&root), "root"},
                                                 {span(&certificates[0]), "other \xc3\xbc"}};
    const struct pkcs12_contents contents = {.key = der_span(root.data, 0), .certificates = trusted, .n = 2};
    for (int profile = PKCS12_MODERN; profile <= PKCS12_LEGACY; profile++) {
        cleanup_secret struct secret *file =
            pkcs12_write(&contents, (enum pkcs12_profile)profile, "secret", 6, NULL, NULL);
        cleanup_pkcs12 struct pkcs12 found = {0};
        assert_non_null(file);
        assert_int_equal(
            pkcs12_read_with_password(secret_bytes(file), secret_len(file), "secret", 6, NULL, &found, NULL),
            0);
        assert_int_equal(found.n_keys, 0);
        assert_int_equal(found.n_certificates, 2);
        assert_same(found.certificates[0], &root);
        assert_int_equal(pkcs12_write_cost(&contents, (enum pkcs12_profile)profile), found.cost);
        save(file, "trust.p12");
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl pkcs12 -in trust.p12 -passin pass:secret -nokeys -out t && test $(grep -c 'friendlyName' t) = 2 && test $(grep -cE '2.16.840.1.113894.746875.1.1|Trusted key usage' t) = 2"),
            0);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    struct pkcs12_certificate many[PKCS12_WRITE_CERTIFICATES_MAX + 1];
    char longest[PKCS12_WRITE_NAME_MAX + 2];
    static uint8_t large[PKCS12_SIZE_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct pkcs12_certificate){span(&root), NULL};
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    const struct pkcs12_certificate named = {span(&root), longest}, broken = {span(&root), "\xff"},
                                    huge = {der_span(large, sizeof(large)), NULL};
    const struct {
        const struct pkcs12_certificate *certificates;
        size_t n;
        const char *password, *expected;
    } table[] = {
        {many, ARRAY_SIZE(many), "p", "too many or too large certificates"},
        {&huge, 1, "p", "too many or too large certificates"},
        {many, 0, "p", "there is no certificate"},
        {many, 1, "", "the password is empty"},
        {many, 1, "\xff", "the password is not UTF-8"},
        {&named, 1, "p", "a friendlyName is not UTF-8 of at most 256 bytes"},
        {&broken, 1, "p", "a friendlyName is not UTF-8 of at most 256 bytes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct pkcs12_contents contents = {
            .key = span(&keys[0]), .certificates = table[i].certificates, .n = table[i].n};
        cleanup_error struct error *error = NULL;
        assert_null(pkcs12_write(&contents, PKCS12_LEGACY, table[i].password, strlen(table[i].password), NULL,
                                 &error));
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
        if (strstr(error_message(error), table[i].expected) == NULL)
            fail_msg("row %zu: %s", i, error_message(error));
    }
    longest[PKCS12_WRITE_NAME_MAX] = '\0';
    const struct pkcs12_contents most = {
        .key = span(&keys[0]), .key_name = longest, .certificates = many, .n = PKCS12_WRITE_CERTIFICATES_MAX};
    many[0].name = longest;
    cleanup_secret struct secret *file = pkcs12_write(&most, PKCS12_LEGACY, "p", 1, NULL, NULL);
    cleanup_pkcs12 struct pkcs12 found = {0};
    assert_non_null(file);
    assert_int_equal(
        pkcs12_read_with_password(secret_bytes(file), secret_len(file), "p", 1, NULL, &found, NULL), 0);
    assert_int_equal(found.n_certificates, PKCS12_WRITE_CERTIFICATES_MAX);
}

static void it_ends_when_nobody_waits(void **state)
{
    const atomic_bool stop = true;
    const struct pkcs12_certificate one = {span(&root), NULL};
    const struct pkcs12_contents contents = {.key = span(&keys[0]), .certificates = &one, .n = 1};
    (void)state;
    assert_null(pkcs12_write(&contents, PKCS12_MODERN, "p", 1, &stop, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_and_our_reader_read_every_key_in_both_profiles),
        cmocka_unit_test(openssl_shows_the_profiles_algorithms),
        cmocka_unit_test(the_same_input_gives_the_same_bytes_and_any_other_new_salts),
        cmocka_unit_test(trusted_certificates_have_names_and_javas_mark),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(it_ends_when_nobody_waits),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
