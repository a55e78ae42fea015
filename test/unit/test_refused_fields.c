/*
 * test_refused_fields.c - what a cluster keeps from its desired value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "driver/sync/refused_fields.h"

static int compare(struct refused_fields *fields, const char *sent, const char *metadata)
{
    cleanup_json cJSON *a = json_parse(sent, strlen(sent), 4096, NULL);
    cleanup_json cJSON *b = json_parse(metadata, strlen(metadata), 4096, NULL);

    return refused_fields_compare(fields, a, b);
}

static void what_is_not_as_it_was_sent_is_refused(void **state)
{
    cleanup_refused_fields struct refused_fields fields = {0};
    (void)state;

    assert_int_equal(
        compare(
            &fields,
            "{\"labels\":{\"kept\":\"1\",\"other\":\"1\",\"gone\":\"1\",\"back\":null,\"removed\":null},"
            "\"annotations\":{\"note\":\"n\"},\"ownerReferences\":[{\"uid\":\"u1\"},{\"uid\":\"u2\"}]}",
            "{\"labels\":{\"kept\":\"1\",\"other\":\"2\",\"back\":\"0\"},\"ownerReferences\":[{\"uid\":\"u2\"}]}"),
        0);
    assert_int_equal(fields.n, 5);
    assert_true(refused_fields_has(&fields, "labels", "other", "1"));
    assert_true(refused_fields_has(&fields, "labels", "gone", "1"));
    assert_true(refused_fields_has(&fields, "labels", "back", NULL));
    assert_true(refused_fields_has(&fields, "annotations", "note", "n"));
    assert_true(refused_fields_has(&fields, REFUSED_OWNERS, "u1", ""));
    assert_false(refused_fields_has(&fields, "labels", "kept", "1"));
    assert_false(refused_fields_has(&fields, "labels", "removed", NULL));
    assert_false(refused_fields_has(&fields, REFUSED_OWNERS, "u2", ""));
}

static void another_value_is_not_refused(void **state)
{
    cleanup_refused_fields struct refused_fields fields = {0};
    (void)state;

    assert_int_equal(refused_fields_add(&fields, "labels", "a", "1"), 0);
    assert_false(refused_fields_has(&fields, "labels", "a", "2"));
    assert_false(refused_fields_has(&fields, "labels", "a", NULL));
    assert_false(refused_fields_has(&fields, "annotations", "a", "1"));
    assert_int_equal(refused_fields_add(&fields, "labels", "a", ""), 0);
    assert_int_equal(fields.n, 1);
    assert_true(refused_fields_has(&fields, "labels", "a", ""));
    assert_false(refused_fields_has(&fields, "labels", "a", NULL));
}

static void what_is_new_is_found(void **state)
{
    cleanup_refused_fields struct refused_fields old = {0};
    cleanup_refused_fields struct refused_fields fields = {0};
    size_t n;
    (void)state;

    assert_int_equal(refused_fields_add(&old, "labels", "a", "1"), 0);
    assert_int_equal(refused_fields_merge(&fields, &old), 0);
    assert_null(refused_fields_new(&fields, &old, &n));
    assert_int_equal(refused_fields_add(&fields, "labels", "a", "2"), 0);
    assert_int_equal(refused_fields_add(&fields, "labels", "b", "1"), 0);
    assert_string_equal(refused_fields_new(&fields, &old, &n)->key, "a");
    assert_int_equal(n, 2);
}

static void any_json_is_taken(void **state)
{
    cleanup_refused_fields struct refused_fields fields = {0};
    (void)state;

    assert_int_equal(compare(&fields, "{\"labels\":[1,2],\"ownerReferences\":{\"uid\":1}}", "[]"), 0);
    assert_int_equal(refused_fields_compare(&fields, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_as_it_was_sent_is_refused),
        cmocka_unit_test(another_value_is_not_refused),
        cmocka_unit_test(what_is_new_is_found),
        cmocka_unit_test(any_json_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
