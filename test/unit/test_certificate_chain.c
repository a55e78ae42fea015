/*
 * test_certificate_chain.c - chains made by OpenSSL's command line, in every order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/certificate_chain.h"
#include "common/crypto/key_match.h"
#include "test/unit/scratch.h"

enum { CERTS_MAX = 4 };

static struct scratch scratch;

static int make_certificate(const char *name, const char *issuer, const char *extensions)
{
    if (scratch_run(
            &scratch,
            "printf '%s' >%s.ext; openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.csr -subj '/CN=%s'",
            extensions, name, name, name, name) != 0)
        return -1;
    if (issuer == NULL)
        return scratch_run(
            &scratch,
            "openssl x509 -req -in %s.csr -signkey %s.key -extfile %s.ext -days 2 -outform DER -out %s.der && openssl x509 -inform DER -in %s.der -out %s.pem",
            name, name, name, name, name, name);
    return scratch_run(
        &scratch,
        "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -extfile %s.ext -days 2 -outform DER -out %s.der && openssl x509 -inform DER -in %s.der -out %s.pem",
        name, issuer, issuer, name, name, name, name);
}

static int make_certificates(void **state)
{
    static const char with_ids[] = "subjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid:always\\n";
    static const char no_ids[] = "subjectKeyIdentifier=none\\nauthorityKeyIdentifier=none\\n";
    static const char no_ski[] = "subjectKeyIdentifier=none\\nauthorityKeyIdentifier=keyid:always\\n";
    (void)state;
    if (scratch_make(&scratch) < 0)
        return -1;
    return make_certificate("root", NULL, with_ids) != 0 || make_certificate("int1", "root", with_ids) != 0 ||
           make_certificate("int2", "int1", with_ids) != 0 || make_certificate("leaf", "int2", no_ski) != 0 ||
           make_certificate("other", "int2", with_ids) != 0 ||
           make_certificate("bare-root", NULL, no_ids) != 0 ||
           make_certificate("bare-leaf", "bare-root", no_ids) != 0 ||
           make_certificate("self", NULL, with_ids) != 0 ||
           scratch_run(
               &scratch,
               "openssl x509 -req -in self.csr -signkey self.key -extfile self.ext -days 9 -outform DER -out renewed.der && openssl genpkey -algorithm ed25519 -out ed.key && "
               "for key in *.key; do openssl pkcs8 -topk8 -nocrypt -in $key -outform DER -out ${key%%.key}.p8; done") !=
               0;
}

static int remove_dir(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static struct secret *load(const char *name, const char *form)
{
    char file[64];
    cleanup_buffer struct buffer der = {0};
    (void)snprintf(file, sizeof(file), "%s.%s", name, form);
    assert_int_equal(scratch_read(&scratch, file, &der), 0);
    return secret_from_bytes(der.data, der.len);
}

/* Orders the certificates named in `input` and compares with `wanted` (both end with NULL). `key`: the name
 * of a private key; NULL for none. */
static void check(enum certificate_chain outcome, const char *key, const char *const *input,
                  const char *const *wanted)
{
    cleanup_pkcs12 struct pkcs12 pfx = {0};
    for (; input[pfx.n_certificates] != NULL; pfx.n_certificates++)
        pfx.certificates[pfx.n_certificates] = load(input[pfx.n_certificates], "der");
    if (key != NULL)
        pfx.keys[pfx.n_keys++] = load(key, "p8");
    assert_int_equal(certificate_chain_order_pfx(&pfx), outcome);
    for (size_t i = 0; i < pfx.n_certificates; i++) {
        assert_non_null(wanted[i]);
        cleanup_secret struct secret *want = load(wanted[i], "der");
        if (!secret_equal(pfx.certificates[i], want))
            fail_msg("certificate %zu is not %s", i, wanted[i]);
    }
    assert_null(wanted[pfx.n_certificates]);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void any_order_of_a_whole_chain_becomes_leaf_to_root(void **state)
{
    (void)state;
    static const char *const names[CERTS_MAX] = {"leaf", "int2", "int1", "root"};
    static const char *const wanted[] = {"leaf", "int2", "int1", "root", NULL};
    for (unsigned code = 0; code < CERTS_MAX * CERTS_MAX * CERTS_MAX * CERTS_MAX; code++) {
        unsigned at[CERTS_MAX] = {code % 4, code / 4 % 4, code / 16 % 4, code / 64 % 4};
        if ((1U << at[0] | 1U << at[1] | 1U << at[2] | 1U << at[3]) != 15U)
            continue; /* no permutation */
        const char *input[] = {names[at[0]], names[at[1]], names[at[2]], names[at[3]], NULL};
        check(CERTIFICATE_CHAIN_ORDERED, NULL, input, wanted);
        check(CERTIFICATE_CHAIN_ORDERED, "leaf", input, wanted);
    }
}

static void the_certificate_of_the_key_is_first_and_the_others_keep_their_order(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_INCOMPLETE, "leaf", NAMES("root", "leaf"), NAMES("leaf", "root"));
    check(CERTIFICATE_CHAIN_INCOMPLETE, "leaf", NAMES("root", "other", "int2", "leaf"),
          NAMES("leaf", "int2", "root", "other"));
    check(CERTIFICATE_CHAIN_INCOMPLETE, "other", NAMES("root", "leaf", "int1", "int2", "other"),
          NAMES("other", "int2", "int1", "root", "leaf"));
    check(CERTIFICATE_CHAIN_INCOMPLETE, "bare-leaf", NAMES("root", "bare-leaf"), NAMES("bare-leaf", "root"));
    /* a certificate authority's own file */
    check(CERTIFICATE_CHAIN_INCOMPLETE, "int1", NAMES("leaf", "root", "int1"), NAMES("int1", "root", "leaf"));
}

static void without_a_key_the_leaf_is_a_certificate_that_issued_no_other(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_INCOMPLETE, NULL, NAMES("root", "leaf"), NAMES("root", "leaf"));
    check(CERTIFICATE_CHAIN_INCOMPLETE, NULL, NAMES("root", "other", "int2", "leaf"),
          NAMES("other", "int2", "root", "leaf"));
    check(CERTIFICATE_CHAIN_INCOMPLETE, NULL, NAMES("root", "bare-leaf", "bare-root"),
          NAMES("bare-leaf", "bare-root", "root"));
    /* the key is of none of them */
    check(CERTIFICATE_CHAIN_OTHER_KEY, "bare-leaf", NAMES("int2", "leaf"), NAMES("leaf", "int2"));
    check(CERTIFICATE_CHAIN_OTHER_KEY, "ed", NAMES("int2", "leaf"), NAMES("leaf", "int2"));
}

static void a_repeated_root_is_dropped_and_harms_nothing(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_ORDERED, NULL, NAMES("root", "int1", "root"), NAMES("int1", "root"));
    check(CERTIFICATE_CHAIN_ORDERED, NULL, NAMES("root", "root"), NAMES("root"));
}

static void names_decide_where_key_identifiers_are_missing(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_ORDERED, NULL, NAMES("bare-root", "bare-leaf"), NAMES("bare-leaf", "bare-root"));
    check(CERTIFICATE_CHAIN_ORDERED, NULL, NAMES("bare-root"), NAMES("bare-root"));
}

static void something_that_is_no_certificate_stands_behind_the_chain(void **state)
{
    (void)state;
    cleanup_pkcs12 struct pkcs12 pfx = {
        .certificates = {load("root", "der"), secret_from_bytes("test", 4), load("int1", "der")},
        .n_certificates = 3,
    };
    cleanup_secret struct secret *first = load("int1", "der");
    assert_int_equal(certificate_chain_order_pfx(&pfx), CERTIFICATE_CHAIN_UNREADABLE);
    assert_int_equal(pfx.n_certificates, 3);
    assert_true(secret_equal(pfx.certificates[0], first));
    assert_int_equal(secret_len(pfx.certificates[2]), 4);
}

static void the_first_key_with_a_certificate_becomes_the_first(void **state)
{
    (void)state;
    cleanup_pkcs12 struct pkcs12 pfx = {
        .keys = {load("bare-leaf", "p8"), load("ed", "p8"), load("leaf", "p8"), load("other", "p8")},
        .n_keys = 4,
        .certificates = {load("other", "der"), load("leaf", "der")},
        .n_certificates = 2,
    };
    cleanup_secret struct secret *key = load("leaf", "p8"), *next = load("bare-leaf", "p8");
    cleanup_secret struct secret *certificate = load("leaf", "der");
    assert_int_equal(certificate_chain_order_pfx(&pfx), CERTIFICATE_CHAIN_INCOMPLETE);
    assert_true(secret_equal(pfx.keys[0], key));
    assert_true(secret_equal(pfx.keys[1], next));
    assert_true(secret_equal(pfx.certificates[0], certificate));
}

/* A certificate that renews another has the same key; the file's localKeyId says which one is in use. */
static void among_certificates_of_one_key_the_local_key_id_decides(void **state)
{
    (void)state;
    for (size_t chosen = 0; chosen < 3; chosen++) {
        cleanup_pkcs12 struct pkcs12 pfx = {
            .keys = {load("self", "p8")},
            .n_keys = 1,
            .certificates = {load("self", "der"), load("renewed", "der")},
            .n_certificates = 2,
            .key_ids = {{.len = chosen < 2 ? 1 : 0, .bytes = {7}}},
        };
        if (chosen < 2)
            pfx.certificate_ids[chosen] = pfx.key_ids[0];
        cleanup_secret struct secret *wanted = load(chosen == 0 ? "self" : "renewed", "der");
        (void)certificate_chain_order_pfx(&pfx);
        assert_true(secret_equal(pfx.certificates[0], wanted)); /* without one: the younger */
    }
}

/* Every form of a key is recognized, and no other key. */
static void a_key_matches_its_certificate_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *genkey;
        enum key_match match;
    } kinds[] = {
        {"-algorithm RSA -pkeyopt rsa_keygen_bits:2048", KEY_MATCH_YES},
        {"-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", KEY_MATCH_YES},
        {"-algorithm EC -pkeyopt ec_paramgen_curve:P-256", KEY_MATCH_YES},
        {"-algorithm EC -pkeyopt ec_paramgen_curve:P-521", KEY_MATCH_YES},
        {"-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", KEY_MATCH_YES},
        {"-algorithm ED25519", KEY_MATCH_UNKNOWN},
        {"-algorithm ED448", KEY_MATCH_UNKNOWN},
    };
    static const char *const forms[] = {
        "pkcs8 -topk8 -nocrypt -in k.pem -outform DER -out k.p8",
        "pkey -traditional -in k.pem -outform DER -out k.p8",
        "ec -no_public -in k.pem -outform DER -out k.p8",
        "ec -conv_form compressed -in k.pem -outform DER -out k.p8",
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        bool ec = strstr(kinds[i].genkey, "EC ") != NULL;
        assert_int_equal(
            scratch_run(
                &scratch,
                "openssl genpkey %s -out k.pem && openssl pkey -in k.pem -pubout -outform DER -out k.spki && openssl genpkey %s | openssl pkey -pubout -outform DER -out l.spki",
                kinds[i].genkey, kinds[i].genkey),
            0);
        for (size_t form = 0; form < (ec ? ARRAY_SIZE(forms) : 2); form++) {
            struct der whole, spki, other;
            struct key_public public;
            assert_int_equal(scratch_run(&scratch, "openssl %s", forms[form]), 0);
            cleanup_secret struct secret *key = load("k", "p8"), *mine = load("k", "spki"),
                                         *foreign = load("l", "spki");
            whole = der_span(secret_bytes(mine), secret_len(mine));
            assert_int_equal(der_take(&whole, DER_SEQUENCE, &spki), 0);
            whole = der_span(secret_bytes(foreign), secret_len(foreign));
            assert_int_equal(der_take(&whole, DER_SEQUENCE, &other), 0);
            key_public_read(der_span(secret_bytes(key), secret_len(key)), &public);
            if (key_public_match(&public, spki) != kinds[i].match)
                fail_msg("kind %zu, form %zu", i, form);
            assert_int_equal(key_public_match(&public, other),
                             kinds[i].match == KEY_MATCH_YES ? KEY_MATCH_NO : KEY_MATCH_UNKNOWN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_a_whole_chain_becomes_leaf_to_root),
        cmocka_unit_test(the_certificate_of_the_key_is_first_and_the_others_keep_their_order),
        cmocka_unit_test(without_a_key_the_leaf_is_a_certificate_that_issued_no_other),
        cmocka_unit_test(a_repeated_root_is_dropped_and_harms_nothing),
        cmocka_unit_test(names_decide_where_key_identifiers_are_missing),
        cmocka_unit_test(something_that_is_no_certificate_stands_behind_the_chain),
        cmocka_unit_test(the_first_key_with_a_certificate_becomes_the_first),
        cmocka_unit_test(among_certificates_of_one_key_the_local_key_id_decides),
        cmocka_unit_test(a_key_matches_its_certificate_in_every_form),
    };
    return cmocka_run_group_tests_name("certificate_chain", tests, make_certificates, remove_dir);
}
