/*
 * test_buffer.c - growth, the ceiling, and the NUL behind the content.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buffer.h"

static void an_empty_buffer_reads_as_an_empty_string(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 10);
    assert_string_equal(buffer_str(&buffer), "");
    assert_int_equal(buffer_append(&buffer, NULL, 0, NULL), 0);
    assert_string_equal(buffer_str(&buffer), "");
}

/* Against a flat copy of what went in, across many reallocations. */
static void the_content_survives_growth(void **state)
{
    (void)state;
    static char expected[70000];
    size_t len = 0;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, sizeof(expected));
    for (unsigned i = 0; len < 60000; i++) {
        char piece[64];
        size_t n = (size_t)snprintf(piece, sizeof(piece), "%u,", i * 7919);
        memcpy(expected + len, piece, n);
        len += n;
        int status = i % 3 == 0   ? buffer_append(&buffer, piece, n, NULL)
                     : i % 3 == 1 ? buffer_append_str(&buffer, piece, NULL)
                                  : buffer_printf(&buffer, NULL, "%u,", i * 7919);
        assert_int_equal(status, 0);
        assert_int_equal(buffer.len, len);
        assert_int_equal(buffer.data[len], 0);
    }
    assert_memory_equal(buffer.data, expected, len);
}

static void the_ceiling_is_exact_and_nothing_changes_beyond_it(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    cleanup_error struct error *err = NULL;
    buffer_init(&buffer, 5);
    assert_int_equal(buffer_append_str(&buffer, "12345", &err), 0);
    assert_int_equal(buffer_append_str(&buffer, "6", &err), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(buffer_printf(&buffer, NULL, "%d", 6), -1);
    assert_int_equal(buffer_reserve(&buffer, SIZE_MAX, NULL), -1);
    assert_int_equal(buffer_reserve(&buffer, SIZE_MAX - 4, NULL), -1);
    assert_string_equal(buffer_str(&buffer), "12345");
    assert_int_equal(buffer_append(&buffer, "", 0, NULL), 0);
}

static void consuming_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append_str(&buffer, "hello world", NULL), 0);
    buffer_consume(&buffer, 6);
    assert_string_equal(buffer_str(&buffer), "world");
    for (size_t i = 5; i < 11; i++)
        assert_int_equal(buffer.data[i], 0); /* what was moved away is wiped */
    buffer_consume(&buffer, 0);
    assert_string_equal(buffer_str(&buffer), "world");
    buffer_consume(&buffer, 100);
    assert_string_equal(buffer_str(&buffer), "");
}

static void a_reset_buffer_is_empty_and_a_finished_one_usable(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append_str(&buffer, "secret", NULL), 0);
    buffer_reset(&buffer);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(buffer.data[i], 0);
    assert_string_equal(buffer_str(&buffer), "");
    buffer_finish(&buffer);
    assert_int_equal(buffer.ceiling, 100);
    assert_int_equal(buffer_append_str(&buffer, "again", NULL), 0);
    assert_string_equal(buffer_str(&buffer), "again");
}

static void reserved_memory_is_not_allocated_again(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 100000);
    assert_int_equal(buffer_reserve(&buffer, 5000, NULL), 0);
    const uint8_t *before = buffer.data;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buffer_append(&buffer, "x", 1, NULL), 0);
    assert_ptr_equal(before, buffer.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_reads_as_an_empty_string),
        cmocka_unit_test(the_content_survives_growth),
        cmocka_unit_test(the_ceiling_is_exact_and_nothing_changes_beyond_it),
        cmocka_unit_test(consuming_moves_the_rest_to_the_front),
        cmocka_unit_test(a_reset_buffer_is_empty_and_a_finished_one_usable),
        cmocka_unit_test(reserved_memory_is_not_allocated_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
