/*
 * test_azure_identity.c - the request of each identity mode, its responses, and the keys of the cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "provider-azure/base/redact.h"
#include "provider-azure/identity/entra.h"

enum { NOW = 1700000000 };

/* A proxy without requests: identities only hold the pointer. */
static const struct token_proxy_endpoint endpoint = {.base = "https://abc.ests.aks/",
                                                     .connect_to = "proxy.example:443",
                                                     .host = "proxy.example",
                                                     .ca_pem = "CA",
                                                     .ca_pem_len = 2};

struct recipe {
    enum identity_mode mode;
    enum credential_kind kind;
    const char *tenant;
    const char *client_id;
    const char *credential;
    const char *password;
    const char *pod;
    const char *uid;
    const char *authority; /* NULL: that of the public cloud */
};

static struct identity *make(const struct recipe *recipe, struct error **err)
{
    struct cloud cloud = {0};
    struct credentials credentials = {.mode = recipe->mode, .kind = recipe->kind};
    char client_id[64];
    int proxy_stand_in = 0;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    if (recipe->authority != NULL) {
        free(cloud.authority);
        cloud.authority = strdup(recipe->authority);
    }
    (void)snprintf(client_id, sizeof(client_id), "%s", recipe->client_id != NULL ? recipe->client_id : "");
    credentials.client_id = client_id;
    if (recipe->credential != NULL)
        credentials.credential = secret_from_bytes(recipe->credential, strlen(recipe->credential));
    if (recipe->password != NULL)
        credentials.password = secret_from_bytes(recipe->password, strlen(recipe->password));
    const struct identity_input input = {
        .credentials = &credentials,
        .cloud = &cloud,
        .tenant = recipe->tenant != NULL ? recipe->tenant : "tenant1",
        .pod_name = recipe->pod != NULL ? recipe->pod : "pod1",
        .pod_namespace = "ns1",
        .pod_uid = recipe->uid,
        .endpoints = {"http://imds", "http://nmi", (struct token_proxy *)(void *)&proxy_stand_in},
    };
    struct identity *identity = identity_create(&input, err);
    secret_destroy(credentials.credential);
    secret_destroy(credentials.password);
    cloud_finish(&cloud);
    return identity;
}

static void assert_question(const struct recipe *recipe, const char *method, const char *url,
                            const char *body, const char *const *headers, enum http_proxy_policy proxy)
{
    cleanup_identity struct identity *identity = make(recipe, NULL);
    const struct token_request_context context = {.now_unix = NOW, .endpoint = &endpoint};
    struct token_request request = {0};
    assert_non_null(identity);
    assert_int_equal(identity->ops->build_request(identity, &context, &request, NULL), 0);
    assert_string_equal(request.method, method);
    assert_string_equal(request.url, url);
    assert_string_equal(buffer_str(&request.body), body);
    for (size_t i = 0; headers[i] != NULL; i++) {
        assert_non_null(request.headers[i]);
        assert_string_equal(request.headers[i], headers[i]);
    }
    assert_int_equal(request.proxy, proxy);
    token_request_finish(&request);
}

#define FORM  "Content-Type: application/x-www-form-urlencoded", "Accept: application/json"
#define GRANT "grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Fvault.azure.net%2F.default"
#define BEARER                                                                                               \
    "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_"        \
    "assertion="

static void each_mode_sends_its_own_service_one_request(void **state)
{
    (void)state;
    static const char *const form[] = {FORM, NULL};
    static const char *const metadata[] = {"Metadata: true", NULL};
    static const char *const pod[] = {"podname: pod1", "podns: ns1", NULL};
    static const char *const host[] = {FORM, "Host: proxy.example", NULL};

    assert_question(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "app",
                                     .credential = "s+/=&~"},
                    "POST", "https://login.microsoftonline.com/tenant1/oauth2/v2.0/token",
                    GRANT "&client_secret=s%2B%2F%3D%26~", form, HTTP_PROXY_ENVIRONMENT);
    assert_question(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .tenant = "ADFS",
                                     .client_id = "app", .credential = "s"},
                    "POST", "https://login.microsoftonline.com/adfs/oauth2/token", GRANT "&client_secret=s",
                    form, HTTP_PROXY_ENVIRONMENT);
    assert_question(&(struct recipe){IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, .client_id = "app",
                                     .credential = "a.b-c.d_e"},
                    "POST", "https://login.microsoftonline.com/tenant1/oauth2/v2.0/token",
                    GRANT BEARER "a.b-c.d_e", form, HTTP_PROXY_ENVIRONMENT);
    assert_question(
        &(struct recipe){IDENTITY_BINDING, CREDENTIAL_ASSERTION, .client_id = "app", .credential = "a.b.c"},
        "POST", "https://abc.ests.aks/tenant1/oauth2/v2.0/token", GRANT BEARER "a.b.c", host,
        HTTP_PROXY_NONE);
    assert_question(
        &(struct recipe){.mode = IDENTITY_MANAGED}, "GET",
        "http://imds/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net",
        "", metadata, HTTP_PROXY_NONE);
    assert_question(
        &(struct recipe){IDENTITY_MANAGED, .client_id = "u&id"}, "GET",
        "http://imds/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=u%26id",
        "", metadata, HTTP_PROXY_NONE);
    assert_question(&(struct recipe){IDENTITY_POD, .client_id = "ignored"}, "GET",
                    "http://nmi/host/token/?resource=https%3A%2F%2Fvault.azure.net", "", pod,
                    HTTP_PROXY_NONE);
}

static void an_authority_may_end_with_the_tenant(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *tenant, *url;
    } rows[] = {
        {"https://adfs.example/adfs/", "adfs", "https://adfs.example/adfs/oauth2/token"},
        {"https://adfs.example:8443/ADFS/", "adfs", "https://adfs.example:8443/adfs/oauth2/token"},
        {"https://adfs.example/", "adfs", "https://adfs.example/adfs/oauth2/token"},
        {"https://adfs/", "adfs", "https://adfs/adfs/oauth2/token"},
        {"https://login.example/t1/", "t1", "https://login.example/t1/oauth2/v2.0/token"},
        {"https://login.example/xt1/", "t1", "https://login.example/xt1/t1/oauth2/v2.0/token"},
        {"https://login.example/t1/", "t2", "https://login.example/t1/t2/oauth2/v2.0/token"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_identity struct identity *identity = make(
            &(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .tenant = rows[i].tenant,
                             .client_id = "app", .credential = "s", .authority = rows[i].authority},
            NULL);
        const struct token_request_context context = {.now_unix = NOW, .endpoint = &endpoint};
        struct token_request request = {0};
        assert_int_equal(identity->ops->build_request(identity, &context, &request, NULL), 0);
        assert_string_equal(request.url, rows[i].url);
        token_request_finish(&request);
    }
}

static void a_line_break_in_a_pod_name_does_not_split_a_header(void **state)
{
    (void)state;
    cleanup_identity struct identity *identity =
        make(&(struct recipe){IDENTITY_POD, .pod = "pod\r\npodns: other"}, NULL);
    const struct token_request_context context = {.now_unix = NOW};
    struct token_request request = {0};
    assert_int_equal(identity->ops->build_request(identity, &context, &request, NULL), -1);
    token_request_finish(&request);
}

/* --- keys --- */

static void no_two_identities_that_differ_have_the_same_key(void **state)
{
    (void)state;
    static const struct recipe recipes[] = {
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "app", .credential = "s"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "app", .credential = "t"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "ap", .credential = "ps"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .tenant = "other", .client_id = "app",
         .credential = "s"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, .client_id = "app", .credential = "s"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, .client_id = "app", .credential = "s",
         .password = "p"},
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, .client_id = "app", .credential = "sp"},
        {IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, .client_id = "app", .credential = "s"},
        {IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, .client_id = "app", .credential = "t"},
        {IDENTITY_BINDING, CREDENTIAL_ASSERTION, .client_id = "app", .credential = "s"},
        {.mode = IDENTITY_MANAGED},
        {IDENTITY_MANAGED, .client_id = "app"},
        {IDENTITY_POD, .pod = "pod1"},
        {IDENTITY_POD, .pod = "pod2"},
        {IDENTITY_POD, .pod = "pod1", .uid = "uid1"},
        {IDENTITY_POD, .pod = "pod1", .uid = "uid2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(recipes); i++) {
        cleanup_identity struct identity *one = make(&recipes[i], NULL);
        cleanup_identity struct identity *same = make(&recipes[i], NULL);
        assert_memory_equal(one->key, same->key, DIGEST_SHA256_LEN);
        for (size_t k = i + 1; k < ARRAY_SIZE(recipes); k++) {
            cleanup_identity struct identity *other = make(&recipes[k], NULL);
            if (memcmp(one->key, other->key, DIGEST_SHA256_LEN) == 0)
                fail_msg("%zu and %zu share a key", i, k);
        }
    }
}

static void credentials_of_one_application_are_one_principal(void **state)
{
    (void)state;
    cleanup_identity struct identity *a =
        make(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "app",
                              .credential = "s"},
             NULL);
    cleanup_identity struct identity *b =
        make(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, .client_id = "app",
                              .credential = "c"},
             NULL);
    cleanup_identity struct identity *c =
        make(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "other",
                              .credential = "s"},
             NULL);
    assert_memory_equal(a->principal, b->principal, DIGEST_SHA256_LEN);
    assert_memory_not_equal(a->principal, c->principal, DIGEST_SHA256_LEN);
}

static void what_can_be_no_tenant_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "..", ".", "a/b", "a b", "a?b", "a%2f", "t\xc3\xa4nant"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_error struct error *error = NULL;
        const struct recipe recipe = {IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, .tenant = bad[i],
                                      .client_id = "app", .credential = "s"};
        assert_null(make(&recipe, &error));
        assert_non_null(strstr(error_message(error), "invalid tenantID"));
    }
}

/* --- responses --- */

struct response_row {
    enum identity_mode mode;
    const char *client_id;
    int status;
    const char *body;
    /* expected */
    enum grpc_status code; /* OK: a token "T" */
    int64_t expires;       /* relative to now; -1: not checked */
    const char *text;      /* in the error */
};

static void assert_response(const struct response_row *row, size_t number)
{
    const struct recipe recipe = {row->mode, CREDENTIAL_CLIENT_SECRET, .client_id = row->client_id,
                                  .credential = row->mode <= IDENTITY_WORKLOAD ? "c" : NULL};
    cleanup_identity struct identity *identity = make(&recipe, NULL);
    cleanup_error struct error *error = NULL;
    struct http_reply reply = {.status = row->status};
    buffer_init(&reply.body, 1 << 16);
    assert_int_equal(buffer_append_str(&reply.body, row->body, NULL), 0);
    struct token *token = identity->ops->parse_response(identity, &reply, /* sent= */ NULL, NOW, &error);
    if ((token != NULL) != (row->code == GRPC_STATUS_OK))
        fail_msg("row %zu: %s", number, error != NULL ? error_message(error) : "a token");
    if (token != NULL) {
        assert_string_equal(token_text(token), "T");
        if (row->expires >= 0)
            assert_int_equal(token->life_s, row->expires);
    } else {
        assert_int_equal(error_code(error), row->code);
        if (strstr(error_message(error), row->text) == NULL)
            fail_msg("row %zu: %s", number, error_message(error));
        assert_null(strpbrk(error_message(error), "\r\n"));
    }
    token_unref(token);
    buffer_finish(&reply.body);
}

static void responses_of_entra_are_read(void **state)
{
    (void)state;
#define SP IDENTITY_SERVICE_PRINCIPAL, "app"
    static const struct response_row rows[] = {
        {SP, 200, "{\"access_token\":\"T\",\"expires_in\":3599}", GRPC_STATUS_OK, 3599, NULL},
        {SP, 200, "{\"access_token\":\"T\",\"expires_in\":\"3599\",\"x\":[1]}", GRPC_STATUS_OK, 3599, NULL},
        {SP, 200, "{\"access_token\":\"\",\"expires_in\":1}", GRPC_STATUS_UNAVAILABLE, 0,
         "no usable access_token"},
        {SP, 200, "{\"expires_in\":1}", GRPC_STATUS_UNAVAILABLE, 0, "no usable access_token"},
        {SP, 200, "{\"access_token\":\"T\",\"expires_in\":-5}", GRPC_STATUS_UNAVAILABLE, 0, "no usable"},
        {SP, 200,
         "{\"access_token\":\"T\",\"expires_in\":9223372036854775807,\"refresh_in\":9223372036854775807}",
         GRPC_STATUS_UNAVAILABLE, 0, "no usable"}, /* JSON numbers are exact up to 2^53 */
        {SP, 200,
         "{\"access_token\":\"T\",\"expires_in\":\"9223372036854775807\",\"refresh_in\":\"9223372036854775807\"}",
         GRPC_STATUS_OK, TOKEN_LIFE_MAX_S, NULL},
        {SP, 200, "{\"access_token\":\"T\",\"expires_in\":3599,\"refresh_in\":\"-9223372036854775808\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {SP, 200, "{\"access_token\":\"a\\r\\nHost: b\",\"expires_in\":3599}", GRPC_STATUS_UNAVAILABLE, 0,
         "access_token in the response"},
        {SP, 200, "{\"access_token\":\"a b\",\"expires_in\":3599}", GRPC_STATUS_UNAVAILABLE, 0,
         "access_token in the response"},
        {SP, 200, "<html>", GRPC_STATUS_UNAVAILABLE, 0, "not JSON"},
        {SP, 401,
         "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid.\\r\\nTrace ID: 1\",\"error_codes\":[7000215],\"correlation_id\":\"cid\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0,
         "(HTTP 401 invalid_client): AADSTS7000215: Invalid. [hint: the client secret is wrong"},
        {SP, 400, "{\"error\":\"x\",\"error_description\":\"AADSTS700016: no app\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "check clientid and tenantID"}, /* the number is in the text only */
        {SP, 400, "{\"error\":\"a\\nE b\",\"correlation_id\":\"\\u001b[31m\"}", GRPC_STATUS_UNAUTHENTICATED,
         0, "(HTTP 400 a E b) (correlation id  [31m)"},
        {SP, 400, "{\"error_description\":\"MSIS9698: no\"}", GRPC_STATUS_UNAUTHENTICATED, 0,
         "Entra refused the service principal (HTTP 400): MSIS9698: no"},
        {SP, 400, "{\"error\":\"invalid_resource\",\"error_description\":\"MSIS9602: The received\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "check cloudName, or keyVaultEndpoint of the cloud file]"},
        {SP, 400, "{\"error\":\"invalid_scope\",\"error_description\":\"AADSTS1002012: x\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0,
         "AADSTS1002012: x [hint: the vault's resource is not one of this cloud"},
        {SP, 400, "{}", GRPC_STATUS_UNAUTHENTICATED, 0,
         "Entra returned HTTP 400 with an error that is not Entra's (a proxy in between?)"},
        {SP, 403, "{\"kind\":\"Status\",\"message\":\"forbidden:\\n x\",\"code\":403}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "not Entra's (a proxy in between?): forbidden:"},
        {SP, 502, "{\"error\":{\"code\":\"BadGateway\",\"message\":\"no upstream\"}}",
         GRPC_STATUS_UNAVAILABLE, 0,
         "Entra returned HTTP 502 with an error that is not Entra's (a proxy in between?): no upstream"},
        {SP, 502, "{\"error\":{\"message\":5},\"message\":[]}", GRPC_STATUS_UNAVAILABLE, 0, "not Entra's"},
        {SP, 429, "{\"error\":\"x\"}", GRPC_STATUS_RESOURCE_EXHAUSTED, 0, "HTTP 429"},
        {SP, 503, "busy", GRPC_STATUS_UNAVAILABLE, 0, "HTTP 503"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_response(&rows[i], i);
}

static void responses_of_imds_are_read_in_all_their_forms(void **state)
{
    (void)state;
#define VM IDENTITY_MANAGED, ""
#define UA IDENTITY_MANAGED, "uid"
    static const struct response_row rows[] = {
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":\"3599\",\"expires_on\":\"1700003599\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":1700003599}", GRPC_STATUS_OK, 3599, NULL},
        /* this node's clock is an hour ahead, a day ahead, a day behind */
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":\"3599\",\"expires_on\":\"1699999999\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":3599,\"expires_on\":1699917199}", GRPC_STATUS_OK,
         3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":3599,\"expires_on\":1700089999}", GRPC_STATUS_OK,
         3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":\"soon\",\"expires_on\":\"1700003599\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":0,\"expires_on\":\"1700003599\"}", GRPC_STATUS_OK,
         3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_in\":3599}", GRPC_STATUS_OK, 3599, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"\",\"expires_in\":\"60\"}", GRPC_STATUS_OK, 60,
         NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"11/14/2023 22:14:20\"}", GRPC_STATUS_OK, 60,
         NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"2023-11-14 22:14:20\"}", GRPC_STATUS_OK, 60,
         NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"2023-11-14T22:14:20Z\"}", GRPC_STATUS_OK, 60,
         NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"2023-11-15T00:14:20+02:00\"}", GRPC_STATUS_OK, 60,
         NULL},
        {VM, 200, "{\"access_token\":\"T\"}", GRPC_STATUS_OK, 0, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"99999999999999999999\"}", GRPC_STATUS_OK, 0,
         NULL},
        {VM, 200,
         "{\"access_token\":\"T\",\"expires_in\":\"9223372036854775807\",\"refresh_in\":\"9223372036854775807\"}",
         GRPC_STATUS_OK, TOKEN_LIFE_MAX_S, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"999999999999\"}", GRPC_STATUS_OK,
         TOKEN_LIFE_MAX_S, NULL},
        {VM, 200, "{\"access_token\":\"T\",\"expires_on\":\"1\"}", GRPC_STATUS_OK, 0, NULL},
        {VM, 200, "{}", GRPC_STATUS_UNAVAILABLE, 0, "no access_token"},
        {UA, 400, "{\"error\":\"invalid_resource\",\"error_description\":\"AADSTS500011: x\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "[hint: the vault's resource is not known to the identity's tenant"},
        {VM, 400, "{\"error\":\"invalid_resource\",\"error_description\":\"AADSTS500011: x\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "[hint: the vault's resource is not known to the identity's tenant"},
        {IDENTITY_MANAGED, "/subscriptions/s/i", 400,
         "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0,
         "[hint: userAssignedIdentityID is a resource id, and must be the client id]"},
        {VM, 400, "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0,
         "failed to authenticate a system assigned identity: invalid_request: Identity not found [hint: no identity is assigned"},
        {VM, 400,
         "{\"error\":\"invalid_request\",\"error_description\":\"Multiple user assigned identities exist\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0,
         "[hint: with several user-assigned identities set userAssignedIdentityID]"},
        {UA, 400, "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}",
         GRPC_STATUS_UNAUTHENTICATED, 0, "the requested identity isn't assigned to this resource"},
        {VM, 403, "<html>", GRPC_STATUS_UNAUTHENTICATED, 0, "blocked or behind a proxy"},
        {VM, 429, "{}", GRPC_STATUS_RESOURCE_EXHAUSTED, 0, "throttles"},
        {VM, 410, "", GRPC_STATUS_UNAVAILABLE, 0, "HTTP 410"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_response(&rows[i], i);
}

static void responses_of_nmi_are_read_and_its_refusals_quoted(void **state)
{
    (void)state;
#define POD IDENTITY_POD, ""
    static const struct response_row rows[] = {
        {POD, 200, "{\"token\":{\"access_token\":\"T\",\"expires_on\":\"1700003599\"},\"clientid\":\"c\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {POD, 200,
         "{\"token\":{\"access_token\":\"T\",\"expires_on\":\"1700003599\",\"expires_in\":\"\",\"not_before\":\"\"},\"clientid\":\"c\"}",
         GRPC_STATUS_OK, 3599, NULL},
        {POD, 200, "{\"token\":{\"access_token\":\"T\",\"expires_on\":\"\"},\"clientid\":\"c\"}",
         GRPC_STATUS_OK, 0, NULL}, /* taken as already expired */
        {POD, 200, "{\"token\":{\"access_token\":\"T\"},\"clientid\":\"c\"}", GRPC_STATUS_OK, 0, NULL},
        {POD, 200, "{\"token\":{\"access_token\":\"T\"},\"clientid\":\"\"}", GRPC_STATUS_UNAVAILABLE, 0,
         "nmi did not return expected values in response: token and clientid"},
        {POD, 200, "{\"token\":{},\"clientid\":\"c\"}", GRPC_STATUS_UNAVAILABLE, 0, "token and clientid"},
        {POD, 200, "T", GRPC_STATUS_UNAVAILABLE, 0, "token and clientid"},
        {POD, 404, "no AzureAssignedIdentity\n", GRPC_STATUS_UNAVAILABLE, 0,
         "nmi response failed with status code: 404, response body: no AzureAssignedIdentity"},
        {POD, 403, "x", GRPC_STATUS_UNAUTHENTICATED, 0, "status code: 403"},
        {POD, 400, "x", GRPC_STATUS_INVALID_ARGUMENT, 0, "status code: 400"},
        {POD, 503, "x\r\ny", GRPC_STATUS_UNAVAILABLE, 0, "status code: 503, response body: x"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_response(&rows[i], i);
}

/* --- what a token endpoint quotes --- */

#define SECRET "s3cr~t+/=Value-of_40.bytes&\"x\\y%41end"

static void pieces_of_a_credential_are_left_out_of_a_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"secret '0123456789abcdef' is wrong", "secret '[redacted]' is wrong"},
        {"begins with 01234567...", "begins with [redacted]..."},
        {"ends with ...89abcdef", "ends with ...[redacted]"},
        {"in the middle 3456789abc!", "in the middle [redacted]!"},
        {"0123456789abcdef0123456789abcdef", "[redacted][redacted]"},
        {"0123456 is too short, 789abcd as well", "0123456 is too short, 789abcd as well"},
        {"short: pass1, not pas", "short: [redacted], not pas"},
        {"abc", "abc"}, /* a secret of three bytes is none */
        {"", ""},
        {"a text that is longer than the buffer for it is, 0123456789abcdef",
         "a text that is longer than the buffer for it is, [redac"},
    };
    struct secret *const secrets[] = {secret_from_bytes("0123456789abcdef", 16), NULL,
                                      secret_from_bytes("pass1", 5), secret_from_bytes("abc", 3)};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[56];
        redact(text, sizeof(text), rows[i].text, (const struct secret *const *)secrets, ARRAY_SIZE(secrets));
        assert_string_equal(text, rows[i].expected);
    }
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
        secret_destroy(secrets[i]);
}

/* The error after a refusal whose `member` quotes `quoted`, a text that is JSON already. */
static void refusal(const struct identity *identity, const struct secret *sent, const char *member,
                    const char *quoted, char ret[ERROR_MESSAGE_MAX])
{
    cleanup_error struct error *error = NULL;
    struct http_reply reply = {.status = 401};
    buffer_init(&reply.body, 1 << 16);
    assert_int_equal(buffer_printf(&reply.body, NULL, "{\"%s\":\"it was '%s' indeed\"}", member, quoted), 0);
    assert_null(identity->ops->parse_response(identity, &reply, sent, NOW, &error));
    (void)snprintf(ret, ERROR_MESSAGE_MAX, "%s", error_message(error));
    buffer_finish(&reply.body);
}

static void a_credential_that_the_token_endpoint_quotes_is_in_no_error(void **state)
{
    (void)state;
    static const struct recipe recipes[] = {
        {IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, .client_id = "app", .credential = SECRET},
        {IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, .client_id = "app",
         .credential = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"},
        {IDENTITY_BINDING, CREDENTIAL_ASSERTION, .client_id = "app",
         .credential = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ5In0.c2lnbmF0dXJl"},
    };
    /* As it is, as JSON may write it, as the form had it, and pieces. */
    static const char *const quotes[][5] = {
        {"s3cr~t+/=Value-of_40.bytes&\\\"x\\\\y%41end",
         "s3cr~t\\u002b\\/=Value-of_40.bytes&\\u0022x\\\\y%41end",
         "s3cr~t%2B%2F%3DValue-of_40.bytes%26%22x%5Cy%2541end", "s3cr~t+/=V...", "...&\\\"x\\\\y%41end"},
        {"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", "\\u0065yJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0",
         "eyJzdWIiOiJ4In0", "eyJhbGciOi...", "c2lnbmF0dXJl"},
        {"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ5In0.c2lnbmF0dXJl", "\\u0065yJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ5In0",
         "eyJzdWIiOiJ5In0", "eyJhbGciOi...", "c2lnbmF0dXJl"},
    };
    static const char *const members[] = {"error", "error_description", "correlation_id", "message"};
    static const char *const pieces[] = {"s3cr", "Value", "bytes", "end'", "eyJ", "c2ln"};
    const struct token_request_context context = {.now_unix = NOW, .endpoint = &endpoint};

    for (size_t i = 0; i < ARRAY_SIZE(recipes); i++) {
        cleanup_identity struct identity *identity = make(&recipes[i], NULL);
        struct token_request request = {0};
        assert_int_equal(identity->ops->build_request(identity, &context, &request, NULL), 0);
        cleanup_secret struct secret *sent = secret_from_bytes(request.body.data + request.credential_at,
                                                               request.body.len - request.credential_at);
        for (size_t k = 0; k < ARRAY_SIZE(quotes[i]) * ARRAY_SIZE(members); k++) {
            char text[ERROR_MESSAGE_MAX];
            refusal(identity, sent, members[k % ARRAY_SIZE(members)], quotes[i][k / ARRAY_SIZE(members)],
                    text);
            assert_non_null(strstr(text, "it was '"));
            assert_non_null(strstr(text, REDACTED));
            for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
                if (strstr(text, pieces[p]) != NULL)
                    fail_msg("%s", text);
            }
        }
        token_request_finish(&request);
    }
}

static void an_assertion_of_a_certificate_is_known_by_what_was_sent(void **state)
{
    (void)state;
    cleanup_identity struct identity *identity =
        make(&(struct recipe){IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, .client_id = "app",
                              .credential = "c"},
             NULL);
    struct token_request request = {0};
    buffer_init(&request.body, 1024);
    assert_int_equal(entra_add_assertion(&request, "aaaa.bbbb.cccc", 14, NULL), 0);
    assert_string_equal(buffer_str(&request.body) + request.credential_at, "aaaa.bbbb.cccc");
    cleanup_secret struct secret *sent = secret_from_bytes("aaaa.bbbb.cccc", 14);
    char text[ERROR_MESSAGE_MAX];
    refusal(identity, sent, "error_description", "aaaa.bbbb.cccc", text);
    assert_non_null(strstr(text, "it was '" REDACTED "' indeed"));
    token_request_finish(&request);
}

static void pods_bound_to_one_identity_are_one_principal(void **state)
{
    (void)state;
    static const char *const clients[] = {"c1", "c1", "c2"};
    uint8_t principals[3][DIGEST_SHA256_LEN];
    for (size_t i = 0; i < 3; i++) {
        const char *pods[] = {"pod1", "pod2", "pod3"};
        cleanup_identity struct identity *identity =
            make(&(struct recipe){IDENTITY_POD, .pod = pods[i]}, NULL);
        struct http_reply reply = {.status = 200};
        buffer_init(&reply.body, 1024);
        assert_int_equal(
            buffer_printf(
                &reply.body, NULL,
                "{\"token\":{\"access_token\":\"T\",\"expires_on\":\"1700003599\"},\"clientid\":\"%s\"}",
                clients[i]),
            0);
        struct token *token = identity->ops->parse_response(identity, &reply, /* sent= */ NULL, NOW, NULL);
        assert_non_null(token);
        memcpy(principals[i], token->principal, DIGEST_SHA256_LEN);
        token_unref(token);
        buffer_finish(&reply.body);
    }
    assert_memory_equal(principals[0], principals[1], DIGEST_SHA256_LEN);
    assert_memory_not_equal(principals[0], principals[2], DIGEST_SHA256_LEN);
}

static void every_number_of_the_list_has_a_hint(void **state)
{
    (void)state;
    static const int numbers[] = {7000215, 7000222, 70025,  7000229, 7000112, 53003,  700016,
                                  90002,   900023,  70021,  700211,  700212,  700213, 700024,
                                  700027,  700030,  500011, 50196,   0,       12345};
    enum { HINTS = ARRAY_SIZE(numbers) - 2 };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        char body[128];
        (void)snprintf(body, sizeof(body), "{\"error\":\"e\",\"error_description\":\"AADSTS%d: x\"}",
                       numbers[i]);
        const struct response_row row = {
            IDENTITY_SERVICE_PRINCIPAL,       "app", 400, body, GRPC_STATUS_UNAUTHENTICATED, 0,
            i < HINTS ? ": x [hint: " : ": x"};
        assert_response(&row, i);
    }
}

static void a_token_is_renewed_before_its_end_and_a_long_lived_one_at_half_of_its_life(void **state)
{
    (void)state;
    static const struct {
        int64_t life, refresh_in, expected;
    } rows[] = {{3600, 0, 3300},   {3600, 600, 600},  {3600, 3500, 3300},   {7200, 0, 6900},
                {86400, 0, 43200}, {86400, 100, 100}, {86400, 80000, 43200}};
    cleanup_identity struct identity *identity = make(&(struct recipe){.mode = IDENTITY_MANAGED}, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct token *token =
            token_create(identity->principal, "T", NOW + rows[i].life, rows[i].refresh_in, NOW, NULL);
        assert_int_equal(token->refresh_s, rows[i].expected);
        token_unref(token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_sends_its_own_service_one_request),
        cmocka_unit_test(an_authority_may_end_with_the_tenant),
        cmocka_unit_test(a_line_break_in_a_pod_name_does_not_split_a_header),
        cmocka_unit_test(no_two_identities_that_differ_have_the_same_key),
        cmocka_unit_test(credentials_of_one_application_are_one_principal),
        cmocka_unit_test(what_can_be_no_tenant_is_refused),
        cmocka_unit_test(responses_of_entra_are_read),
        cmocka_unit_test(responses_of_imds_are_read_in_all_their_forms),
        cmocka_unit_test(responses_of_nmi_are_read_and_its_refusals_quoted),
        cmocka_unit_test(pieces_of_a_credential_are_left_out_of_a_text),
        cmocka_unit_test(a_credential_that_the_token_endpoint_quotes_is_in_no_error),
        cmocka_unit_test(an_assertion_of_a_certificate_is_known_by_what_was_sent),
        cmocka_unit_test(pods_bound_to_one_identity_are_one_principal),
        cmocka_unit_test(every_number_of_the_list_has_a_hint),
        cmocka_unit_test(a_token_is_renewed_before_its_end_and_a_long_lived_one_at_half_of_its_life),
    };
    return cmocka_run_group_tests_name("azure_identity", tests, NULL, NULL);
}
