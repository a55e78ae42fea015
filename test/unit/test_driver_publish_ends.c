/*
 * test_driver_publish_ends.c - one publish ended before its end: cancelled or interrupted in each state,
 * rolled back when a required observer fails, waiting for another one. The fixture: publish_fixture.h.
 */
#include "test/unit/publish_fixture.h"

/* --- ends before the end --- */

static void assert_children_ended(const struct fixture *fixture, enum stage stage)
{
    assert_int_equal(fixture->class_cancels, stage >= LOOKING_UP ? 1 : 0);
    assert_int_equal(fixture->provider_cancels, stage >= FETCHING ? 1 : 0);
    assert_int_equal(fixture->status_cancels, stage >= OBSERVING ? 1 : 0);
}

static void assert_pending(const struct publish *publish, const char *text)
{
    cleanup_error struct error *error = NULL;

    publish_pending_error(publish, &error);
    assert_int_equal(error_code(error), GRPC_STATUS_DEADLINE_EXCEEDED);
    if (strstr(error_message(error), text) == NULL)
        fail_msg("%s", error_message(error));
}

static void a_publish_can_be_cancelled_in_every_state_and_leaves_nothing(void **state)
{
    static const char *const awaited[] = {[INSPECTING] = "waits for the inspection of the target path",
                                          [LOOKING_UP] = "waits for the SecretProviderClass",
                                          [FETCHING] = "waits for the provider",
                                          [OBSERVING] = "waits for the status to be recorded"};
    FIXTURE();
    for (enum stage stage = INSPECTING; stage < STAGES; stage++) {
        start_and_stop_at(fixture, stage);
        assert_pending(fixture->publish, awaited[stage]);
        publish_cancel(&fixture->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
        assert_null(fixture->publish);
        run_until_idle(fixture);
        assert_int_equal(fixture->responses, 0); /* no callback after a cancel */
        assert_children_ended(fixture, stage);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
    fixture->status_behavior = AT_ONCE;
    must_publish(fixture);
    assert_content("v1");
}

static void an_unpublish_interrupts_a_publish_in_every_state(void **state)
{
    unsigned done = 0;
    FIXTURE();

    for (enum stage stage = INSPECTING; stage < STAGES; stage++) {
        start_and_stop_at(fixture, stage);
        assert_non_null(unpublish_start(&fixture->publisher, TARGET, unpublished, &done, NULL));
        assert_int_equal(fixture->responses, (unsigned)stage + 1); /* at once */
        assert_failed(fixture, GRPC_STATUS_ABORTED, "the volume is being unpublished");
        run_until_idle(fixture);
        assert_int_equal(done, (unsigned)stage + 1);
        assert_children_ended(fixture, stage);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
}

static void a_publish_that_is_cancelled_during_another_try_names_the_failure_before(void **state)
{
    static const char cause[] = "provider, which failed before: provider \"fake\": the vault said no";
    FIXTURE();
    fixture->publisher.rotation = true;
    must_publish(fixture);
    fixture->observers.list[0].wants_failures = true;
    fixture->provider_behavior = AT_ONCE_BADLY;
    fixture->provider_code = GRPC_STATUS_UNAVAILABLE;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    fixture->provider_behavior = NEVER;
    run_until(fixture, &fixture->provider_calls);
    assert_pending(fixture->publish, cause);
    publish_cancel(&fixture->publish, GRPC_STATUS_CANCELLED);
    run_until_idle(fixture);
    assert_int_equal(fixture->recorded_event, VOLUME_EVENT_FAILED);
    assert_non_null(strstr(fixture->recorded_failure, cause));
}

/* The worker writes; what it has completed is not recorded, so it is rolled back. Cancelled as soon as the
 * provider
 * has responded. */
static void a_publish_cancelled_while_it_writes_is_rolled_back(void **state)
{
    FIXTURE();
    fixture->provider_behavior = AT_ONCE;
    start_publish(fixture);
    run_until(fixture, &fixture->provider_calls);
    /* The response is on its way; go on turn by turn until the volume appears, or the observer runs. */
    while (state_of_target() != VOLUME_PUBLISHED && fixture->status_starts == 0)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_NOWAIT), 0);
    publish_cancel(&fixture->publish, GRPC_STATUS_CANCELLED);
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, 0);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void a_rotation_check_that_is_cancelled_keeps_the_volume(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    must_publish(fixture);
    fixture->observers.list[0].wants_failures = true;
    for (enum stage stage = LOOKING_UP; stage < OBSERVING; stage++) {
        struct volume_state *volume = volume_states_find(fixture->volumes, TARGET);

        volume->retry_steady_s = 0;
        start_and_stop_at(fixture, stage);
        publish_cancel(&fixture->publish, GRPC_STATUS_UNAVAILABLE);
        run_until_idle(fixture);
        if (stage == LOOKING_UP) { /* the request goes on, for the next call */
            assert_int_equal(fixture->class_cancels, 0);
            fixture->class_behavior = AT_ONCE;
            assert_int_equal(uv_timer_start(&fixture->timer, deliver_class, 0, 0), 0);
            while (fixture->class_callback != NULL)
                (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        }
        assert_content("v1");
        assert_int_equal(volume->failures, (unsigned)stage);
        assert_int_equal(fixture->recorded_event, VOLUME_EVENT_FAILED);
        assert_non_null(strstr(fixture->recorded_failure, "the caller did not wait"));
    }
    assert_int_equal(fixture->responses, 1);
}

/* The caller of a rotation check has its response; an unpublish need not wait for the observers. */
static void an_unpublish_does_not_wait_for_the_observers_of_a_rotation_check(void **state)
{
    unsigned done = 0;
    FIXTURE();

    fixture->publisher.rotation = true;
    must_publish(fixture);
    start_and_stop_at(fixture, OBSERVING);
    assert_int_equal(fixture->responses, 2);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_non_null(unpublish_start(&fixture->publisher, TARGET, unpublished, &done, NULL));
    run_until_idle(fixture);
    assert_int_equal(done, 1);
    assert_int_equal(fixture->status_cancels, 1);
    assert_int_equal(fixture->forgotten, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
    assert_int_equal(fixture->responses, 2);
}

/* While a volume is rolled back, an unpublish comes: the caller gets ABORTED, and both removals agree. */
static void an_unpublish_may_come_during_the_rollback(void **state)
{
    unsigned done = 0;
    FIXTURE();

    fixture->status_behavior = NOT_STARTED; /* ROLLBACK starts inside the callback of the write */
    start_publish(fixture);
    run_until(fixture, &fixture->status_starts);
    assert_int_equal(fixture->responses, 0);
    assert_non_null(unpublish_start(&fixture->publisher, TARGET, unpublished, &done, NULL));
    assert_int_equal(fixture->responses, 1);
    assert_failed(fixture, GRPC_STATUS_ABORTED, "the volume is being unpublished");
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, 1);
    assert_int_equal(done, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void a_publish_can_be_cancelled_during_the_rollback(void **state)
{
    FIXTURE();
    fixture->status_behavior = NOT_STARTED;
    start_publish(fixture);
    run_until(fixture, &fixture->status_starts);
    assert_pending(fixture->publish, "status"); /* the failure, not what is done about it */
    publish_cancel(&fixture->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, 0);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void the_margin_lies_between_the_end_of_the_children_and_the_deadline(void **state)
{
    static const uint64_t rows[][2] = {{0, 0}, {1000, 50}, {8000, 400}, {120000, 1000}, {UINT64_MAX, 1000}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(publish_response_margin(rows[i][0]), rows[i][1]);
}

/* The kubelet repeats a call whose first one still unwinds: the second waits, then finds the work done. */
static void a_second_publish_waits_for_the_first(void **state)
{
    struct publish *first;
    FIXTURE();

    start_publish(fixture);
    first = fixture->publish;
    start_publish(fixture);
    assert_ptr_not_equal(fixture->publish, first);
    run_until(fixture, &fixture->responses);
    run_until(fixture, &fixture->responses);
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, 2);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->provider_calls, 1);
    assert_content("v1");
}

static void a_publish_cancelled_in_the_queue_leaves_the_first_alone(void **state)
{
    FIXTURE();
    start_publish(fixture);
    start_publish(fixture);
    publish_cancel(&fixture->publish, GRPC_STATUS_CANCELLED);
    run_until(fixture, &fixture->responses);
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_content("v1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_publish_can_be_cancelled_in_every_state_and_leaves_nothing),
        TEST(an_unpublish_interrupts_a_publish_in_every_state),
        TEST(a_publish_that_is_cancelled_during_another_try_names_the_failure_before),
        TEST(a_publish_cancelled_while_it_writes_is_rolled_back),
        TEST(a_rotation_check_that_is_cancelled_keeps_the_volume),
        TEST(an_unpublish_does_not_wait_for_the_observers_of_a_rotation_check),
        TEST(an_unpublish_may_come_during_the_rollback),
        TEST(a_publish_can_be_cancelled_during_the_rollback),
        TEST(the_margin_lies_between_the_end_of_the_children_and_the_deadline),
        TEST(a_second_publish_waits_for_the_first),
        TEST(a_publish_cancelled_in_the_queue_leaves_the_first_alone),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
