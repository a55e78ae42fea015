/*
 * test_azure_requests.c - what a mount sends to Entra and to the vault: tokens, challenges, retries, pauses.
 */
#include "test/unit/azure_mount_fixture.h"

static void one_mount_costs_one_token_and_one_read(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_string_equal(fixture->result, "a:644=a-value;[secret/a@v9]");
    assert_int_equal(fixture->fake.sent, 2);
}

static void a_thousand_mounts_of_one_identity_cost_one_token(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 1000; i++)
        run(fixture, false, 10000);
    assert_int_equal(fixture->fake.token_requests, 1);
    assert_int_equal(fixture->vault_requests, 1000); /* a first mount is never served from the cache */
}

static void another_secret_of_the_same_application_needs_its_own_token(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);
    (void)string_map_set(&fixture->secrets, "clientsecret", "other", NULL);
    run(fixture, false, 10000);
    assert_int_equal(fixture->fake.token_requests, 2);
    (void)string_map_set(&fixture->secrets, "clientsecret", "bad", NULL);
    run(fixture, true, 10000); /* not even a republish gets the reads of others */
    assert_non_null(fixture->error);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(
        error_message(fixture->error),
        "failed to mount objects, error: failed to get objectType:secret, objectName:a, objectVersion:"));
    assert_non_null(strstr(error_message(fixture->error), "AADSTS7000215"));
    assert_null(strstr(error_message(fixture->error), "Trace ID"));
}

static void a_republish_is_served_from_the_cache_of_the_identity(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);
    for (int i = 0; i < 100; i++)
        run(fixture, true, 10000);
    assert_int_equal(fixture->vault_requests, 1);
    assert_string_equal(fixture->result, "a:644=a-value;[secret/a@v9]");
    fake_run(&fixture->fake, fixture->fake.now_ms + 61000); /* the sweep wipes the response */
    run(fixture, true, 10000);
    assert_int_equal(fixture->vault_requests, 2);
}

static void a_token_is_renewed_before_it_ends_while_the_old_one_is_served(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);
    fake_run(&fixture->fake, fixture->fake.now_ms + 61000);
    fixture->fake.now_ms += 3400 * 1000ULL;
    run(fixture, false, 10000);
    fake_run(&fixture->fake, fixture->fake.now_ms);
    assert_int_equal(fixture->fake.token_requests, 2);
    fixture->fake.now_ms += 400 * 1000ULL; /* the first token has ended */
    run(fixture, false, 10000);
    assert_int_equal(fixture->fake.token_requests, 2);
}

static void a_401_costs_one_new_token(void **state)
{
    struct fixture *fixture = *state;
    fixture->good_token = "token-2";
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.sent, 4);
    fixture->good_token = "never";
    run(fixture, false, 10000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAUTHENTICATED);
    assert_int_equal(fixture->fake.token_requests, 3);
}

static void a_challenge_for_a_foreign_host_gets_no_token(void **state)
{
    struct fixture *fixture = *state;
    fixture->good_token = "never";
    fixture->challenge =
        "Bearer authorization=\"https://login.evil.example/t\", resource=\"https://evil.example\"";
    run(fixture, false, 10000);
    assert_non_null(strstr(error_message(fixture->error), "doesn't match the requested domain"));
    assert_int_equal(fixture->fake.token_requests, 1);
}

/* Azure Stack Hub: vaults below one domain, the audience of their tokens in another. */
static void an_audience_that_the_operator_named_may_be_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    free(fixture->cloud.vault);
    fixture->cloud.vault = strdup("https://vault.contoso.onmicrosoft.com/5e1d");
    fixture->challenge =
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://vault.contoso.onmicrosoft.com/5e1d/\"";
    fixture->good_token = "token-2";
    run(fixture, false, 10000);
    assert_null(fixture->error);
    fixture->good_token = "never";
    run(fixture, false, 10000);
    assert_null(strstr(error_message(fixture->error), "domain"));
    fixture->challenge = "Bearer resource=\"https://vault.contoso.onmicrosoft.com/5e1d2\"";
    run(fixture, false, 10000);
    assert_non_null(strstr(error_message(fixture->error), "doesn't match the requested domain"));
}

static void a_challenge_of_another_tenant_is_explained(void **state)
{
    struct fixture *fixture = *state;
    fixture->good_token = "never";
    fixture->challenge =
        "Bearer authorization=\"https://login.microsoftonline.com/tenant2\", resource=\"https://vault.azure.net\"";
    run(fixture, false, 10000);
    assert_non_null(strstr(error_message(fixture->error),
                           "the vault belongs to tenant tenant2, not to tenantID tenant1"));
}

static void a_503_is_retried_with_growing_pauses(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 3;
    fixture->fail_status = 503;
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, 60000);
    assert_null(fixture->error);
    assert_int_equal(fixture->vault_requests, 4);
    /* From 0.8 of 800, 2400 and 5600 ms up: here by the fake's random number. */
    assert_int_equal(fixture->fake.now_ms - since, 640 + 1920 + 4480 + 3 * fake_random(NULL));
}

static void retries_end_after_three(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 100;
    fixture->fail_status = 500;
    run(fixture, false, 60000);
    assert_int_equal(fixture->vault_requests, 4);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(error_message(fixture->error), "HTTP 500 after 4 tries"));
}

static void retry_after_is_obeyed_and_shared_by_all_requests_to_the_vault(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 1;
    fixture->fail_status = 429;
    fixture->retry_after_ms = 7000;
    uint64_t since = fixture->fake.now_ms;
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret}'\n - '{objectName: b, objectType: secret}'\n");
    run(fixture, false, 60000);
    assert_null(fixture->error);
    assert_true(fixture->fake.now_ms - since >= 7000);
    assert_true(fixture->vault_requests <= 4);
}

static void a_pause_beyond_the_deadline_is_reported_at_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 1;
    fixture->fail_status = 429;
    fixture->retry_after_ms = 30000;
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, 5000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(fixture->fake.now_ms, since);
    assert_non_null(strstr(error_message(fixture->error), "slow down")); /* one line */
    run(fixture, false, 5000);
    assert_int_equal(fixture->vault_requests, 1); /* the second mount was not even sent */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static void a_pause_of_more_than_a_minute_is_reported_at_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 1;
    fixture->fail_status = 503;
    fixture->retry_after_ms = 61000;
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, 110000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->fake.now_ms, since);
}

/* One 429 that asks for days costs a new mount a minute at most: then one request is the probe. */
static void a_long_retry_after_pauses_the_vault_for_a_minute(void **state)
{
    struct fixture *fixture = *state;
    static const int64_t rows[] = {61000, 3600000, INT64_C(604800000)};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fixture->fail_first = 2; /* the probe gets the same response once */
        fixture->fail_status = 429;
        fixture->retry_after_ms = rows[i];
        fixture->vault_requests = 0;
        fixture->fake.now_ms++; /* what was read before is older than this */
        uint64_t since = fixture->fake.now_ms;
        run(fixture, false, 110000);
        assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
        run(fixture, false, 110000);
        assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_int_equal(fixture->vault_requests, 2);
        assert_true(fixture->fake.now_ms - since >= 60000 && fixture->fake.now_ms - since <= 61000);
        since = fixture->fake.now_ms;
        run(fixture, false, 110000);
        assert_null(fixture->error);
        assert_int_equal(fixture->vault_requests, 3);
        assert_true(fixture->fake.now_ms - since >= 60000 && fixture->fake.now_ms - since <= 61000);
    }
}

static void a_long_retry_after_pauses_an_application_for_a_minute(void **state)
{
    struct fixture *fixture = *state;
    fixture->token_fail_first = 1;
    fixture->retry_after_ms = INT64_C(604800000);
    run(fixture, false, 110000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    run(fixture, false, 5000); /* not sent */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(fixture->fake.token_requests, 1);
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, 110000);
    assert_null(fixture->error);
    assert_true(fixture->fake.now_ms - since <= 61000);
    assert_int_equal(fixture->fake.token_requests, 2);
}

static void a_mount_that_joins_a_paused_request_reports_the_pause(void **state)
{
    struct fixture *fixture = *state;
    fixture->fail_first = 1;
    fixture->fail_status = 429;
    fixture->retry_after_ms = 20000;
    struct mount *patient = begin(fixture, false, 60000);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1);
    assert_false(fixture->done);
    run(fixture, false, 3000); /* another pod with the same object */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error_message(fixture->error), "throttles requests (HTTP 429)"));
    assert_int_equal(fixture->vault_requests, 1);
    mount_cancel(&patient);
}

static void requests_may_be_started_again_and_those_of_a_mount_share_a_flow(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.repeatable, fixture->fake.sent); /* the POST of the token too */
    assert_true(fixture->fake.flow != 0);
}

static void a_try_that_got_no_response_in_time_is_repeated_over_another_connection(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, false, 10000);                       /* the token is there */
    fixture->first_failure = GRPC_STATUS_UNAVAILABLE; /* that connection is gone */
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.fresh, 0);
    fixture->first_failure = GRPC_STATUS_DEADLINE_EXCEEDED;
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.fresh, 1);
}

/* AADSTS500011, and MSIS9602 of AD FS: the vault's challenge has the resource that the service knows. */
static void a_resource_that_entra_does_not_know_is_replaced_by_the_vaults_own(void **state)
{
    static const char *const bodies[] = {
        NULL,
        "{\"error\":\"invalid_resource\",\"error_description\":\"MSIS9602: The received 'resource' parameter is invalid.\"}"};
    static const char *const challenges[] = {
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://azure.net\"",
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", scope=\"https://azure.net/.default\""};
    struct fixture *fixture = *state;
    fixture->unknown = "scope=https%3A%2F%2Fvault.azure.net%2F";
    fixture->good_token = "token-1";
    for (int i = 0; i < 2; i++) {
        fixture->challenge = challenges[i];
        fixture->unknown_body = bodies[i];
        run(fixture, false, 10000);
        assert_null(fixture->error);
        assert_string_equal(fixture->result, "a:644=a-value;[secret/a@v9]");
        assert_int_equal(fixture->tokens_made, 1); /* the second mount finds it in the cache */
    }
}

static void a_resource_that_is_not_the_vaults_is_not_used(void **state)
{
    static const struct {
        const char *challenge, *text;
    } rows[] = {
        {"Bearer authorization=\"https://x/t\", resource=\"https://management.azure.com\"",
         "which is not above it [hint: if it is the audience of your vaults"},
        {"Bearer authorization=\"https://x/t\", resource=\"https://kv1.vault.azure.net\"",
         "which is not above it"},
        {"Bearer authorization=\"https://x/t\"", "which is not above it"},
        {"Basic realm=\"x\"", "challenge of kv1.vault.azure.net"},
        {NULL, "sends no challenge"},
        /* the same again */
        {"Bearer authorization=\"https://x/t\", resource=\"https://vault.azure.net\"", "AADSTS500011"},
    };
    struct fixture *fixture = *state;
    fixture->unknown = "scope=https%3A%2F%2Fvault.azure.net%2F";
    fixture->good_token = "token-1";
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        fixture->challenge = rows[i].challenge;
        run(fixture, false, 10000);
        assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAUTHENTICATED);
        assert_non_null(strstr(error_message(fixture->error), rows[i].text));
        assert_non_null(
            strstr(error_message(fixture->error), "AADSTS500011: The resource principal was not found."));
        assert_int_equal(fixture->tokens_made, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_mount_costs_one_token_and_one_read),
        CASE(a_thousand_mounts_of_one_identity_cost_one_token),
        CASE(another_secret_of_the_same_application_needs_its_own_token),
        CASE(a_republish_is_served_from_the_cache_of_the_identity),
        CASE(a_token_is_renewed_before_it_ends_while_the_old_one_is_served),
        CASE(a_401_costs_one_new_token),
        CASE(a_challenge_for_a_foreign_host_gets_no_token),
        CASE(an_audience_that_the_operator_named_may_be_elsewhere),
        CASE(a_challenge_of_another_tenant_is_explained),
        CASE(a_503_is_retried_with_growing_pauses),
        CASE(retries_end_after_three),
        CASE(retry_after_is_obeyed_and_shared_by_all_requests_to_the_vault),
        CASE(a_pause_beyond_the_deadline_is_reported_at_once),
        CASE(a_pause_of_more_than_a_minute_is_reported_at_once),
        CASE(a_long_retry_after_pauses_the_vault_for_a_minute),
        CASE(a_long_retry_after_pauses_an_application_for_a_minute),
        CASE(a_mount_that_joins_a_paused_request_reports_the_pause),
        CASE(requests_may_be_started_again_and_those_of_a_mount_share_a_flow),
        CASE(a_try_that_got_no_response_in_time_is_repeated_over_another_connection),
        CASE(a_resource_that_entra_does_not_know_is_replaced_by_the_vaults_own),
        CASE(a_resource_that_is_not_the_vaults_is_not_used),
    };
    return cmocka_run_group_tests_name("azure requests", tests, NULL, NULL);
}
