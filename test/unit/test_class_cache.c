/*
 * test_class_cache.c - who asks for a class when, and what is remembered. The source is a fake whose answers
 * come when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/class/class_cache.h"

enum { INTERVAL_S = 120 };

struct class_lookup {
    class_lookup_callback *callback;
    void *arg;
};

struct world {
    uv_loop_t loop;
    struct class_source source;
    struct class_cache *cache;
    struct class_lookup lookup; /* the last one */
    unsigned requests, cancels;
    bool refuse;
    char not_older[32]; /* of the last request */
    char name[64];

    unsigned answers, failures;
    const char *refresh; /* of the last answer */
    struct class_cache_call *other;
};

static struct class_lookup *fake_start_not_older(void *state, const char *ns, const char *name,
                                                 const char *resource_version, uint64_t timeout_ms,
                                                 class_lookup_callback *callback, void *arg,
                                                 struct error **err)
{
    struct world *world = state;

    assert_string_equal(ns, "shop");
    assert_int_equal(timeout_ms, CLASS_CACHE_TIMEOUT_MS);
    world->requests++;
    (void)snprintf(world->not_older, sizeof(world->not_older), "%s", resource_version);
    (void)snprintf(world->name, sizeof(world->name), "%s", name);
    if (world->refuse) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no");
        return NULL;
    }
    world->lookup = (struct class_lookup){.callback = callback, .arg = arg};
    return &world->lookup;
}

static struct class_lookup *fake_start(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                       class_lookup_callback *callback, void *arg, struct error **err)
{
    return fake_start_not_older(state, ns, name, "", timeout_ms, callback, arg, err);
}

static void fake_cancel(struct class_lookup *lookup)
{
    struct world *world = (struct world *)(void *)((char *)lookup - offsetof(struct world, lookup));

    world->cancels++;
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

static void answer(struct world *world, const char *version, const char *refresh)
{
    world->lookup.callback(make_class(world->name, version, refresh, ""), NULL, world->lookup.arg);
}

static void answer_failure(struct world *world, enum grpc_status code)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, code, "no");
    world->lookup.callback(NULL, error, world->lookup.arg);
}

static void answered(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct world *world = arg;

    world->answers++;
    if (class == NULL) {
        world->failures++;
        assert_non_null(error);
    } else {
        assert_null(error);
        world->refresh = class->refresh;
    }
}

static struct class_cache_call *ask(struct world *world, const char *name)
{
    struct class_cache_call *call = class_cache_start(world->cache, "shop", name, answered, world, NULL);

    assert_non_null(call);
    return call;
}

static const char *known(struct world *world, const char *name)
{
    const struct error *failure = NULL;
    const struct secret_provider_class *class = class_cache_get(world->cache, "shop", name, &failure);

    assert_true(class == NULL || failure == NULL);
    return class != NULL ? class->refresh : failure != NULL ? "failed" : NULL;
}

/* The loop does not run in these tests, so its clock stands still but for this. */
static void let_pass(struct world *world, uint64_t ms)
{
    world->loop.time += ms;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    world->source = (struct class_source){.name = "fake",
                                          .start = fake_start,
                                          .start_not_older = fake_start_not_older,
                                          .cancel = fake_cancel,
                                          .state = world};
    world->cache = class_cache_create(&world->loop, &world->source, INTERVAL_S, NULL, NULL);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    class_cache_destroy(world->cache);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world);
    return 0;
}

static void two_hundred_who_ask_at_once_share_one_request(void **state)
{
    struct world *world = *state;

    assert_null(known(world, "web"));
    for (unsigned i = 0; i < 200; i++)
        (void)ask(world, "web");
    assert_int_equal(world->requests, 1);
    assert_int_equal(world->answers, 0);
    answer(world, "5", "monday");
    assert_int_equal(world->answers, 200);
    assert_string_equal(known(world, "web"), "monday");
    assert_int_equal(world->requests, 1);
}

static void an_answer_serves_for_a_while_and_the_next_request_names_its_version(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    assert_string_equal(world->not_older, "");
    answer(world, "5", "monday");
    let_pass(world, CLASS_CACHE_AGE_MS - 1);
    assert_string_equal(known(world, "web"), "monday");
    let_pass(world, 1);
    assert_null(known(world, "web"));
    (void)ask(world, "web");
    assert_string_equal(world->not_older, "5");
    answer(world, "6", "tuesday");
    assert_string_equal(known(world, "web"), "tuesday");
    assert_int_equal(world->requests, 2);
}

static void classes_do_not_get_in_each_others_way(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    answer(world, "1", "w");
    (void)ask(world, "shop");
    answer(world, "2", "s");
    assert_string_equal(known(world, "web"), "w");
    assert_string_equal(known(world, "shop"), "s");
    assert_null(known(world, "we"));
}

/* An API server in trouble is not asked by every pod; and then it is asked without a version, because an old
 * version may have been the trouble (a store that was set back). */
static void a_failure_is_shared_for_a_short_while(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    answer(world, "5", "monday");
    let_pass(world, CLASS_CACHE_AGE_MS);
    (void)ask(world, "web");
    (void)ask(world, "web");
    answer_failure(world, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(world->failures, 2);
    assert_string_equal(known(world, "web"), "failed");
    let_pass(world, CLASS_CACHE_FAILURE_AGE_MS - 1);
    assert_string_equal(known(world, "web"), "failed");
    let_pass(world, 1);
    assert_null(known(world, "web"));
    (void)ask(world, "web");
    assert_string_equal(world->not_older, "");
    answer(world, "2", "restored");
    assert_string_equal(known(world, "web"), "restored");
}

/* The first look waits in vain, the others do not wait, and the server's return is noticed all the same. */
static void at_the_return_of_the_api_server_its_failures_are_forgotten(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    answer_failure(world, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(known(world, "web"), "failed");
    class_cache_forget_failures(world->cache);
    assert_null(known(world, "web"));
    (void)ask(world, "web");
    answer(world, "5", "monday");
    class_cache_forget_failures(world->cache);
    assert_string_equal(known(world, "web"), "monday");
}

static void an_api_server_that_is_silent_is_not_waited_for_again(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    answer_failure(world, GRPC_STATUS_DEADLINE_EXCEEDED);
    let_pass(world, CLASS_CACHE_FAILURE_AGE_MS - 1);
    assert_string_equal(known(world, "web"), "failed");
    assert_int_equal(world->requests, 1);
    let_pass(world, 60 * 1000);
    assert_string_equal(known(world, "web"), "failed");
    assert_string_equal(known(world, "web"), "failed");
    assert_int_equal(world->requests, 2);
    answer_failure(world, GRPC_STATUS_UNAVAILABLE);
    let_pass(world, 60 * 1000);
    assert_string_equal(known(world, "web"), "failed");
    answer(world, "2", "back");
    assert_string_equal(known(world, "web"), "back");
    assert_int_equal(world->requests, 3);
    assert_int_equal(world->answers, 1);
}

static void a_silence_of_long_ago_does_not_count(void **state)
{
    struct world *world = *state;

    (void)ask(world, "web");
    answer_failure(world, GRPC_STATUS_UNAVAILABLE);
    let_pass(world, CLASS_CACHE_SILENCE_MS);
    assert_null(known(world, "web"));
    assert_int_equal(world->requests, 1);
}

static void who_is_cancelled_is_not_called_and_the_others_are(void **state)
{
    struct world *world = *state;
    struct class_cache_call *first = ask(world, "web");
    struct class_cache_call *second = ask(world, "web");

    (void)ask(world, "web");
    class_cache_cancel(&second);
    class_cache_cancel(&first);
    assert_null(first);
    answer(world, "1", "x");
    assert_int_equal(world->answers, 1);
    assert_int_equal(world->cancels, 0);
}

static void cancel_the_other(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct world *world = arg;

    (void)class;
    (void)error;
    class_cache_cancel(&world->other);
    (void)ask(world, "web"); /* joins the next answer, not this one */
}

static void a_callback_may_cancel_and_ask(void **state)
{
    struct world *world = *state;

    assert_non_null(class_cache_start(world->cache, "shop", "web", cancel_the_other, world, NULL));
    world->other = ask(world, "web");
    answer(world, "1", "x");
    assert_int_equal(world->answers, 0);
    assert_int_equal(world->requests, 2);
    answer(world, "2", "y");
    assert_int_equal(world->answers, 1);
    assert_string_equal(world->refresh, "y");
}

static void a_request_that_can_not_start_is_an_error_and_nothing_waits(void **state)
{
    struct world *world = *state;
    cleanup_error struct error *error = NULL;

    world->refuse = true;
    assert_null(class_cache_start(world->cache, "shop", "web", answered, world, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    world->refuse = false;
    (void)ask(world, "web");
    answer(world, "1", "x");
    assert_int_equal(world->answers, 1);
}

static void what_was_read_elsewhere_counts(void **state)
{
    struct world *world = *state;
    struct secret_provider_class *class = make_class("web", "9", "noted", "");

    class_cache_put(world->cache, class);
    secret_provider_class_free(class); /* the cache has its own share */
    assert_string_equal(known(world, "web"), "noted");
    assert_int_equal(world->requests, 0);
}

/* The version of a class that the cache still has; "" when it has none. */
static const char *version_in_request(struct world *world, const char *name)
{
    (void)ask(world, name);
    answer(world, "1", "x");
    return world->not_older;
}

static void what_nobody_asks_about_is_forgotten(void **state)
{
    struct world *world = *state;
    char name[32];

    for (unsigned i = 0; i < CLASS_CACHE_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        (void)ask(world, name);
        answer(world, "1", "x");
    }
    assert_null(known(world, "c0"));
    assert_string_equal(version_in_request(world, "c0"), "");
    assert_string_equal(version_in_request(world, name), "1");
    let_pass(world, CLASS_CACHE_EXPIRY_MS);
    (void)ask(world, "new");
    answer(world, "1", "x");
    assert_string_equal(version_in_request(world, name), "");
}

static void short_intervals_shorten_the_memory(void **state)
{
    struct world *world = *state;

    class_cache_destroy(world->cache);
    world->cache = class_cache_create(&world->loop, &world->source, 2, NULL, NULL);
    (void)ask(world, "web");
    answer(world, "1", "x");
    let_pass(world, 999);
    assert_string_equal(known(world, "web"), "x");
    let_pass(world, 1);
    assert_null(known(world, "web"));
    class_cache_destroy(world->cache);
    world->cache = class_cache_create(&world->loop, &world->source, 0, NULL, NULL);
    (void)ask(world, "web");
    answer(world, "1", "x");
    assert_null(known(world, "web"));
}

static void a_local_source_is_asked_each_time(void **state)
{
    struct world *world = *state;

    class_cache_destroy(world->cache);
    world->source.local = true;
    world->cache = class_cache_create(&world->loop, &world->source, INTERVAL_S, NULL, NULL);
    (void)ask(world, "web");
    (void)ask(world, "web");
    assert_int_equal(world->requests, 1);
    answer(world, "1", "x");
    assert_int_equal(world->answers, 2);
    assert_null(known(world, "web"));
}

static void a_request_that_runs_at_the_end_is_cancelled(void **state)
{
    struct world *world = *state;
    struct class_cache_call *call = ask(world, "web");

    class_cache_cancel(&call);
    class_cache_destroy(world->cache);
    world->cache = NULL;
    assert_int_equal(world->cancels, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(two_hundred_who_ask_at_once_share_one_request),
        TEST(an_answer_serves_for_a_while_and_the_next_request_names_its_version),
        TEST(classes_do_not_get_in_each_others_way),
        TEST(a_failure_is_shared_for_a_short_while),
        TEST(at_the_return_of_the_api_server_its_failures_are_forgotten),
        TEST(an_api_server_that_is_silent_is_not_waited_for_again),
        TEST(a_silence_of_long_ago_does_not_count),
        TEST(who_is_cancelled_is_not_called_and_the_others_are),
        TEST(a_callback_may_cancel_and_ask),
        TEST(a_request_that_can_not_start_is_an_error_and_nothing_waits),
        TEST(what_was_read_elsewhere_counts),
        TEST(what_nobody_asks_about_is_forgotten),
        TEST(short_intervals_shorten_the_memory),
        TEST(a_local_source_is_asked_each_time),
        TEST(a_request_that_runs_at_the_end_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
