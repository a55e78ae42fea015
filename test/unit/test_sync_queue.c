/*
 * test_sync_queue.c - the order of runs: turns within a class, mounts first, and no step that visits all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/sync/sync_queue.h"

enum { MANY = 10000 };

struct run {
    struct sync_queue_entry entry;
    bool urgent;
};

static struct run runs[MANY];

static bool is_urgent(const struct sync_queue_entry *entry)
{
    return const_container_of(entry, struct run, entry)->urgent;
}

static void join(struct sync_queue *queue, size_t i, const char *class_name)
{
    runs[i] = (struct run){.urgent = false};
    assert_int_equal(sync_queue_join(queue, &runs[i].entry, "shop", class_name), 0);
}

/* `n` runs of one class, in order. */
static void add_runs(struct sync_queue *queue, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        join(queue, i, "a");
        sync_queue_add(queue, &runs[i].entry, SYNC_QUEUE_LAST);
    }
}

/* The number of the run that starts; -1: none does. */
static long start(struct sync_queue *queue)
{
    struct sync_queue_entry *entry = sync_queue_start(queue);

    return entry != NULL ? container_of(entry, struct run, entry) - runs : -1;
}

static void finish(struct sync_queue *queue, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sync_queue_leave(queue, &runs[i].entry);
    assert_int_equal(queue->n_running, 0);
    assert_null(sync_queue_start(queue));
    sync_queue_finish(queue);
}

static void runs_of_a_class_take_turns_and_other_classes_do_not_wait(void **state)
{
    static const char *const classes[] = {"a", "a", "b", "a", "b"};
    struct sync_queue queue;

    (void)state;
    sync_queue_init(&queue, is_urgent);
    assert_int_equal(start(&queue), -1);
    for (size_t i = 0; i < 5; i++) {
        join(&queue, i, classes[i]);
        sync_queue_add(&queue, &runs[i].entry, SYNC_QUEUE_LAST);
        sync_queue_add(&queue, &runs[i].entry, SYNC_QUEUE_LAST); /* again: it keeps its place */
    }
    assert_int_equal(start(&queue), 0);
    assert_int_equal(start(&queue), 2);
    assert_int_equal(start(&queue), -1); /* both classes are busy */
    sync_queue_end(&queue, &runs[0].entry);
    assert_int_equal(start(&queue), 1);
    assert_int_equal(start(&queue), -1);
    sync_queue_end(&queue, &runs[2].entry);
    assert_int_equal(start(&queue), 4);
    sync_queue_end(&queue, &runs[1].entry);
    assert_int_equal(start(&queue), 3);
    finish(&queue, 5);
}

static void a_mount_goes_first_and_does_not_wait_for_its_class(void **state)
{
    struct sync_queue queue;

    (void)state;
    sync_queue_init(&queue, is_urgent);
    add_runs(&queue, 4);
    assert_int_equal(start(&queue), 0);
    assert_int_equal(start(&queue), -1); /* the others wait with their class */
    runs[2].urgent = true;
    sync_queue_add(&queue, &runs[2].entry, SYNC_QUEUE_FIRST);
    assert_int_equal(start(&queue), 2);
    assert_int_equal(start(&queue), -1);
    sync_queue_end(&queue, &runs[0].entry);
    assert_int_equal(start(&queue), -1); /* the mount is running */
    sync_queue_end(&queue, &runs[2].entry);
    assert_int_equal(start(&queue), 1);
    finish(&queue, 4);
}

static void a_run_that_leaves_makes_way(void **state)
{
    struct sync_queue queue;

    (void)state;
    sync_queue_init(&queue, is_urgent);
    add_runs(&queue, 3);
    assert_int_equal(start(&queue), 0);
    assert_int_equal(start(&queue), -1);
    sync_queue_leave(&queue, &runs[1].entry); /* while it waits */
    sync_queue_leave(&queue, &runs[0].entry); /* while it runs */
    assert_int_equal(start(&queue), 2);
    join(&queue, 0, "a");
    join(&queue, 1, "b");
    finish(&queue, 3);
}

/* The queue may be full when it is the turn of a run, and its volume may go before it starts. */
static void a_run_that_leaves_when_it_is_its_turn_lets_the_next_one_go(void **state)
{
    struct sync_queue queue;

    (void)state;
    sync_queue_init(&queue, is_urgent);
    add_runs(&queue, 4);
    assert_int_equal(start(&queue), 0);
    assert_int_equal(start(&queue), -1); /* the others wait with their class */
    sync_queue_end(&queue, &runs[0].entry);
    sync_queue_leave(&queue, &runs[0].entry); /* idle */
    sync_queue_leave(&queue, &runs[1].entry);
    assert_int_equal(start(&queue), 2);
    assert_int_equal(start(&queue), -1);
    sync_queue_leave(&queue, &runs[2].entry);
    assert_int_equal(start(&queue), 3);
    for (size_t i = 0; i < 3; i++)
        join(&queue, i, "b");
    finish(&queue, 4);
}

/* Counted, not timed: ten thousand volumes of one class, as after a restart. */
static void a_class_with_many_runs_is_not_searched_at_each_start(void **state)
{
    struct sync_queue queue;

    (void)state;
    sync_queue_init(&queue, is_urgent);
    for (size_t i = 0; i < MANY; i++) {
        join(&queue, i, "a");
        sync_queue_add(&queue, &runs[i].entry, SYNC_QUEUE_LAST);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(start(&queue), i);
        assert_int_equal(start(&queue), -1);
        sync_queue_end(&queue, &runs[i].entry);
        sync_queue_leave(&queue, &runs[i].entry);
    }
    assert_true(queue.visits <= 3 * (uint64_t)MANY);
    finish(&queue, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_a_class_take_turns_and_other_classes_do_not_wait),
        cmocka_unit_test(a_mount_goes_first_and_does_not_wait_for_its_class),
        cmocka_unit_test(a_run_that_leaves_makes_way),
        cmocka_unit_test(a_run_that_leaves_when_it_is_its_turn_lets_the_next_one_go),
        cmocka_unit_test(a_class_with_many_runs_is_not_searched_at_each_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
