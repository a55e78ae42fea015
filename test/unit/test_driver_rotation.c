/*
 * test_driver_rotation.c - when a volume is due, how long to wait after failures, and what is remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/published.h"
#include "driver/rotation.h"

static void a_volume_is_due_when_the_interval_is_over(void **state)
{
    static const struct {
        int64_t now;
        uint64_t last;
        int64_t interval;
        bool due;
    } table[] = {
        {1000, 900, 120, false},       {1000, 880, 120, true}, /* to the second */
        {1000, 881, 120, false},       {1000, 1000, 120, false},
        {1000, 1000, 0, true},         {1000, 0, 120, true}, /* unknown */
        {1000, 1001, 120, true},                             /* the clock was set back */
        {1000, UINT64_MAX, 120, true},                       /* nonsense in the attribute */
        {1000, INT64_MAX, 120, true},  {INT64_MAX, 1, INT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (rotation_due(table[i].now, table[i].last, table[i].interval) != table[i].due)
            fail_msg("row %zu", i);
}

static void failures_are_retried_after_growing_pauses_up_to_the_interval(void **state)
{
    static const struct {
        unsigned failures;
        int64_t interval;
        int64_t wait; /* without the random part */
    } table[] = {
        {1, 120, 15},    {2, 120, 30},
        {3, 120, 60},    {4, 120, 120},
        {5, 120, 120},   {1000000, 120, 120},
        {3, 30, 60},     {4, 30, 60},
        {4, 0, 60},      {4, -5, 60},
        {9, 3600, 3600}, {0, 120, 15},
        {8, 3600, 1920}, {UINT32_MAX, 3600, 3600},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int64_t wait = rotation_backoff_s(table[i].failures, table[i].interval, 0);
        if (wait != table[i].wait)
            fail_msg("row %zu: %lld", i, (long long)wait);
    }
}

static void up_to_a_quarter_is_added_by_chance(void **state)
{
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    for (uint32_t random = 0; random < 1000; random++) {
        int64_t wait = rotation_backoff_s(3, 120, random);

        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_int_equal(least, 60);
    assert_int_equal(most, 75);
    assert_in_range(rotation_backoff_s(3, 120, UINT32_MAX), 60, 75);
}

static void an_absurd_interval_does_not_overflow(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 100; failures++)
        assert_true(rotation_backoff_s(failures, INT64_MAX, UINT32_MAX) >= 15);
}

/* --- published.h --- */

static void a_volume_is_remembered_until_it_is_removed(void **state)
{
    struct published_volumes *volumes = published_volumes_create(NULL);
    struct published_volume *volume;

    (void)state;
    assert_null(published_volumes_find(volumes, "/a"));
    volume = published_volumes_get(volumes, "/a", NULL);
    assert_non_null(volume);
    assert_string_equal(volume->target_path, "/a");
    assert_int_equal(volume->failures, 0);
    assert_int_equal(string_map_set(&volume->versions, "secret/x", "v1", NULL), 0);
    assert_ptr_equal(published_volumes_get(volumes, "/a", NULL), volume);
    assert_ptr_equal(published_volumes_find(volumes, "/a"), volume);
    assert_int_equal(published_volumes_count(volumes), 1);
    published_volumes_remove(volumes, "/b");
    assert_int_equal(published_volumes_count(volumes), 1);
    published_volumes_remove(volumes, "/a");
    published_volumes_remove(volumes, "/a");
    assert_null(published_volumes_find(volumes, "/a"));
    assert_int_equal(published_volumes_count(volumes), 0);
    published_volumes_destroy(volumes);
}

/* More volumes than the table has chains: every chain holds several. */
static void many_volumes_do_not_get_in_each_others_way(void **state)
{
    enum { N = 3000 };
    struct published_volumes *volumes = published_volumes_create(NULL);
    char path[64];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        published_volumes_get(volumes, path, NULL)->failures = i;
    }
    assert_int_equal(published_volumes_count(volumes), N);
    for (unsigned i = 0; i < N; i += 3) {
        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        published_volumes_remove(volumes, path);
    }
    for (unsigned i = 0; i < N; i++) {
        const struct published_volume *volume;

        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        volume = published_volumes_find(volumes, path);
        if (i % 3 == 0) {
            assert_null(volume);
        } else {
            assert_non_null(volume);
            assert_int_equal(volume->failures, i);
        }
    }
    assert_int_equal(published_volumes_count(volumes), N - N / 3);
    published_volumes_destroy(volumes); /* with entries in it */
    published_volumes_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_due_when_the_interval_is_over),
        cmocka_unit_test(failures_are_retried_after_growing_pauses_up_to_the_interval),
        cmocka_unit_test(up_to_a_quarter_is_added_by_chance),
        cmocka_unit_test(an_absurd_interval_does_not_overflow),
        cmocka_unit_test(a_volume_is_remembered_until_it_is_removed),
        cmocka_unit_test(many_volumes_do_not_get_in_each_others_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
