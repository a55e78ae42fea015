/*
 * test_resolver.c - the cache of addresses: freshness, renewal, old addresses while DNS is down. Lookups and
 * the loop's clock are replaced in this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/http/dns_lookup.h"
#include "common/http/resolver.h"

#define HOST "vault.example"

/* --- the clock and the name servers --- */

static uint64_t now_ms;

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return now_ms;
}

struct dns_lookup {
    dns_callback *callback;
    void *arg;
};

static struct dns_lookup *in_flight;
static int lookups;

struct dns_lookup *dns_lookup_start(uv_loop_t *loop, const char *name, dns_callback *callback, void *arg,
                                    struct error **err)
{
    (void)loop;
    (void)err;
    assert_string_equal(name, HOST);
    assert_null(in_flight);
    in_flight = calloc(1, sizeof(*in_flight));
    assert_non_null(in_flight);
    *in_flight = (struct dns_lookup){.callback = callback, .arg = arg};
    lookups++;
    return in_flight;
}

void dns_lookup_cancel(struct dns_lookup **lookup)
{
    if (*lookup == NULL)
        return;
    assert_ptr_equal(*lookup, in_flight);
    in_flight = NULL;
    free(*lookup);
    *lookup = NULL;
}

static void complete(struct dns_result given)
{
    assert_non_null(in_flight);
    struct dns_lookup over = *in_flight;
    free(in_flight);
    in_flight = NULL;
    over.callback(&given, over.arg);
}

#define FOUND(text, ttl) ((struct dns_result){.outcome = DNS_FOUND, .addresses = (text), .ttl_s = (ttl)})
#define UNKNOWN          ((struct dns_result){.outcome = DNS_NOT_FOUND, .reason = "unknown"})
#define DOWN             ((struct dns_result){.outcome = DNS_FAILED, .reason = "down"})

/* --- one host --- */

struct fixture {
    uv_loop_t loop;
    struct resolver *resolver;
    int called;
    char got[64]; /* addresses, or "!" and the reason */
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.called = 0};
    now_ms = 1000;
    lookups = 0;
    assert_int_equal(uv_loop_init(&fixture.loop), 0);
    fixture.resolver = resolver_create(&fixture.loop, /* log= */ NULL);
    assert_non_null(fixture.resolver);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    resolver_destroy(fixture->resolver);
    assert_null(in_flight);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    return 0;
}

static void on_addresses(const char *addresses, const char *reason, void *arg)
{
    struct fixture *fixture = arg;
    fixture->called++;
    (void)snprintf(fixture->got, sizeof(fixture->got), "%s%s", addresses != NULL ? "" : "!",
                   addresses != NULL ? addresses : reason);
}

static struct resolver_wait *start_lookup(struct fixture *fixture)
{
    fixture->called = 0;
    struct resolver_wait *wait = resolver_start(fixture->resolver, HOST, on_addresses, fixture, NULL);
    assert_non_null(wait);
    assert_int_equal(fixture->called, 0);
    return wait;
}

static void look_up(struct fixture *fixture, struct dns_result given)
{
    (void)start_lookup(fixture);
    complete(given);
    assert_int_equal(fixture->called, 1);
}

static void assert_cached(struct fixture *fixture, const char *wanted)
{
    const char *got = resolver_cached(fixture->resolver, HOST);
    if (wanted == NULL)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

/* Turns the loop, whose own clock stands still for the resolver, until a callback has come. */
static void turn_until_called(struct fixture *fixture)
{
    while (fixture->called == 0)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* --- tests --- */

static void addresses_are_fresh_for_a_bounded_ttl_and_renewed_after_it(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint32_t ttl_s;
        uint64_t fresh_ms;
    } rows[] = {{0, 10000}, {1, 10000}, {60, 60000}, {300, 300000}, {86400, 300000}, {UINT32_MAX, 300000}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        lookups = 0;
        look_up(fixture, FOUND("192.0.2.1", rows[i].ttl_s));
        assert_string_equal(fixture->got, "192.0.2.1");
        now_ms += rows[i].fresh_ms - 1;
        assert_cached(fixture, "192.0.2.1");
        assert_int_equal(lookups, 1);
        now_ms += 1;
        assert_cached(fixture, "192.0.2.1"); /* used at once while it is renewed */
        assert_cached(fixture, "192.0.2.1");
        assert_int_equal(lookups, 2);
        complete(FOUND("192.0.2.2", 60));
        assert_cached(fixture, "192.0.2.2");
        now_ms += RESOLVER_TTL_MAX_MS + RESOLVER_RENEW_MS;
        assert_cached(fixture, NULL); /* too old to be used without a lookup */
    }
}

static void callers_share_one_lookup(void **state)
{
    struct fixture *fixture = *state;
    struct resolver_wait *gone = start_lookup(fixture);
    (void)start_lookup(fixture);
    (void)start_lookup(fixture);
    resolver_cancel(&gone);
    complete(FOUND("192.0.2.1", 60));
    assert_int_equal(fixture->called, 2);
    assert_int_equal(lookups, 1);
}

static void old_addresses_are_used_while_dns_is_down(void **state)
{
    struct fixture *fixture = *state;
    look_up(fixture, FOUND("192.0.2.1", 60));
    for (int hour = 0; hour < 23; hour++) {
        now_ms += 3600 * 1000;
        assert_cached(fixture, NULL);
        look_up(fixture, DOWN);
        assert_string_equal(fixture->got, "192.0.2.1");
        int before = lookups;
        now_ms += RESOLVER_RECHECK_MS - 1;
        assert_cached(fixture, "192.0.2.1"); /* without waiting for name servers again */
        assert_int_equal(lookups, before);
    }
    now_ms += 3600 * 1000;
    look_up(fixture, DOWN); /* older than a day */
    assert_string_equal(fixture->got, "!down");
    look_up(fixture, FOUND("192.0.2.2", 60));
    assert_string_equal(fixture->got, "192.0.2.2");
}

static void patience_with_a_silent_name_server_is_short(void **state)
{
    struct fixture *fixture = *state;
    look_up(fixture, FOUND("192.0.2.1", 60));
    now_ms += 3600 * 1000;
    (void)start_lookup(fixture);
    turn_until_called(fixture);
    assert_string_equal(fixture->got, "192.0.2.1");
    assert_non_null(in_flight); /* it goes on */
    fixture->called = 0;
    complete(FOUND("192.0.2.2", 60));
    assert_int_equal(fixture->called, 0);
    assert_cached(fixture, "192.0.2.2");
}

static void an_unknown_name_is_remembered_for_a_moment(void **state)
{
    struct fixture *fixture = *state;
    look_up(fixture, FOUND("192.0.2.1", 60));
    now_ms += 3600 * 1000;
    look_up(fixture, UNKNOWN); /* a response: the old addresses are gone */
    assert_string_equal(fixture->got, "!unknown");
    assert_cached(fixture, NULL);
    (void)start_lookup(fixture);
    assert_null(in_flight);
    turn_until_called(fixture);
    assert_string_equal(fixture->got, "!unknown");
    now_ms += RESOLVER_NEGATIVE_MS;
    look_up(fixture, FOUND("192.0.2.2", 60));
    assert_string_equal(fixture->got, "192.0.2.2");
}

static void a_failure_without_old_addresses_is_not_remembered(void **state)
{
    struct fixture *fixture = *state;
    look_up(fixture, DOWN);
    assert_string_equal(fixture->got, "!down");
    look_up(fixture, FOUND("192.0.2.1", 60));
    assert_string_equal(fixture->got, "192.0.2.1");
}

static void a_failed_connection_causes_a_lookup_of_addresses_that_are_not_new(void **state)
{
    struct fixture *fixture = *state;
    look_up(fixture, FOUND("192.0.2.1", 300));
    now_ms += RESOLVER_TTL_MIN_MS - 1;
    resolver_invalidate(fixture->resolver, HOST);
    assert_cached(fixture, "192.0.2.1"); /* just looked up */
    now_ms += 1;
    resolver_invalidate(fixture->resolver, HOST);
    resolver_invalidate(fixture->resolver, "other.example");
    assert_cached(fixture, NULL);
    look_up(fixture, DOWN);
    assert_string_equal(fixture->got, "192.0.2.1"); /* better than nothing */
    now_ms += RESOLVER_RECHECK_MS;
    look_up(fixture, FOUND("192.0.2.2", 300));
    assert_cached(fixture, "192.0.2.2");
}

static void the_end_cancels_lookups(void **state)
{
    struct fixture *fixture = *state;
    struct resolver_wait *wait = start_lookup(fixture);
    resolver_cancel(&wait);
    assert_non_null(in_flight);
}

static struct resolver *doomed;

static void destroy_it(const char *addresses, const char *reason, void *arg)
{
    int *called = arg;
    (void)reason;
    (*called)++;
    assert_non_null(addresses);
    resolver_destroy(doomed);
    assert_string_equal(addresses, "192.0.2.1"); /* lives until the callback returns */
}

static void a_callback_may_end_it(void **state)
{
    struct fixture *fixture = *state;
    int called = 0;
    doomed = fixture->resolver;
    assert_non_null(resolver_start(fixture->resolver, HOST, destroy_it, &called, NULL));
    complete(FOUND("192.0.2.1", 60));
    assert_int_equal(called, 1);
    fixture->resolver = NULL;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(addresses_are_fresh_for_a_bounded_ttl_and_renewed_after_it),
        CASE(callers_share_one_lookup),
        CASE(old_addresses_are_used_while_dns_is_down),
        CASE(patience_with_a_silent_name_server_is_short),
        CASE(an_unknown_name_is_remembered_for_a_moment),
        CASE(a_failure_without_old_addresses_is_not_remembered),
        CASE(a_failed_connection_causes_a_lookup_of_addresses_that_are_not_new),
        CASE(the_end_cancels_lookups),
        CASE(a_callback_may_end_it),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
