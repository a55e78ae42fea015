/*
 * test_driver_publish.c - one publish through all of its states: first mounts, rotation checks, and failures
 * in each state. The fixture around it: publish_fixture.h.
 */
#include "test/unit/publish_fixture.h"

/* --- the way through --- */

static void a_volume_appears_and_is_recorded(void **state)
{
    FIXTURE();
    must_publish(fixture);
    assert_content("v1");
    assert_int_equal(fixture->class_starts, 1);
    assert_int_equal(fixture->provider_calls, 1);
    assert_int_equal(fixture->versions_sent, 0);
    assert_int_equal(fixture->status_starts, 1);
    assert_string_equal(fixture->recorded_version, "v1");
    assert_string_equal(
        string_map_get(version_set_map(volume_states_find(fixture->volumes, TARGET)->versions),
                       "secret/password"),
        "v1");
}

static void without_an_observer_nothing_is_recorded(void **state)
{
    FIXTURE();
    fixture->publisher.observers = NULL;
    must_publish(fixture);
    assert_content("v1");
    assert_int_equal(fixture->status_starts, 0);
}

static void a_second_publish_needs_neither_class_nor_provider(void **state)
{
    FIXTURE();
    must_publish(fixture);
    fixture->class_behavior = fixture->provider_behavior = fixture->status_behavior = AT_ONCE_BADLY;
    must_publish(fixture);
    assert_int_equal(fixture->class_starts, 1);
    assert_int_equal(fixture->provider_calls, 1);
    assert_content("v1");
}

static void a_rotation_check_that_is_due_updates_files_and_status(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    must_publish(fixture);
    fixture->provider_text = "v2";
    must_publish(fixture);
    assert_content("v2");
    assert_int_equal(fixture->versions_sent, 1); /* of the mounted files */
    assert_int_equal(fixture->status_starts, 2);
    assert_string_equal(fixture->recorded_version, "v2");
}

static void before_the_interval_is_over_nothing_is_requested(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 3600;
    must_publish(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 1);
}

/* As after a restart: nothing is in memory, the volume remembers. */
static void forget_everything(struct fixture *fixture)
{
    volume_states_destroy(fixture->volumes);
    fixture->volumes = volume_states_create(NULL, NULL, NULL);
    fixture->publisher.volumes = fixture->volumes;
}

static void a_restarted_driver_knows_the_interval_the_provider_and_the_versions(void **state)
{
    const struct volume_state *volume;
    FIXTURE();

    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 3600;
    must_publish(fixture);
    forget_everything(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 1);
    volume = volume_states_find(fixture->volumes, TARGET);
    assert_non_null(volume);
    assert_string_equal(volume->provider, "fake");
    assert_string_equal(string_map_get(version_set_map(volume->versions), "secret/password"), "v1");
    fixture->publisher.rotation_interval_s = 0;
    forget_everything(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 2);
    assert_int_equal(fixture->versions_sent, 1);
}

static void without_rotation_a_restarted_driver_knows_the_provider(void **state)
{
    FIXTURE();
    must_publish(fixture);
    forget_everything(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->class_starts, 1);
    assert_int_equal(fixture->provider_calls, 1);
    assert_string_equal(volume_states_find(fixture->volumes, TARGET)->provider, "fake");
}

static void a_changed_rotation_spec_is_due_before_the_interval_is_over(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 3600;
    fixture->refresh = "monday";
    must_publish(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 1);
    fixture->provider_text = "v2";
    fixture->refresh = "tuesday";
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 2);
    assert_content("v2");
    forget_everything(fixture); /* the volume remembers the spec of its last check */
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 2);
}

/* A changed spec is due at once, and its failure delays the next check like any other. */
static void a_changed_rotation_spec_that_fails_is_not_retried_at_once(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 3600;
    must_publish(fixture);
    fixture->provider_behavior = AT_ONCE_BADLY;
    fixture->refresh = "now";
    must_publish(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 2);
    fixture->provider_behavior = AT_ONCE;
    fixture->refresh = "now, please"; /* another change does not wait */
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 3);
    assert_int_equal(volume_states_find(fixture->volumes, TARGET)->failures, 0);
}

static void a_class_can_have_an_interval_of_its_own(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 0;
    fixture->rotation_interval = "1h";
    must_publish(fixture);
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 1);
    fixture->rotation_interval = "often"; /* invalid: the driver's own applies */
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 2);
}

/* When the class cannot be read, its last interval applies. */
static void a_class_that_cannot_be_read_makes_no_rotation_check_due(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    fixture->publisher.rotation_interval_s = 0;
    fixture->rotation_interval = "1h";
    must_publish(fixture);
    fixture->class_behavior = AT_ONCE_BADLY;
    must_publish(fixture);
    assert_int_equal(volume_states_find(fixture->volumes, TARGET)->failures, 0);
    fixture->class_behavior = NOT_STARTED;
    must_publish(fixture);
    assert_int_equal(volume_states_find(fixture->volumes, TARGET)->failures, 0);
    assert_int_equal(fixture->provider_calls, 1);
}

/* --- failures --- */

static void a_first_publish_that_fails_leaves_nothing(void **state)
{
    static const struct {
        enum fake_behavior class_behavior, provider_behavior, status_behavior;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {AT_ONCE_BADLY, AT_ONCE, AT_ONCE, GRPC_STATUS_NOT_FOUND,
         "failed to get secretproviderclass shop/web: \"web\" not found"},
        {NOT_STARTED, AT_ONCE, AT_ONCE, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a lookup"},
        {AT_ONCE, AT_ONCE_BADLY, AT_ONCE, GRPC_STATUS_PERMISSION_DENIED,
         "failed to mount secrets store objects for pod shop/web-0: provider \"fake\": the vault said no"},
        {AT_ONCE, AT_ONCE, AT_ONCE_BADLY, GRPC_STATUS_PERMISSION_DENIED,
         "record the volume's status: the record is forbidden"},
        {AT_ONCE, AT_ONCE, NOT_STARTED, GRPC_STATUS_UNAVAILABLE, "no observer"},
    };
    FIXTURE();

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->class_behavior = table[i].class_behavior;
        fixture->provider_behavior = table[i].provider_behavior;
        fixture->status_behavior = table[i].status_behavior;
        publish(fixture);
        assert_failed(fixture, table[i].code, table[i].text);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
        assert_null(volume_states_find(fixture->volumes, TARGET));
    }
    fixture->class_behavior = fixture->provider_behavior = fixture->status_behavior = AT_ONCE;
    must_publish(fixture);
    assert_content("v1");
}

static void a_request_that_cannot_be_served_is_refused(void **state)
{
    static const struct {
        const char *class_name, *pod_namespace, *class_provider;
        bool no_parameters, writable;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {"", "shop", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "secretProviderClass is not set"},
        {"../web", "shop", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT,
         "secretProviderClass '../web' is not a Kubernetes object name"},
        {"web", "", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "podInfoOnMount must be true"},
        {"web", "a/b", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "'a/b' is not a namespace"},
        {"web", "shop", "", false, false, GRPC_STATUS_INVALID_ARGUMENT,
         "provider is not set in secretproviderclass shop/web"},
        {"web", "shop", "fake", true, false, GRPC_STATUS_INVALID_ARGUMENT,
         "parameters are not set in secretproviderclass shop/web"},
        {"web", "shop", "fake", false, true, GRPC_STATUS_INVALID_ARGUMENT, "readOnly is not true"},
        {"web", "shop", "other", false, false, GRPC_STATUS_FAILED_PRECONDITION,
         "provider not found: provider \"other\""},
        {"web", "shop", "a/b", false, false, GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
    };
    FIXTURE();

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->class_name = table[i].class_name;
        fixture->pod_namespace = table[i].pod_namespace;
        fixture->class_provider = table[i].class_provider;
        fixture->no_parameters = table[i].no_parameters;
        fixture->writable = table[i].writable;
        publish(fixture);
        assert_failed(fixture, table[i].code, table[i].text);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
    assert_int_equal(fixture->provider_calls, 0);
}

/* A container restarts: its complete volume is there, whatever the request is by now. */
static void a_complete_volume_comes_before_any_check_of_the_request(void **state)
{
    FIXTURE();
    must_publish(fixture);
    fixture->class_name = "";
    fixture->pod_namespace = "";
    fixture->writable = true;
    must_publish(fixture);
    assert_content("v1");
}

static void the_source_may_have_a_default_namespace(void **state)
{
    FIXTURE();
    fixture->pod_namespace = "";
    fixture->classes.default_namespace = "shop";
    must_publish(fixture);
    assert_content("v1");
}

static void a_failed_rotation_check_returns_ok_and_changes_nothing(void **state)
{
    static const struct {
        enum fake_behavior class_behavior, provider_behavior;
        const char *failure;
    } table[] = {
        {AT_ONCE_BADLY, AT_ONCE, "failed to get secretproviderclass shop/web: \"web\" not found"},
        {NOT_STARTED, AT_ONCE, "no memory for a lookup"},
        {AT_ONCE, AT_ONCE_BADLY, "the vault said no"},
    };
    FIXTURE();

    fixture->publisher.rotation = true;
    must_publish(fixture);
    fixture->provider_text = "v2";
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct volume_state *volume = volume_states_find(fixture->volumes, TARGET);

        fixture->class_behavior = table[i].class_behavior;
        fixture->provider_behavior = table[i].provider_behavior;
        fixture->observers.list[0].wants_failures = i > 0;
        must_publish(fixture);
        assert_content("v1");
        assert_int_equal(fixture->status_starts, i + 1); /* only an observer that wants failures is called */
        if (i > 0) {
            assert_int_equal(fixture->recorded_event, VOLUME_EVENT_FAILED);
            assert_non_null(strstr(fixture->recorded_failure, table[i].failure));
            assert_string_equal(fixture->recorded_version, "v1"); /* still mounted */
        }
        assert_int_equal(volume->failures, i + 1);
        assert_true(volume_state_waits(volume, clock_steady_s()));
        must_publish(fixture); /* too early for a retry */
        assert_int_equal(volume->failures, i + 1);
        volume->retry_steady_s = 0;
    }
}

/* The failure of one observer does not touch the others. */
static void a_rotation_check_whose_observer_fails_succeeds(void **state)
{
    FIXTURE();
    fixture->publisher.rotation = true;
    must_publish(fixture);
    for (enum fake_behavior behavior = AT_ONCE_BADLY; behavior <= NOT_STARTED; behavior++) {
        unsigned responses = fixture->responses;

        fixture->provider_text = "v2";
        fixture->status_behavior = behavior;
        start_publish(fixture);
        run_until(fixture, &fixture->responses);
        assert_int_equal(fixture->code, GRPC_STATUS_OK);
        assert_content("v2");
        if (behavior == NEVER) {
            run_until_observing(fixture); /* after the response: the kubelet does not wait for it */
            assert_int_equal(fixture->responses, responses + 1);
            deliver_status(&fixture->status_timer);
        }
        run_until_idle(fixture);
        assert_int_equal(fixture->recorded_event, VOLUME_EVENT_CHECKED);
        assert_int_equal(volume_states_find(fixture->volumes, TARGET)->failures, 0);
    }
}

static void a_first_mount_without_required_observer_stands_when_one_fails(void **state)
{
    FIXTURE();
    fixture->needed = false;
    for (enum fake_behavior behavior = AT_ONCE_BADLY; behavior <= NOT_STARTED; behavior++) {
        if (behavior == NEVER)
            continue;
        fixture->status_behavior = behavior;
        must_publish(fixture);
        assert_content("v1");
        assert_int_equal(volume_unpublish(TARGET, NULL), 0);
    }
    assert_int_equal(fixture->forgotten, 0);
}

/* What an update that was cut short has left: a version is shown, but a link in the volume is missing. */
static void cut_the_volume_short(void)
{
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT, NULL), 0);
    assert_int_equal(unlink(SECRET), 0);
    assert_int_equal(state_of_target(), VOLUME_INCOMPLETE);
}

static void a_volume_that_may_be_in_use_is_completed_and_never_rolled_back(void **state)
{
    FIXTURE();
    must_publish(fixture);
    for (enum fake_behavior behavior = AT_ONCE_BADLY; behavior <= NOT_STARTED; behavior++) {
        if (behavior == NEVER)
            continue;
        cut_the_volume_short();
        fixture->status_behavior = behavior;
        must_publish(fixture);
        assert_content("v1");
    }
    cut_the_volume_short();
    start_and_stop_at(fixture, OBSERVING);
    publish_cancel(&fixture->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(fixture->status_cancels, 0); /* it is recorded without its caller */
    deliver_status(&fixture->status_timer);
    run_until_idle(fixture);
    assert_content("v1");
}

/* After a change of its flags, say. */
static void a_provider_that_begins_to_write_its_files_is_called_again_with_a_tmpfs(void **state)
{
    FIXTURE();
    fixture->publisher.class_cache = NULL; /* no early fetch */
    must_publish(fixture);
    unpublish(fixture);
    fixture->provider_writes = true;
    must_publish(fixture);
    assert_int_equal(fixture->provider_calls, 3);
    assert_written("v1");
    unpublish(fixture);
    must_publish(fixture); /* it is known by now */
    assert_int_equal(fixture->provider_calls, 4);
    assert_written("v1");
}

static void a_foreign_mount_is_left_alone(void **state)
{
    FIXTURE();
    must_publish(fixture);
    assert_int_equal(volume_unpublish(TARGET, NULL), 0);
    assert_int_equal(mkdir(TARGET, 0755), 0);
    assert_int_equal(mount("/proc", TARGET, NULL, MS_BIND, NULL), 0);
    publish(fixture);
    assert_failed(fixture, GRPC_STATUS_FAILED_PRECONDITION, "is taken: it is a mount of another kind");
    assert_int_equal(umount2(TARGET, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_volume_appears_and_is_recorded),
        TEST(without_an_observer_nothing_is_recorded),
        TEST(a_second_publish_needs_neither_class_nor_provider),
        TEST(a_rotation_check_that_is_due_updates_files_and_status),
        TEST(before_the_interval_is_over_nothing_is_requested),
        TEST(a_restarted_driver_knows_the_interval_the_provider_and_the_versions),
        TEST(without_rotation_a_restarted_driver_knows_the_provider),
        TEST(a_changed_rotation_spec_is_due_before_the_interval_is_over),
        TEST(a_changed_rotation_spec_that_fails_is_not_retried_at_once),
        TEST(a_class_can_have_an_interval_of_its_own),
        TEST(a_class_that_cannot_be_read_makes_no_rotation_check_due),
        TEST(a_first_publish_that_fails_leaves_nothing),
        TEST(a_request_that_cannot_be_served_is_refused),
        TEST(a_complete_volume_comes_before_any_check_of_the_request),
        TEST(the_source_may_have_a_default_namespace),
        TEST(a_failed_rotation_check_returns_ok_and_changes_nothing),
        TEST(a_rotation_check_whose_observer_fails_succeeds),
        TEST(a_first_mount_without_required_observer_stands_when_one_fails),
        TEST(a_volume_that_may_be_in_use_is_completed_and_never_rolled_back),
        TEST(a_provider_that_begins_to_write_its_files_is_called_again_with_a_tmpfs),
        TEST(a_foreign_mount_is_left_alone),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
