/*
 * test_driver_locks.c - one operation per target path: order, leaving, interruption, idleness.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/publish/volume_locks.h"

/* What happened, as text: "g1" = the first operation was granted its lock, "i2" = the second was
 * interrupted. */
static char history[256];

struct operation {
    struct volume_lock lock;
    char name;
    bool release_when_interrupted;
    bool release_when_granted;
};

static void note(char what, char name)
{
    size_t len = strlen(history);

    (void)snprintf(history + len, sizeof(history) - len, "%s%c%c", len == 0 ? "" : " ", what, name);
}

static void granted(struct volume_lock *lock)
{
    struct operation *operation = container_of(lock, struct operation, lock);

    note('g', operation->name);
    if (operation->release_when_granted)
        volume_lock_release(lock);
}

static void interrupted(struct volume_lock *lock)
{
    struct operation *operation = container_of(lock, struct operation, lock);

    note('i', operation->name);
    if (operation->release_when_interrupted)
        volume_lock_release(lock);
}

static void became_idle(void *arg)
{
    note('z', *(const char *)arg);
}

static bool take(struct volume_locks *locks, struct operation *operation, char name, const char *path)
{
    operation->name = name;
    return volume_lock_take(locks, &operation->lock, path, granted, interrupted);
}

static int set_up(void **state)
{
    history[0] = '\0';
    *state = volume_locks_create(NULL);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    volume_locks_destroy(*state);
    return 0;
}

static void a_free_path_is_held_at_once_and_others_do_not_wait_for_it(void **state)
{
    struct volume_locks *locks = *state;
    struct operation a = {0}, b = {0};

    assert_true(take(locks, &a, '1', "/a"));
    assert_true(take(locks, &b, '2', "/b"));
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    volume_lock_release(&a.lock);
    assert_string_equal(history, "");
    volume_lock_release(&b.lock);
    assert_string_equal(history, "z!");
}

static void waiting_locks_are_granted_in_their_order(void **state)
{
    struct volume_locks *locks = *state;
    struct operation op[4] = {0};
    char path[4][8] = {"/a", "/a", "/a", "/a"}; /* equal text, not equal pointers */

    assert_true(take(locks, &op[0], '1', path[0]));
    for (size_t i = 1; i < 4; i++)
        assert_false(take(locks, &op[i], (char)('1' + i), path[i]));
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    for (size_t i = 0; i < 4; i++)
        volume_lock_release(&op[i].lock);
    assert_string_equal(history, "g2 g3 g4 z!");
}

static void a_lock_that_left_the_line_is_passed_over(void **state)
{
    struct volume_locks *locks = *state;
    struct operation op[4] = {0};

    for (size_t i = 0; i < 4; i++)
        (void)take(locks, &op[i], (char)('1' + i), "/a");
    volume_lock_release(&op[1].lock);
    volume_lock_release(&op[3].lock);
    assert_string_equal(history, "");
    volume_lock_release(&op[0].lock);
    assert_string_equal(history, "g3");
    volume_lock_release(&op[2].lock);
    assert_string_equal(history, "g3");
}

static void releasing_an_unused_lock_is_harmless(void **state)
{
    struct volume_locks *locks = *state;
    struct operation a = {0}, b = {0};

    volume_lock_release(&a.lock); /* never taken */
    (void)take(locks, &a, '1', "/a");
    (void)take(locks, &b, '2', "/a");
    volume_lock_release(&a.lock);
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    volume_lock_release(&a.lock); /* must not take it from the next one */
    assert_string_equal(history, "g2");
    volume_lock_release(&b.lock);
    assert_string_equal(history, "g2 z!");
}

/* The granted callback of one releases for the next: a whole line unwinds in one call. */
static void a_lock_may_be_given_back_inside_granted(void **state)
{
    struct volume_locks *locks = *state;
    struct operation op[4] = {0};

    for (size_t i = 0; i < 4; i++) {
        (void)take(locks, &op[i], (char)('1' + i), "/a");
        op[i].release_when_granted = true;
    }
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    volume_lock_release(&op[0].lock);
    assert_string_equal(history, "g2 g3 g4 z!");
}

static void an_interruption_reaches_all_of_the_path_and_none_gets_a_turn(void **state)
{
    struct volume_locks *locks = *state;
    struct operation op[3] = {0}, other = {0};

    for (size_t i = 0; i < 3; i++) {
        (void)take(locks, &op[i], (char)('1' + i), "/a");
        op[i].release_when_interrupted = true;
    }
    (void)take(locks, &other, 'o', "/b");
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    volume_locks_interrupt(locks, "/a");
    assert_string_equal(history, "i3 i2 i1");
    volume_locks_interrupt(locks, "/a"); /* not held */
    volume_lock_release(&other.lock);
    assert_string_equal(history, "i3 i2 i1 z!");
}

/* An unpublish: the holder's worker still runs, so the holder keeps the lock a while; a lock in line
 * leaves at once. */
static void a_holder_may_keep_the_lock_for_a_while_after_an_interruption(void **state)
{
    struct volume_locks *locks = *state;
    struct operation holder = {0}, in_line = {.release_when_interrupted = true}, unpublish = {0};

    (void)take(locks, &holder, '1', "/a");
    (void)take(locks, &in_line, '2', "/a");
    volume_locks_interrupt(locks, "/a");
    assert_string_equal(history, "i2 i1");
    assert_false(take(locks, &unpublish, 'u', "/a"));
    assert_string_equal(history, "i2 i1");
    volume_lock_release(&holder.lock);
    assert_string_equal(history, "i2 i1 gu");
    volume_lock_release(&unpublish.lock);
}

static void a_lock_without_interrupted_callback_is_not_interrupted(void **state)
{
    struct volume_locks *locks = *state;
    struct operation unpublish = {.name = 'u'}, publish = {.release_when_interrupted = true};

    assert_true(volume_lock_take(locks, &unpublish.lock, "/a", granted, NULL));
    assert_false(take(locks, &publish, '1', "/a"));
    volume_locks_on_idle(locks, became_idle, &(char){'!'});
    volume_locks_interrupt(locks, "/a");
    assert_string_equal(history, "i1");
    volume_lock_release(&unpublish.lock);
    assert_string_equal(history, "i1 z!");
}

static void idleness_is_reported_once(void **state)
{
    struct volume_locks *locks = *state;
    struct operation a = {0};

    volume_locks_on_idle(locks, became_idle, &(char){'1'});
    assert_string_equal(history, "z1"); /* at once: no lock is held */
    (void)take(locks, &a, 'a', "/a");
    volume_locks_on_idle(locks, became_idle, &(char){'2'});
    assert_string_equal(history, "z1");
    volume_lock_release(&a.lock);
    assert_string_equal(history, "z1 z2");
    (void)take(locks, &a, 'a', "/a");
    volume_lock_release(&a.lock);
    assert_string_equal(history, "z1 z2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_free_path_is_held_at_once_and_others_do_not_wait_for_it),
        TEST(waiting_locks_are_granted_in_their_order),
        TEST(a_lock_that_left_the_line_is_passed_over),
        TEST(releasing_an_unused_lock_is_harmless),
        TEST(a_lock_may_be_given_back_inside_granted),
        TEST(an_interruption_reaches_all_of_the_path_and_none_gets_a_turn),
        TEST(a_holder_may_keep_the_lock_for_a_while_after_an_interruption),
        TEST(a_lock_without_interrupted_callback_is_not_interrupted),
        TEST(idleness_is_reported_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
