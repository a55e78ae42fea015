/*
 * test_stale_store.c - the values that are kept for outages: for how long, how many, and what ends them.
 */
#include "test/unit/azure_mount_fixture.h"

enum { HOUR_MS = 3600 * 1000 };

static int setup_on(void **state)
{
    (void)setup(state);
    keep_for_outages(*state);
    return 0;
}

static struct stale_key key_of(uint8_t read, uint8_t principal, uint8_t object, uint8_t vault)
{
    return (struct stale_key){.read = {read}, .principal = {principal}, .object = {object}, .vault = {vault}};
}

static struct vault_response *response_of(struct fixture *fixture, size_t len)
{
    struct vault_response *response = vault_response_create(NULL);
    response->object.value = secret_create(len);
    response->object.version = strdup("v1");
    response->read_ms = fixture->fake.now_ms;
    return response;
}

static bool has(struct fixture *fixture, const struct stale_key *key)
{
    uint64_t age_ms = 0;
    return stale_store_get(fixture->stale, key, HOUR_MS, &age_ms) != NULL;
}

static void a_timer_wipes_each_value_at_its_time(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key hour = key_of(1, 1, 1, 1), minute = key_of(2, 1, 2, 1);
    struct vault_response *one = response_of(fixture, 10), *two = response_of(fixture, 10);
    stale_store_keep(fixture->stale, &hour, one, 2 * HOUR_MS); /* the store's own age is an hour */
    stale_store_keep(fixture->stale, &minute, two, 60000);
    assert_int_equal(one->refs + two->refs, 4);
    fake_run(&fixture->fake, fixture->fake.now_ms + 60000);
    assert_int_equal(two->refs, 1);
    assert_int_equal(one->refs, 2);
    fake_run(&fixture->fake, one->read_ms + HOUR_MS);
    assert_int_equal(one->refs, 1);
    assert_null(fixture->fake.timers);
    vault_response_unref(one);
    vault_response_unref(two);
}

static void a_longer_age_stays_when_a_newer_value_comes(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key key = key_of(1, 1, 1, 1);
    struct vault_response *old = response_of(fixture, 10);
    stale_store_keep(fixture->stale, &key, old, HOUR_MS);
    fixture->fake.now_ms += 1000;
    struct vault_response *new = response_of(fixture, 10);
    stale_store_keep(fixture->stale, &key, new, 0);
    stale_store_keep(fixture->stale, &key, old, HOUR_MS); /* time does not run backwards */
    assert_int_equal(old->refs, 1);
    assert_int_equal(new->refs, 2);
    fake_run(&fixture->fake, fixture->fake.now_ms + HOUR_MS - 1);
    assert_true(has(fixture, &key));
    vault_response_unref(old);
    vault_response_unref(new);
}

static void the_wall_clock_counts_too(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key key = key_of(1, 1, 1, 1);
    struct vault_response *response = response_of(fixture, 10);
    stale_store_keep(fixture->stale, &key, response, HOUR_MS);
    fixture->fake.slept_s = 1800;
    assert_true(has(fixture, &key));
    fixture->fake.slept_s = 3601; /* the machine slept, and the monotonic clock with it */
    assert_false(has(fixture, &key));
    vault_response_unref(response);
}

static void what_is_too_old_by_the_wall_clock_is_not_handed_over(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key old_key = key_of(1, 1, 1, 1), new_key = key_of(2, 1, 2, 1);
    struct vault_response *old = response_of(fixture, 10);
    struct stale_value value;
    stale_store_keep(fixture->stale, &old_key, old, HOUR_MS);
    fixture->fake.slept_s = 3602;
    struct vault_response *new = response_of(fixture, 10);
    stale_store_keep(fixture->stale, &new_key, new, HOUR_MS);
    assert_true(stale_store_take_first(fixture->stale, &value));
    assert_memory_equal(&value.key, &new_key, sizeof(new_key));
    assert_true(value.age_ms < 1000);
    assert_false(stale_store_take_first(fixture->stale, &value));
    vault_response_unref(new); /* the value's */
    assert_int_equal(old->refs + new->refs, 2);
    stale_store_keep(fixture->stale, &old_key, old, HOUR_MS);
    fixture->fake.slept_s = 2 * 3602;
    assert_false(stale_store_take_first(fixture->stale, &value));
    assert_true(stale_store_is_empty(fixture->stale));
    vault_response_unref(old);
    vault_response_unref(new);
}

static void what_was_in_flight_during_a_refusal_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key key = key_of(1, 1, 1, 1), same_vault = key_of(2, 1, 2, 1),
                     other_vault = key_of(3, 1, 3, 2);
    struct stale_key other_principal = key_of(1, 2, 1, 1), same_object = key_of(4, 1, 1, 1);
    struct vault_response *response = response_of(fixture, 10);
    fixture->fake.now_ms += 10;
    stale_store_refuse(fixture->stale, &key, STALE_SCOPE_OBJECT);
    struct stale_key *const all[] = {&key, &same_object, &same_vault, &other_vault, &other_principal};
    static const bool after_object[] = {false, false, true, true, true};
    static const bool after_vault[] = {false, false, false, true, true};
    for (size_t i = 0; i < 5; i++) {
        stale_store_keep(fixture->stale, all[i], response, HOUR_MS);
        assert_int_equal(has(fixture, all[i]), after_object[i]);
    }
    stale_store_refuse(fixture->stale, &key, STALE_SCOPE_VAULT);
    for (size_t i = 0; i < 5; i++) {
        stale_store_keep(fixture->stale, all[i], response, HOUR_MS);
        assert_int_equal(has(fixture, all[i]), after_vault[i]);
    }
    response->read_ms = fixture->fake.now_ms + 1; /* requested after it */
    stale_store_keep(fixture->stale, &key, response, HOUR_MS);
    assert_true(has(fixture, &key));
    vault_response_unref(response);
}

static void refusals_that_are_forgotten_count_for_everybody(void **state)
{
    struct fixture *fixture = *state;
    struct stale_key key = key_of(1, 1, 1, 1);
    struct vault_response *before = response_of(fixture, 10);
    for (unsigned i = 0; i <= STALE_MAX_REFUSALS; i++) {
        struct stale_key other = key_of(2, 2, 2, 2);
        memcpy(other.object, &i, sizeof(i));
        fixture->fake.now_ms++;
        stale_store_refuse(fixture->stale, &other, STALE_SCOPE_OBJECT);
    }
    stale_store_keep(fixture->stale, &key, before, HOUR_MS);
    assert_false(has(fixture, &key));
    struct vault_response *later = response_of(fixture, 10);
    later->read_ms -= 10;
    stale_store_keep(fixture->stale, &key, later, HOUR_MS);
    assert_true(has(fixture, &key));
    vault_response_unref(before);
    vault_response_unref(later);
}

static void number_and_bytes_are_bounded_and_the_first_goes_first(void **state)
{
    struct fixture *fixture = *state;
    struct vault_response *small = response_of(fixture, 10);
    struct stale_key key = key_of(0, 0, 0, 0);
    for (unsigned i = 0; i < STALE_MAX_VALUES + 10; i++) {
        memcpy(key.read, &i, sizeof(i));
        stale_store_keep(fixture->stale, &key, small, HOUR_MS);
    }
    assert_int_equal(small->refs, 1 + STALE_MAX_VALUES);
    struct vault_response *large = response_of(fixture, STALE_MAX_BYTES / 2);
    for (unsigned i = 0; i < 4; i++) {
        memcpy(key.read, &i, sizeof(i));
        stale_store_keep(fixture->stale, &key, large, HOUR_MS);
    }
    assert_int_equal(small->refs, 1);
    assert_int_equal(large->refs, 2); /* two of them are more than the limit */
    vault_response_unref(large);
    large = response_of(fixture, STALE_MAX_BYTES + 1);
    stale_store_keep(fixture->stale, &key, large, HOUR_MS);
    assert_int_equal(large->refs, 1);
    vault_response_unref(small);
    vault_response_unref(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_on, teardown)
        TEST(a_timer_wipes_each_value_at_its_time),
        TEST(a_longer_age_stays_when_a_newer_value_comes),
        TEST(the_wall_clock_counts_too),
        TEST(what_is_too_old_by_the_wall_clock_is_not_handed_over),
        TEST(what_was_in_flight_during_a_refusal_is_not_kept),
        TEST(refusals_that_are_forgotten_count_for_everybody),
        TEST(number_and_bytes_are_bounded_and_the_first_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
