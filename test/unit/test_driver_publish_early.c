/*
 * test_driver_publish_early.c - one publish that calls the provider while the class is being read. The
 * fixture: publish_fixture.h.
 */
#include "common/process/metrics.h"
#include "test/unit/publish_fixture.h"

/* Version 1, by an earlier publish. */
static void let_class_be_read(struct fixture *fixture)
{
    fixture->class_version = "1";
    must_publish(fixture);
    unpublish(fixture);
}

/* A publish of a class of which version 1 has been read before. The provider has the call, and the source has
 * not returned the class yet. */
static void start_early_fetch(struct fixture *fixture)
{
    let_class_be_read(fixture);
    fixture->class_behavior = NEVER;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    assert_int_equal(fixture->class_starts, 2);
    fixture->class_behavior = AT_ONCE;
}

static void run_for_a_while(struct fixture *fixture)
{
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
}

/* The provider's response is there. */
static void let_provider_respond(struct fixture *fixture)
{
    run_for_a_while(fixture);
    assert_int_equal(fixture->responses, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT); /* nothing is written before the class is known */
}

static void finish_publish(struct fixture *fixture)
{
    while (fixture->publish != NULL)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    run_until_idle(fixture);
}

static void the_provider_is_called_while_the_class_is_read(void **state)
{
    FIXTURE();
    start_early_fetch(fixture);
    let_provider_respond(fixture);
    deliver_class(&fixture->timer);
    finish_publish(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_content("v1");
    assert_int_equal(fixture->provider_calls, 2);
}

static void a_class_that_is_read_first_waits_for_the_provider(void **state)
{
    FIXTURE();
    let_class_be_read(fixture);
    fixture->provider_behavior = NEVER;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    while (fixture->class_callback != NULL)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->provider_calls, 2);
    publish_cancel(&fixture->publish, GRPC_STATUS_CANCELLED);
    run_until_idle(fixture);
    assert_int_equal(fixture->provider_cancels, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void a_cancelled_publish_cancels_both(void **state)
{
    FIXTURE();
    let_class_be_read(fixture);
    fixture->class_behavior = fixture->provider_behavior = NEVER;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    publish_cancel(&fixture->publish, GRPC_STATUS_CANCELLED);
    run_until_idle(fixture);
    assert_int_equal(fixture->class_cancels, 1);
    assert_int_equal(fixture->provider_cancels, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void what_was_fetched_for_an_outdated_class_is_dropped(void **state)
{
    FIXTURE();
    start_early_fetch(fixture);
    let_provider_respond(fixture);
    fixture->class_version = "2";
    fixture->provider_text = "v2";
    deliver_class(&fixture->timer);
    finish_publish(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_content("v2");
    assert_int_equal(fixture->provider_calls, 3);
}

static void a_call_for_an_outdated_class_is_cancelled(void **state)
{
    FIXTURE();
    let_class_be_read(fixture);
    fixture->class_behavior = fixture->provider_behavior = NEVER;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    fixture->class_behavior = fixture->provider_behavior = AT_ONCE;
    fixture->class_version = "2";
    deliver_class(&fixture->timer);
    finish_publish(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->provider_cancels, 1);
    assert_int_equal(fixture->provider_calls, 3);
}

static void a_class_that_is_gone_fails_the_mount_and_is_not_used_again(void **state)
{
    FIXTURE();
    start_early_fetch(fixture);
    let_provider_respond(fixture);
    fixture->class_behavior = AT_ONCE_BADLY;
    deliver_class(&fixture->timer);
    finish_publish(fixture);
    assert_failed(fixture, GRPC_STATUS_NOT_FOUND, "failed to get secretproviderclass shop/web");
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
    publish(fixture);
    assert_failed(fixture, GRPC_STATUS_NOT_FOUND, "failed to get secretproviderclass shop/web");
    assert_int_equal(fixture->provider_calls, 2);
}

static void only_a_class_that_may_be_as_it_was_is_used_again(void **state)
{
    static const struct {
        enum grpc_status code;
        bool used;
    } table[] = {
        {GRPC_STATUS_NOT_FOUND, false},        {GRPC_STATUS_PERMISSION_DENIED, false},
        {GRPC_STATUS_INVALID_ARGUMENT, false}, {GRPC_STATUS_INTERNAL, false},
        {GRPC_STATUS_UNAVAILABLE, true},       {GRPC_STATUS_DEADLINE_EXCEEDED, true},
    };
    FIXTURE();

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->class_behavior = AT_ONCE;
        must_publish(fixture);
        unpublish(fixture);
        fixture->class_behavior = AT_ONCE_BADLY;
        fixture->class_code = table[i].code;
        publish(fixture);
        assert_failed(fixture, table[i].code, "failed to get secretproviderclass shop/web");
        assert_int_equal(class_cache_last(fixture->class_cache, "shop", "web") != NULL, table[i].used);
    }
}

/* Calls that the metrics have. */
static double provider_calls(const struct metrics *metrics, const char *status)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_free char *series = NULL;
    const char *line;

    buffer_init(&text, 1 << 20);
    assert_int_equal(metrics_render(metrics, &text, NULL), 0);
    assert_true(asprintf(&series, "\nprovider_mount_duration_sec_count{provider=\"fake\",grpc_status=\"%s\"",
                         status) > 0);
    line = strstr(buffer_str(&text), series);
    return line != NULL ? strtod(strchr(line, '}') + 1, NULL) : 0;
}

static void a_failure_of_an_early_call_shows_in_the_metrics_of_calls_only(void **state)
{
    FIXTURE();
    struct metrics *metrics = metrics_create();
    struct driver_metrics *driver_metrics = driver_metrics_create(metrics);

    fixture->publisher.metrics = driver_metrics;
    let_class_be_read(fixture);
    fixture->class_behavior = NEVER;
    fixture->provider_behavior = AT_ONCE_BADLY;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    let_provider_respond(fixture);
    fixture->class_behavior = fixture->provider_behavior = AT_ONCE;
    deliver_class(&fixture->timer);
    finish_publish(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_content("v1");
    assert_int_equal(fixture->provider_calls, 3);
    assert_true(provider_calls(metrics, "OK") == 2);
    assert_true(provider_calls(metrics, "PermissionDenied") == 1);
    driver_metrics_destroy(driver_metrics);
    metrics_destroy(metrics);
}

static void what_an_early_call_has_written_does_not_stay_on_the_disk(void **state)
{
    static const char *const versions[] = {"1", "2"}; /* of the class that is read; "1" was cached */
    FIXTURE();

    fixture->class_version = "1";
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        fixture->provider_writes = false;
        must_publish(fixture);
        unpublish(fixture);
        must_publish(fixture); /* the provider is known to return files */
        unpublish(fixture);
        fixture->provider_writes = true;
        fixture->provider_calls = 0;
        fixture->class_behavior = NEVER;
        start_publish(fixture);
        run_until(fixture, &fixture->provider_calls);
        run_for_a_while(fixture);
        fixture->class_behavior = AT_ONCE;
        fixture->class_version = versions[i];
        deliver_class(&fixture->timer);
        finish_publish(fixture);
        assert_int_equal(fixture->code, GRPC_STATUS_OK);
        assert_int_equal(fixture->provider_calls, 2);
        assert_written("v1");
        unpublish(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(the_provider_is_called_while_the_class_is_read),
        TEST(a_class_that_is_read_first_waits_for_the_provider),
        TEST(a_cancelled_publish_cancels_both),
        TEST(what_was_fetched_for_an_outdated_class_is_dropped),
        TEST(a_call_for_an_outdated_class_is_cancelled),
        TEST(a_class_that_is_gone_fails_the_mount_and_is_not_used_again),
        TEST(only_a_class_that_may_be_as_it_was_is_used_again),
        TEST(a_failure_of_an_early_call_shows_in_the_metrics_of_calls_only),
        TEST(what_an_early_call_has_written_does_not_stay_on_the_disk),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
