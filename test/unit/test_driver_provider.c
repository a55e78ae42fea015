/*
 * test_driver_provider.c - what a Mount sends to a provider and takes from it.
 */
#include "test/unit/provider_fixture.h"

static void respond_without_versions(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_file(mount, "a", 0600, "", 0, NULL), 0);
    provider_mount_done(mount);
}

static void respond_without_files(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

static void respond_with_an_evil_path(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_file(mount, "../../etc/passwd", 0600, "", 0, NULL), 0);
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

/* More than the driver takes; one is longer than it takes, and one is no line. */
static void respond_with_warnings(struct provider_mount *mount)
{
    char text[2 * PROVIDER_WARNING_BYTES_MAX];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(provider_mount_add_warning(mount, "one\ntwo", NULL), 0);
    assert_int_equal(provider_mount_add_warning(mount, "", NULL), 0);
    for (int i = 0; i < 2 * PROVIDER_WARNINGS_MAX; i++)
        assert_int_equal(provider_mount_add_warning(mount, text, NULL), 0);
    respond_with_a_file(mount);
}

static void respond_with_too_much(struct provider_mount *mount)
{
    static char bytes[2 * MAX_RESPONSE];

    assert_int_equal(provider_mount_add_file(mount, "a", 0600, bytes, sizeof(bytes), NULL), 0);
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

static void respond_with_a_failure(struct provider_mount *mount)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_NOT_FOUND, "no such secret");
    provider_mount_fail(mount, error);
}

static void a_mount_sends_what_it_is_given_and_takes_files_and_versions(void **state)
{
    struct fixture *fixture = *state;
    struct fake *fake = &fixture->fakes[0];
    cleanup_string_map struct string_map secrets = {0}, versions = {0};

    serve(fixture, fake, fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->n_files, 2);
    assert_false(fixture->no_files);
    assert_string_equal(fixture->version, "7");
    assert_string_equal(fake->attribute, "value");
    assert_string_equal(fake->current, "none");
    assert_false(fake->has_secrets);
    assert_int_equal(fake->permission, 0644);
    assert_int_equal(string_map_set(&secrets, "clientid", "me", NULL), 0);
    assert_int_equal(string_map_set(&versions, "secret/a", "6", NULL), 0);
    (void)start_mount(fixture, &secrets, &versions, TIMEOUT_MS);
    run_until(fixture, &fixture->callbacks, 2);
    assert_true(fake->has_secrets);
    assert_string_equal(fake->current, "6");
}

static void warnings_are_taken_as_short_lines_and_not_too_many(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->n_warnings, 0);
    fixture->fakes[0].respond = respond_with_warnings;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->n_files, 2);
    assert_int_equal(fixture->n_warnings, PROVIDER_WARNINGS_MAX);
    assert_string_equal(fixture->warning, "one two");
    assert_int_equal(fixture->last_warning_len, PROVIDER_WARNING_BYTES_MAX);
}

static void responses_that_break_the_rules_are_failures(void **state)
{
    static const struct {
        void (*respond)(struct provider_mount *mount);
        enum grpc_status code;
        const char *text, *type;
    } table[] = {
        {respond_with_a_failure, GRPC_STATUS_NOT_FOUND, "provider \"fake\": no such secret",
         "GRPCProviderError"},
        {respond_without_versions, GRPC_STATUS_INTERNAL, "missing object versions", "GRPCProviderError"},
        {respond_with_an_evil_path, GRPC_STATUS_INVALID_ARGUMENT, "passwd", "FileWriteError"},
        {respond_with_too_much, GRPC_STATUS_RESOURCE_EXHAUSTED, "raise --max-call-recv-msg-size",
         "GRPCProviderError"},
    };
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->fakes[0].respond = table[i].respond;
        call_provider(fixture);
        assert_int_equal(fixture->code, table[i].code);
        if (strstr(fixture->message, table[i].text) == NULL)
            fail_msg("'%s' is not in '%s'", table[i].text, fixture->message);
        assert_string_equal(fixture->type, table[i].type);
    }
}

static void a_response_without_files_leaves_the_volume_as_it_is(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = respond_without_files;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_true(fixture->no_files);
    assert_string_equal(fixture->version, "7");
}

static void respond_that_nothing_is_there(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "", NULL), 0);
    provider_mount_done(mount);
}

static bool returns_files(struct fixture *fixture)
{
    bool known = false;

    assert_int_equal(provider_returns_files(fixture->registry, "fake", &known, NULL), 0);
    return known;
}

static void a_provider_is_known_to_return_files_by_its_last_response(void **state)
{
    static const struct {
        void (*respond)(struct provider_mount *mount);
        bool may_be_empty, known;
    } table[] = {
        {respond_with_a_failure, false, false}, {respond_that_nothing_is_there, true, false},
        {respond_without_files, false, false},  {respond_with_a_file, false, true},
        {respond_with_a_failure, false, true},  {respond_that_nothing_is_there, true, true},
        {respond_without_files, false, false},
    };
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    assert_false(returns_files(fixture));
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->fakes[0].respond = table[i].respond;
        call_provider(fixture);
        assert_int_equal(fixture->may_be_empty, table[i].may_be_empty);
        assert_int_equal(returns_files(fixture), table[i].known);
    }
}

static void a_silent_provider_runs_into_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = NULL;
    (void)start_mount(fixture, &none, NULL, 200);
    run_until(fixture, &fixture->callbacks, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(fixture->message, "provider \"fake\" did not respond within 0.2 s"));
    run_until(fixture, &fixture->fakes[0].cancels, 1);
}

static void respond_unavailable(struct provider_mount *mount)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "the vault is away");
    provider_mount_fail(mount, error);
}

static void without_a_tmpfs_only_a_provider_that_returns_files_is_called(void **state)
{
    const struct string_map none = {0};
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    serve(fixture, &fixture->fakes[0], fixture->second);
    assert_null(provider_call_start(
        fixture->registry, "fake",
        &(struct provider_mount_request){
            .attributes = &none, .secrets = &none, .target_path = "/t", .timeout_ms = TIMEOUT_MS},
        mounted, fixture, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(error_type(error), PROVIDER_MAY_WRITE);
    call_provider(fixture);
    fixture->must_return_files = true;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    /* Replaced while the call waits for its next try. */
    fixture->fakes[0].respond = respond_unavailable;
    (void)start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 3);
    assert_int_equal(scratch_run(&fixture->scratch, "rm two/fake.sock"), 0);
    serve(fixture, &fixture->fakes[1], fixture->second);
    run_until(fixture, &fixture->callbacks, 3);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->type, PROVIDER_MAY_WRITE);
    assert_int_equal(fixture->fakes[1].calls, 0);
}

static struct fake *recovering;

static void respond_unavailable_once(struct provider_mount *mount)
{
    recovering->respond = respond_with_a_file;
    respond_unavailable(mount);
}

static void a_provider_that_is_unavailable_is_called_three_times_in_all(void **state)
{
    struct fixture *fixture = *state;
    uint64_t start;

    recovering = &fixture->fakes[0];
    serve(fixture, recovering, fixture->first);
    recovering->respond = respond_unavailable_once;
    start = uv_now(&fixture->loop);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_string_equal(recovering->attribute, "value"); /* the whole request comes again */
    assert_int_equal(recovering->calls, 2);
    assert_true(uv_now(&fixture->loop) - start >= PROVIDER_REFUSED_PAUSE_MS);
    recovering->respond = respond_unavailable;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->message, "provider \"fake\": the vault is away");
    assert_int_equal(recovering->calls, 2 + PROVIDER_TRIES_MAX);
    recovering->respond = respond_with_a_failure;
    call_provider(fixture);
    assert_int_equal(recovering->calls, 2 + PROVIDER_TRIES_MAX + 1); /* other codes are final */
}

static void respond_unavailable_for_good(struct provider_mount *mount)
{
    provider_mount_forbid_retry(mount);
    respond_unavailable(mount);
}

static void a_provider_that_forbids_it_is_not_called_again(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->first);
    fixture->fakes[0].respond = respond_unavailable_for_good;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->message, "provider \"fake\": the vault is away");
    assert_int_equal(fixture->fakes[0].calls, 1);
    recovering = &fixture->fakes[0]; /* the next call knows nothing of it */
    recovering->respond = respond_unavailable_once;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(recovering->calls, 3);
}

static void without_time_for_a_pause_there_is_no_retry(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};

    serve(fixture, &fixture->fakes[0], fixture->first);
    fixture->fakes[0].respond = respond_unavailable;
    (void)start_mount(fixture, &none, NULL, PROVIDER_REFUSED_PAUSE_MS / 2);
    run_until(fixture, &fixture->callbacks, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->fakes[0].calls, 1);
}

static void hold_after_unavailable(struct provider_mount *mount)
{
    recovering->respond = NULL;
    respond_unavailable(mount);
}

static void the_deadline_of_a_later_try_does_not_hide_why_the_first_one_failed(void **state)
{
    static const char before[] = "provider \"fake\": the vault is away";
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *call;
    char text[256];

    recovering = &fixture->fakes[0];
    serve(fixture, recovering, fixture->first);
    recovering->respond = hold_after_unavailable;
    call = start_mount(fixture, &none, NULL, 2 * PROVIDER_REFUSED_PAUSE_MS);
    assert_null(provider_call_last_failure(call));
    run_until(fixture, &recovering->calls, 2);
    assert_string_equal(error_message(provider_call_last_failure(call)), before);
    run_until(fixture, &fixture->callbacks, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    (void)snprintf(text, sizeof(text),
                   "provider \"fake\" did not respond within 2.0 s: deadline exceeded; it failed before: %s",
                   before);
    assert_string_equal(fixture->message, text);
    run_until(fixture, &recovering->cancels, 1);
}

static void a_mount_can_be_cancelled_between_two_tries(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *call;

    serve(fixture, &fixture->fakes[0], fixture->first);
    fixture->fakes[0].respond = respond_unavailable;
    call = start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 1);
    for (unsigned turn = 0; turn < 20; turn++) /* the response arrives, the pause begins */
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    provider_call_cancel(&call);
    assert_null(call);
    assert_int_equal(fixture->callbacks, 0);
}

static void a_cancelled_mount_reaches_the_provider_and_does_not_call_back(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *call;

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = NULL;
    call = start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 1);
    provider_call_cancel(&call);
    assert_null(call);
    run_until(fixture, &fixture->fakes[0].cancels, 1);
    assert_int_equal(fixture->callbacks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mount_sends_what_it_is_given_and_takes_files_and_versions),
        TEST(warnings_are_taken_as_short_lines_and_not_too_many),
        TEST(responses_that_break_the_rules_are_failures),
        TEST(a_response_without_files_leaves_the_volume_as_it_is),
        TEST(a_provider_is_known_to_return_files_by_its_last_response),
        TEST(without_a_tmpfs_only_a_provider_that_returns_files_is_called),
        TEST(a_silent_provider_runs_into_the_deadline),
        TEST(a_provider_that_is_unavailable_is_called_three_times_in_all),
        TEST(a_provider_that_forbids_it_is_not_called_again),
        TEST(without_time_for_a_pause_there_is_no_retry),
        TEST(the_deadline_of_a_later_try_does_not_hide_why_the_first_one_failed),
        TEST(a_mount_can_be_cancelled_between_two_tries),
        TEST(a_cancelled_mount_reaches_the_provider_and_does_not_call_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
