/*
 * test_azure_mount.c - whole mounts against a fake Entra and a fake vault: tokens, retries, sharing,
 * histories, errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>

#include "provider-azure/mount.h"
#include "test/unit/test_azure_fake.h"

static const struct content_options content_options = {.order = CERTIFICATE_ORDER_CHAIN};

struct fixture {
    struct fake fake;
    struct throttle_table throttles;
    struct network network;
    struct token_cache *tokens;
    struct vault_cache *cache;
    struct pem_cache *pems;
    struct served_volumes *volumes;
    struct cloud cloud;
    struct request_defaults defaults;
    struct mount_shared shared;
    struct string_map attributes;
    struct string_map secrets;
    struct byte_reservation *bytes; /* of the next mount; NULL: nothing is reserved */
    /* behavior of the fake services */
    const char *good_token; /* the vault accepts only this */
    int tokens_made;
    int64_t token_life;
    int token_fail_first; /* that many token requests get 429 */
    const char *unknown;  /* this scope, as a form has it, is not known to Entra */
    int fail_first;       /* that many vault requests get `fail_status` */
    int fail_status;
    int64_t retry_after_ms;
    const char *challenge;
    const char *vault_body; /* overrides the standard response */
    int vault_requests;
    bool dns_failure;
    enum grpc_status first_failure; /* of the next vault request, without a response */
    /* the outcome of a mount */
    bool done;
    char result[8192]; /* "path=content;" per file, then ids */
    struct error *error;
};

static char response_text[65536];

static struct fake_response entra(struct fixture *fixture, const char *body)
{
    fixture->fake.token_requests++;
    if (fixture->token_fail_first > 0) {
        fixture->token_fail_first--;
        return (struct fake_response){
            .status = 429, .retry_after_ms = fixture->retry_after_ms, .body = "{\"error\":\"throttled\"}"};
    }
    if (fixture->unknown != NULL && strstr(body, fixture->unknown) != NULL)
        return (struct fake_response){
            .status = 400,
            .body =
                "{\"error\":\"invalid_resource\",\"error_description\":\"AADSTS500011: The resource principal was not found.\",\"error_codes\":[500011]}"};
    if (strstr(body, "client_secret=bad") != NULL)
        return (struct fake_response){
            .status = 401,
            .body =
                "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret provided.\\r\\nTrace ID: 1\",\"error_codes\":[7000215]}"};
    fixture->tokens_made++;
    (void)snprintf(response_text, sizeof(response_text),
                   "{\"access_token\":\"token-%d\",\"expires_in\":\"%d\"}", fixture->tokens_made,
                   (int)fixture->token_life);
    return (struct fake_response){.status = 200, .body = response_text};
}

static struct fake_response vault(struct fixture *fixture, const char *url, const char *bearer)
{
    fixture->vault_requests++;
    if (fixture->dns_failure)
        return (struct fake_response){.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_DNS};
    if (fixture->first_failure != GRPC_STATUS_OK) {
        enum grpc_status failure = fixture->first_failure;
        fixture->first_failure = GRPC_STATUS_OK;
        return (struct fake_response){.failure = failure, .hop = HTTP_HOP_TIMEOUT};
    }
    if (fixture->good_token != NULL && (bearer == NULL || strcmp(bearer, fixture->good_token) != 0))
        return (struct fake_response){.status = 401,
                                      .body =
                                          "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"AKV10000\"}}",
                                      .challenge = fixture->challenge};
    if (fixture->fail_first > 0) {
        fixture->fail_first--;
        return (struct fake_response){.status = fixture->fail_status,
                                      .retry_after_ms = fixture->retry_after_ms,
                                      .body =
                                          "{\"error\":{\"code\":\"Throttled\",\"message\":\"slow\\ndown\"}}"};
    }
    if (fixture->vault_body != NULL)
        return (struct fake_response){.status = 200, .body = fixture->vault_body};
    const char *name = strstr(url, "/secrets/");
    assert_non_null(name);
    name += strlen("/secrets/");
    size_t len = strcspn(name, "/");
    const char *version = name + len + 1;
    size_t version_len = strcspn(version, "?");
    if (strncmp(name, "missing", 7) == 0)
        return (struct fake_response){
            .status = 404,
            .body = "{\"error\":{\"code\":\"SecretNotFound\",\"message\":\"no such secret\"}}"};
    if (strncmp(version, "versions", 8) == 0 && strstr(url, "skip") == NULL)
        return (struct fake_response){
            .status = 200,
            .body =
                "{\"value\":[{\"id\":\"https://kv1.vault.azure.net/secrets/h/v1\",\"attributes\":{\"enabled\":true,\"created\":100}},{\"id\":\"https://kv1.vault.azure.net/secrets/h/v0\",\"attributes\":{\"enabled\":"
                "false,\"created\":900}}],\"nextLink\":\"https://kv1.vault.azure.net:443/secrets/h/versions?skip=1\"}"};
    if (strncmp(version, "versions", 8) == 0)
        return (struct fake_response){
            .status = 200,
            .body =
                "{\"value\":[{\"id\":\"https://kv1.vault.azure.net/secrets/h/v3\",\"attributes\":{\"enabled\":true,\"created\":300}},{\"id\":\"https://kv1.vault.azure.net/secrets/h/v2\",\"attributes\":{\"enabled\":"
                "true,\"created\":200}}],\"nextLink\":null}"};
    (void)snprintf(response_text, sizeof(response_text),
                   "{\"value\":\"%.*s-value\",\"id\":\"https://kv1.vault.azure.net/secrets/%.*s/%.*s\"}",
                   (int)len, name, (int)len, name, version_len > 0 ? (int)version_len : 2,
                   version_len > 0 ? version : "v9");
    return (struct fake_response){.status = 200, .body = response_text};
}

static struct fake_response respond(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    struct fixture *fixture = fake->arg;
    if (strncmp(url, "https://login.microsoftonline.com/tenant1/oauth2/v2.0/token", 58) == 0)
        return entra(fixture, body);
    assert_memory_equal(url, "https://kv1.vault.azure.net", 27);
    return vault(fixture, url, bearer);
}

static int add_file(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                    struct error **err)
{
    struct fixture *fixture = arg;
    size_t used = strlen(fixture->result);
    (void)err;
    (void)snprintf(fixture->result + used, sizeof(fixture->result) - used, "%s:%o=%.*s;", path,
                   (unsigned)mode, (int)len, (const char *)bytes);
    return 0;
}

static int add_version(void *arg, const char *id, const char *version, struct error **err)
{
    struct fixture *fixture = arg;
    size_t used = strlen(fixture->result);
    (void)err;
    (void)snprintf(fixture->result + used, sizeof(fixture->result) - used, "[%s@%s]", id, version);
    return 0;
}

static const struct response_writer writer = {.add_file = add_file, .add_version = add_version};

static void on_done(const struct error *error, void *arg)
{
    struct fixture *fixture = arg;
    assert_false(fixture->done);
    fixture->done = true;
    error_free(fixture->error);
    fixture->error = error_copy(error);
}

static void set(struct fixture *fixture, const char *name, const char *value)
{
    assert_int_equal(string_map_set(&fixture->attributes, name, value, NULL), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fake_init(&fixture->fake, respond, fixture);
    fixture->token_life = 3600;
    fixture->challenge =
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://vault.azure.net\"";
    fixture->network = (struct network){.transport = &fixture->fake.base, .throttles = &fixture->throttles};
    fixture->tokens = token_cache_create(&fixture->network, NULL);
    fixture->cache = vault_cache_create(&fixture->network, fixture->tokens, 60000, NULL);
    fixture->pems =
        pem_cache_create(&fixture->fake.base, 60000, PEM_CACHE_MOUNT_BUDGET, content_options.order, NULL);
    fixture->volumes = served_volumes_create(60000, NULL);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &fixture->cloud, NULL), 0);
    fixture->defaults = (struct request_defaults){
        .cloud = &fixture->cloud,
        .endpoints = {.imds = "http://169.254.169.254", .nmi = "http://127.0.0.1:2579"}};
    fixture->shared = (struct mount_shared){.network = &fixture->network,
                                            .tokens = fixture->tokens,
                                            .cache = fixture->cache,
                                            .volumes = fixture->volumes,
                                            .defaults = &fixture->defaults,
                                            .content = &content_options,
                                            .pems = fixture->pems};
    set(fixture, "csi.storage.k8s.io/pod.name", "pod1");
    set(fixture, "csi.storage.k8s.io/pod.namespace", "ns1");
    set(fixture, "keyvaultName", "kv1");
    set(fixture, "tenantId", "tenant1");
    set(fixture, "objects", "array:\n  - |\n    objectName: a\n    objectType: secret\n");
    (void)string_map_set(&fixture->secrets, "clientid", "app1", NULL);
    (void)string_map_set(&fixture->secrets, "clientsecret", "good", NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    pem_cache_destroy(fixture->pems);
    vault_cache_destroy(fixture->cache);
    served_volumes_destroy(fixture->volumes);
    token_cache_destroy(fixture->tokens);
    assert_null(fixture->fake.calls);
    assert_null(fixture->fake.timers);
    cloud_finish(&fixture->cloud);
    string_map_finish(&fixture->attributes);
    string_map_finish(&fixture->secrets);
    error_free(fixture->error);
    free(fixture);
    return 0;
}

static struct mount *begin(struct fixture *fixture, bool republish, uint64_t left_ms)
{
    const struct mount_input input = {.attributes = &fixture->attributes,
                                      .secrets = &fixture->secrets,
                                      .permission = 0644,
                                      .republish = republish,
                                      .time_left_ms = left_ms,
                                      .bytes = fixture->bytes};
    fixture->done = false;
    fixture->result[0] = '\0';
    error_free(fixture->error);
    fixture->error = NULL;
    return mount_start(&fixture->shared, &input, &writer, on_done, fixture, &fixture->error);
}

/* Runs one mount to its end, at most `left_ms` of virtual time. */
static void run(struct fixture *fixture, bool republish, uint64_t left_ms)
{
    assert_non_null(begin(fixture, republish, left_ms));
    assert_false(fixture->done);
    for (uint64_t end = fixture->fake.now_ms + left_ms; !fixture->done && fixture->fake.now_ms <= end;)
        fake_run(&fixture->fake, fixture->fake.calls != NULL || fixture->fake.timers == NULL
                                     ? fixture->fake.now_ms
                                     : fixture->fake.timers->at_ms);
    assert_true(fixture->done);
}

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

/* AADSTS500011: the vault's challenge has the resource that Entra knows. */
static void a_resource_that_entra_does_not_know_is_replaced_by_the_vaults_own(void **state)
{
    static const char *const challenges[] = {
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://azure.net\"",
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", scope=\"https://azure.net/.default\""};
    struct fixture *fixture = *state;
    fixture->unknown = "scope=https%3A%2F%2Fvault.azure.net%2F";
    fixture->good_token = "token-1";
    for (int i = 0; i < 2; i++) {
        fixture->challenge = challenges[i];
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
         "which is not above it"},
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
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(one_mount_costs_one_token_and_one_read),
        CASE(a_thousand_mounts_of_one_identity_cost_one_token),
        CASE(another_secret_of_the_same_application_needs_its_own_token),
        CASE(a_republish_is_served_from_the_cache_of_the_identity),
        CASE(a_token_is_renewed_before_it_ends_while_the_old_one_is_served),
        CASE(a_401_costs_one_new_token),
        CASE(a_challenge_for_a_foreign_host_gets_no_token),
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
        CASE(all_failing_objects_are_reported_and_equal_causes_once),
        CASE(a_mount_reads_nothing_until_it_has_its_bytes),
        CASE(a_mount_without_bytes_fails_at_its_deadline_and_names_the_flag),
        CASE(a_mount_that_fails_or_is_cancelled_gives_its_bytes_back),
        CASE(a_silent_vault_does_not_hold_the_bytes_that_it_was_expected_to_send),
        CASE(a_history_takes_enabled_versions_newest_first_and_one_more_than_it_says),
        CASE(an_optional_object_that_is_missing_is_left_out_and_read_again),
        CASE(a_pfx_is_opened_once_in_a_thread),
        CASE(the_work_of_a_cancelled_mount_is_dropped),
        CASE(a_resource_that_entra_does_not_know_is_replaced_by_the_vaults_own),
        CASE(a_resource_that_is_not_the_vaults_is_not_used),
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
