/*
 * test_azure_throttle.c - who may send after a 429, and in which order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include "provider-azure/network/throttle.h"

struct client {
    struct throttle_permit pass;
    bool woken;
};

static void on_wake(void *arg)
{
    ((struct client *)arg)->woken = true;
}

static void after_a_pause_one_goes_first_and_then_twice_as_many(void **state)
{
    static struct throttle_table table;
    static struct client clients[64];
    uint8_t key[DIGEST_SHA256_LEN] = {7};
    (void)state;
    for (int i = 0; i < 64; i++)
        clients[i] = (struct client){.pass = {.wake = on_wake, .arg = &clients[i]}};
    assert_int_equal(throttle_acquire(&table, key, &clients[0].pass, 0), 0);
    throttle_pause(&table, key, 100, 1100, 0);
    assert_int_equal(throttle_acquire(&table, key, &clients[0].pass, 100), 1000);
    assert_int_equal(throttle_consecutive_429(&table, key), 1);
    assert_int_equal(throttle_acquire(&table, key, &clients[0].pass, 1100), 0);
    for (int i = 1; i < 64; i++)
        assert_true(throttle_acquire(&table, key, &clients[i].pass, 1100) == THROTTLE_QUEUED);
    throttle_pause(&table, key, 1200, 3200, 0); /* still no */
    throttle_release(&clients[0].pass, THROTTLE_NO_RESPONSE);
    assert_int_equal(throttle_consecutive_429(&table, key), 2);
    assert_true(clients[1].woken);
    assert_false(clients[2].woken);
    assert_int_equal(throttle_acquire(&table, key, &clients[1].pass, 1200), 2000);
    assert_int_equal(throttle_acquire(&table, key, &clients[1].pass, 3200), 0);
    throttle_release(&clients[1].pass, THROTTLE_RESPONSE);
    unsigned woken = 0;
    for (int i = 2; i < 64; i++)
        woken += clients[i].woken;
    assert_int_equal(woken, 2);
    for (int round = 0; round < 5; round++) {
        for (int i = 2; i < 64; i++) {
            if (clients[i].woken && clients[i].pass.state == PERMIT_WOKEN)
                (void)throttle_acquire(&table, key, &clients[i].pass, 3200 + THROTTLE_CALM_MS);
            if (clients[i].pass.state == PERMIT_HELD)
                throttle_release(&clients[i].pass, THROTTLE_RESPONSE);
            clients[i].woken = clients[i].pass.state != PERMIT_QUEUED;
        }
    }
    assert_int_equal(throttle_consecutive_429(&table, key), 0);
    for (int i = 2; i < 64; i++)
        assert_int_not_equal(clients[i].pass.state, PERMIT_QUEUED);
    assert_int_equal(table.scopes[0].limit, 0); /* open: the slot is free */
}

static void rotation_checks_give_way_to_new_pods(void **state)
{
    static struct throttle_table table;
    static struct client clients[6];
    uint8_t key[DIGEST_SHA256_LEN] = {8};
    (void)state;
    for (int i = 0; i < 6; i++) /* the first one holds the only permit; checks: 1, 2, 5 */
        clients[i] = (struct client){
            .pass = {.wake = on_wake, .arg = &clients[i], .gives_way = i == 1 || i == 2 || i == 5}};
    throttle_pause(&table, key, 100, 1100, 0);
    for (int i = 0; i < 6; i++)
        assert_true(throttle_acquire(&table, key, &clients[i].pass, 1100) == (i == 0 ? 0 : THROTTLE_QUEUED));
    throttle_release(&clients[0].pass, THROTTLE_RESPONSE);
    assert_true(clients[3].woken && clients[4].woken);
    assert_false(clients[1].woken || clients[2].woken || clients[5].woken);
    throttle_hurry(&clients[5].pass, 0); /* a new pod waits for the same response */
    clients[3].woken = clients[4].woken = false;
    assert_int_equal(throttle_acquire(&table, key, &clients[3].pass, 1100), 0);
    assert_int_equal(throttle_acquire(&table, key, &clients[4].pass, 1100), 0);
    throttle_release(&clients[3].pass, THROTTLE_NO_RESPONSE);
    assert_true(clients[5].woken);
    assert_false(clients[1].woken || clients[2].woken);
    for (int i = 0; i < 6; i++)
        throttle_release(&clients[i].pass, THROTTLE_NO_RESPONSE);
}

/* Whoever asks first after a pause: the one that waits for the longest goes first. */
static void the_longest_wait_goes_first(void **state)
{
    static struct throttle_table table;
    static struct client clients[6];
    static const uint64_t since_ms[] = {50, 30, 40, 30, 10, 20};
    static const int expected[] = {5, 1, 3, 2, 0, 4};
    uint8_t key[DIGEST_SHA256_LEN] = {9};
    (void)state;
    throttle_pause(&table, key, 100, 1100, 0);
    for (int i = 0; i < 6; i++) {
        clients[i] = (struct client){
            .pass = {.wake = on_wake, .arg = &clients[i], .since_ms = since_ms[i], .gives_way = i >= 4}};
        if (i % 2 == 0) /* one that got a 429 itself, or one that has not been sent */
            throttle_queue(&table, key, &clients[i].pass, 100);
        else
            assert_int_equal(throttle_acquire(&table, key, &clients[i].pass, 100), 1000);
    }
    throttle_hurry(&clients[5].pass, 60); /* a new pod waits for it, too */
    for (int i = 0; i < 6; i++)
        (void)throttle_acquire(&table, key, &clients[i].pass, 1100);
    for (int i = 0; i < 6; i++) {
        struct throttle_permit *next = &clients[expected[i]].pass;
        if (next->state != PERMIT_HELD) {
            assert_true(clients[expected[i]].woken);
            assert_int_equal(throttle_acquire(&table, key, next, 1100), 0);
        }
        for (int k = i + 1; k < 6; k++)
            assert_int_not_equal(clients[expected[k]].pass.state, PERMIT_HELD);
        throttle_release(next, THROTTLE_NO_RESPONSE); /* the limit stays at one */
    }
}

static void a_woken_request_that_ends_makes_room_for_the_next(void **state)
{
    static struct throttle_table table;
    static struct client clients[3];
    uint8_t key[DIGEST_SHA256_LEN] = {10};
    (void)state;
    throttle_pause(&table, key, 100, 1100, 0);
    for (int i = 0; i < 3; i++) {
        clients[i] = (struct client){.pass = {.wake = on_wake, .arg = &clients[i], .since_ms = (uint64_t)i}};
        throttle_queue(&table, key, &clients[i].pass, 100);
    }
    assert_true(throttle_acquire(&table, key, &clients[2].pass, 1100) == THROTTLE_QUEUED);
    assert_true(clients[0].woken);
    assert_true(throttle_acquire(&table, key, &clients[1].pass, 1100) == THROTTLE_QUEUED);
    assert_false(clients[1].woken); /* there is room for one */
    throttle_release(&clients[0].pass, THROTTLE_NO_RESPONSE);
    assert_true(clients[1].woken);
    throttle_pause(&table, key, 1200, 2200, 0); /* it is too late */
    assert_int_equal(throttle_acquire(&table, key, &clients[1].pass, 1200), 1000);
    assert_int_equal(throttle_acquire(&table, key, &clients[1].pass, 2200), 0);
    throttle_release(&clients[1].pass, THROTTLE_RESPONSE);
    assert_true(clients[2].woken);
    throttle_release(&clients[2].pass, THROTTLE_NO_RESPONSE);
}

/* That many responses, one after the other. The limit that they lead to. */
static unsigned respond(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], int n,
                        uint64_t now_ms)
{
    for (int i = 0; i < n; i++) {
        struct throttle_permit permit = {.wake = on_wake};
        assert_int_equal(throttle_acquire(table, key, &permit, now_ms), 0);
        throttle_release(&permit, THROTTLE_RESPONSE);
    }
    return table->scopes[0].limit;
}

static void the_limit_doubles_up_to_half_of_what_was_too_much(void **state)
{
    static struct throttle_table table;
    uint8_t key[DIGEST_SHA256_LEN] = {12};
    (void)state;
    throttle_pause(&table, key, 0, 1000, 0); /* out of the blue: half of THROTTLE_MAX_IN_FLIGHT */
    assert_int_equal(respond(&table, key, 4, 1000), 16);
    assert_int_equal(respond(&table, key, 15, 1000), 16);
    assert_int_equal(respond(&table, key, 1, 1000), 17);
    throttle_pause(&table, key, 1100, 2000, 0);
    throttle_pause(&table, key, 1200, 2000, 0); /* to a request in flight: the same pause */
    assert_int_equal(respond(&table, key, 3, 2000), 8);
    assert_int_equal(respond(&table, key, 7, 2000), 8);
    assert_int_equal(respond(&table, key, 1, 2000), 9);
    throttle_pause(&table, key, 2100, 3000, 0);
    throttle_pause(&table, key, 3100, 4000, 0); /* not even one */
    assert_int_equal(respond(&table, key, 1, 4000), 2);
    assert_int_equal(respond(&table, key, 2, 4000), 3);
    assert_int_equal(respond(&table, key, 3, 4000), 4);
    assert_int_equal(respond(&table, key, 1, 4000 + THROTTLE_CALM_MS), 8); /* what limited it is over */
    assert_int_equal(respond(&table, key, 3, 4000 + THROTTLE_CALM_MS), 0); /* OPEN */
}

/* A pause of 10 s that ends at 11000: a second of spread, and 300 ms of it by chance. */
static void all_requests_of_a_pause_have_its_spread(void **state)
{
    static const struct {
        const char *what;
        uint64_t now_ms, deadline_ms, end_ms;
        bool gives_way;
    } rows[] = {
        {"the first", 1000, 60000, 11300, false},
        {"a late one", 10990, 60000, 11300, false},
        {"one after the pause", 11200, 60000, 11300, false},
        {"a check, half a second later", 1000, 60000, 11800, true},
        {"a late check", 11200, 60000, 11800, true},
        {"the deadline is near", 1000, 11400, 11200, false},
        {"the deadline is in the pause", 1000, 10000, 11000, false},
    };
    uint8_t key[DIGEST_SHA256_LEN] = {13};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct throttle_table table = {0};
        struct client client = {.pass = {.deadline_ms = rows[i].deadline_ms, .gives_way = rows[i].gives_way}};
        throttle_pause(&table, key, 1000, 11000, 501 + 300);
        if (throttle_acquire(&table, key, &client.pass, rows[i].now_ms) != rows[i].end_ms - rows[i].now_ms)
            fail_msg("%s", rows[i].what);
        assert_int_equal(throttle_acquire(&table, key, &client.pass, rows[i].end_ms - 1), 1);
        assert_int_equal(throttle_acquire(&table, key, &client.pass, rows[i].end_ms), 0);
        throttle_release(&client.pass, THROTTLE_NO_RESPONSE);
    }
}

/* Whoever comes first after a pause lets the longest wait go first, also if that one would come later. */
static void a_pause_is_over_for_all_once_it_is_over_for_one(void **state)
{
    static struct throttle_table table;
    struct client near = {.pass = {.since_ms = 20, .deadline_ms = 11400}};
    struct client first = {.pass = {.since_ms = 10, .deadline_ms = 60000}};
    struct client check = {.pass = {.gives_way = true, .deadline_ms = 60000}};
    uint8_t key[DIGEST_SHA256_LEN] = {14};
    struct client *const clients[] = {&near, &first, &check};
    (void)state;
    throttle_pause(&table, key, 1000, 11000, 501 + 300);
    for (int i = 0; i < 3; i++) {
        clients[i]->pass.wake = on_wake;
        clients[i]->pass.arg = clients[i];
        assert_true(throttle_queue(&table, key, &clients[i]->pass, 1000) > 0);
    }
    assert_true(throttle_acquire(&table, key, &near.pass, 11200) == THROTTLE_QUEUED);
    assert_true(first.woken);
    assert_int_equal(throttle_acquire(&table, key, &first.pass, 11200), 0);
    throttle_release(&first.pass, THROTTLE_RESPONSE);
    assert_true(near.woken && check.woken);
    assert_int_equal(throttle_acquire(&table, key, &near.pass, 11200), 0);
    assert_int_equal(throttle_acquire(&table, key, &check.pass, 11200), 0);
    throttle_release(&near.pass, THROTTLE_NO_RESPONSE);
    throttle_release(&check.pass, THROTTLE_NO_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_pause_one_goes_first_and_then_twice_as_many),
        cmocka_unit_test(rotation_checks_give_way_to_new_pods),
        cmocka_unit_test(the_longest_wait_goes_first),
        cmocka_unit_test(all_requests_of_a_pause_have_its_spread),
        cmocka_unit_test(a_pause_is_over_for_all_once_it_is_over_for_one),
        cmocka_unit_test(the_limit_doubles_up_to_half_of_what_was_too_much),
        cmocka_unit_test(a_woken_request_that_ends_makes_room_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
