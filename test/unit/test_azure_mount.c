/*
 * test_azure_mount.c - what a mount makes of the responses: files, versions, histories, conversions, errors,
 * and the memory for them. What it sends: test_azure_requests.c.
 */
#include "test/unit/azure_mount_fixture.h"

static void all_failing_objects_are_reported_and_equal_causes_once(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n - '{objectName: missing1, objectType: secret}'\n - '{objectName: a, objectType: secret}'\n"
        " - '{objectName: missing2, objectType: secret}'\n");
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND);
    assert_non_null(strstr(error_message(fixture->error), "objectName:missing1"));
    assert_non_null(strstr(error_message(fixture->error), "(the same for 1 more object)"));
    assert_non_null(strstr(error_message(fixture->error), "SecretNotFound: no such secret"));
    assert_non_null(strstr(error_message(fixture->error), "rid-1"));
    assert_string_equal(fixture->result, "");
}

static void a_history_takes_enabled_versions_newest_first_and_one_more_than_it_says(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n - '{objectName: h, objectType: secret, objectVersionHistory: 2, objectAlias: d/x}'\n");
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_string_equal(
        fixture->result,
        "d/x/0:644=h-value;[secret/h/0@v3]d/x/1:644=h-value;[secret/h/1@v2]d/x/2:644=h-value;[secret/h/2@v1]");
    set(fixture, "objectVersionHistoryExact", "true");
    run(fixture, false, 10000);
    assert_string_equal(fixture->result,
                        "d/x/0:644=h-value;[secret/h/0@v3]d/x/1:644=h-value;[secret/h/1@v2]");
    set(fixture, "objects",
        "array:\n - '{objectName: h, objectType: secret, objectVersionHistory: 5, objectVersion: v2}'\n");
    run(fixture, false, 10000);
    assert_string_equal(fixture->result, "h/0:644=h-value;[secret/h/0@v2]h/1:644=h-value;[secret/h/1@v1]");
    set(fixture, "objects",
        "array:\n - '{objectName: h, objectType: secret, objectVersionHistory: 3, objectVersion: nosuch}'\n");
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND);
}

/* --- memory --- */

enum { BUDGET = 1024 * 1024 };

/* A budget of which another mount has everything. */
struct full_budget {
    uv_loop_t loop;
    struct byte_budget *budget;
    struct byte_reservation other, bytes;
};

static void full_budget_begin(struct full_budget *full, struct fixture *fixture)
{
    assert_int_equal(uv_loop_init(&full->loop), 0);
    full->budget = byte_budget_create(&full->loop, BUDGET, BYTE_BUDGET_PATIENCE_MS, NULL);
    byte_reservation_init(&full->other);
    byte_reservation_init(&full->bytes);
    assert_true(byte_reservation_request(&full->other, full->budget, BUDGET, NULL, NULL));
    fixture->shared.budget = full->budget;
    fixture->bytes = &full->bytes;
}

static void full_budget_end(struct full_budget *full)
{
    byte_reservation_release(&full->other);
    byte_reservation_release(&full->bytes);
    assert_int_equal(byte_budget_state(full->budget).bytes, 0);
    byte_budget_destroy(full->budget);
    (void)uv_run(&full->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&full->loop), 0);
}

static void a_mount_reads_nothing_until_it_has_its_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct full_budget full;

    full_budget_begin(&full, fixture);
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret}'\n - '{objectName: b, objectType: secret}'\n");
    assert_non_null(begin(fixture, false, 10000));
    fake_run(&fixture->fake, fixture->fake.now_ms + 100);
    assert_int_equal(fixture->fake.token_requests, 1); /* holds no bytes of the mount */
    assert_int_equal(fixture->vault_requests, 0);
    assert_int_equal(byte_budget_state(full.budget).waiting, 1);
    byte_reservation_release(&full.other);
    (void)uv_run(&full.loop, UV_RUN_DEFAULT);
    assert_int_equal(byte_budget_state(full.budget).bytes, 2 * FETCH_READ_EXPECTED);
    fake_run(&fixture->fake, fixture->fake.now_ms + 100);
    assert_true(fixture->done);
    assert_null(fixture->error);
    assert_in_range(byte_budget_state(full.budget).bytes, 1, 4096); /* what has arrived */
    full_budget_end(&full);
}

static void a_mount_without_bytes_fails_at_its_deadline_and_names_the_flag(void **state)
{
    struct fixture *fixture = *state;
    struct full_budget full;

    full_budget_begin(&full, fixture);
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error_message(fixture->error), "--max-bytes-in-flight"));
    assert_int_equal(byte_budget_state(full.budget).waiting, 0);
    full_budget_end(&full);
}

static void a_mount_that_fails_or_is_cancelled_gives_its_bytes_back(void **state)
{
    struct fixture *fixture = *state;
    struct full_budget full;
    struct mount *mount;

    full_budget_begin(&full, fixture);
    mount = begin(fixture, false, 10000); /* waits */
    fake_run(&fixture->fake, fixture->fake.now_ms + 100);
    mount_cancel(&mount);
    assert_int_equal(byte_budget_state(full.budget).waiting, 0);
    byte_reservation_release(&full.other);
    mount = begin(fixture, false, 10000); /* reads */
    fixture->fake.now_ms += 1;
    mount_cancel(&mount);
    assert_int_equal(byte_budget_state(full.budget).bytes, 0);
    set(fixture, "objects", "array:\n - '{objectName: missing, objectType: secret}'\n");
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND);
    assert_int_equal(byte_budget_state(full.budget).bytes, 0);
    full_budget_end(&full);
}

/* Others need not wait for what does not come. */
static void a_silent_vault_does_not_hold_the_bytes_that_it_was_expected_to_send(void **state)
{
    struct fixture *fixture = *state;
    struct full_budget full;
    struct mount *mount;

    full_budget_begin(&full, fixture);
    byte_reservation_release(&full.other);
    fixture->fail_first = 1000; /* each try is throttled, the next one comes later */
    fixture->fail_status = 429;
    fixture->retry_after_ms = 5000;
    uint64_t start_ms = fixture->fake.now_ms;
    mount = begin(fixture, false, 60000);
    fake_run(&fixture->fake, start_ms + FETCH_EXPECTED_MS - 100);
    assert_int_equal(byte_budget_state(full.budget).bytes, FETCH_READ_EXPECTED);
    fake_run(&fixture->fake, start_ms + FETCH_EXPECTED_MS + 100);
    assert_int_equal(byte_budget_state(full.budget).bytes, 0);
    assert_false(fixture->done);
    mount_cancel(&mount);
    full_budget_end(&full);
}

static void an_optional_object_that_is_missing_is_left_out_and_read_again(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n - '{objectName: missing, objectType: secret, objectOptional: true}'\n"
        " - '{objectName: a, objectType: secret}'\n");
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_string_equal(fixture->result, "[secret/missing@]a:644=a-value;[secret/a@v9]");
    assert_int_equal(fixture->vault_requests, 2);
    run(fixture, true, 10000); /* that it is missing is not kept */
    assert_string_equal(fixture->result, "[secret/missing@]a:644=a-value;[secret/a@v9]");
    assert_int_equal(fixture->vault_requests, 3);
    set(fixture, "objects",
        "array:\n - '{objectName: missing, objectType: secret, objectOptional: true}'\n"
        " - '{objectName: missing, objectType: secret, objectAlias: needed}'\n");
    run(fixture, false, 10000); /* one read, two meanings */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND);
    assert_int_equal(fixture->vault_requests, 4);
}

#define PFX_OBJECT(value)                                                                                    \
    "{\"value\":\"" value                                                                                    \
    "\",\"id\":\"https://kv1.vault.azure.net/secrets/a/v1\",\"kid\":\"k\",\"contentType\":\"application/x-pkcs12\"}"

static void a_pfx_is_opened_once_in_a_thread(void **state)
{
    struct fixture *fixture = *state;
    fixture->vault_body = PFX_OBJECT("AAAA"); /* which is none */
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret, objectAlias: a1}'\n"
        " - '{objectName: a, objectType: secret, objectAlias: a2}'\n"
        " - '{objectName: b, objectType: secret}'\n");
    for (int i = 0; i < 3; i++) { /* the first mount opens it, the others find the result */
        run(fixture, i == 2, 10000);
        assert_int_equal(error_code(fixture->error), GRPC_STATUS_FAILED_PRECONDITION);
        assert_int_equal(fixture->fake.jobs, 1);
        assert_int_equal(fixture->fake.jobs_run, 1);
    }
    fixture->vault_body = PFX_OBJECT("AAAB");
    run(fixture, false, 10000);
    assert_int_equal(fixture->fake.jobs_run, 2);
    fixture->vault_body = PFX_OBJECT("AAAA");
    fake_run(&fixture->fake, fixture->fake.now_ms + 61000); /* forgotten, as the vault's response is */
    run(fixture, false, 10000);
    assert_int_equal(fixture->fake.jobs_run, 3);
}

static void the_work_of_a_cancelled_mount_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    fixture->vault_body = PFX_OBJECT("AAAA");
    fixture->fake.job_ms = 1000;
    struct mount *mount = begin(fixture, false, 10000);
    fake_run(&fixture->fake, fixture->fake.now_ms);
    struct mount *other = begin(fixture, false, 10000); /* joins the conversion */
    fake_run(&fixture->fake, fixture->fake.now_ms);
    mount_cancel(&mount);
    mount_cancel(&other);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    assert_false(fixture->done);
    assert_int_equal(fixture->fake.jobs, 1);
    assert_int_equal(fixture->fake.jobs_run, 0);
}

static void two_mounts_share_one_conversion(void **state)
{
    struct fixture *fixture = *state;
    fixture->vault_body = PFX_OBJECT("AAAA");
    fixture->fake.job_ms = 1000;
    struct mount *mount = begin(fixture, false, 10000);
    fake_run(&fixture->fake, fixture->fake.now_ms);
    assert_non_null(begin(fixture, false, 10000));
    fake_run(&fixture->fake, fixture->fake.now_ms);
    mount_cancel(&mount); /* the one that started it */
    assert_false(fixture->done);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    assert_true(fixture->done);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_FAILED_PRECONDITION);
    assert_int_equal(fixture->fake.jobs, 1);
    assert_int_equal(fixture->fake.jobs_run, 1);
}

/* Empty files whose MAC has 10 rounds. */
#define PFX_1                                                                                                \
    "MHgCAQMwEQYJKoZIhvcNAQcBoAQEAjAAMGAwUTANBglghkgBZQMEAgMFAARA8EN17locM6o2X5lJRzsDn9plul6MlgJnt4loguM74mt2UZA1MYbpo4Z7cwN96RGbJeYPwVsBeNUUmjTEyApEcAQIc2FsdDAwMDECAQo="
#define PFX_2                                                                                                \
    "MHgCAQMwEQYJKoZIhvcNAQcBoAQEAjAAMGAwUTANBglghkgBZQMEAgMFAARAHvW49iFyneYIf97a7ePK+yDy0KnD6Q+XX5en65DjF3tqx2abq42QpLko0IMsmE1GPFFDGq26yukLAmhQmPU38wQIc2FsdDAwMDICAQo="

static struct fake_response respond_with_two_files(struct fake *fake, const char *url, const char *bearer,
                                                   const char *body)
{
    static const char one[] = PFX_OBJECT(PFX_1), two[] = PFX_OBJECT(PFX_2);
    if (strstr(url, "/secrets/") == NULL)
        return respond(fake, url, bearer, body);
    return (struct fake_response){.status = 200, .body = strstr(url, "/secrets/a") != NULL ? one : two};
}

static void a_mount_has_a_budget_for_its_conversions(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.respond = respond_with_two_files;
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret}'\n - '{objectName: b, objectType: secret}'\n");
    pem_cache_destroy(fixture->pems);
    fixture->pems =
        pem_cache_create(&fixture->fake.base, 60000, /* mount_budget= */ 10, content_options.order, NULL);
    fixture->shared.pems = fixture->pems;
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_null(strstr(error_message(fixture->error), "objectName:a"));
    assert_non_null(strstr(error_message(fixture->error), "objectName:b"));
    assert_non_null(strstr(error_message(fixture->error),
                           "the PKCS#12 files of this mount need more than 10 computations of hashes"));
    assert_int_equal(fixture->fake.jobs_run, 1);
    run(fixture, false, 10000); /* the first file is there already */
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.jobs_run, 2);
}

static void a_next_link_to_another_host_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fixture->vault_body =
        "{\"value\":[{\"id\":\"https://kv1.vault.azure.net/secrets/h/v1\",\"attributes\":{}}],\"nextLink\":\"https://evil.example/secrets\"}";
    set(fixture, "objects", "array:\n - '{objectName: h, objectType: secret, objectVersionHistory: 2}'\n");
    run(fixture, false, 10000);
    assert_non_null(strstr(error_message(fixture->error), "leads to another host, evil.example"));
    assert_int_equal(fixture->vault_requests, 1);
}

static void equal_objects_are_read_once(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret, objectAlias: x, filePermission: 0400}'\n"
        " - '{objectName: a, objectType: secret, objectVersion: latest}'\n");
    run(fixture, false, 10000);
    assert_string_equal(fixture->result, "x:400=a-value;[secret/a@v9]a:644=a-value;[secret/a@v9]");
    assert_int_equal(fixture->vault_requests, 1);
}

static void a_name_that_does_not_resolve_is_tried_twice(void **state)
{
    struct fixture *fixture = *state;
    fixture->dns_failure = true;
    run(fixture, false, 60000);
    assert_int_equal(fixture->vault_requests, 2);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
}

static void a_cancelled_mount_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct mount *mount = begin(fixture, false, 10000);
    mount_cancel(&mount); /* while it waits for the token */
    assert_null(fixture->fake.calls);
    run(fixture, false, 10000);
    mount = begin(fixture, false, 10000);
    fake_run(&fixture->fake, 0);
    for (int i = 0; i < 2; i++) { /* up to the read */
        struct transport_timer *timer = fixture->fake.timers;
        fixture->fake.timers = timer->next;
        timer->fired(timer->arg);
        free(timer);
    }
    assert_non_null(fixture->fake.calls);
    mount_cancel(&mount);
    assert_null(fixture->fake.calls);
}

static void an_empty_array_mounts_nothing_and_sends_nothing(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects", "array:");
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_string_equal(fixture->result, "");
    assert_int_equal(fixture->fake.sent, 0);
}

static void bad_responses_are_errors_that_name_the_object(void **state)
{
    static const struct {
        const char *body;
        const char *expected;
    } cases[] = {
        {"{\"id\":\"https://kv1.vault.azure.net/secrets/a/v\"}", "secret value is nil"},
        {"{\"value\":\"x\"}", "secret id is nil"},
        {"{\"value\":\"x\",\"id\":\"i\",\"kid\":\"k\"}", "unknown content type ''"},
        {"{\"value\":\"x\",\"id\":\"i\",\"kid\":\"k\",\"contentType\":\"application/x-pkcs12\"}",
         "illegal base64 data"},
        {"<html>", "not JSON"},
        {"{\"value\":\"x\",\"id\":\"a\\u0000b\"}",
         "the vault's response: JSON member 'id' contains a NUL character"},
        {"{\"value\":\"x\"", "the vault's response cannot be read: invalid JSON"},
        {"[]", "not a JSON object"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture->vault_body = cases[i].body;
        run(fixture, false, 10000);
        assert_non_null(strstr(error_message(fixture->error), "objectName:a"));
        assert_non_null(strstr(error_message(fixture->error), cases[i].expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_failing_objects_are_reported_and_equal_causes_once),
        CASE(a_mount_reads_nothing_until_it_has_its_bytes),
        CASE(a_mount_without_bytes_fails_at_its_deadline_and_names_the_flag),
        CASE(a_mount_that_fails_or_is_cancelled_gives_its_bytes_back),
        CASE(a_silent_vault_does_not_hold_the_bytes_that_it_was_expected_to_send),
        CASE(a_history_takes_enabled_versions_newest_first_and_one_more_than_it_says),
        CASE(an_optional_object_that_is_missing_is_left_out_and_read_again),
        CASE(a_pfx_is_opened_once_in_a_thread),
        CASE(the_work_of_a_cancelled_mount_is_dropped),
        CASE(two_mounts_share_one_conversion),
        CASE(a_mount_has_a_budget_for_its_conversions),
        CASE(a_next_link_to_another_host_is_refused),
        CASE(equal_objects_are_read_once),
        CASE(a_name_that_does_not_resolve_is_tried_twice),
        CASE(a_cancelled_mount_leaves_nothing_behind),
        CASE(an_empty_array_mounts_nothing_and_sends_nothing),
        CASE(bad_responses_are_errors_that_name_the_object),
    };
    return cmocka_run_group_tests_name("azure mount", tests, NULL, NULL);
}
