/*
 * test_driver_volume_metadata.c - what a volume keeps of its provider, class and versions for a later driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "driver/rotation/volume_metadata.h"

#define SPEC_HASH "0123456789abcdef0123456789abcdef"

static void metadata_comes_back_as_it_was(void **state)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_volume_metadata struct volume_metadata metadata = {0};
    cleanup_secret_free char *text = NULL;

    (void)state;
    assert_int_equal(string_map_set(&versions, "secret/a", "v\"1", NULL), 0);
    text = volume_metadata_print("azure", SPEC_HASH, &versions, NULL);
    assert_string_equal(text, "{\"provider\":\"azure\",\"class\":\"" SPEC_HASH
                              "\",\"versions\":{\"secret/a\":\"v\\\"1\"}}");
    assert_int_equal(volume_metadata_parse(text, strlen(text), &metadata, NULL), 0);
    assert_string_equal(metadata.provider, "azure");
    assert_string_equal(metadata.spec_hash, SPEC_HASH);
    assert_int_equal(metadata.versions.n, 1);
    assert_string_equal(string_map_get(&metadata.versions, "secret/a"), "v\"1");
}

static void versions_that_do_not_fit_are_left_out(void **state)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_volume_metadata struct volume_metadata metadata = {0};
    cleanup_secret_free char *text = NULL;
    char key[16];
    char long_version[100];

    (void)state;
    memset(long_version, 'x', sizeof(long_version));
    long_version[sizeof(long_version) - 1] = '\0';
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(string_map_set(&versions, key, long_version, NULL), 0);
    }
    text = volume_metadata_print("azure", SPEC_HASH, &versions, NULL);
    assert_in_range(strlen(text), 1, VOLUME_METADATA_MAX);
    assert_int_equal(volume_metadata_parse(text, strlen(text), &metadata, NULL), 0);
    assert_string_equal(metadata.spec_hash, SPEC_HASH);
    assert_int_equal(metadata.versions.n, 0);
}

static void damaged_metadata_is_refused_and_a_foreign_hash_is_unknown(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "{\"provider\":1}",
                                      "{\"class\":[]}",
                                      "{\"versions\":[]}",
                                      "{\"versions\":{\"a\":1}}",
                                      "{} {}"};
    static const char *const unknown[] = {"{}", "{\"class\":\"short\"}",
                                          "{\"class\":\"" SPEC_HASH "0\",\"more\":1}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct volume_metadata metadata = {0};

        if (volume_metadata_parse(bad[i], strlen(bad[i]), &metadata, NULL) == 0)
            fail_msg("row %zu", i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        cleanup_volume_metadata struct volume_metadata metadata = {0};

        assert_int_equal(volume_metadata_parse(unknown[i], strlen(unknown[i]), &metadata, NULL), 0);
        assert_null(metadata.provider);
        assert_string_equal(metadata.spec_hash, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_comes_back_as_it_was),
        cmocka_unit_test(versions_that_do_not_fit_are_left_out),
        cmocka_unit_test(damaged_metadata_is_refused_and_a_foreign_hash_is_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
