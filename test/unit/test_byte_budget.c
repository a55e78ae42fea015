/*
 * test_byte_budget.c - bytes in flight: what is granted, who waits, who goes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/process/byte_budget.h"
#include "common/process/metrics.h"

enum { MAX = 100, PATIENCE_MS = 50 };

/* One mount: its name goes to the order of those that were granted. */
struct mount {
    struct byte_reservation bytes;
    struct fixture *fixture;
    char name;
};

struct fixture {
    uv_loop_t loop;
    struct byte_budget *budget;
    struct mount mounts[8]; /* a, b, ... */
    char order[32];
};

static void granted(void *arg)
{
    const struct mount *mount = arg;
    struct fixture *fixture = mount->fixture;

    assert_true(byte_reservation_is_granted(&mount->bytes));
    fixture->order[strlen(fixture->order)] = mount->name;
}

/* The mount called `name` wants bytes. */
static bool request(struct fixture *fixture, char name, uint64_t bytes)
{
    struct mount *mount = &fixture->mounts[name - 'a'];
    return byte_reservation_request(&mount->bytes, fixture->budget, bytes, granted, mount);
}

static void release(struct fixture *fixture, char name)
{
    byte_reservation_release(&fixture->mounts[name - 'a'].bytes);
}

/* What was granted from the loop since the last call. */
static void assert_granted(struct fixture *fixture, const char *order)
{
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_string_equal(fixture->order, order);
    memset(fixture->order, 0, sizeof(fixture->order));
}

static void assert_state(const struct fixture *fixture, uint64_t bytes, size_t waiting)
{
    struct byte_budget_state state = byte_budget_state(fixture->budget);
    assert_int_equal(state.bytes, bytes);
    assert_int_equal(state.waiting, waiting);
}

static void patience_is_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs the loop until those that wait now have waited long enough. */
static void wait_until_impatient(struct fixture *fixture)
{
    bool over = false;
    uv_timer_t timer = {.data = &over};

    (void)uv_timer_init(&fixture->loop, &timer);
    (void)uv_timer_start(&timer, patience_is_over, PATIENCE_MS + 1, 0);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(over);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
}

static int set_up(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){0};
    if (uv_loop_init(&fixture.loop) != 0)
        return -1;
    fixture.budget = byte_budget_create(&fixture.loop, MAX, PATIENCE_MS, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(fixture.mounts); i++) {
        fixture.mounts[i] = (struct mount){.fixture = &fixture, .name = (char)('a' + i)};
        byte_reservation_init(&fixture.mounts[i].bytes);
    }
    *state = &fixture;
    return fixture.budget == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(fixture->mounts); i++)
        byte_reservation_release(&fixture->mounts[i].bytes);
    assert_state(fixture, 0, 0);
    byte_budget_destroy(fixture->budget);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&fixture->loop);
}

static void what_fits_is_granted_at_once_and_the_rest_waits(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', 60));
    assert_true(request(fixture, 'b', 40));
    assert_false(request(fixture, 'c', 1));
    assert_state(fixture, 100, 1);
    assert_granted(fixture, "");
    release(fixture, 'b');
    assert_string_equal(fixture->order, ""); /* never inside another call */
    assert_granted(fixture, "c");
    assert_state(fixture, 61, 0);
}

static void the_smallest_goes_first(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', MAX));
    assert_false(request(fixture, 'b', 90));
    assert_false(request(fixture, 'c', 30));
    assert_false(request(fixture, 'd', 20));
    assert_false(request(fixture, 'e', 30));
    release(fixture, 'a');
    assert_granted(fixture, "dce");
    assert_false(request(fixture, 'f', 90)); /* equal to b, which came first */
    assert_true(request(fixture, 'g', 20));  /* smaller than all that wait */
    release(fixture, 'c');
    release(fixture, 'd');
    release(fixture, 'e');
    release(fixture, 'g');
    assert_granted(fixture, "b");
}

static void nobody_starves_behind_smaller_ones(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', 60));
    assert_false(request(fixture, 'b', 80));
    assert_true(request(fixture, 'c', 40));
    wait_until_impatient(fixture);
    release(fixture, 'c');
    assert_granted(fixture, "");
    assert_false(request(fixture, 'd', 5)); /* fits, and would keep b waiting */
    assert_state(fixture, 60, 2);
    release(fixture, 'a');
    assert_granted(fixture, "bd");
}

static void of_two_that_have_waited_long_the_first_one_goes_first(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', MAX));
    assert_false(request(fixture, 'b', 80));
    assert_false(request(fixture, 'c', 30));
    wait_until_impatient(fixture);
    release(fixture, 'a');
    assert_granted(fixture, "b");
    release(fixture, 'b');
    assert_granted(fixture, "c");
}

static void what_is_larger_than_the_budget_goes_alone(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', 1));
    assert_false(request(fixture, 'b', 5 * MAX));
    release(fixture, 'a');
    assert_granted(fixture, "b");
    assert_false(request(fixture, 'c', 1));
    release(fixture, 'b');
    assert_granted(fixture, "c");
}

static void who_leaves_the_line_is_forgotten_and_others_move_up(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', 50));
    assert_false(request(fixture, 'b', 60));
    wait_until_impatient(fixture);
    assert_false(request(fixture, 'c', 50));
    release(fixture, 'b'); /* its deadline has passed */
    assert_granted(fixture, "c");
    assert_state(fixture, 100, 0);
    release(fixture, 'b'); /* harmless */
    assert_state(fixture, 100, 0);
}

static void a_size_that_becomes_known_later_is_counted(void **state)
{
    struct fixture *fixture = *state;

    assert_true(request(fixture, 'a', 50));
    byte_reservation_resize(&fixture->mounts[0].bytes, 3 * MAX);
    assert_state(fixture, 300, 0);
    assert_false(request(fixture, 'b', 10));
    byte_reservation_resize(&fixture->mounts[1].bytes, 1); /* it waits for what it wanted */
    byte_reservation_resize(&fixture->mounts[0].bytes, 90);
    assert_granted(fixture, "b");
    assert_state(fixture, 100, 0);
    byte_reservation_resize(&fixture->mounts[2].bytes, 10); /* holds nothing */
    assert_state(fixture, 100, 0);
}

static void the_metrics_show_bytes_waiting_mounts_and_their_time(void **state)
{
    struct fixture *fixture = *state;
    struct metrics *metrics = metrics_create();
    cleanup_buffer struct buffer page;
    double waited = 0;

    buffer_init(&page, 65536);
    metrics_add_byte_budget(metrics, fixture->budget);
    assert_true(request(fixture, 'a', MAX));
    assert_false(request(fixture, 'b', 1));
    assert_false(request(fixture, 'c', 1));
    wait_until_impatient(fixture);
    assert_int_equal(metrics_render(metrics, &page, NULL), 0);
    assert_non_null(strstr(buffer_str(&page), "\nmount_bytes_in_flight 100\n"));
    assert_non_null(strstr(buffer_str(&page), "\nmounts_waiting_for_memory 2\n"));
    const char *seconds = strstr(buffer_str(&page), "\nmount_memory_wait_seconds_total ");
    assert_non_null(seconds);
    assert_int_equal(sscanf(seconds, "\nmount_memory_wait_seconds_total %lf", &waited), 1);
    assert_true(waited >= 2 * PATIENCE_MS / 1000.0 && waited < 60);
    release(fixture, 'b');
    assert_true(byte_budget_state(fixture->budget).waited_seconds >=
                waited); /* it has waited, granted or not */
    metrics_destroy(metrics);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_fits_is_granted_at_once_and_the_rest_waits),
        TEST(the_smallest_goes_first),
        TEST(nobody_starves_behind_smaller_ones),
        TEST(of_two_that_have_waited_long_the_first_one_goes_first),
        TEST(what_is_larger_than_the_budget_goes_alone),
        TEST(who_leaves_the_line_is_forgotten_and_others_move_up),
        TEST(a_size_that_becomes_known_later_is_counted),
        TEST(the_metrics_show_bytes_waiting_mounts_and_their_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
