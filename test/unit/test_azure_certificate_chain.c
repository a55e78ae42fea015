/*
 * test_azure_certificate_chain.c - chains made by OpenSSL's command line, in every order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "provider-azure/content/certificate_chain.h"
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
           make_certificate("bare-leaf", "bare-root", no_ids) != 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static struct secret *load(const char *name)
{
    char file[64];
    cleanup_buffer struct buffer der = {0};
    (void)snprintf(file, sizeof(file), "%s.der", name);
    assert_int_equal(scratch_read(&scratch, file, &der), 0);
    return secret_from_bytes(der.data, der.len);
}

/* Orders the certificates named in `input` and compares with `wanted` (both end with NULL). */
static void check(enum certificate_chain outcome, const char *const *input, const char *const *wanted)
{
    struct secret *certificates[CERTS_MAX + 1] = {NULL};
    size_t n = 0;
    while (input[n] != NULL) {
        certificates[n] = load(input[n]);
        n++;
    }
    assert_int_equal(certificate_chain_order(certificates, &n), outcome);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(wanted[i]);
        cleanup_secret struct secret *want = load(wanted[i]);
        assert_true(secret_equal(certificates[i], want));
        secret_destroy(certificates[i]);
    }
    assert_null(wanted[n]);
}

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
        check(CERTIFICATE_CHAIN_ORDERED, input, wanted);
    }
}

static void certificates_that_are_no_single_chain_keep_their_order(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_INCOMPLETE, (const char *const[]){"root", "leaf", NULL},
          (const char *const[]){"root", "leaf", NULL});
    check(CERTIFICATE_CHAIN_INCOMPLETE, (const char *const[]){"root", "other", "int2", "leaf", NULL},
          (const char *const[]){"root", "other", "int2", "leaf", NULL});
    check(CERTIFICATE_CHAIN_INCOMPLETE, (const char *const[]){"bare-leaf", "root", NULL},
          (const char *const[]){"bare-leaf", "root", NULL});
}

static void a_repeated_root_is_dropped_and_harms_nothing(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_ORDERED, (const char *const[]){"root", "int1", "root", NULL},
          (const char *const[]){"int1", "root", NULL});
    check(CERTIFICATE_CHAIN_ORDERED, (const char *const[]){"root", "root", NULL},
          (const char *const[]){"root", NULL});
}

static void names_decide_where_key_identifiers_are_missing(void **state)
{
    (void)state;
    check(CERTIFICATE_CHAIN_ORDERED, (const char *const[]){"bare-root", "bare-leaf", NULL},
          (const char *const[]){"bare-leaf", "bare-root", NULL});
    check(CERTIFICATE_CHAIN_ORDERED, (const char *const[]){"bare-root", NULL},
          (const char *const[]){"bare-root", NULL});
}

static void something_that_is_no_certificate_keeps_the_order(void **state)
{
    (void)state;
    struct secret *certificates[2] = {load("root"), secret_from_bytes("test", 4)};
    size_t n = 2;
    assert_int_equal(certificate_chain_order(certificates, &n), CERTIFICATE_CHAIN_UNREADABLE);
    assert_int_equal(n, 2);
    assert_int_equal(secret_len(certificates[1]), 4);
    secret_destroy(certificates[0]);
    secret_destroy(certificates[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_a_whole_chain_becomes_leaf_to_root),
        cmocka_unit_test(certificates_that_are_no_single_chain_keep_their_order),
        cmocka_unit_test(a_repeated_root_is_dropped_and_harms_nothing),
        cmocka_unit_test(names_decide_where_key_identifiers_are_missing),
        cmocka_unit_test(something_that_is_no_certificate_keeps_the_order),
    };
    return cmocka_run_group_tests_name("azure_certificate_chain", tests, make_certificates, remove_dir);
}
