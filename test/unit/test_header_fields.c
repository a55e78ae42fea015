/*
 * test_header_fields.c - what is kept of the lines of a response's header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/http/header_fields.h"

static int add(struct header_fields *fields, const char *line)
{
    return header_fields_add(fields, line, strlen(line));
}

static void assert_value(const struct header_fields *fields, const char *name, const char *expected)
{
    const char *value = header_fields_get(fields, name);
    if (expected == NULL)
        assert_null(value);
    else
        assert_string_equal(value != NULL ? value : "(none)", expected);
}

static void the_last_field_of_a_name_is_found_in_any_case(void **state)
{
    static const struct {
        const char *lines[4];
        const char *name;
        const char *value;
    } rows[] = {
        {{NULL}, "date", NULL},
        {{"Date: today\r\n"}, "date", "today"},
        {{"date:today\n"}, "DATE", "today"},
        {{"Date: \t today \t \r\n"}, "date", "today"},
        {{"Date:\r\n"}, "date", ""},
        {{"Date: \r\n"}, "date", ""},
        {{"Date: a: b\r\n"}, "date", "a: b"},
        {{"X-Date: a\r\n", "Dat: b\r\n", "Dates: c\r\n"}, "date", NULL},
        {{"Date : a\r\n"}, "date", NULL},
        {{"Via: 1\r\n", "Date: 2\r\n", "VIA: 3\r\n"}, "via", "3"},
        {{"Via: 1\r\n", "Via:\r\n"}, "via", ""},
        {{"Via: Date: 1\r\n"}, "date", NULL},
        {{"X: a\r\n", " b\r\n", "\t c \r\n"}, "x", "a b c"}, /* folded */
        {{"X: a\r\n", " \r\n", "Y: b\r\n"}, "y", "b"},
        {{"X: a\r\n", " y: b\r\n"}, "y", NULL},
        {{" folded\r\n", "X: a\r\n"}, "x", "a"},
        {{"no colon\r\n", "X: a\r\n"}, "no colon", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct header_fields fields;
        header_fields_init(&fields);
        for (size_t k = 0; k < 4 && rows[i].lines[k] != NULL; k++)
            assert_int_equal(add(&fields, rows[i].lines[k]), 0);
        assert_value(&fields, rows[i].name, rows[i].value);
        header_fields_finish(&fields);
    }
}

static void fields_behind_the_body_do_not_count(void **state)
{
    struct header_fields fields;
    (void)state;
    header_fields_init(&fields);
    assert_int_equal(add(&fields, "Retry-After: 1\r\n"), 0);
    assert_int_equal(add(&fields, "\r\n"), 0);
    assert_int_equal(add(&fields, "Retry-After: 2\r\n"), 0);
    assert_int_equal(add(&fields, " 3\r\n"), 0);
    assert_value(&fields, "retry-after", "1");
    header_fields_reset(&fields); /* the final response after a 1xx */
    assert_value(&fields, "retry-after", NULL);
    assert_int_equal(add(&fields, "Retry-After: 4\r\n"), 0);
    assert_value(&fields, "retry-after", "4");
    header_fields_finish(&fields);
}

static void too_many_lines_and_too_long_ones_are_refused(void **state)
{
    struct header_fields fields;
    static char line[HEADER_FIELDS_MAX_BYTES + 2];
    (void)state;
    header_fields_init(&fields);
    for (unsigned i = 0; i < HEADER_FIELDS_MAX; i++)
        assert_int_equal(add(&fields, i == 0 ? "\r\n" : "A: b\r\n"), 0);
    assert_int_equal(add(&fields, "A: b\r\n"), -1);

    header_fields_reset(&fields);
    memset(line, 'x', sizeof(line) - 1);
    line[1] = ':';
    assert_int_equal(add(&fields, line), -1);
    header_fields_reset(&fields);
    line[HEADER_FIELDS_MAX_BYTES] = '\0';
    assert_int_equal(add(&fields, line), 0);
    assert_int_equal(strlen(header_fields_get(&fields, "X")), HEADER_FIELDS_MAX_BYTES - 2);
    assert_int_equal(add(&fields, "y"), -1);
    header_fields_finish(&fields);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_field_of_a_name_is_found_in_any_case),
        cmocka_unit_test(fields_behind_the_body_do_not_count),
        cmocka_unit_test(too_many_lines_and_too_long_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
