/*
 * test_loop_timer.c - timers that outlive their owners.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/process/loop_timer.h"

struct owner {
    struct loop_timer *timer;
    int calls;
    int last; /* the call that destroys the timer and frees the owner */
    int *total;
};

static void expired(void *arg)
{
    struct owner *owner = arg;

    (*owner->total)++;
    if (++owner->calls < owner->last)
        return;
    loop_timer_destroy(owner->timer);
    free(owner);
}

static struct owner *owner_create(uv_loop_t *loop, int last, int *total)
{
    struct owner *owner = calloc(1, sizeof(*owner));

    assert_non_null(owner);
    *owner =
        (struct owner){.timer = loop_timer_create(loop, expired, owner, NULL), .last = last, .total = total};
    assert_non_null(owner->timer);
    assert_false(loop_timer_is_running(owner->timer));
    return owner;
}

static void run(uv_loop_t *loop)
{
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void a_started_timer_expires_once_and_from_the_loop(void **state)
{
    uv_loop_t loop;
    struct owner *owner;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    owner = owner_create(&loop, 1, &total);
    loop_timer_start(owner->timer, 0);
    assert_true(loop_timer_is_running(owner->timer));
    assert_int_equal(total, 0);
    run(&loop);
    assert_int_equal(total, 1);
}

static void a_repeating_timer_goes_on_until_it_is_destroyed(void **state)
{
    uv_loop_t loop;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    loop_timer_repeat(owner_create(&loop, 3, &total)->timer, 1);
    run(&loop);
    assert_int_equal(total, 3);
}

static void a_later_start_replaces_the_earlier_one(void **state)
{
    uv_loop_t loop;
    struct owner *owner;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    owner = owner_create(&loop, 1, &total);
    loop_timer_start(owner->timer, 3600U * 1000);
    loop_timer_start(owner->timer, 1);
    run(&loop);
    assert_int_equal(total, 1);
}

static void a_stopped_timer_does_not_expire(void **state)
{
    uv_loop_t loop;
    struct owner *owner;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    owner = owner_create(&loop, 1, &total);
    loop_timer_start(owner->timer, 0);
    loop_timer_stop(owner->timer);
    loop_timer_stop(owner->timer);
    assert_false(loop_timer_is_running(owner->timer));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    loop_timer_destroy(owner->timer);
    free(owner);
    run(&loop);
    assert_int_equal(total, 0);
}

static void an_owner_may_go_before_its_timer_is_closed(void **state)
{
    uv_loop_t loop;
    struct owner *owner;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    owner = owner_create(&loop, 1, &total);
    loop_timer_start(owner->timer, 0);
    loop_timer_destroy(owner->timer);
    free(owner);
    loop_timer_destroy(NULL);
    run(&loop);
    assert_int_equal(total, 0);
}

static void a_timer_without_a_reference_does_not_keep_the_loop(void **state)
{
    uv_loop_t loop;
    struct owner *owner;
    int total = 0;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    owner = owner_create(&loop, 1, &total);
    loop_timer_unref(owner->timer);
    loop_timer_start(owner->timer, 3600U * 1000);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    loop_timer_destroy(owner->timer);
    free(owner);
    run(&loop);
    assert_int_equal(total, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_started_timer_expires_once_and_from_the_loop),
        cmocka_unit_test(a_repeating_timer_goes_on_until_it_is_destroyed),
        cmocka_unit_test(a_later_start_replaces_the_earlier_one),
        cmocka_unit_test(a_stopped_timer_does_not_expire),
        cmocka_unit_test(a_timer_without_a_reference_does_not_keep_the_loop),
        cmocka_unit_test(an_owner_may_go_before_its_timer_is_closed),
    };
    return cmocka_run_group_tests_name("loop_timer", tests, NULL, NULL);
}
