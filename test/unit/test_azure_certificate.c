/*
 * test_azure_certificate.c - PFX to PEM and splitting of PEM, compared with OpenSSL's command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "provider-azure/content/certificate.h"
#include "test/unit/scratch.h"

static struct scratch scratch;

static int make_files(void **state)
{
    (void)state;
    if (scratch_make(&scratch) < 0)
        return -1;
    return scratch_run(
        &scratch,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 2 && openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf && "
        "openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 1 && openssl pkcs12 -export -passout pass: -legacy -inkey leaf.key -in leaf.pem -certfile ca.pem | "
        "openssl base64 -A >pfx && cat leaf.key leaf.pem ca.pem >chain.pem && cat leaf.pem ca.pem >certificates.pem");
}

static int remove_files(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static void a_pfx_becomes_the_key_and_the_chain_that_went_in(void **state)
{
    (void)state;
    cleanup_buffer struct buffer pfx = {0}, wanted = {0}, pem = {.ceiling = 1 << 20};
    cleanup_error struct error *error = NULL;
    enum certificate_chain chain = CERTIFICATE_CHAIN_UNREADABLE;
    uint64_t cost = 0;

    assert_int_equal(scratch_read(&scratch, "pfx", &pfx), 0);
    assert_int_equal(scratch_read(&scratch, "chain.pem", &wanted), 0);
    assert_int_equal(certificate_pem_from_pfx(buffer_str(&pfx), pfx.len, CERTIFICATE_ORDER_CHAIN, NULL, &pem,
                                              &chain, &cost, &error),
                     0);
    assert_int_equal(chain, CERTIFICATE_CHAIN_ORDERED);
    assert_string_equal(buffer_str(&pem), buffer_str(&wanted));
    assert_true(cost >= 2048); /* openssl's rounds of the MAC */
}

static void a_pfx_that_is_no_base64_or_no_pfx_is_an_error(void **state)
{
    (void)state;
    static const char *const inputs[] = {"invalid", "aW52YWxpZA==", ""};
    for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
        cleanup_buffer struct buffer pem = {.ceiling = 1 << 20};
        enum certificate_chain chain;
        uint64_t cost = 1;
        assert_int_equal(certificate_pem_from_pfx(inputs[i], strlen(inputs[i]), CERTIFICATE_ORDER_CHAIN, NULL,
                                                  &pem, &chain, &cost, NULL),
                         -1);
    }
}

static void pem_is_split_into_certificates_and_the_rest(void **state)
{
    (void)state;
    cleanup_buffer struct buffer pem = {0}, wanted_certificates = {0}, wanted_key = {0};
    cleanup_buffer struct buffer certificates = {.ceiling = 1 << 20}, keys = {.ceiling = 1 << 20};

    assert_int_equal(scratch_read(&scratch, "chain.pem", &pem), 0);
    assert_int_equal(scratch_read(&scratch, "certificates.pem", &wanted_certificates), 0);
    assert_int_equal(scratch_read(&scratch, "leaf.key", &wanted_key), 0);
    assert_int_equal(certificate_split_pem(buffer_str(&pem), pem.len, &certificates, &keys, NULL), 0);
    assert_string_equal(buffer_str(&certificates), buffer_str(&wanted_certificates));
    assert_string_equal(buffer_str(&keys), buffer_str(&wanted_key));
}

struct split_case {
    const char *pem, *certificates, *keys;
};

static void odd_pem_text_is_split_without_surprises(void **state)
{
    (void)state;
    static const struct split_case cases[] = {
        {"", "", ""},
        {"text only", "", ""},
        {"-----BEGIN CERTIFICATE-----\ndGVzdA==\n", "", ""},
        {"bag attributes\n-----BEGIN CERTIFICATE-----\r\ndGVzdA==\r\n-----END CERTIFICATE-----\r\n",
         "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n", ""},
        {"-----BEGIN A-----\n-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----",
         "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n", ""},
        /* trailing and inner blanks, tabs, lost line breaks, "\\n" as two characters */
        {"-----BEGIN CERTIFICATE----- \t\n dGVz dA==\t \n  -----END CERTIFICATE-----  \n",
         "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n", ""},
        {"-----BEGIN CERTIFICATE-----dGVzdA==-----END CERTIFICATE----------BEGIN KEY-----dGVz-----END KEY-----",
         "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n",
         "-----BEGIN KEY-----\ndGVz\n-----END KEY-----\n"},
        {"-----BEGIN CERTIFICATE-----\\ndGV\\r\\nzdA==\\n-----END CERTIFICATE-----\\n",
         "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n", ""},
        {"-----BEGIN CERTIFICATE-----\ndG\\xVzdA==\n-----END CERTIFICATE-----\n",
         "-----BEGIN CERTIFICATE-----\ndG\\xVzdA==\n-----END CERTIFICATE-----\n", ""},
        {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\ndGVzdA==\n-----END RSA PRIVATE KEY-----\n",
         "",
         "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\ndGVzdA==\n-----END RSA PRIVATE KEY-----\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buffer struct buffer certificates = {.ceiling = 1 << 20}, keys = {.ceiling = 1 << 20};
        assert_int_equal(
            certificate_split_pem(cases[i].pem, strlen(cases[i].pem), &certificates, &keys, NULL), 0);
        assert_string_equal(buffer_str(&certificates), cases[i].certificates);
        assert_string_equal(buffer_str(&keys), cases[i].keys);
    }
}

static void only_pem_without_its_line_breaks_is_written_again(void **state)
{
    (void)state;
#define BLOCK "-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n"
    static const struct {
        const char *pem, *repaired; /* NULL: as it is */
    } cases[] = {
        {"", NULL},
        {"text", NULL},
        {BLOCK, NULL},
        {"note\n" BLOCK "note\n" BLOCK, NULL},
        {"-----BEGIN CERTIFICATE-----\r\ndGVzdA==\r\n-----END CERTIFICATE-----\r\n", NULL},
        {"-----BEGIN CERTIFICATE----- \ndGVzdA== \n-----END CERTIFICATE-----", NULL}, /* OpenSSL reads it */
        {"-----BEGIN CERTIFICATE-----dGVzdA==-----END CERTIFICATE-----", BLOCK},
        {"-----BEGIN CERTIFICATE----- dGVz dA== -----END CERTIFICATE-----", BLOCK},
        {"-----BEGIN CERTIFICATE-----\\ndGVzdA==\\n-----END CERTIFICATE-----\\n", BLOCK},
        {"\"-----BEGIN CERTIFICATE-----\\r\\ndGVzdA==\\r\\n-----END CERTIFICATE-----\\r\\n\"", BLOCK},
        {"-----BEGIN CERTIFICATE-----\rdGVzdA==\r-----END CERTIFICATE-----\r", BLOCK},
        {"-----BEGIN CERTIFICATE-----\ndGVzdA==-----END CERTIFICATE-----\n", BLOCK},
        {BLOCK "-----BEGIN CERTIFICATE----- dGVzdA== -----END CERTIFICATE-----", BLOCK BLOCK},
        /* what cannot be read is left alone */
        {"-----BEGIN CERTIFICATE----- dGVzd* -----END CERTIFICATE-----", NULL},
        {BLOCK "-----BEGIN KEY----- Proc-Type: 4,ENCRYPTED dGVz -----END KEY-----", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buffer struct buffer out = {.ceiling = 1 << 20};
        assert_int_equal(certificate_repair_pem(cases[i].pem, strlen(cases[i].pem), &out, NULL), 0);
        const char *wanted = cases[i].repaired != NULL ? cases[i].repaired : cases[i].pem;
        if (strcmp(buffer_str(&out), wanted) != 0)
            fail_msg("row %zu: %s", i, buffer_str(&out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pfx_becomes_the_key_and_the_chain_that_went_in),
        cmocka_unit_test(a_pfx_that_is_no_base64_or_no_pfx_is_an_error),
        cmocka_unit_test(pem_is_split_into_certificates_and_the_rest),
        cmocka_unit_test(odd_pem_text_is_split_without_surprises),
        cmocka_unit_test(only_pem_without_its_line_breaks_is_written_again),
    };
    return cmocka_run_group_tests_name("azure_certificate", tests, make_files, remove_files);
}
