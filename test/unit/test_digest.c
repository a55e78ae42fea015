/*
 * test_digest.c - SHA-256 against the examples of FIPS 180-4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/digest.h"

static void the_examples_of_the_standard_are_met(void **state)
{
    static const struct {
        const char *message;
        const char *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t digest[DIGEST_SHA256_LEN];
        char text[DIGEST_SHA256_HEX_LEN + 1];
        assert_int_equal(digest_sha256(cases[i].message, strlen(cases[i].message), digest), 0);
        assert_int_equal(digest_sha256_hex(cases[i].message, strlen(cases[i].message), text), 0);
        assert_string_equal(text, cases[i].digest);
        assert_int_equal(digest[0], strtoul((char[]){text[0], text[1], '\0'}, NULL, 16));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_are_met),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
