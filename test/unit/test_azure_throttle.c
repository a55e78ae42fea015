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
    throttle_pause(&table, key, 100, 1100);
    assert_int_equal(throttle_acquire(&table, key, &clients[0].pass, 100), 1000);
    assert_int_equal(throttle_consecutive_429(&table, key), 1);
    assert_int_equal(throttle_acquire(&table, key, &clients[0].pass, 1100), 0);
    for (int i = 1; i < 64; i++)
        assert_true(throttle_acquire(&table, key, &clients[i].pass, 1100) == THROTTLE_QUEUED);
    throttle_pause(&table, key, 1200, 3200); /* still no */
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
            if (clients[i].woken && clients[i].pass.state == PERMIT_NONE)
                (void)throttle_acquire(&table, key, &clients[i].pass, 3300);
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
    throttle_pause(&table, key, 100, 1100);
    for (int i = 0; i < 6; i++)
        assert_true(throttle_acquire(&table, key, &clients[i].pass, 1100) == (i == 0 ? 0 : THROTTLE_QUEUED));
    throttle_release(&clients[0].pass, THROTTLE_RESPONSE);
    assert_true(clients[3].woken && clients[4].woken);
    assert_false(clients[1].woken || clients[2].woken || clients[5].woken);
    throttle_hurry(&clients[5].pass); /* a new pod waits for the same response */
    clients[3].woken = clients[4].woken = false;
    assert_int_equal(throttle_acquire(&table, key, &clients[3].pass, 1100), 0);
    assert_int_equal(throttle_acquire(&table, key, &clients[4].pass, 1100), 0);
    throttle_release(&clients[3].pass, THROTTLE_NO_RESPONSE);
    assert_true(clients[5].woken);
    assert_false(clients[1].woken || clients[2].woken);
    for (int i = 0; i < 6; i++)
        throttle_release(&clients[i].pass, THROTTLE_NO_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_pause_one_goes_first_and_then_twice_as_many),
        cmocka_unit_test(rotation_checks_give_way_to_new_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
