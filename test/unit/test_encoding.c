/*
 * test_encoding.c - base64 against the vectors of RFC 4648, section 10, and what must be refused. The words
 * of the errors are compared with Go's in test_azure_vectors_content.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/encoding.h"

static const char *const vectors[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};

static void expect_bytes(const char *text, const char *bytes)
{
    cleanup_error struct error *error = NULL;
    cleanup_secret struct secret *secret = base64_decode(text, strlen(text), &error);

    if (secret == NULL)
        fail_msg("'%s': %s", text, error_message(error));
    assert_int_equal(secret_len(secret), strlen(bytes));
    assert_memory_equal(secret_bytes(secret), bytes, strlen(bytes));
}

static void base64_is_the_standards(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        cleanup_secret_free char *text = base64_encode(vectors[i][0], strlen(vectors[i][0]));

        assert_string_equal(text, vectors[i][1]);
        expect_bytes(vectors[i][1], vectors[i][0]);
    }
}

static void line_breaks_are_skipped(void **state)
{
    (void)state;
    expect_bytes("Zm9v\nYmFy\n", "foobar");
    expect_bytes("\r\nZm\r\n9v\r\nYg=\r\n=\r\n", "foob");
}

static void text_that_is_no_base64_is_refused(void **state)
{
    static const char *const table[] = {"Zm9*", "Zm9vY",    "=",     "Zg=a", "Zg",
                                        "Zg=",  "Zg==Zg==", "Z g==", "Zm9-"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_error struct error *error = NULL;

        if (base64_decode(table[i], strlen(table[i]), &error) != NULL)
            fail_msg("'%s'", table[i]);
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_the_standards),
        cmocka_unit_test(line_breaks_are_skipped),
        cmocka_unit_test(text_that_is_no_base64_is_refused),
    };
    return cmocka_run_group_tests_name("encoding", tests, NULL, NULL);
}
