/*
 * test_decimal.c - numbers as decimal text, against printf().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/decimal.h"

static void numbers_are_as_printf_writes_them(void **state)
{
    static const uint64_t around[] = {0, 10, 99, 1000, 1000000, UINT32_MAX, INT64_MAX, UINT64_MAX - 2};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
        for (uint64_t number = around[i]; number < around[i] + 3; number++) {
            char expected[32], text[DECIMAL_MAX + 1];
            (void)snprintf(expected, sizeof(expected), "%" PRIu64, number);
            assert_string_equal(decimal_text(text, number), expected);
            for (unsigned width = 0; width <= DECIMAL_MAX; width++) {
                char at[DECIMAL_MAX];
                (void)snprintf(expected, sizeof(expected), "%*" PRIu64, (int)width, number);
                assert_int_equal(decimal_write(at, number, width, ' '), strlen(expected));
                assert_memory_equal(at, expected, strlen(expected));
                (void)snprintf(expected, sizeof(expected), "%0*" PRIu64, (int)width, number);
                assert_int_equal(decimal_write(at, number, width, '0'), strlen(expected));
                assert_memory_equal(at, expected, strlen(expected));
            }
            if (number == UINT64_MAX)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_are_as_printf_writes_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
