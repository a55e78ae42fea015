/*
 * test_payload.c - the list of files and the rules for paths.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/payload/payload.h"

static void add(struct payload *payload, const char *path, mode_t mode, const char *text)
{
    assert_int_equal(payload_add(payload, path, mode, secret_from_bytes(text, strlen(text)), NULL), 0);
}

static void assert_contents(const struct payload_file *file, const char *text)
{
    assert_int_equal(secret_len(file->contents), strlen(text));
    assert_memory_equal(secret_bytes(file->contents), text, strlen(text));
}

static char *repeat(char c, size_t n)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

static void good_paths_are_accepted(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "a",           "secret1", "sub/name",          "a/b/c", ".hidden", ".a..", "a/..foo", "a/.b",
        "back\\slash", "sp ace",  "\xc3\xa9t\xc3\xa9", "a..b",  "-",       "~",
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        cleanup_error struct error *err = NULL;
        if (payload_check_path(paths[i], &err) != 0)
            fail_msg("%s", error_message(err));
    }
    cleanup_free char *longest_component = repeat('x', 255);
    assert_int_equal(payload_check_path(longest_component, NULL), 0);
}

static void bad_paths_are_refused_with_the_rule_they_break(void **state)
{
    (void)state;
    cleanup_free char *long_component = repeat('x', 256);
    cleanup_free char *long_path = repeat('y', 4097);
    char deep[2 * 65];
    for (size_t i = 0; i < sizeof(deep); i += 2)
        memcpy(deep + i, "d/", 2);
    deep[sizeof(deep) - 1] = '\0';
    const struct {
        const char *path, *rule;
    } cases[] = {
        {"", "is empty"},
        {"/etc/passwd", "is not relative"},
        {".", "component '.'"},
        {"./a", "component '.'"},
        {"a/.", "component '.'"},
        {"a/./b", "component '.'"},
        {"..", "component '..'"},
        {"../a", "component '..'"},
        {"a/../b", "component '..'"},
        {"a/..", "component '..'"},
        {"..data", "reserved"},
        {"..2026_01_01", "reserved"},
        {"...", "reserved"},
        {"..data/x", "reserved"},
        {"a//b", "empty component"},
        {"a/", "empty component"},
        {"a\nb", "control character"},
        {"a\x7f", "control character"},
        {"a\xc2\x85", "control character"},
        {"\xff\xfe", "UTF-8"},
        {"a/\xc3", "UTF-8"},
        {long_component, "255 bytes"},
        {long_path, "4096 bytes"},
        {deep, "64 components"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *err = NULL;
        assert_int_equal(payload_check_path(cases[i].path, &err), -1);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        if (strstr(error_message(err), cases[i].rule) == NULL)
            fail_msg("'%s' does not say '%s'", error_message(err), cases[i].rule);
    }
}

static void a_refused_path_is_shown_shortened_and_without_control_characters(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    assert_int_equal(payload_check_path("one\ntwo\xc2\x85three", &err), -1);
    assert_non_null(strstr(error_message(err), "'one?two??three'"));
    assert_null(strchr(error_message(err), '\n'));

    cleanup_error struct error *long_err = NULL;
    cleanup_free char *long_path = repeat('z', 5000);
    assert_int_equal(payload_check_path(long_path, &long_err), -1);
    assert_true(strlen(error_message(long_err)) < 300);
}

static void sealing_keeps_the_files_of_a_directory_together(void **state)
{
    (void)state;
    cleanup_payload struct payload payload = {0};
    static const char *const arrived[] = {"sub.z", "b", "sub/y", "sub-", "a", "sub/x/q", "sub/x.y"};
    static const char *const sorted[] = {"a", "b", "sub/x/q", "sub/x.y", "sub/y", "sub-", "sub.z"};
    for (size_t i = 0; i < ARRAY_SIZE(arrived); i++)
        add(&payload, arrived[i], 0644, arrived[i]);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    assert_int_equal(payload.n, ARRAY_SIZE(sorted));
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        assert_string_equal(payload.files[i].path, sorted[i]);
        assert_contents(&payload.files[i], sorted[i]);
    }
}

static void files_are_added_after_sealing(void **state)
{
    (void)state;
    for (size_t n = 1; n < 40; n++) {
        cleanup_payload struct payload payload = {0};
        char name[24];
        for (size_t i = 0; i < 2 * n; i++) {
            (void)snprintf(name, sizeof(name), "f%02zu", 2 * n - i);
            add(&payload, name, 0644, name);
            if (i + 1 == n)
                assert_int_equal(payload_seal(&payload, NULL), 0);
            assert_true(malloc_usable_size(payload.files) >= payload.n * sizeof(*payload.files));
        }
        add(&payload, "f01", 0600, "new");
        assert_int_equal(payload_seal(&payload, NULL), 0);
        assert_int_equal(payload.n, 2 * n);
        assert_string_equal(payload.files[0].path, "f01");
        assert_contents(&payload.files[0], "new");
        for (size_t i = 1; i < 2 * n; i++) {
            (void)snprintf(name, sizeof(name), "f%02zu", i + 1);
            assert_string_equal(payload.files[i].path, name);
            assert_contents(&payload.files[i], name);
        }
    }
}

static void the_last_of_repeated_paths_wins(void **state)
{
    (void)state;
    cleanup_payload struct payload payload = {0};
    for (int i = 0; i < 50; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "version %d", i);
        add(&payload, i % 2 == 0 ? "even" : "odd", (mode_t)(0600 + i % 8), text);
    }
    assert_int_equal(payload_seal(&payload, NULL), 0);
    assert_int_equal(payload.n, 2);
    assert_contents(&payload.files[0], "version 48");
    assert_contents(&payload.files[1], "version 49");
    assert_int_equal(payload.files[1].mode, 0601);
}

static void a_file_that_is_also_a_directory_is_refused_and_both_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *one, *between, *other;
    } cases[] = {{"a", "a.b", "a/b"}, {"x/y", "x/y-", "x/y/z"}, {"d", "d ", "d/e/f/g"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_payload struct payload payload = {0};
        cleanup_error struct error *err = NULL;
        add(&payload, cases[i].other, 0644, "");
        add(&payload, cases[i].between, 0644, "");
        add(&payload, cases[i].one, 0644, "");
        assert_int_equal(payload_seal(&payload, &err), -1);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        char quoted[32];
        (void)snprintf(quoted, sizeof(quoted), "'%s'", cases[i].one);
        assert_non_null(strstr(error_message(err), quoted));
        (void)snprintf(quoted, sizeof(quoted), "'%s'", cases[i].other);
        assert_non_null(strstr(error_message(err), quoted));
    }
}

static void only_permission_bits_of_a_mode_are_kept_and_zero_is_literal(void **state)
{
    (void)state;
    cleanup_payload struct payload payload = {0};
    add(&payload, "a", 0, "x");
    add(&payload, "b", 0107755, "x");
    assert_int_equal(payload_seal(&payload, NULL), 0);
    assert_int_equal(payload.files[0].mode, 0);
    assert_int_equal(payload.files[1].mode, 0755);
}

static void contents_are_taken_over_even_when_the_path_is_refused(void **state)
{
    (void)state; /* the leak checker of the asan variant watches */
    cleanup_payload struct payload payload = {0};
    assert_int_equal(payload_add(&payload, "../x", 0644, secret_from_bytes("s", 1), NULL), -1);
    assert_int_equal(payload.n, 0);
}

static void there_is_a_limit_of_files(void **state)
{
    (void)state;
    cleanup_payload struct payload payload = {0};
    cleanup_error struct error *err = NULL;
    for (int i = 0; i < PAYLOAD_FILES_MAX; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "f%d", i);
        assert_int_equal(payload_add(&payload, path, 0644, NULL, NULL), 0);
    }
    assert_int_equal(payload_add(&payload, "one-more", 0644, NULL, &err), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    assert_int_equal(payload.n, PAYLOAD_FILES_MAX);
}

static void sizes_are_summed_and_the_footprint_counts_pages(void **state)
{
    (void)state;
    cleanup_payload struct payload payload = {0};
    cleanup_free char *page = repeat('p', 4097);
    add(&payload, "a", 0644, "12345");
    add(&payload, "d/b", 0644, page);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    assert_int_equal(payload_size(&payload), 5 + 4097);
    struct payload_footprint footprint = payload_footprint(&payload);
    assert_int_equal(footprint.bytes, 3 * 4096);
    assert_true(footprint.inodes >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_paths_are_accepted),
        cmocka_unit_test(bad_paths_are_refused_with_the_rule_they_break),
        cmocka_unit_test(a_refused_path_is_shown_shortened_and_without_control_characters),
        cmocka_unit_test(sealing_keeps_the_files_of_a_directory_together),
        cmocka_unit_test(files_are_added_after_sealing),
        cmocka_unit_test(the_last_of_repeated_paths_wins),
        cmocka_unit_test(a_file_that_is_also_a_directory_is_refused_and_both_are_named),
        cmocka_unit_test(only_permission_bits_of_a_mode_are_kept_and_zero_is_literal),
        cmocka_unit_test(contents_are_taken_over_even_when_the_path_is_refused),
        cmocka_unit_test(there_is_a_limit_of_files),
        cmocka_unit_test(sizes_are_summed_and_the_footprint_counts_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
