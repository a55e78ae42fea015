/*
 * test_string_map.c - order, replacement, and the way from and to JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "common/base/string_map.h"

static void entries_are_sorted_whatever_the_order_of_setting(void **state)
{
    (void)state;
    static const char *const keys[] = {"m", "a", "z", "B", "", "mm", "a", "\xc3\xa4"};
    cleanup_string_map struct string_map map = {0};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "v%zu", i);
        assert_int_equal(string_map_set(&map, keys[i], value, NULL), 0);
    }
    static const char *const sorted[] = {"", "B", "a", "m", "mm", "z", "\xc3\xa4"};
    assert_int_equal(map.n, ARRAY_SIZE(sorted));
    for (size_t i = 0; i < map.n; i++)
        assert_string_equal(map.entries[i].key, sorted[i]);
    assert_string_equal(string_map_get(&map, "a"), "v6"); /* the second value of "a" */
    assert_string_equal(string_map_get(&map, ""), "v4");
    assert_null(string_map_get(&map, "b"));
    assert_null(string_map_get(&map, "zz"));
}

static void a_map_grows_and_its_values_change(void **state)
{
    cleanup_string_map struct string_map map = {0};
    char key[32], value[64];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 70; i++) {
            (void)snprintf(key, sizeof(key), "key %u", i * 37 % 70);
            (void)snprintf(value, sizeof(value), "value %u%0*u", i, (int)(i % 3 * 10 + 1), round);
            assert_int_equal(string_map_set(&map, key, value, NULL), 0);
            assert_string_equal(string_map_get(&map, key), value);
            /* By its own key, which lies in the memory that goes. */
            assert_int_equal(string_map_set(&map, map.entries[map.n / 2].key, "same", NULL), 0);
            assert_string_equal(map.entries[map.n / 2].value, "same");
        }
        assert_int_equal(map.n, 70);
        for (size_t i = 1; i < map.n; i++)
            assert_true(strcmp(map.entries[i - 1].key, map.entries[i].key) < 0);
    }
}

static void a_merge_overrides_and_adds(void **state)
{
    (void)state;
    cleanup_string_map struct string_map into = {0}, from = {0};
    assert_int_equal(string_map_set(&into, "a", "1", NULL), 0);
    assert_int_equal(string_map_set(&into, "b", "2", NULL), 0);
    assert_int_equal(string_map_set(&from, "b", "3", NULL), 0);
    assert_int_equal(string_map_set(&from, "c", "4", NULL), 0);
    assert_int_equal(string_map_merge(&into, &from, NULL), 0);
    cleanup_secret_free char *text = string_map_to_json(&into, NULL);
    assert_string_equal(text, "{\"a\":\"1\",\"b\":\"3\",\"c\":\"4\"}");
    assert_int_equal(from.n, 2);
}

static void a_json_object_of_strings_becomes_a_map(void **state)
{
    (void)state;
    static const struct {
        const char *json, *expected;
        int is_null;
    } rows[] = {
        {"{}", "{}", 0},
        {"null", "{}", 1},
        {" null ", "{}", 1},
        {"{\"b\":\"2\",\"a\":\"1\"}", "{\"a\":\"1\",\"b\":\"2\"}", 0},
        {"{\"a\":null}", "{\"a\":\"\"}", 0},
        {"{\"a\":\"1\",\"a\":\"2\"}", "{\"a\":\"2\"}", 0},
        {"{\"a\":\"x\\n\\\"\\u00e9\"}", "{\"a\":\"x\\n\\\"\xc3\xa9\"}", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_string_map struct string_map map = {0};
        cleanup_error struct error *err = NULL;
        int is_null = 7;
        assert_int_equal(string_map_from_json(&map, rows[i].json, strlen(rows[i].json), &is_null, &err), 0);
        assert_int_equal(is_null, rows[i].is_null);
        cleanup_secret_free char *text = string_map_to_json(&map, &err);
        assert_string_equal(text, rows[i].expected);
    }
}

static void anything_else_is_refused_and_the_map_kept(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "\"a\"",
                                      "1",
                                      "true",
                                      "{\"a\":1}",
                                      "{\"a\":[]}",
                                      "{\"a\":{}}",
                                      "{\"a\":\"1\"} x",
                                      "{\"a\":true}",
                                      "{\"a\":\"x\\u0000y\"}",
                                      "{\"a\\u0000\":\"x\"}",
                                      "{"};
    cleanup_string_map struct string_map map = {0};
    assert_int_equal(string_map_set(&map, "old", "value", NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_error struct error *err = NULL;
        assert_int_equal(string_map_from_json(&map, bad[i], strlen(bad[i]), NULL, &err), -1);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        assert_string_equal(string_map_get(&map, "old"), "value");
    }
    assert_int_equal(string_map_from_json(&map, "{\"new\":\"1\"}", 11, NULL, NULL), 0);
    assert_null(string_map_get(&map, "old"));
    assert_string_equal(string_map_get(&map, "new"), "1");
}

/* Keys in falling order are the worst case of a sorted array. */
static void the_number_of_keys_is_bounded(void **state)
{
    (void)state;
    for (size_t n = STRING_MAP_MAX_ENTRIES; n <= STRING_MAP_MAX_ENTRIES + 1; n++) {
        cleanup_free char *json = malloc(n * 16 + 3);
        size_t len = 0;
        json[len++] = '{';
        for (size_t i = n; i > 0; i--)
            len += (size_t)snprintf(json + len, 16, "%s\"%06zu\":\"\"", i == n ? "" : ",", i);
        json[len++] = '}';
        cleanup_string_map struct string_map map = {0};
        int status = string_map_from_json(&map, json, len, NULL, NULL);
        assert_int_equal(status, n <= STRING_MAP_MAX_ENTRIES ? 0 : -1);
        assert_int_equal(map.n, n <= STRING_MAP_MAX_ENTRIES ? n : 0);
    }
}

static void text_that_is_no_utf8_is_not_written(void **state)
{
    (void)state;
    cleanup_string_map struct string_map map = {0};
    cleanup_error struct error *err = NULL;
    assert_int_equal(string_map_set(&map, "k", "hunter2\xff", NULL), 0);
    assert_null(string_map_to_json(&map, &err));
    assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
    assert_null(strstr(error_message(err), "hunter2"));
}

static void a_finished_map_can_be_used_again(void **state)
{
    (void)state;
    struct string_map map = {0};
    string_map_finish(&map);
    assert_int_equal(string_map_set(&map, "a", "1", NULL), 0);
    string_map_finish(&map);
    assert_null(string_map_get(&map, "a"));
    assert_int_equal(string_map_set(&map, "b", "2", NULL), 0);
    assert_string_equal(string_map_get(&map, "b"), "2");
    string_map_finish(&map);
}

static void maps_are_equal_when_keys_and_values_are(void **state)
{
    static const struct {
        const char *key, *value;
        bool equal;
    } cases[] = {{"a", "1", true}, {"a", "2", false}, {"b", "1", false}, {"a1", "", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_string_map struct string_map a = {0}, b = {0}, empty = {0};
        assert_int_equal(string_map_set(&a, "a", "1", NULL), 0);
        assert_int_equal(string_map_set(&b, cases[i].key, cases[i].value, NULL), 0);
        assert_int_equal(string_map_equal(&a, &b), cases[i].equal);
        assert_false(string_map_equal(&a, &empty));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_equal_when_keys_and_values_are),
        cmocka_unit_test(entries_are_sorted_whatever_the_order_of_setting),
        cmocka_unit_test(a_map_grows_and_its_values_change),
        cmocka_unit_test(a_merge_overrides_and_adds),
        cmocka_unit_test(a_json_object_of_strings_becomes_a_map),
        cmocka_unit_test(anything_else_is_refused_and_the_map_kept),
        cmocka_unit_test(the_number_of_keys_is_bounded),
        cmocka_unit_test(text_that_is_no_utf8_is_not_written),
        cmocka_unit_test(a_finished_map_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
