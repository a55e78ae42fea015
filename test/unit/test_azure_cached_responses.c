/*
 * test_azure_cached_responses.c - how many responses stay in memory, and which go first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include "provider-azure/vault/cached_responses.h"
#include "test/unit/test_azure_fake.h"

enum { TTL_MS = 120000, HOLD_MS = 10 * TTL_MS, PLACES = CACHED_RESPONSES_MAX + 4 };

struct fixture {
    struct fake fake;
    struct cached_responses responses;
    struct cached_response places[PLACES];
};

static struct cached_response *last_expired;

static void on_expired(struct cached_response *place)
{
    last_expired = place;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fake_init(&fixture->fake, NULL, fixture);
    cached_responses_init(&fixture->responses, &fixture->fake.base, TTL_MS, on_expired);
    last_expired = NULL;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    cached_responses_finish(&fixture->responses);
    fake_assert_idle(&fixture->fake);
    free(fixture);
    return 0;
}

/* Puts a response of `len` bytes that has just been read into a place. */
static void put(struct fixture *fixture, size_t place, size_t len)
{
    struct vault_response *response = vault_response_create(NULL);
    response->object.value = secret_create(len);
    response->read_ms = fixture->fake.now_ms;
    cached_responses_put(&fixture->responses, &fixture->places[place], response);
    vault_response_unref(response);
}

static void hold(struct fixture *fixture, size_t place, uint64_t ms)
{
    cached_responses_hold(&fixture->responses, &fixture->places[place], fixture->fake.now_ms + ms);
}

static bool is_there(const struct fixture *fixture, size_t place)
{
    return fixture->places[place].response != NULL;
}

static void of_too_many_the_oldest_goes_and_those_that_are_held_last(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < CACHED_RESPONSES_MAX; i++) {
        fixture->fake.now_ms++;
        put(fixture, i, 10);
    }
    hold(fixture, 0, HOLD_MS);
    put(fixture, CACHED_RESPONSES_MAX, 10);
    assert_ptr_equal(last_expired, &fixture->places[1]);
    assert_int_equal(fixture->responses.n, CACHED_RESPONSES_MAX);
    for (size_t i = CACHED_RESPONSES_MAX; i > 1; i--)
        hold(fixture, i, HOLD_MS + i); /* the later ones for longer */
    put(fixture, CACHED_RESPONSES_MAX + 1, 10);
    assert_ptr_equal(last_expired, &fixture->places[0]);
    assert_int_equal(fixture->responses.n, CACHED_RESPONSES_MAX);
    assert_true(is_there(fixture, CACHED_RESPONSES_MAX + 1));
}

static void their_bytes_are_bounded_held_or_not(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, 0, 10);
    hold(fixture, 0, HOLD_MS);
    put(fixture, 1, CACHED_RESPONSES_MAX_BYTES / 2);
    put(fixture, 2, CACHED_RESPONSES_MAX_BYTES / 2); /* with what belongs to a response: more than the half */
    assert_ptr_equal(last_expired, &fixture->places[1]);
    assert_true(is_there(fixture, 0));
    hold(fixture, 2, HOLD_MS + 1);
    put(fixture, 3, CACHED_RESPONSES_MAX_BYTES - 1000);
    assert_false(is_there(fixture, 0));
    assert_false(is_there(fixture, 2));
    assert_true(fixture->responses.bytes <= CACHED_RESPONSES_MAX_BYTES);
    put(fixture, 4, CACHED_RESPONSES_MAX_BYTES);
    assert_false(is_there(fixture, 4));
    assert_true(is_there(fixture, 3));
}

static void each_goes_when_its_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    uint64_t read_ms = fixture->fake.now_ms;

    put(fixture, 0, 10);
    put(fixture, 1, 10);
    hold(fixture, 1, TTL_MS + 5000);
    hold(fixture, 2, TTL_MS + 6000); /* before there is anything */
    put(fixture, 2, 10);
    fake_run(&fixture->fake, read_ms + TTL_MS);
    assert_false(is_there(fixture, 0));
    assert_true(is_there(fixture, 1) && is_there(fixture, 2));
    fake_run(&fixture->fake, read_ms + TTL_MS + 5000);
    assert_false(is_there(fixture, 1));
    assert_true(is_there(fixture, 2));
    fake_run(&fixture->fake, read_ms + TTL_MS + 6000);
    assert_false(is_there(fixture, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(of_too_many_the_oldest_goes_and_those_that_are_held_last),
        CASE(their_bytes_are_bounded_held_or_not),
        CASE(each_goes_when_its_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
