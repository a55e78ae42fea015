/*
 * test_backoff.c - growing pauses: the laws in use, their jitter and their ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/backoff.h"
#include "common/base/cleanup.h"

static const struct backoff doubling = {.first = 15, .growth_percent = 200, .cap = 120};
static const struct backoff grpc = {.first = 100, .growth_percent = 160, .cap = 1000};
static const struct backoff azure = {.first = 2000,
                                     .step = 2000,
                                     .growth_percent = 200,
                                     .cap = 25000,
                                     .jitter_min_percent = 80,
                                     .jitter_max_percent = 130,
                                     .cap_after_jitter = true};
static const struct backoff quarter = {
    .first = 100, .growth_percent = 200, .cap = 1000, .jitter_min_percent = 100, .jitter_max_percent = 125};
static const struct backoff fixed = {.first = 7, .cap = 7};
static const struct backoff constant = {.first = 7, .growth_percent = 100, .cap = 100};
static const struct backoff endless = {.first = 1, .growth_percent = 200, .cap = UINT64_MAX};

static void a_pause_grows_up_to_its_cap(void **state)
{
    static const struct {
        const struct backoff *law;
        unsigned failures;
        uint32_t random;
        uint64_t pause;
    } table[] = {
        {&doubling, 0, 9, 15},
        {&doubling, 1, 9, 15},
        {&doubling, 2, 9, 30},
        {&doubling, 4, 9, 120},
        {&doubling, 5, 9, 120},
        {&doubling, UINT32_MAX, 9, 120},
        {&grpc, 2, 0, 160},
        {&grpc, 3, 0, 256},
        {&grpc, 4, 0, 409},
        {&grpc, 6, 0, 1000},
        {&azure, 1, 0, 1600},
        {&azure, 2, 0, 4800},
        {&azure, 3, 0, 11200},
        /* 30 s less a fifth: below the cap, although 30 s are above it */
        {&azure, 4, 0, 24000},
        {&azure, 5, 0, 25000},
        {&azure, 1, 1000, 2600},
        {&azure, 1, 1001, 1600},
        {&azure, 4, 7000, 25000},
        {&quarter, 1, 25, 125},
        {&quarter, 9, 250, 1250},
        {&quarter, 9, 251, 1000},
        {&fixed, 1000, 3, 7},
        {&constant, UINT32_MAX, 3, 7},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_int_equal(backoff_pause(table[i].law, table[i].failures, table[i].random), table[i].pause);
    assert_true(backoff_pause(&endless, UINT32_MAX, 0) > UINT64_C(1) << 62);
}

static void a_pause_never_leaves_its_range(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 5000; random++) {
        assert_in_range(backoff_pause(&quarter, 3, random), 400, 500);
        assert_in_range(backoff_pause(&azure, 2, random), 4800, 7800);
        assert_in_range(backoff_pause(&azure, 5, random), 25000, 25000);
        assert_in_range(backoff_spread(1000, 75, 100, random), 750, 1000);
        assert_in_range(backoff_spread(0, 100, 200, random), 0, 0);
    }
    assert_int_equal(backoff_spread(100, 100, 200, 100), 200);
    assert_int_equal(backoff_spread(UINT64_MAX, 100, 200, UINT32_MAX), UINT64_MAX);
    assert_true(backoff_spread(UINT64_MAX, 75, 100, UINT32_MAX) >= UINT64_MAX / 100 * 75);
}

static void random_numbers_differ(void **state)
{
    uint32_t first = backoff_random();
    unsigned same = 0;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        same += backoff_random() == first;
    assert_in_range(same, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_grows_up_to_its_cap),
        cmocka_unit_test(a_pause_never_leaves_its_range),
        cmocka_unit_test(random_numbers_differ),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
