/*
 * test_timer_queue.c - many deadlines on one timer: which expire, in which order, and in how many steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/list.h"
#include "common/process/timer_queue.h"

enum { MANY = 10000, FAR_MS = 60 * 60 * 1000 };

struct item {
    struct deadline deadline;
    unsigned expired;
};

struct fixture {
    uv_loop_t loop;
    struct timer_queue *queue;
    struct item items[MANY];
    size_t n;
    unsigned expired;
    uint64_t last_due_ms;
    bool in_order;
    struct item *again; /* is set for now when it expires; up to three times */
};

static void on_expired(struct deadline *deadline, void *arg)
{
    struct fixture *fixture = arg;
    struct item *item = container_of(deadline, struct item, deadline);

    assert_false(deadline_is_set(deadline));
    if (deadline->due_ms < fixture->last_due_ms)
        fixture->in_order = false;
    fixture->last_due_ms = deadline->due_ms;
    fixture->expired++;
    item->expired++;
    if (item == fixture->again && item->expired < 3)
        timer_queue_set(fixture->queue, deadline, uv_now(&fixture->loop));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->queue = timer_queue_create(&fixture->loop, on_expired, fixture, NULL);
    assert_non_null(fixture->queue);
    fixture->in_order = true;
    *state = fixture;
    return 0;
}

/* With deadlines in it. */
static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    timer_queue_destroy(fixture->queue);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static struct item *add(struct fixture *fixture)
{
    struct item *item = &fixture->items[fixture->n++];

    assert_int_equal(timer_queue_add(fixture->queue, &item->deadline, NULL), 0);
    return item;
}

static void set_after(struct fixture *fixture, struct item *item, uint64_t ms)
{
    timer_queue_set(fixture->queue, &item->deadline, uv_now(&fixture->loop) + ms);
}

/* Until no timer runs. */
static void run(struct fixture *fixture)
{
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
}

static void deadlines_expire_once_the_earliest_first(void **state)
{
    static const uint64_t after[] = {5, 1, 9, 0, 3, 3, 7, 2, 8, 4, 6};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
        set_after(fixture, add(fixture), after[i]);
    assert_int_equal(fixture->expired, 0); /* never from inside */
    run(fixture);
    assert_true(fixture->in_order);
    for (size_t i = 0; i < fixture->n; i++)
        assert_int_equal(fixture->items[i].expired, 1);
}

static void a_deadline_that_is_set_again_or_cleared_does_not_expire_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct item *moved = add(fixture);
    struct item *cleared = add(fixture);
    struct item *removed = add(fixture);

    set_after(fixture, moved, FAR_MS);
    set_after(fixture, cleared, 1);
    set_after(fixture, removed, 0);
    set_after(fixture, moved, 2);
    timer_queue_clear(fixture->queue, &cleared->deadline);
    timer_queue_clear(fixture->queue, &cleared->deadline); /* harmless */
    timer_queue_remove(fixture->queue, &removed->deadline);
    run(fixture); /* comes to an end: nothing is set for later */
    assert_int_equal(moved->expired, 1);
    assert_int_equal(cleared->expired, 0);
    assert_int_equal(removed->expired, 0);
}

static void a_deadline_may_be_set_for_now_when_it_expires(void **state)
{
    struct fixture *fixture = *state;
    struct item *other = add(fixture);

    fixture->again = add(fixture);
    set_after(fixture, fixture->again, 0);
    set_after(fixture, other, 1);
    run(fixture);
    assert_int_equal(fixture->again->expired, 3);
    assert_int_equal(other->expired, 1);
}

/* In any order, with half of them taken out again. */
static void many_deadlines_expire_in_order(void **state)
{
    struct fixture *fixture = *state;
    uint32_t random = 1;

    for (size_t i = 0; i < MANY; i++) {
        random = random * 1664525 + 1013904223;
        set_after(fixture, add(fixture), (random >> 16) % 50);
    }
    for (size_t i = 0; i < MANY; i += 2)
        timer_queue_clear(fixture->queue, &fixture->items[i].deadline);
    run(fixture);
    assert_int_equal(fixture->expired, MANY / 2);
    assert_true(fixture->in_order);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fixture->items[i].expired, i % 2);
}

/* Counted, not timed: 2 log2(10,000) is 27. */
static void no_step_searches_all_deadlines(void **state)
{
    enum { STEPS = 60 };
    struct fixture *fixture = *state;
    uint32_t random = 1;

    for (size_t i = 0; i < MANY; i++) {
        uint64_t before = timer_queue_visits(fixture->queue);

        random = random * 1664525 + 1013904223;
        set_after(fixture, add(fixture), FAR_MS + (random >> 16) % 50000);
        assert_true(timer_queue_visits(fixture->queue) - before <= STEPS);
    }
    for (size_t i = 0; i < MANY; i++) {
        uint64_t before = timer_queue_visits(fixture->queue);

        set_after(fixture, &fixture->items[i], FAR_MS / 2 + i);
        timer_queue_remove(fixture->queue, &fixture->items[i].deadline);
        assert_true(timer_queue_visits(fixture->queue) - before <= 3 * (uint64_t)STEPS);
    }
    run(fixture);
    assert_int_equal(fixture->expired, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deadlines_expire_once_the_earliest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_that_is_set_again_or_cleared_does_not_expire_as_it_was,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_may_be_set_for_now_when_it_expires, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_deadlines_expire_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_step_searches_all_deadlines, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
