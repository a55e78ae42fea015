/*
 * test_tls_split.c - certificates and keys for kubernetes.io/tls, against what OpenSSL's command line makes
 * of the same files (`openssl rsa -traditional`, `openssl ec`, `openssl x509`).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "driver/sync/tls_split.h"
#include "test/unit/scratch.h"

static struct scratch scratch;

static const struct kind {
    const char *name;
    const char *newkey;
    const char *traditional; /* the command that writes the wanted form */
    const char *convert;     /* from a key to the same in PKCS#1 or SEC 1, DER or PEM by its -outform */
} kinds[] = {
    {"rsa2048", "rsa:2048", "openssl rsa -traditional", "openssl rsa -traditional"},
    {"rsa4096", "rsa:4096", "openssl rsa -traditional", "openssl rsa -traditional"},
    {"p256", "ec -pkeyopt ec_paramgen_curve:P-256", "openssl ec", "openssl ec"},
    {"p384", "ec -pkeyopt ec_paramgen_curve:P-384", "openssl ec", "openssl ec"},
    {"p521", "ec -pkeyopt ec_paramgen_curve:P-521", "openssl ec", "openssl ec"},
};

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (scratch_run(&scratch, "%s", command) != 0)
        fail_msg("failed: %s", command);
}

static int make_keys(void **state)
{
    (void)state;
    assert_int_equal(scratch_make(&scratch), 0);
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 2");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *name = kinds[i].name;

        run("openssl req -newkey %s -nodes -keyout %s.key -out %s.csr -subj /CN=%s", kinds[i].newkey, name,
            name, name);
        run("openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out %s.pem -days 1", name,
            name);
        run("%s -in %s.key -out %s.wanted", kinds[i].traditional, name, name);
        run("cat %s.pem ca.pem > %s.chain", name, name);
    }
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

typedef struct secret *split(const void *file, size_t len, struct error **err);

static struct secret *split_file(split *function, const char *name, struct error **err)
{
    cleanup_buffer struct buffer file = {0};

    assert_int_equal(scratch_read(&scratch, name, &file), 0);
    return function(file.data, file.len, err);
}

static void assert_gives(split *function, const char *name, const char *wanted_name)
{
    cleanup_error struct error *error = NULL;
    cleanup_buffer struct buffer wanted = {0};
    cleanup_secret struct secret *found = split_file(function, name, &error);

    if (found == NULL)
        fail_msg("%s: %s", name, error_message(error));
    assert_int_equal(scratch_read(&scratch, wanted_name, &wanted), 0);
    if (secret_len(found) != wanted.len || memcmp(secret_bytes(found), wanted.data, wanted.len) != 0)
        fail_msg("%s differs from %s", name, wanted_name);
}

static void assert_refused(split *function, const char *name, const char *part)
{
    cleanup_error struct error *error = NULL;
    cleanup_secret struct secret *found = split_file(function, name, &error);

    if (found != NULL)
        fail_msg("%s was not refused", name);
    assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
    if (strstr(error_message(error), part) == NULL)
        fail_msg("%s: '%s' does not say '%s'", name, error_message(error), part);
}

static void every_form_of_a_key_becomes_the_traditional_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *name = kinds[i].name;
        char wanted[64];

        (void)snprintf(wanted, sizeof(wanted), "%s.wanted", name);
        run("cp %s.key in", name); /* PKCS#8 */
        assert_gives(tls_split_private_key, "in", wanted);
        run("%s -in %s.key -out in", kinds[i].convert, name); /* PKCS#1, SEC 1 */
        assert_gives(tls_split_private_key, "in", wanted);
        run("cat %s.chain %s.key > in", name, name); /* the key behind the certificates */
        assert_gives(tls_split_private_key, "in", wanted);
        run("cat %s.key %s.chain | sed 's/$/\\r/' > in", name, name); /* before them, other line ends */
        assert_gives(tls_split_private_key, "in", wanted);
    }
}

static void a_pfx_gives_its_key_and_all_its_certificates(void **state)
{
    (void)state;
    static const char *const protections[] = {
        "",
        "-legacy",
        "-legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-3DES -macalg sha1",
        "-keypbe NONE -certpbe NONE",
        "-certpbe AES-128-CBC -keypbe AES-128-CBC -macalg sha512",
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds) * ARRAY_SIZE(protections); i++) {
        const char *name = kinds[i % ARRAY_SIZE(kinds)].name;
        char wanted[64];

        run("openssl pkcs12 -export -passout pass: -inkey %s.key -in %s.pem -certfile ca.pem -name 'a name' %s -out in",
            name, name, protections[i / ARRAY_SIZE(kinds)]);
        (void)snprintf(wanted, sizeof(wanted), "%s.wanted", name);
        assert_gives(tls_split_private_key, "in", wanted);
        (void)snprintf(wanted, sizeof(wanted), "%s.chain", name);
        assert_gives(tls_split_certificates, "in", wanted);
    }
}

static void only_certificates_are_kept_in_order_and_without_what_is_between(void **state)
{
    (void)state;
    run("{ echo 'Bag Attributes'; cat p256.key p256.pem; echo text; openssl ec -in p256.key -pubout; cat ca.pem; cat p256.csr; } > in");
    assert_gives(tls_split_certificates, "in", "p256.chain");
    run("cat p256.pem ca.pem | sed 's/$/ \t/;s/^M/  M/' > in"); /* blanks and tabs */
    assert_gives(tls_split_certificates, "in", "p256.chain");
    run("cat p256.pem ca.pem p256.key | tr '\n' ' ' > in"); /* lost line breaks */
    assert_gives(tls_split_certificates, "in", "p256.chain");
    assert_gives(tls_split_private_key, "in", "p256.wanted");
    /* base64 of another width is written with 64 columns */
    run("openssl x509 -in ca.pem -outform DER | base64 -w 20 > body && { echo -----BEGIN CERTIFICATE-----; cat body; echo -----END CERTIFICATE-----; } > in");
    assert_gives(tls_split_certificates, "in", "ca.pem");
}

static void the_certificate_of_the_key_is_the_first(void **state)
{
    (void)state;
    run("cat ca.pem p256.pem p256.key > in");
    assert_gives(tls_split_certificates, "in", "p256.chain");
    run("cat rsa2048.pem ca.pem p384.pem rsa2048.key p384.key > in"); /* the last key counts */
    run("cat p384.pem ca.pem rsa2048.pem > wanted");
    assert_gives(tls_split_certificates, "in", "wanted");
    run("cat rsa2048.pem ca.pem p384.pem p521.key > in && cat rsa2048.pem ca.pem p384.pem > wanted");
    assert_gives(tls_split_certificates, "in", "wanted"); /* no certificate of the key */
    run("cat ca.pem p256.pem > others && openssl pkcs12 -export -passout pass: -nokeys -in others -out in");
    assert_gives(tls_split_certificates, "in", "p256.chain");
}

static void blocks_that_are_no_private_keys_do_not_hide_the_key(void **state)
{
    (void)state;
    run("openssl ecparam -name secp384r1 > parameters && openssl ec -in p384.key -pubout > public");
    run("cat parameters p384.wanted > in"); /* what `openssl ecparam -genkey` writes */
    assert_gives(tls_split_private_key, "in", "p384.wanted");
    run("cat p384.wanted parameters public p384.csr > in");
    assert_gives(tls_split_private_key, "in", "p384.wanted");
    run("cat rsa2048.key p384.key public > in"); /* the last key counts */
    assert_gives(tls_split_private_key, "in", "p384.wanted");
}

static void a_public_part_that_is_missing_or_compressed_is_computed(void **state)
{
    (void)state;
    run("openssl ec -in p256.key -no_public -out in");
    assert_gives(tls_split_private_key, "in", "p256.wanted");
    run("openssl ec -in p521.key -conv_form compressed -out in");
    assert_gives(tls_split_private_key, "in", "p521.wanted");
}

static void keys_that_cannot_be_used_are_errors(void **state)
{
    (void)state;
    run("openssl genpkey -algorithm ed25519 -out in");
    assert_refused(tls_split_private_key, "in", "not supported");
    run("openssl genpkey -algorithm x25519 -out in");
    assert_refused(tls_split_private_key, "in", "not supported");
    run("openssl dsaparam -out dsa 1024 && openssl gendsa -out in dsa");
    assert_refused(tls_split_private_key, "in", "not supported");
    run("openssl pkcs8 -topk8 -in p256.key -passout pass:x -out in");
    assert_refused(tls_split_private_key, "in", "is encrypted");
    run("openssl rsa -traditional -aes128 -passout pass:x -in rsa2048.key -out in");
    assert_refused(tls_split_private_key, "in", "is encrypted");
    run("cp p256.chain in");
    assert_refused(tls_split_private_key, "in", "certificates only");
    run("openssl pkcs12 -export -passout pass: -nokeys -in ca.pem -out in");
    assert_refused(tls_split_private_key, "in", "contains none");
    run("openssl pkcs12 -export -passout pass:x -inkey p256.key -in p256.pem -out in");
    assert_refused(tls_split_private_key, "in", "password incorrect");
    run("printf 'no key at all' > in");
    assert_refused(tls_split_private_key, "in", "neither PEM nor PKCS#12");
    run(": > in");
    assert_refused(tls_split_private_key, "in", "no private key: the file is empty");
    run("openssl pkey -in p256.key -pubout -out in");
    assert_refused(tls_split_private_key, "in", "no private key: the file is PEM, with other blocks only");
    run("openssl pkcs12 -export -passout pass: -inkey p256.key -in p256.pem | base64 > in");
    assert_refused(tls_split_private_key, "in", "[hint: it is base64 text");
    run("base64 -w 0 p256.key > in");
    assert_refused(tls_split_private_key, "in", "[hint: it is base64 text");
    run("{ echo -----BEGIN PRIVATE KEY-----; echo AAAA; echo -----END PRIVATE KEY-----; } > in");
    assert_refused(tls_split_private_key, "in", "damaged");
    run("{ echo -----BEGIN PRIVATE KEY-----; echo 'A*AA'; echo -----END PRIVATE KEY-----; } > in");
    assert_refused(tls_split_private_key, "in", "illegal base64");
}

static void a_key_whose_parts_do_not_belong_together_is_an_error(void **state)
{
    (void)state;
    /* the public point of another key, at the end of SEC 1 */
    run("openssl ec -in p256.key -outform DER -out a && openssl ecparam -name P-256 -genkey -noout -outform "
        "DER -out b && { head -c -65 a; tail -c 65 b; } > c && { echo -----BEGIN EC PRIVATE KEY-----; base64 c; echo -----END EC PRIVATE KEY-----; } > in");
    assert_refused(tls_split_private_key, "in", "belong together");
}

static void a_file_without_certificates_is_an_error(void **state)
{
    (void)state;
    run("cp p256.key in");
    assert_refused(tls_split_certificates, "in", "no certificate: the file is PEM, with other blocks only");
    run("openssl x509 -in p256.pem -trustout -out in");
    assert_refused(tls_split_certificates, "in", "no certificate: the file is PEM, with other blocks only");
    run("openssl pkcs12 -export -passout pass: -inkey p256.key -in p256.pem | base64 -w 0 > in");
    assert_refused(tls_split_certificates, "in", "[hint: it is base64 text");
    run("echo MIN > in");
    assert_refused(tls_split_certificates, "in", "damaged file, or not a PKCS#12 file in DER");
    run("head -c 400 p256.pem > in");
    assert_refused(tls_split_certificates, "in",
                   "no certificate: the file is PEM, and a block of it is cut off");
    run("{ cat p256.key; head -c 400 p256.pem; } > in");
    assert_refused(tls_split_certificates, "in",
                   "no certificate: the file is PEM, and a block of it is cut off");
    run("openssl pkcs12 -export -passout pass: -nocerts -inkey p256.key -out in");
    assert_refused(tls_split_certificates, "in", "contains none");
    run("sed 's/^MI/*I/' ca.pem > in");
    assert_refused(tls_split_certificates, "in", "certificate 1: illegal base64");
    run(": > in");
    assert_refused(tls_split_certificates, "in", "no certificate: the file is empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_key_becomes_the_traditional_one),
        cmocka_unit_test(a_pfx_gives_its_key_and_all_its_certificates),
        cmocka_unit_test(only_certificates_are_kept_in_order_and_without_what_is_between),
        cmocka_unit_test(the_certificate_of_the_key_is_the_first),
        cmocka_unit_test(blocks_that_are_no_private_keys_do_not_hide_the_key),
        cmocka_unit_test(a_public_part_that_is_missing_or_compressed_is_computed),
        cmocka_unit_test(keys_that_cannot_be_used_are_errors),
        cmocka_unit_test(a_key_whose_parts_do_not_belong_together_is_an_error),
        cmocka_unit_test(a_file_without_certificates_is_an_error),
    };
    return cmocka_run_group_tests_name("tls_split", tests, make_keys, remove_dir);
}
