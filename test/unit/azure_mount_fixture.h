/*
 * azure_mount_fixture.h - for tests: whole mounts against a fake Entra and a fake vault, whose behavior
 * the fixture says. `setup` and `teardown` belong to each test.
 */
#ifndef TEST_UNIT_AZURE_MOUNT_FIXTURE_H
#define TEST_UNIT_AZURE_MOUNT_FIXTURE_H

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
    struct stale_store *stale; /* outage mode, if not NULL */
    struct vault_cache *cache;
    struct pem_cache *pems;
    struct served_volumes *volumes;
    struct served_volumes *throttled;
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
    int token_fail_first;     /* that many token requests get 429 */
    const char *unknown;      /* this scope, as a form has it, is not known to Entra */
    const char *unknown_body; /* which says so in these words; NULL: AADSTS500011 */
    int fail_first;           /* that many vault requests get `fail_status` */
    int fail_status;
    int64_t retry_after_ms;
    const char *challenge;
    const char *vault_body; /* overrides the standard response */
    int vault_requests;
    bool silent;           /* the vault does not respond */
    const char *fail_body; /* with fail_status, instead of the standard error */
    bool dns_failure;
    bool no_entra;                  /* it does not respond either */
    enum grpc_status first_failure; /* of the next vault request, without a response */
    /* the outcome of a mount */
    bool done;
    char result[32768]; /* "path=content;" per file, then ids */
    struct error *error;
};

static char response_text[65536];

static inline struct fake_response entra(struct fixture *fixture, const char *body)
{
    fixture->fake.token_requests++;
    if (fixture->no_entra)
        return (struct fake_response){.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_CONNECT};
    if (fixture->token_fail_first > 0) {
        fixture->token_fail_first--;
        return (struct fake_response){
            .status = 429, .retry_after_ms = fixture->retry_after_ms, .body = "{\"error\":\"throttled\"}"};
    }
    if (fixture->unknown != NULL && strstr(body, fixture->unknown) != NULL)
        return (struct fake_response){
            .status = 400,
            .body =
                fixture->unknown_body != NULL
                    ? fixture->unknown_body
                    : "{\"error\":\"invalid_resource\",\"error_description\":\"AADSTS500011: The resource principal was not found.\",\"error_codes\":[500011]}"};
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

static inline struct fake_response vault(struct fixture *fixture, const char *url, const char *bearer)
{
    fixture->vault_requests++;
    if (fixture->silent)
        return (struct fake_response){.silent = true};
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
        return (struct fake_response){
            .status = fixture->fail_status,
            .retry_after_ms = fixture->retry_after_ms,
            .body = fixture->fail_body != NULL
                        ? fixture->fail_body
                        : "{\"error\":{\"code\":\"Throttled\",\"message\":\"slow\\ndown\"}}"};
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

static inline struct fake_response respond(struct fake *fake, const char *url, const char *bearer,
                                           const char *body)
{
    struct fixture *fixture = fake->arg;
    if (strncmp(url, "https://login.microsoftonline.com/tenant1/oauth2/v2.0/token", 58) == 0)
        return entra(fixture, body);
    assert_memory_equal(url, "https://kv1.vault.azure.net", 27);
    return vault(fixture, url, bearer);
}

static inline int add_file(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                           struct error **err)
{
    struct fixture *fixture = arg;
    size_t used = strlen(fixture->result);
    (void)err;
    (void)snprintf(fixture->result + used, sizeof(fixture->result) - used, "%s:%o=%.*s;", path,
                   (unsigned)mode, (int)len, (const char *)bytes);
    return 0;
}

static inline int add_version(void *arg, const char *id, const char *version, struct error **err)
{
    struct fixture *fixture = arg;
    size_t used = strlen(fixture->result);
    (void)err;
    (void)snprintf(fixture->result + used, sizeof(fixture->result) - used, "[%s@%s]", id, version);
    return 0;
}

static inline int add_warning(void *arg, const char *text, struct error **err)
{
    struct fixture *fixture = arg;
    size_t used = strlen(fixture->result);
    (void)err;
    (void)snprintf(fixture->result + used, sizeof(fixture->result) - used, "{%s}", text);
    return 0;
}

static const struct response_writer writer = {
    .add_file = add_file, .add_version = add_version, .add_warning = add_warning};

static inline void on_done(const struct error *error, void *arg)
{
    struct fixture *fixture = arg;
    assert_false(fixture->done);
    fixture->done = true;
    error_free(fixture->error);
    fixture->error = error_copy(error);
}

static inline void set(struct fixture *fixture, const char *name, const char *value)
{
    assert_int_equal(string_map_set(&fixture->attributes, name, value, NULL), 0);
}

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fake_init(&fixture->fake, respond, fixture);
    fixture->token_life = 3600;
    fixture->challenge =
        "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://vault.azure.net\"";
    fixture->network = (struct network){.transport = &fixture->fake.base, .throttles = &fixture->throttles};
    fixture->tokens = token_cache_create(&fixture->network, NULL);
    fixture->cache = vault_cache_create(&fixture->network, fixture->tokens, 60000, fixture->stale, NULL);
    fixture->pems =
        pem_cache_create(&fixture->fake.base, 60000, PEM_CACHE_MOUNT_BUDGET, content_options.order, NULL);
    fixture->volumes = served_volumes_create(60000, NULL);
    fixture->throttled = served_volumes_create(MOUNT_THROTTLED_MS, NULL);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &fixture->cloud, NULL), 0);
    fixture->defaults = (struct request_defaults){
        .cloud = &fixture->cloud,
        .endpoints = {.imds = "http://169.254.169.254", .nmi = "http://127.0.0.1:2579"}};
    fixture->shared = (struct mount_shared){.network = &fixture->network,
                                            .tokens = fixture->tokens,
                                            .cache = fixture->cache,
                                            .volumes = fixture->volumes,
                                            .throttled = fixture->throttled,
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

/* Outage mode, for an hour; before the first mount. */
static inline void keep_for_outages(struct fixture *fixture)
{
    enum { HOUR_MS = 3600 * 1000 };
    vault_cache_destroy(fixture->cache);
    fixture->stale = stale_store_create(&fixture->network, HOUR_MS, NULL);
    assert_non_null(fixture->stale);
    fixture->cache = vault_cache_create(&fixture->network, fixture->tokens, 60000, fixture->stale, NULL);
    fixture->shared.cache = fixture->cache;
    fixture->defaults.serve_stale_max_age_ms = HOUR_MS;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    pem_cache_destroy(fixture->pems);
    stale_store_destroy(fixture->stale);
    vault_cache_destroy(fixture->cache);
    served_volumes_destroy(fixture->volumes);
    served_volumes_destroy(fixture->throttled);
    token_cache_destroy(fixture->tokens);
    fake_assert_idle(&fixture->fake);
    cloud_finish(&fixture->cloud);
    string_map_finish(&fixture->attributes);
    string_map_finish(&fixture->secrets);
    error_free(fixture->error);
    free(fixture);
    return 0;
}

static inline struct mount *begin(struct fixture *fixture, bool republish, uint64_t left_ms)
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
static inline void run(struct fixture *fixture, bool republish, uint64_t left_ms)
{
    assert_non_null(begin(fixture, republish, left_ms));
    assert_false(fixture->done);
    for (uint64_t end = fixture->fake.now_ms + left_ms; !fixture->done && fixture->fake.now_ms <= end;)
        fake_run(&fixture->fake, fixture->fake.calls != NULL || fixture->fake.timers == NULL
                                     ? fixture->fake.now_ms
                                     : fixture->fake.timers->at_ms);
    assert_true(fixture->done);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
