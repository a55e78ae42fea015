/*
 * test_class_cache.c - which calls make a request, and what is cached. The source is a fake that
 * responds when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/process/lifecycle.h"
#include "driver/class/class_cache.h"

enum { INTERVAL_S = 120 };

struct class_lookup {
    class_lookup_callback *callback;
    void *arg;
};

struct fixture {
    uv_loop_t loop;
    struct class_source source;
    struct class_cache *cache;
    struct class_lookup lookup; /* the last one */
    unsigned requests, cancels;
    bool refuse;
    char not_older[32]; /* of the last request */
    char name[64];

    unsigned responses, failures;
    const char *refresh; /* of the last response */
    struct class_cache_call *other;
};

static struct class_lookup *fake_start_not_older(void *state, const char *ns, const char *name,
                                                 const char *resource_version, uint64_t timeout_ms,
                                                 class_lookup_callback *callback, void *arg,
                                                 struct error **err)
{
    struct fixture *fixture = state;

    assert_string_equal(ns, "shop");
    assert_int_equal(timeout_ms, CLASS_CACHE_TIMEOUT_MS);
    fixture->requests++;
    (void)snprintf(fixture->not_older, sizeof(fixture->not_older), "%s", resource_version);
    (void)snprintf(fixture->name, sizeof(fixture->name), "%s", name);
    if (fixture->refuse) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no");
        return NULL;
    }
    fixture->lookup = (struct class_lookup){.callback = callback, .arg = arg};
    return &fixture->lookup;
}

static struct class_lookup *fake_start(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                       class_lookup_callback *callback, void *arg, struct error **err)
{
    return fake_start_not_older(state, ns, name, "", timeout_ms, callback, arg, err);
}

static void fake_cancel(struct class_lookup *lookup)
{
    struct fixture *fixture = (struct fixture *)(void *)((char *)lookup - offsetof(struct fixture, lookup));

    fixture->cancels++;
}

static struct secret_provider_class *make_class(const char *name, const char *version, const char *refresh,
                                                const char *interval)
{
    struct secret_provider_class *class = calloc(1, sizeof(*class));

    assert_non_null(class);
    class->name = strdup(name);
    class->ns = strdup("shop");
    class->provider = strdup("fake");
    class->resource_version = strdup(version);
    class->refresh = strdup(refresh);
    class->rotation_interval = strdup(interval);
    return class;
}

static void complete_lookup(struct fixture *fixture, const char *version, const char *refresh)
{
    fixture->lookup.callback(make_class(fixture->name, version, refresh, ""), NULL, fixture->lookup.arg);
}

static void fail_lookup(struct fixture *fixture, enum grpc_status code)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, code, "no");
    fixture->lookup.callback(NULL, error, fixture->lookup.arg);
}

static void on_class(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    fixture->responses++;
    if (class == NULL) {
        fixture->failures++;
        assert_non_null(error);
    } else {
        assert_null(error);
        fixture->refresh = class->refresh;
    }
}

static struct class_cache_call *start_lookup(struct fixture *fixture, const char *name)
{
    struct class_cache_call *call = class_cache_start(fixture->cache, "shop", name, on_class, fixture, NULL);

    assert_non_null(call);
    return call;
}

static const char *known(struct fixture *fixture, const char *name)
{
    const struct error *failure = NULL;
    const struct secret_provider_class *class = class_cache_get(fixture->cache, "shop", name, &failure);

    assert_true(class == NULL || failure == NULL);
    return class != NULL ? class->refresh : failure != NULL ? "failed" : NULL;
}

static uint64_t since_boot_ms = 1;

/* Takes the place of the clock of common/process/lifecycle.c. */
uint64_t clock_monotonic_ns(void)
{
    return since_boot_ms * 1000000;
}

/* The loop does not run in tests that use this, so its clock stands still but for it. */
static void let_pass(struct fixture *fixture, uint64_t ms)
{
    fixture->loop.time += ms;
    since_boot_ms += ms;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->source = (struct class_source){.name = "fake",
                                            .start = fake_start,
                                            .start_not_older = fake_start_not_older,
                                            .cancel = fake_cancel,
                                            .state = fixture};
    fixture->cache = class_cache_create(&fixture->loop, &fixture->source, INTERVAL_S, NULL, NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    class_cache_destroy(fixture->cache);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0); /* what is being closed */
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static void two_hundred_calls_at_once_share_one_request(void **state)
{
    struct fixture *fixture = *state;

    assert_null(known(fixture, "web"));
    for (unsigned i = 0; i < 200; i++)
        (void)start_lookup(fixture, "web");
    assert_int_equal(fixture->requests, 1);
    assert_int_equal(fixture->responses, 0);
    complete_lookup(fixture, "5", "monday");
    assert_int_equal(fixture->responses, 200);
    assert_string_equal(known(fixture, "web"), "monday");
    assert_int_equal(fixture->requests, 1);
}

static void a_class_is_cached_for_a_while_and_the_next_request_names_its_version(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    assert_string_equal(fixture->not_older, "");
    complete_lookup(fixture, "5", "monday");
    let_pass(fixture, CLASS_CACHE_AGE_MS - 1);
    assert_string_equal(known(fixture, "web"), "monday");
    let_pass(fixture, 1);
    assert_null(known(fixture, "web"));
    (void)start_lookup(fixture, "web");
    assert_string_equal(fixture->not_older, "5");
    complete_lookup(fixture, "6", "tuesday");
    assert_string_equal(known(fixture, "web"), "tuesday");
    assert_int_equal(fixture->requests, 2);
}

static void classes_do_not_get_in_each_others_way(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "1", "w");
    (void)start_lookup(fixture, "shop");
    complete_lookup(fixture, "2", "s");
    assert_string_equal(known(fixture, "web"), "w");
    assert_string_equal(known(fixture, "shop"), "s");
    assert_null(known(fixture, "we"));
}

/* An API server in trouble is not asked by every pod; and then it is asked without a version, because an old
 * version may have been the trouble (a store that was set back). */
static void a_failure_is_shared_for_a_short_while(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "5", "monday");
    let_pass(fixture, CLASS_CACHE_AGE_MS);
    (void)start_lookup(fixture, "web");
    (void)start_lookup(fixture, "web");
    fail_lookup(fixture, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(fixture->failures, 2);
    assert_string_equal(known(fixture, "web"), "failed");
    let_pass(fixture, CLASS_CACHE_FAILURE_AGE_MS - 1);
    assert_string_equal(known(fixture, "web"), "failed");
    let_pass(fixture, 1);
    assert_null(known(fixture, "web"));
    (void)start_lookup(fixture, "web");
    assert_string_equal(fixture->not_older, "");
    complete_lookup(fixture, "2", "restored");
    assert_string_equal(known(fixture, "web"), "restored");
}

static void a_call_gets_a_shared_failure_later_and_without_a_request(void **state)
{
    struct fixture *fixture = *state;
    struct class_cache_call *cancelled;

    (void)start_lookup(fixture, "web");
    fail_lookup(fixture, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(fixture->failures, 1);
    for (unsigned i = 0; i < 200; i++)
        (void)start_lookup(fixture, "web");
    cancelled = start_lookup(fixture, "web");
    (void)start_lookup(fixture, "other");
    class_cache_cancel(&cancelled);
    assert_int_equal(fixture->failures, 1);
    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->failures, 201);
    assert_int_equal(fixture->requests, 2);
    complete_lookup(fixture, "1", "x");
    assert_int_equal(fixture->responses, 202);
    since_boot_ms += CLASS_CACHE_FAILURE_AGE_MS;
    (void)start_lookup(fixture, "web");
    assert_int_equal(fixture->requests, 3);
    complete_lookup(fixture, "1", "x");
}

static void get_again(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    assert_null(class);
    assert_int_equal(error_code(error), GRPC_STATUS_PERMISSION_DENIED);
    if (++fixture->failures < 5)
        assert_non_null(class_cache_start(fixture->cache, "shop", "web", get_again, fixture, NULL));
}

static void a_callback_may_start_a_call_for_the_same_failure(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(class_cache_start(fixture->cache, "shop", "web", get_again, fixture, NULL));
    fail_lookup(fixture, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(fixture->failures, 1); /* never from inside */
    while (fixture->failures < 5)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->requests, 1);
}

/* The first rotation check waits in vain, the others do not wait, and the server's return is noticed. */
static void at_the_return_of_the_api_server_its_failures_are_forgotten(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    fail_lookup(fixture, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(known(fixture, "web"), "failed");
    class_cache_forget_failures(fixture->cache);
    assert_null(known(fixture, "web"));
    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "5", "monday");
    class_cache_forget_failures(fixture->cache);
    assert_string_equal(known(fixture, "web"), "monday");
}

static void an_api_server_that_is_silent_is_not_waited_for_again(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    fail_lookup(fixture, GRPC_STATUS_DEADLINE_EXCEEDED);
    let_pass(fixture, CLASS_CACHE_FAILURE_AGE_MS - 1);
    assert_string_equal(known(fixture, "web"), "failed");
    assert_int_equal(fixture->requests, 1);
    let_pass(fixture, 60 * 1000);
    assert_string_equal(known(fixture, "web"), "failed");
    assert_string_equal(known(fixture, "web"), "failed");
    assert_int_equal(fixture->requests, 2);
    fail_lookup(fixture, GRPC_STATUS_UNAVAILABLE);
    let_pass(fixture, 60 * 1000);
    assert_string_equal(known(fixture, "web"), "failed");
    complete_lookup(fixture, "2", "back");
    assert_string_equal(known(fixture, "web"), "back");
    assert_int_equal(fixture->requests, 3);
    assert_int_equal(fixture->responses, 1);
}

static void a_class_gets_older_while_the_machine_sleeps(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "5", "monday");
    since_boot_ms += CLASS_CACHE_AGE_MS; /* the clock of the loop stands still meanwhile */
    assert_null(known(fixture, "web"));
}

static void a_silence_of_long_ago_does_not_count(void **state)
{
    struct fixture *fixture = *state;

    (void)start_lookup(fixture, "web");
    fail_lookup(fixture, GRPC_STATUS_UNAVAILABLE);
    let_pass(fixture, CLASS_CACHE_SILENCE_MS);
    assert_null(known(fixture, "web"));
    assert_int_equal(fixture->requests, 1);
}

static void a_cancelled_call_is_not_called_back_and_the_others_are(void **state)
{
    struct fixture *fixture = *state;
    struct class_cache_call *first = start_lookup(fixture, "web");
    struct class_cache_call *second = start_lookup(fixture, "web");

    (void)start_lookup(fixture, "web");
    class_cache_cancel(&second);
    class_cache_cancel(&first);
    assert_null(first);
    complete_lookup(fixture, "1", "x");
    assert_int_equal(fixture->responses, 1);
    assert_int_equal(fixture->cancels, 0);
}

/* Nobody waits for it, it is the oldest, and there are more than enough bytes already. */
static void a_lookup_without_calls_may_end_while_the_cache_is_full(void **state)
{
    struct fixture *fixture = *state;
    static char text[2 * CLASS_CACHE_BYTES_MAX + 1];
    struct secret_provider_class *large = make_class("large", "1", "x", "");
    struct class_cache_call *call = start_lookup(fixture, "web");

    class_cache_cancel(&call);
    (void)memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(string_map_set(&large->parameters, "objects", text, NULL), 0);
    class_cache_put(fixture->cache, large);
    secret_provider_class_free(large);
    complete_lookup(fixture, "1", "x");
    assert_string_equal(known(fixture, "web"), "x");
    assert_int_equal(fixture->responses, 0);
    assert_int_equal(fixture->cancels, 0);
}

static void cancel_the_other(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    (void)class;
    (void)error;
    class_cache_cancel(&fixture->other);
    (void)start_lookup(fixture, "web"); /* joins the next response, not this one */
}

static void a_callback_may_cancel_and_start_a_call(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(class_cache_start(fixture->cache, "shop", "web", cancel_the_other, fixture, NULL));
    fixture->other = start_lookup(fixture, "web");
    complete_lookup(fixture, "1", "x");
    assert_int_equal(fixture->responses, 0);
    assert_int_equal(fixture->requests, 2);
    complete_lookup(fixture, "2", "y");
    assert_int_equal(fixture->responses, 1);
    assert_string_equal(fixture->refresh, "y");
}

static void a_request_that_cannot_start_is_an_error_and_nothing_waits(void **state)
{
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    fixture->refuse = true;
    assert_null(class_cache_start(fixture->cache, "shop", "web", on_class, fixture, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    fixture->refuse = false;
    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "1", "x");
    assert_int_equal(fixture->responses, 1);
}

static void a_class_that_was_read_elsewhere_is_cached(void **state)
{
    struct fixture *fixture = *state;
    struct secret_provider_class *class = make_class("web", "9", "noted", "");

    class_cache_put(fixture->cache, class);
    secret_provider_class_free(class); /* the cache has its own share */
    assert_string_equal(known(fixture, "web"), "noted");
    assert_int_equal(fixture->requests, 0);
}

static void the_last_class_is_there_whatever_its_age_until_it_is_removed(void **state)
{
    struct fixture *fixture = *state;
    struct secret_provider_class *class = make_class("web", "9", "noted", "");

    assert_null(class_cache_last(fixture->cache, "shop", "web"));
    class_cache_put(fixture->cache, class);
    let_pass(fixture, CLASS_CACHE_AGE_MS);
    assert_ptr_equal(class_cache_last(fixture->cache, "shop", "web"), class);
    secret_provider_class_free(class);
    class_cache_remove(fixture->cache, "shop", "web");
    class_cache_remove(fixture->cache, "shop", "other");
    assert_null(class_cache_last(fixture->cache, "shop", "web"));
    assert_int_equal(fixture->requests, 0);
}

/* The version of a class that the cache still has; "" when it has none. */
static const char *version_in_request(struct fixture *fixture, const char *name)
{
    (void)start_lookup(fixture, name);
    complete_lookup(fixture, "1", "x");
    return fixture->not_older;
}

static void unused_classes_are_evicted(void **state)
{
    struct fixture *fixture = *state;
    char name[32];

    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        (void)start_lookup(fixture, name);
        complete_lookup(fixture, "1", "x");
    }
    assert_null(known(fixture, "c0"));
    assert_string_equal(version_in_request(fixture, "c0"), "");
    assert_string_equal(version_in_request(fixture, name), "1");
    let_pass(fixture, CLASS_CACHE_EXPIRY_MS);
    (void)start_lookup(fixture, "new");
    complete_lookup(fixture, "1", "x");
    assert_string_equal(version_in_request(fixture, name), "");
}

/* Classes may have a mebibyte each. The one in use is cached, whatever its size. */
static void classes_take_no_more_memory_than_allowed(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {200, 20 * 1024, 2 * CLASS_CACHE_BYTES_MAX};
    static char text[2 * CLASS_CACHE_BYTES_MAX + 1];
    char name[32];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t kept = 0;

        (void)memset(text, 'x', sizes[i]);
        text[sizes[i]] = '\0';
        for (unsigned k = 0; k < 1000; k++) {
            struct secret_provider_class *class;

            (void)snprintf(name, sizeof(name), "%zu-%u", i, k);
            class = make_class(name, "1", "x", "");
            assert_int_equal(string_map_set(&class->parameters, "objects", text, NULL), 0);
            class_cache_put(fixture->cache, class);
            secret_provider_class_free(class);
        }
        assert_non_null(known(fixture, name));
        for (unsigned k = 0; k < 1000; k++) {
            (void)snprintf(name, sizeof(name), "%zu-%u", i, k);
            kept += known(fixture, name) != NULL;
        }
        assert_in_range(kept, 1, 1 + CLASS_CACHE_BYTES_MAX / sizes[i]);
        assert_true(kept >= CLASS_CACHE_BYTES_MAX / (sizes[i] + 1000));
    }
}

static void short_intervals_shorten_the_cache_time(void **state)
{
    struct fixture *fixture = *state;

    class_cache_destroy(fixture->cache);
    fixture->cache = class_cache_create(&fixture->loop, &fixture->source, 2, NULL, NULL);
    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "1", "x");
    let_pass(fixture, 999);
    assert_string_equal(known(fixture, "web"), "x");
    let_pass(fixture, 1);
    assert_null(known(fixture, "web"));
    class_cache_destroy(fixture->cache);
    fixture->cache = class_cache_create(&fixture->loop, &fixture->source, 0, NULL, NULL);
    (void)start_lookup(fixture, "web");
    complete_lookup(fixture, "1", "x");
    assert_null(known(fixture, "web"));
}

static void a_local_source_is_read_each_time(void **state)
{
    struct fixture *fixture = *state;

    class_cache_destroy(fixture->cache);
    fixture->source.local = true;
    fixture->cache = class_cache_create(&fixture->loop, &fixture->source, INTERVAL_S, NULL, NULL);
    (void)start_lookup(fixture, "web");
    (void)start_lookup(fixture, "web");
    assert_int_equal(fixture->requests, 1);
    complete_lookup(fixture, "1", "x");
    assert_int_equal(fixture->responses, 2);
    assert_null(known(fixture, "web"));
}

static void a_request_that_runs_at_the_end_is_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct class_cache_call *call = start_lookup(fixture, "web");

    class_cache_cancel(&call);
    class_cache_destroy(fixture->cache);
    fixture->cache = NULL;
    assert_int_equal(fixture->cancels, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(two_hundred_calls_at_once_share_one_request),
        TEST(a_class_is_cached_for_a_while_and_the_next_request_names_its_version),
        TEST(classes_do_not_get_in_each_others_way),
        TEST(a_failure_is_shared_for_a_short_while),
        TEST(a_call_gets_a_shared_failure_later_and_without_a_request),
        TEST(a_callback_may_start_a_call_for_the_same_failure),
        TEST(at_the_return_of_the_api_server_its_failures_are_forgotten),
        TEST(an_api_server_that_is_silent_is_not_waited_for_again),
        TEST(a_class_gets_older_while_the_machine_sleeps),
        TEST(a_silence_of_long_ago_does_not_count),
        TEST(a_cancelled_call_is_not_called_back_and_the_others_are),
        TEST(a_lookup_without_calls_may_end_while_the_cache_is_full),
        TEST(a_callback_may_cancel_and_start_a_call),
        TEST(a_request_that_cannot_start_is_an_error_and_nothing_waits),
        TEST(a_class_that_was_read_elsewhere_is_cached),
        TEST(the_last_class_is_there_whatever_its_age_until_it_is_removed),
        TEST(unused_classes_are_evicted),
        TEST(classes_take_no_more_memory_than_allowed),
        TEST(short_intervals_shorten_the_cache_time),
        TEST(a_local_source_is_read_each_time),
        TEST(a_request_that_runs_at_the_end_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
