/*
 * test_azure_fallback.c - objects of several vaults, and fallback vaults: which vault is asked when, whose
 * response counts, and what a mount says about it.
 */
#include "test/unit/azure_mount_fixture.h"

enum { EAST, WEST, NORTH, HSM, HOSTS };

/* One vault of the fake outside. */
struct host {
    const char *name;
    const char *token;         /* it accepts only tokens of its audience */
    struct fake_response next; /* with a status, failure, silence or delay: instead of the object */
    unsigned requests;
    uint64_t first_ms; /* of the first request */
    char body[512];
};

static struct host hosts[HOSTS];
static unsigned tokens;           /* requests */
static const char *refused_scope; /* Entra gives no token for it; NULL: all are in order */

static const char *token_of(const char *body)
{
    return strstr(body, "managedhsm") != NULL ? "hsm-token" : "vault-token";
}

static struct fake_response answer(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    static char token[128];
    if (strncmp(url, "https://login.microsoftonline.com/", 34) == 0) {
        tokens++;
        if (refused_scope != NULL && strstr(body, refused_scope) != NULL)
            return (struct fake_response){
                .status = 401,
                .body =
                    "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: no.\",\"error_codes\":[7000215]}"};
        (void)snprintf(token, sizeof(token), "{\"access_token\":\"%s\",\"expires_in\":\"3600\"}",
                       token_of(body));
        return (struct fake_response){.status = 200, .body = token};
    }
    for (size_t i = 0; i < HOSTS; i++) {
        struct host *host = &hosts[i];
        if (strncasecmp(url + strlen("https://"), host->name, strlen(host->name)) != 0)
            continue;
        host->first_ms = host->requests++ == 0 ? fake->now_ms : host->first_ms;
        assert_string_equal(bearer, host->token);
        struct fake_response response = host->next;
        if (response.status != 0 || response.failure != GRPC_STATUS_OK || response.silent)
            return response;
        if (i == HSM)
            (void)snprintf(
                host->body, sizeof(host->body),
                "{\"key\":{\"kty\":\"EC-HSM\",\"crv\":\"P-256\",\"kid\":\"https://%s/keys/k/v%zu\","
                "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}}",
                host->name, i);
        else if (strstr(url, "/versions") != NULL)
            (void)snprintf(
                host->body, sizeof(host->body),
                "{\"value\":[{\"id\":\"https://%s/secrets/a/v%zu\",\"attributes\":{\"enabled\":true,"
                "\"created\":1}},{\"id\":\"https://%s/secrets/a/w%zu\",\"attributes\":{\"enabled\":true,"
                "\"created\":2}}],\"nextLink\":null}",
                host->name, i, host->name, i);
        else if (strstr(url, "maxresults") != NULL)
            (void)snprintf(host->body, sizeof(host->body),
                           "{\"value\":[{\"id\":\"https://%s/secrets/a\",\"attributes\":{\"enabled\":true}}],"
                           "\"nextLink\":null}",
                           host->name);
        else
            (void)snprintf(host->body, sizeof(host->body),
                           "{\"value\":\"of %zu\",\"id\":\"https://%s/secrets/a/v%zu\"}", i, host->name, i);
        response.status = 200;
        response.body = host->body;
        return response;
    }
    fail_msg("no such host: %s", url);
    return (struct fake_response){0};
}

static int begin_world(void **state)
{
    static const struct host fresh[HOSTS] = {
        [EAST] = {.name = "east.vault.azure.net", .token = "vault-token"},
        [WEST] = {.name = "west.vault.azure.net", .token = "vault-token"},
        [NORTH] = {.name = "north.vault.azure.net", .token = "vault-token"},
        [HSM] = {.name = "keys.managedhsm.azure.net", .token = "hsm-token"},
    };
    memcpy(hosts, fresh, sizeof(hosts));
    tokens = 0;
    refused_scope = NULL;
    (void)setup(state);
    struct fixture *fixture = *state;
    fixture->fake.respond = answer;
    set(fixture, "keyvaultName", "east");
    return 0;
}

static const struct fake_response unavailable = {.status = 503, .body = "{}", .retry_after_ms = 61000};
static const struct fake_response silent = {.silent = true};
static const struct fake_response no_name = {.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_TLS};

static unsigned all_requests(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < HOSTS; i++)
        n += hosts[i].requests;
    return n;
}

/* Runs a mount; returns how long it took. */
static uint64_t timed(struct fixture *fixture, uint64_t left_ms)
{
    uint64_t since = fixture->fake.now_ms;
    for (size_t i = 0; i < HOSTS; i++)
        hosts[i].requests = 0;
    run(fixture, false, left_ms);
    return fixture->fake.now_ms - since;
}

/* --- several vaults --- */

static void objects_name_their_vaults_and_share_tokens_by_audience(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n"
        "  - '{objectName: a, objectType: secret}'\n"
        "  - '{objectName: a, objectType: secret, keyvaultName: west, objectAlias: w}'\n"
        "  - '{objectName: a, objectType: secret, keyvaultURL: \"https://NORTH.vault.azure.net\", objectAlias: n}'\n"
        "  - '{objectName: k, objectType: key, keyvaultURL: \"https://keys.managedhsm.azure.net/\"}'\n"
        "  - '{objectName: a, objectType: secret, keyvaultName: EAST, objectAlias: e}'\n");
    run(fixture, false, 10000);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "a:644=of 0;[secret/a@v0]"
                                            "w:644=of 1;[secret/a@west.vault.azure.net@v1]"
                                            "n:644=of 2;[secret/a@north.vault.azure.net@v2]"
                                            "k:644=-----BEGIN PUBLIC KEY"));
    assert_non_null(strstr(fixture->result, "[key/k@keys.managedhsm.azure.net@v3]e:644=of 0;[secret/a@v0]"));
    assert_int_equal(tokens, 2);
    assert_int_equal(all_requests(), 4); /* `a` of the class's vault is one read */
}

static void a_class_without_a_vault_needs_one_in_each_object(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "keyvaultName", "");
    set(fixture, "objects", "array:\n  - '{objectName: a, objectType: secret, keyvaultName: west}'\n");
    run(fixture, false, 10000);
    assert_string_equal(fixture->result, "a:644=of 1;[secret/a@west.vault.azure.net@v1]");
    set(fixture, "objects",
        "array:\n  - '{objectName: a, objectType: secret, keyvaultName: west}'\n  - '{objectName: b, objectType: secret}'\n");
    assert_null(begin(fixture, false, 10000));
    assert_string_equal(
        error_message(fixture->error),
        "failed to mount objects, error: failed to get objectType:secret, objectName:b, objectVersion:: keyvaultName is not provided: neither the class nor the object has one");
}

static void a_token_that_cannot_be_had_fails_the_objects_that_need_it(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "objects",
        "array:\n"
        "  - '{objectName: a, objectType: secret}'\n"
        "  - '{objectName: k, objectType: key, keyvaultURL: \"https://keys.managedhsm.azure.net/\"}'\n");
    refused_scope = "managedhsm";
    run(fixture, false, 10000);
    assert_non_null(fixture->error);
    assert_non_null(strstr(error_message(fixture->error), "objectType:key, objectName:k"));
    assert_non_null(strstr(error_message(fixture->error), "AADSTS7000215"));
    assert_null(strstr(error_message(fixture->error), "objectName:a"));
    assert_string_equal(fixture->result, "");
}

/* --- fallback vaults --- */

static void without_trouble_fallback_vaults_get_no_requests(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north");
    assert_int_equal(timed(fixture, 60000), 0);
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
    assert_int_equal(all_requests(), 1);
}

static void a_vault_that_cannot_answer_is_replaced_by_the_next(void **state)
{
    static const struct fake_response rows[] = {
        {.status = 503, .body = "{}", .retry_after_ms = 61000},
        {.status = 429, .body = "{}", .retry_after_ms = 61000},
        {.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_TLS},
    };
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west,https://north.vault.azure.net");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        hosts[EAST].next = rows[i];
        assert_int_equal(timed(fixture, 60000), 0); /* at once */
        assert_null(fixture->error);
        assert_non_null(strstr(fixture->result, "a:644=of 1;[secret/a@v1@west.vault.azure.net]"));
        assert_non_null(strstr(
            fixture->result,
            "{east.vault.azure.net cannot answer, the fallback vault west.vault.azure.net serves secret/a"));
        hosts[WEST].next = rows[i];
        (void)timed(fixture, 60000);
        assert_non_null(strstr(fixture->result, "a:644=of 2;[secret/a@v2@north.vault.azure.net]"));
        hosts[WEST].next = (struct fake_response){0};
        fixture->throttles = (struct throttle_table){0};
    }
}

static void any_response_of_a_vault_is_taken(void **state)
{
    static const struct fake_response rows[] = {
        {.status = 404, .body = "{\"error\":{\"code\":\"SecretNotFound\",\"message\":\"no\"}}"},
        {.status = 404, .body = "<html>"},
        {.status = 403,
         .body = "{\"error\":{\"code\":\"Forbidden\",\"innererror\":{\"code\":\"SecretDisabled\"}}}"},
        {.status = 403, .body = "{}"},
        {.status = 401, .body = "{}"},
        {.status = 400, .body = "{}"},
        {.status = 302, .body = "<html>"},
        {.status = 200, .body = "no json"},
        {.failure = GRPC_STATUS_RESOURCE_EXHAUSTED, .hop = HTTP_HOP_RECEIVE}, /* too large */
    };
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        hosts[EAST].next = rows[i];
        (void)timed(fixture, 60000);
        assert_non_null(fixture->error);
        assert_int_equal(hosts[WEST].requests, 0);
    }
}

static void the_response_of_a_fallback_vault_ends_the_search(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north");
    set(fixture, "objects", "array:\n  - '{objectName: a, objectType: secret, objectOptional: true}'\n");
    hosts[EAST].next = unavailable;
    hosts[WEST].next = (struct fake_response){
        .status = 404, .body = "{\"error\":{\"code\":\"SecretNotFound\",\"message\":\"no such secret\"}}"};
    (void)timed(fixture, 60000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND); /* optional or not */
    assert_non_null(strstr(error_message(fixture->error), "east.vault.azure.net returned HTTP 503"));
    assert_non_null(strstr(error_message(fixture->error),
                           "; fallback vault west: west.vault.azure.net returned HTTP 404"));
    assert_int_equal(hosts[NORTH].requests, 0);
}

static void a_failure_of_all_vaults_has_all_causes(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north");
    hosts[EAST].next = unavailable;
    hosts[WEST].next = no_name;
    hosts[NORTH].next = silent;
    uint64_t took = timed(fixture, 60000);
    assert_true(took > 59000 && took < 60000); /* the last one has all the time */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(error_message(fixture->error), "east.vault.azure.net returned HTTP 503"));
    assert_non_null(strstr(error_message(fixture->error), "; fallback vault west: fake failure"));
    assert_non_null(strstr(error_message(fixture->error),
                           "; fallback vault north: no response from north.vault.azure.net"));
}

/* --- time --- */

static void a_silent_vault_is_waited_for_twice_as_long_as_it_takes_to_be_late(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north");
    hosts[EAST].next = silent;
    uint64_t since = fixture->fake.now_ms;
    assert_int_equal(timed(fixture, 60000), 2 * FALLBACK_LATE_MS);
    assert_int_equal(hosts[WEST].first_ms - since, FALLBACK_LATE_MS);
    assert_int_equal(hosts[NORTH].requests, 0);
    assert_non_null(strstr(fixture->result, "[secret/a@v1@west.vault.azure.net]"));
    hosts[WEST].next = silent;
    since = fixture->fake.now_ms;
    assert_int_equal(timed(fixture, 60000), 3 * FALLBACK_LATE_MS);
    assert_int_equal(hosts[NORTH].first_ms - since, 2 * FALLBACK_LATE_MS);
    assert_non_null(strstr(fixture->result, "[secret/a@v2@north.vault.azure.net]"));
}

static void a_late_response_of_the_vault_itself_is_preferred(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    hosts[EAST].next.delay_ms = 2 * FALLBACK_LATE_MS - 1; /* that of the other one is there long before */
    assert_int_equal(timed(fixture, 60000), 2 * FALLBACK_LATE_MS - 1);
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
    assert_int_equal(hosts[WEST].requests, 1);
    hosts[EAST].next =
        (struct fake_response){.status = 403, .body = "{}", .delay_ms = 2 * FALLBACK_LATE_MS - 1};
    (void)timed(fixture, 60000); /* a refusal, too */
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_PERMISSION_DENIED);
    hosts[EAST].next = (struct fake_response){.delay_ms = FALLBACK_LATE_MS - 1};
    (void)timed(fixture, 60000);
    assert_int_equal(hosts[WEST].requests, 0); /* not late */
}

static void a_late_response_counts_when_the_fallback_vault_has_none(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    hosts[EAST].next.delay_ms = 9000;
    hosts[WEST].next = (struct fake_response){.status = 403, .body = "{}"};
    assert_int_equal(timed(fixture, 60000), 9000);
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
    hosts[WEST].next = silent;
    assert_int_equal(timed(fixture, 60000), 9000);
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
}

static void the_order_is_tried_within_a_short_deadline(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north, west2, west3");
    set(fixture, "fallbackKeyvaults", "west, north");
    hosts[EAST].next = silent;
    hosts[WEST].next = silent;
    assert_true(timed(fixture, 1500) < 1200);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "[secret/a@v2@north.vault.azure.net]"));
}

static void a_pause_after_429_within_the_mounts_time_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    hosts[EAST].next = (struct fake_response){.status = 429, .body = "{}", .retry_after_ms = 20000};
    struct mount *patient = begin(fixture, false, 60000);
    assert_non_null(patient);
    fake_run(&fixture->fake, fixture->fake.now_ms + 19000);
    assert_false(fixture->done);
    assert_int_equal(hosts[WEST].requests, 0); /* the vault is not late: it said when */
    hosts[EAST].next = (struct fake_response){0};
    fake_run(&fixture->fake, fixture->fake.now_ms + 3000);
    assert_true(fixture->done);
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
    /* Another mount meets the pause, which is longer than its own time. */
    fixture->throttles = (struct throttle_table){0};
    hosts[EAST].next = (struct fake_response){.status = 429, .body = "{}", .retry_after_ms = 20000};
    (void)timed(fixture, 12000);
    assert_non_null(strstr(fixture->result, "[secret/a@v1@west.vault.azure.net]"));
    assert_int_equal(hosts[EAST].requests, 1);
    assert_int_equal(timed(fixture, 12000), 0);
    assert_non_null(strstr(fixture->result, "[secret/a@v1@west.vault.azure.net]"));
    assert_int_equal(hosts[EAST].requests, 0); /* not even asked */
}

static void many_objects_wait_for_a_silent_vault_once(void **state)
{
    struct fixture *fixture = *state;
    char objects[16384] = "array:\n";
    for (int i = 0; i < 200; i++) /* more than are read at once */
        (void)snprintf(objects + strlen(objects), sizeof(objects) - strlen(objects),
                       "  - '{objectName: a%d, objectType: secret}'\n", i);
    set(fixture, "objects", objects);
    set(fixture, "fallbackKeyvaults", "west");
    hosts[EAST].next = silent;
    assert_int_equal(timed(fixture, 60000), 2 * FALLBACK_LATE_MS);
    assert_null(fixture->error);
    assert_int_equal(hosts[WEST].requests, 200);
    assert_non_null(
        strstr(fixture->result, "serves secret/a0, secret/a1, secret/a2, secret/a3, secret/a4 and 195 more"));
}

static void a_mount_returns_to_a_vault_that_responds_again(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    hosts[EAST].next = no_name;
    (void)timed(fixture, 60000);
    assert_non_null(strstr(fixture->result, "[secret/a@v1@west.vault.azure.net]"));
    hosts[EAST].next = (struct fake_response){0};
    run(fixture, true, 60000); /* a rotation check, although the other's response is cached */
    assert_string_equal(fixture->result, "a:644=of 0;[secret/a@v0]");
}

/* --- lists --- */

static void versions_are_read_from_the_vault_that_listed_them(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    set(fixture, "objectVersionHistoryExact", "true");
    set(fixture, "objects", "array:\n  - '{objectName: a, objectType: secret, objectVersionHistory: 2}'\n");
    hosts[EAST].next = no_name;
    (void)timed(fixture, 60000);
    assert_null(fixture->error);
    assert_int_equal(hosts[EAST].requests, 1);
    assert_int_equal(hosts[WEST].requests, 3);
    assert_non_null(strstr(fixture->result, "a/0:644=of 1;"));
    assert_non_null(strstr(fixture->result, "[secret/a/0@v1@west.vault.azure.net]"));
}

static void selected_objects_are_read_from_the_vault_that_listed_them_or_those_behind_it(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west, north");
    set(fixture, "objects", "array:\n  - '{objectNamePattern: \"*\", objectType: secret}'\n");
    hosts[EAST].next = no_name;
    (void)timed(fixture, 60000);
    assert_null(fixture->error);
    assert_int_equal(hosts[EAST].requests, 1);
    assert_int_equal(hosts[WEST].requests, 2);
    assert_non_null(strstr(fixture->result, "[secret/a@v1@west.vault.azure.net]"));
    assert_non_null(strstr(fixture->result, "{east.vault.azure.net cannot answer"));
}

/* --- items and audiences --- */

static void an_object_has_the_fallback_vaults_of_its_item_or_of_its_class(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "fallbackKeyvaults", "west");
    set(fixture, "objects",
        "array:\n"
        "  - '{objectName: a, objectType: secret}'\n"
        "  - '{objectName: a, objectType: secret, fallbackKeyvaults: north, objectAlias: n}'\n"
        "  - '{objectName: a, objectType: secret, keyvaultName: west, objectAlias: w}'\n");
    hosts[EAST].next = no_name;
    run(fixture, false, 60000);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "a:644=of 1;[secret/a@v1@west.vault.azure.net]"
                                            "n:644=of 2;[secret/a@v2@north.vault.azure.net]"
                                            "w:644=of 1;[secret/a@west.vault.azure.net@v1]{"));
    hosts[WEST].next = no_name;
    run(fixture, false, 60000); /* an object of another vault does not have the class's */
    assert_non_null(fixture->error);
    assert_non_null(strstr(error_message(fixture->error), "objectName:a"));
}

static void a_key_may_fall_back_from_a_managed_hsm_to_a_vault(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "keyvaultName", "");
    set(fixture, "keyvaultURL", "https://east.vault.azure.net");
    set(fixture, "fallbackKeyvaults", "https://keys.managedhsm.azure.net");
    set(fixture, "objects", "array:\n  - '{objectName: k, objectType: key}'\n");
    hosts[EAST].next = no_name;
    run(fixture, false, 60000);
    assert_null(fixture->error);
    assert_non_null(strstr(fixture->result, "[key/k@v3@keys.managedhsm.azure.net]"));
    assert_int_equal(tokens, 2);
}

#define FALLBACK(name) cmocka_unit_test_setup_teardown(name, begin_world, teardown)

/* --- outage mode --- */

static void begin_outages(struct fixture *fixture)
{
    keep_for_outages(fixture);
    set(fixture, "fallbackKeyvaults", "west, north");
}

static void all_are(const struct fake_response *response)
{
    for (size_t i = 0; i < HOSTS; i++)
        hosts[i].next = *response;
}

static void the_youngest_kept_value_counts_whatever_vault_it_is_of(void **state)
{
    struct fixture *fixture = *state;
    begin_outages(fixture);
    run(fixture, false, 60000);
    assert_memory_equal(fixture->result, "a:644=of 0;[secret/a@v0]", 24);
    fixture->fake.now_ms += 600000;
    hosts[EAST].next = no_name;
    run(fixture, false, 60000);
    assert_memory_equal(fixture->result, "a:644=of 1;[secret/a@v1@west", 28);
    fixture->fake.now_ms += 600000;
    all_are(&no_name);
    run(fixture, false, 60000);
    assert_null(fixture->error);
    assert_memory_equal(fixture->result, "a:644=of 1;[secret/a@v1@west", 28);
    assert_non_null(strstr(fixture->result, "[kept/secret/a@"));
    assert_non_null(strstr(fixture->result, "read up to 600 s ago"));
}

static void nothing_kept_is_served_before_every_vault_had_a_request(void **state)
{
    static const uint64_t times[] = {2000, 4000, 8000, 16000, 30000, 120000};
    struct fixture *fixture = *state;
    begin_outages(fixture);
    run(fixture, false, 60000);
    all_are(&silent);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        uint64_t took = timed(fixture, times[i]);
        assert_null(fixture->error);
        assert_non_null(strstr(fixture->result, "[kept/secret/a@"));
        assert_true(hosts[EAST].requests > 0 && hosts[WEST].requests > 0 && hosts[NORTH].requests > 0);
        assert_true(took < times[i] && took <= 12000);
    }
}

static void a_fallback_vault_that_has_responded_goes_before_what_is_kept(void **state)
{
    static const uint64_t times[] = {2000, 4000, 8000, 16000, 30000, 120000};
    struct fixture *fixture = *state;
    begin_outages(fixture);
    run(fixture, false, 60000);
    hosts[EAST].next = silent;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        (void)timed(fixture, times[i]);
        assert_null(fixture->error);
        assert_memory_equal(fixture->result, "a:644=of 1;[secret/a@v1@west", 28);
        assert_null(strstr(fixture->result, "[kept/"));
    }
}

static void a_refusal_of_one_vault_ends_the_copies_of_the_others(void **state)
{
    static const struct fake_response refused = {.status = 403, .body = "{}"};
    struct fixture *fixture = *state;
    begin_outages(fixture);
    hosts[EAST].next = no_name;
    run(fixture, false, 60000);
    assert_null(fixture->error);
    hosts[EAST].next = refused;
    run(fixture, false, 60000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_PERMISSION_DENIED);
    all_are(&no_name);
    run(fixture, false, 60000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_UNAVAILABLE);
}

static void an_object_that_a_fallback_vault_lacks_ends_that_object_alone(void **state)
{
    static const struct fake_response missing = {.status = 404,
                                                 .body = "{\"error\":{\"code\":\"SecretNotFound\"}}"};
    static const char a[] = "array:\n - '{objectName: a, objectType: secret}'\n";
    static const char b[] = "array:\n - '{objectName: b, objectType: secret}'\n";
    struct fixture *fixture = *state;
    begin_outages(fixture);
    run(fixture, false, 60000);
    set(fixture, "objects", b);
    run(fixture, false, 60000);
    assert_null(fixture->error);
    set(fixture, "objects", a);
    hosts[EAST].next = no_name;
    hosts[WEST].next = missing;
    run(fixture, false, 60000);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_NOT_FOUND);
    all_are(&no_name);
    run(fixture, false, 60000);
    assert_non_null(fixture->error);
    set(fixture, "objects", b);
    run(fixture, false, 60000);
    assert_null(fixture->error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FALLBACK(objects_name_their_vaults_and_share_tokens_by_audience),
        FALLBACK(a_class_without_a_vault_needs_one_in_each_object),
        FALLBACK(a_token_that_cannot_be_had_fails_the_objects_that_need_it),
        FALLBACK(without_trouble_fallback_vaults_get_no_requests),
        FALLBACK(a_vault_that_cannot_answer_is_replaced_by_the_next),
        FALLBACK(any_response_of_a_vault_is_taken),
        FALLBACK(the_response_of_a_fallback_vault_ends_the_search),
        FALLBACK(a_failure_of_all_vaults_has_all_causes),
        FALLBACK(a_silent_vault_is_waited_for_twice_as_long_as_it_takes_to_be_late),
        FALLBACK(a_late_response_of_the_vault_itself_is_preferred),
        FALLBACK(a_late_response_counts_when_the_fallback_vault_has_none),
        FALLBACK(the_order_is_tried_within_a_short_deadline),
        FALLBACK(a_pause_after_429_within_the_mounts_time_is_waited_for),
        FALLBACK(many_objects_wait_for_a_silent_vault_once),
        FALLBACK(a_mount_returns_to_a_vault_that_responds_again),
        FALLBACK(versions_are_read_from_the_vault_that_listed_them),
        FALLBACK(selected_objects_are_read_from_the_vault_that_listed_them_or_those_behind_it),
        FALLBACK(an_object_has_the_fallback_vaults_of_its_item_or_of_its_class),
        FALLBACK(a_key_may_fall_back_from_a_managed_hsm_to_a_vault),
        FALLBACK(the_youngest_kept_value_counts_whatever_vault_it_is_of),
        FALLBACK(nothing_kept_is_served_before_every_vault_had_a_request),
        FALLBACK(a_fallback_vault_that_has_responded_goes_before_what_is_kept),
        FALLBACK(a_refusal_of_one_vault_ends_the_copies_of_the_others),
        FALLBACK(an_object_that_a_fallback_vault_lacks_ends_that_object_alone),
    };
    return cmocka_run_group_tests_name("azure fallback", tests, NULL, NULL);
}
