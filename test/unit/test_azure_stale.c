/*
 * test_azure_stale.c - outage mode: what first mounts get when their vault cannot answer, for how long, and
 * what ends it.
 */
#include "test/unit/azure_mount_fixture.h"

enum { HOUR_MS = 3600 * 1000, SOON_MS = 60 * 1000, PATIENT_MS = 120 * 1000 };

static const char access_denied[] =
    "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\",\"innererror\":{\"code\":\"AccessDenied\"}}}";
static const char secret_disabled[] =
    "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\",\"innererror\":{\"code\":\"SecretDisabled\"}}}";

static int setup_on(void **state)
{
    (void)setup(state);
    struct fixture *fixture = *state;
    keep_for_outages(fixture);
    fixture->token_life = 24 * 3600; /* Entra is asked once in most tests */
    return 0;
}

#define ON(name) cmocka_unit_test_setup_teardown(name, setup_on, teardown)

static void pass(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = fixture->fake.now_ms + ms;
    fake_run(&fixture->fake, end);
    fixture->fake.now_ms = end;
}

static void go_away(struct fixture *fixture)
{
    fixture->fail_first = 1000000;
    fixture->fail_status = 503;
}

static void come_back(struct fixture *fixture)
{
    fixture->fail_first = 0;
    fixture->fail_body = NULL;
    fixture->dns_failure = fixture->silent = false;
}

/* One request of the vault's is refused. */
static void refuse_once(struct fixture *fixture, int status, const char *body)
{
    fixture->fail_first = 1;
    fixture->fail_status = status;
    fixture->fail_body = body;
    run(fixture, false, PATIENT_MS);
    assert_non_null(fixture->error);
    come_back(fixture);
}

static void mount_well(struct fixture *fixture)
{
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    assert_null(strstr(fixture->result, "[kept/"));
}

static void assert_kept(struct fixture *fixture)
{
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "[kept/secret/a@"));
}

static void assert_fails(struct fixture *fixture)
{
    run(fixture, false, PATIENT_MS);
    assert_non_null(fixture->error);
    assert_string_equal(fixture->result, "");
}

/* --- when it serves --- */

static void a_first_mount_gets_the_value_its_version_and_when_it_was_read(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    int64_t read = fake_unix(&fixture->fake);
    pass(fixture, HOUR_MS / 2);
    go_away(fixture);
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    assert_int_equal(read, 1700000001); /* date -u -d @1700000001 */
    static const char served[] = "a:644=a-value;[secret/a@v9][kept/secret/a@2023-11-14T22:13:21Z]";
    assert_memory_equal(fixture->result, served, sizeof(served) - 1);
    assert_non_null(
        strstr(fixture->result, "{the vault could not answer, objects are as they were read up to 180"));
    assert_non_null(strstr(fixture->result, " s ago: secret/a}"));
    come_back(fixture);
    mount_well(fixture);
}

static void every_way_of_not_answering_counts(void **state)
{
    static const struct {
        int status;
        int64_t retry_after_ms;
        bool dns, silent;
        enum grpc_status failure;
    } rows[] = {{.status = 500}, {.status = 502},  {.status = 503},
                {.status = 504}, {.status = 408},  {.status = 429, .retry_after_ms = 600000},
                {.dns = true},   {.silent = true}, {.failure = GRPC_STATUS_UNAVAILABLE}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        come_back(fixture);
        pass(fixture, 61000); /* the pause after the 429 is over */
        mount_well(fixture);
        go_away(fixture);
        fixture->fail_status = rows[i].status;
        fixture->retry_after_ms = rows[i].retry_after_ms;
        fixture->dns_failure = rows[i].dns;
        fixture->silent = rows[i].silent;
        fixture->first_failure = rows[i].failure;
        if (rows[i].failure != GRPC_STATUS_OK)
            fixture->fail_status = 503;
        assert_kept(fixture);
    }
}

static void any_other_response_does_not(void **state)
{
    static const int statuses[] = {400, 302, 418, 405};
    struct fixture *fixture = *state;
    mount_well(fixture);
    go_away(fixture);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        fixture->fail_status = statuses[i];
        assert_fails(fixture);
    }
    come_back(fixture);
    fixture->vault_body = "no JSON";
    assert_fails(fixture);
    fixture->vault_body = NULL;
    go_away(fixture);
    assert_kept(fixture); /* nor does it end anything */
}

static void a_silent_vault_gets_ten_seconds_or_half_of_the_time(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    fixture->silent = true;
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    assert_int_equal(fixture->fake.now_ms - since, 10000);
    since = fixture->fake.now_ms;
    run(fixture, false, 4000);
    assert_null(fixture->error);
    assert_in_range(fixture->fake.now_ms - since, 1500, 2000);
    set(fixture, "objects", "array:\n - '{objectName: b, objectType: secret}'\n"); /* nothing is kept of it */
    since = fixture->fake.now_ms;
    run(fixture, false, PATIENT_MS);
    assert_non_null(fixture->error);
    assert_true(fixture->fake.now_ms - since > 100000);
}

static void a_rotation_check_is_not_served(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    pass(fixture, HOUR_MS / 2);
    go_away(fixture);
    run(fixture, true, PATIENT_MS);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->result, "");
}

static void what_a_rotation_check_reads_is_kept(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, true, PATIENT_MS);
    assert_null(fixture->error);
    go_away(fixture);
    assert_kept(fixture);
}

static void histories_are_kept_with_their_lists(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects", "array:\n - '{objectName: h, objectType: secret, objectVersionHistory: 2}'\n");
    mount_well(fixture);
    go_away(fixture);
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "h/1:644=h-value;[secret/h/1@v2][kept/secret/h/1@"));
}

static void one_object_that_was_not_read_fails_the_mount(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret}'\n - '{objectName: b, objectType: secret}'\n");
    go_away(fixture);
    assert_fails(fixture);
    assert_non_null(strstr(error_message(fixture->error), "objectName:b"));
    assert_null(strstr(error_message(fixture->error), "objectName:a"));
}

/* --- who --- */

static void another_principal_gets_nothing(void **state)
{
    static const struct {
        const char *name, *value;
        bool secret;
    } others[] = {{"clientid", "app2", true}, {"noProxy", "x.test", false}};
    struct fixture *fixture = *state;
    mount_well(fixture);
    go_away(fixture);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct string_map *map = others[i].secret ? &fixture->secrets : &fixture->attributes;
        (void)string_map_set(map, others[i].name, others[i].value, NULL);
        assert_fails(fixture);
        (void)string_map_set(map, others[i].name, others[i].secret ? "app1" : "", NULL);
    }
    assert_kept(fixture);
}

static void a_wrong_credential_gets_nothing_and_ends_nothing(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    go_away(fixture);
    (void)string_map_set(&fixture->secrets, "clientsecret", "bad", NULL);
    assert_fails(fixture);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAUTHENTICATED);
    (void)string_map_set(&fixture->secrets, "clientsecret", "good", NULL);
    assert_kept(fixture);
}

static void without_entra_a_valid_token_goes_on(void **state)
{
    struct fixture *fixture = *state;
    fixture->token_life = 3600;
    mount_well(fixture);
    fixture->no_entra = true;
    pass(fixture, HOUR_MS / 2);
    mount_well(fixture); /* read from the vault */
    go_away(fixture);
    assert_kept(fixture);
    come_back(fixture);
    pass(fixture, HOUR_MS / 2); /* the token has expired */
    assert_fails(fixture);
    assert_non_null(strstr(error_message(fixture->error), "token for the service principal"));
}

/* --- for how long --- */

static void nothing_is_served_after_the_age(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    pass(fixture, HOUR_MS - SOON_MS);
    go_away(fixture);
    assert_kept(fixture);
    pass(fixture, SOON_MS);
    assert_fails(fixture);
}

static void a_class_may_ask_for_less_and_not_for_more(void **state)
{
    static const struct {
        const char *value;
        uint64_t age_ms;
        bool served;
    } rows[] = {{"10m", 9 * 60000, true},  {"10m", 11 * 60000, false}, {"0", 1000, false},
                {"0s", 1000, false},       {"3h", 59 * 60000, true},   {"3h", 61 * 60000, false},
                {" 1h ", 59 * 60000, true}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        come_back(fixture);
        set(fixture, "serveStaleMaxAge", "");
        pass(fixture, 2 * HOUR_MS);
        mount_well(fixture);
        go_away(fixture);
        fixture->fake.now_ms += rows[i].age_ms;
        set(fixture, "serveStaleMaxAge", rows[i].value);
        run(fixture, false, 1000);
        assert_int_equal(fixture->error == NULL, rows[i].served);
    }
}

static void what_a_class_with_zero_reads_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "serveStaleMaxAge", "0");
    mount_well(fixture);
    set(fixture, "serveStaleMaxAge", "");
    go_away(fixture);
    assert_fails(fixture);
}

static void a_wrong_age_is_refused(void **state)
{
    static const struct {
        const char *value, *text;
    } rows[] = {{"soon", "serveStaleMaxAge: "},
                {"60", "serveStaleMaxAge: "},
                {"-1h", "serveStaleMaxAge is negative"}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set(fixture, "serveStaleMaxAge", rows[i].value);
        assert_null(begin(fixture, false, 1000));
        assert_int_equal(error_code(fixture->error), GRPC_STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(error_message(fixture->error), rows[i].text));
    }
}

/* --- what ends it --- */

static void a_refusal_ends_it(void **state)
{
    static const struct {
        int status;
        const char *body;
    } rows[] = {{403, access_denied},
                {403, secret_disabled},
                {403, "{}"},
                {404, "{\"error\":{\"code\":\"SecretNotFound\"}}"},
                {404, "<html>"}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mount_well(fixture);
        refuse_once(fixture, rows[i].status, rows[i].body);
        go_away(fixture);
        assert_fails(fixture);
        come_back(fixture);
    }
}

static void a_401_ends_it_also_when_entra_is_away(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    fixture->good_token = "another";
    fixture->no_entra = true;
    assert_fails(fixture);
    fixture->no_entra = false;
    fixture->good_token = NULL;
    go_away(fixture);
    assert_fails(fixture);
}

static void a_401_behind_which_the_vault_goes_away_ends_it(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    fixture->good_token = "token-2"; /* the new one passes, and then there is only 503 */
    go_away(fixture);
    assert_fails(fixture);
    fixture->good_token = NULL;
    assert_fails(fixture);
}

static void a_rotation_check_that_is_refused_ends_it(void **state)
{
    struct fixture *fixture = *state;
    mount_well(fixture);
    pass(fixture, HOUR_MS / 2);
    fixture->fail_first = 1;
    fixture->fail_status = 403;
    run(fixture, true, PATIENT_MS);
    assert_non_null(fixture->error);
    go_away(fixture);
    assert_fails(fixture);
}

static void a_403_ends_all_of_the_principal_and_a_404_the_object(void **state)
{
    static const char a[] = "array:\n - '{objectName: a, objectType: secret}'\n";
    static const char b[] = "array:\n - '{objectName: b, objectType: secret}'\n";
    static const char missing[] = "{\"error\":{\"code\":\"SecretNotFound\"}}";
    struct fixture *fixture = *state;
    for (int status = 403; status <= 404; status++) {
        set(fixture, "objects", b);
        mount_well(fixture);
        refuse_once(fixture, status, status == 403 ? access_denied : missing);
        set(fixture, "objects", a);
        mount_well(fixture);
        set(fixture, "objects", b);
        refuse_once(fixture, status, status == 403 ? access_denied : missing);
        set(fixture, "objects", a);
        go_away(fixture);
        if (status == 403)
            assert_fails(fixture);
        else
            assert_kept(fixture);
        come_back(fixture);
    }
}

static void a_missing_version_ends_that_version_and_a_missing_object_all(void **state)
{
    static const char latest[] = "array:\n - '{objectName: a, objectType: secret}'\n";
    static const char version[] = "array:\n - '{objectName: a, objectType: secret, objectVersion: v1}'\n";
    static const char missing[] = "{\"error\":{\"code\":\"SecretNotFound\"}}";
    struct fixture *fixture = *state;
    mount_well(fixture);
    set(fixture, "objects", version);
    mount_well(fixture);
    refuse_once(fixture, 404, missing);
    go_away(fixture);
    assert_fails(fixture);
    set(fixture, "objects", latest);
    assert_kept(fixture);
    come_back(fixture);
    set(fixture, "objects", version);
    mount_well(fixture);
    set(fixture, "objects", latest);
    refuse_once(fixture, 404, missing);
    set(fixture, "objects", version);
    go_away(fixture);
    assert_fails(fixture);
}

static void an_object_that_was_never_there_has_no_value(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n - '{objectName: missing1, objectType: secret, objectOptional: true}'\n");
    run(fixture, false, PATIENT_MS);
    assert_null(fixture->error);
    go_away(fixture);
    assert_fails(fixture);
}

/* --- off --- */

static void without_the_flag_nothing_is_kept_and_the_requests_are_the_same(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "serveStaleMaxAge", "1h");
    run(fixture, false, PATIENT_MS);
    assert_string_equal(fixture->result, "a:644=a-value;[secret/a@v9]");
    assert_int_equal(fixture->vault_requests, 1);
    fixture->silent = true;
    uint64_t since = fixture->fake.now_ms;
    run(fixture, false, PATIENT_MS);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_true(fixture->fake.now_ms - since > PATIENT_MS - 1000);
    assert_int_equal(fixture->vault_requests, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(a_first_mount_gets_the_value_its_version_and_when_it_was_read),
        ON(every_way_of_not_answering_counts),
        ON(any_other_response_does_not),
        ON(a_silent_vault_gets_ten_seconds_or_half_of_the_time),
        ON(a_rotation_check_is_not_served),
        ON(what_a_rotation_check_reads_is_kept),
        ON(histories_are_kept_with_their_lists),
        ON(one_object_that_was_not_read_fails_the_mount),
        ON(another_principal_gets_nothing),
        ON(a_wrong_credential_gets_nothing_and_ends_nothing),
        ON(without_entra_a_valid_token_goes_on),
        ON(nothing_is_served_after_the_age),
        ON(a_class_may_ask_for_less_and_not_for_more),
        ON(what_a_class_with_zero_reads_is_not_kept),
        ON(a_wrong_age_is_refused),
        ON(a_refusal_ends_it),
        ON(a_401_ends_it_also_when_entra_is_away),
        ON(a_401_behind_which_the_vault_goes_away_ends_it),
        ON(a_rotation_check_that_is_refused_ends_it),
        ON(a_403_ends_all_of_the_principal_and_a_404_the_object),
        ON(a_missing_version_ends_that_version_and_a_missing_object_all),
        ON(an_object_that_was_never_there_has_no_value),
        CASE(without_the_flag_nothing_is_kept_and_the_requests_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
