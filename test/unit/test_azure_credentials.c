/*
 * test_azure_credentials.c - the identity mode of a mount and its credential: tables of inputs and texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "provider-azure/identity/credentials.h"
#include "provider-azure/identity/timestamp.h"

#define WORKLOAD_TOKEN                                                                                       \
    "\"api://"                                                                                               \
    "AzureADTokenExchange\":{\"token\":\"wi-token\",\"expirationTimestamp\":\"2026-01-26T22:04:07Z\"}"
#define BINDING_TOKEN                                                                                        \
    "\"api://AKSIdentityBinding\":{\"token\":\"ib-token\",\"expirationTimestamp\":\"2026-01-26T22:04:07Z\"}"
#define WI_ERROR                                                                                             \
    "failed to build auth config for mode None: failed to parse workload identity tokens, error: "
#define IB_ERROR                                                                                             \
    "failed to build auth config for mode AzureTokenProxy: failed to parse service account token for "       \
    "identity binding, error: "
#define UNMARSHAL "failed to unmarshal service account tokens, error: "

enum switches { NONE, POD, VM, PROXY };

struct row {
    enum switches on;
    const char *client_id;   /* parameter clientID; NULL = not given */
    const char *user_id;     /* parameter userAssignedIdentityID */
    const char *tokens;      /* NULL = not given */
    const char *secret_json; /* the Secret; NULL = none */
    /* expected */
    const char *error; /* NULL: success; ending in '*': a prefix */
    enum identity_mode mode;
    enum credential_kind kind;
    const char *id;
    const char *credential;
};

static int parse(const struct row *row, struct credentials *credentials, struct error **err)
{
    cleanup_string_map struct string_map secrets = {0};
    const struct credential_parameters parameters = {
        .use_pod_identity = row->on == POD,
        .use_vm_identity = row->on == VM,
        .use_token_proxy = row->on == PROXY,
        .client_id = row->client_id,
        .user_assigned_id = row->user_id,
        .service_account_tokens = row->tokens,
        .secrets = row->secret_json != NULL ? &secrets : NULL,
    };
    int is_null = 0;
    if (row->secret_json != NULL)
        assert_int_equal(
            string_map_from_json(&secrets, row->secret_json, strlen(row->secret_json), &is_null, NULL), 0);
    return credentials_parse(&parameters, credentials, err);
}

static void assert_credential(const struct secret *secret, const char *expected)
{
    if (expected == NULL) {
        assert_null(secret);
        return;
    }
    assert_int_equal(secret_len(secret), strlen(expected));
    assert_memory_equal(secret_bytes(secret), expected, strlen(expected));
}

static void every_mode_takes_the_credential_that_is_its_own(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* service principal with a secret */
        {NONE, NULL, NULL, NULL, "{\"clientid\":\"a\",\"clientsecret\":\"b\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        {NONE, "", NULL, NULL, "{\"ClientID\":\" a \",\"CLIENTSECRET\":\"b\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        {NONE, " ", NULL, NULL, "{\"clientid\":\"a\",\"clientsecret\":\"b\\n\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        {NONE, NULL, NULL, NULL, "{\"clientid\":\"a\\n\",\"clientsecret\":\"b\\r\\n\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        {NONE, NULL, NULL, NULL, "{\"clientid\":\"a\",\"clientsecret\":\" b \\n\\n\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", " b \n"},
        {NONE, NULL, NULL, NULL,
         "{\"clientid\":\"\xef\xbb\xbf"
         "a\\r\\n\",\"clientsecret\":\"\xef\xbb\xbf"
         "b\\r\\n\"}",
         NULL, IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        /* service principal with a certificate */
        {NONE, NULL, NULL, NULL, "{\"clientid\":\"a\",\"clientcertificate\":\"c\\n\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, "a", "c"},
        {NONE, NULL, NULL, NULL, "{\"clientid\":\"a\",\"ClientCertificate\":\"c\",\"clientsecret\":\"\"}",
         NULL, IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CERTIFICATE, "a", "c"},
        {NONE, NULL, NULL, NULL,
         "{\"clientid\":\"a\",\"clientsecret\":\"b\",\"clientcertificatepassword\":\"p\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a", "b"},
        /* workload identity: clientID makes it mandatory, whatever the Secret holds */
        {NONE, "app", NULL, "{" WORKLOAD_TOKEN "}", "{}", NULL, IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION,
         "app", "wi-token"},
        {NONE, " app ", NULL, "{" WORKLOAD_TOKEN ",\"aud2\":{\"token\":\"x\"}}",
         "{\"clientid\":\"a\",\"clientsecret\":\"b\"}", NULL, IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, "app",
         "wi-token"},
        {NONE, "app", NULL, "{" WORKLOAD_TOKEN "," BINDING_TOKEN "}", NULL, NULL, IDENTITY_WORKLOAD,
         CREDENTIAL_ASSERTION, "app", "wi-token"},
        {NONE, "app", NULL, "{\"api://AzureADTokenExchange\":{\"token\":\"t\",\"expirationTimestamp\":null}}",
         NULL, NULL, IDENTITY_WORKLOAD, CREDENTIAL_ASSERTION, "app", "t"},
        /* identity binding */
        {PROXY, "app", NULL, "{" WORKLOAD_TOKEN "," BINDING_TOKEN "}", NULL, NULL, IDENTITY_BINDING,
         CREDENTIAL_ASSERTION, "app", "ib-token"},
        /* the modes without a credential read neither tokens nor the Secret */
        {VM, "app", NULL, "not json", NULL, NULL, IDENTITY_MANAGED, CREDENTIAL_NONE, "", NULL},
        {VM, NULL, " uid ", NULL, NULL, NULL, IDENTITY_MANAGED, CREDENTIAL_NONE, "uid", NULL},
        {POD, "app", "uid", "not json", NULL, NULL, IDENTITY_POD, CREDENTIAL_NONE, "app", NULL},
        {NONE, NULL, "uid", NULL, "{\"clientid\":\"a\",\"clientsecret\":\"b\"}", NULL,
         IDENTITY_SERVICE_PRINCIPAL, CREDENTIAL_CLIENT_SECRET, "a",
         "b"}, /* the 2020 tutorial fills userAssignedIdentityID here */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_credentials struct credentials credentials = {0};
        cleanup_error struct error *error = NULL;
        if (parse(&rows[i], &credentials, &error) < 0)
            fail_msg("row %zu: %s", i, error_message(error));
        assert_int_equal(credentials.mode, rows[i].mode);
        assert_int_equal(credentials.kind, rows[i].kind);
        assert_string_equal(credentials.client_id, rows[i].id);
        assert_credential(credentials.credential, rows[i].credential);
    }
}

static void what_is_missing_or_ambiguous_is_named(void **state)
{
    (void)state;
#define SP "failed to build auth config for mode None: "
    static const struct row rows[] = {
        {NONE, .error = SP "failed to get credentials, nodePublishSecretRef secret is not set"},
        {NONE, .secret_json = "{}", .error = SP "could not find clientid in secrets"},
        {NONE, .secret_json = "{\"clientsecret\":\"b\"}", .error = SP "could not find clientid in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\"}", .error = SP "could not find clientsecret in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"\"}",
         .error = SP "could not find clientsecret in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"\\n\"}",
         .error = SP "could not find clientsecret in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientcertificate\":\"\\n\"}",
         .error = SP "could not find clientcertificate in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"b\",\"clientcertificate\":\"c\"}",
         .error = SP "both clientsecret and clientcertificate are in secrets: keep one of them"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"ClientID\":\"a\",\"clientsecret\":\"b\"}",
         .error = SP "more than one key named clientid in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientSecret\":\"x\",\"clientsecret\":\"b\"}",
         .error = SP "more than one key named clientsecret in secrets"},
        {NONE, .secret_json = "{\"clientid\":\"a\",\"clientCertificate\":\"x\",\"clientcertificate\":\"b\"}",
         .error = SP "more than one key named clientcertificate in secrets"},
        {NONE, "app", .error = WI_ERROR "service account tokens not found"},
        {NONE, "app", .tokens = "", .error = WI_ERROR "service account tokens not found"},
        {NONE, "app", .tokens = "invalid", .error = WI_ERROR UNMARSHAL "*"},
        {NONE, "app", .tokens = "[]", .error = WI_ERROR UNMARSHAL "*"},
        {NONE, "app", .tokens = "{\"aud1\":{\"token\":\"t\"}}",
         .error = WI_ERROR "token for audience api://AzureADTokenExchange not found"},
        {NONE, "app", .tokens = "{\"api://azureadtokenexchange\":{\"token\":\"t\"}}",
         .error = WI_ERROR "token for audience api://AzureADTokenExchange not found"},
        {NONE, "app", .tokens = "{\"api://AzureADTokenExchange\":{\"token\":\"\"}}",
         .error = WI_ERROR "token for audience api://AzureADTokenExchange not found"},
        {NONE, "app", .tokens = "{\"api://AzureADTokenExchange\":{\"token\":12345}}",
         .error = WI_ERROR UNMARSHAL "*"},
        {NONE, "app", .tokens = "{" WORKLOAD_TOKEN ",\"aud2\":{\"token\":7}}",
         .error = WI_ERROR UNMARSHAL "*"},
        {NONE, "app", .tokens = "{" WORKLOAD_TOKEN ",\"aud2\":\"x\"}", .error = WI_ERROR UNMARSHAL "*"},
        {NONE, "app",
         .tokens = "{\"api://AzureADTokenExchange\":{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}}",
         .error = WI_ERROR UNMARSHAL "an expirationTimestamp is not a date and time of RFC 3339"},
        {NONE, "app", .secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"b\"}",
         .error = WI_ERROR "service account tokens not found"}, /* no fall-back to the Secret */
        {PROXY, .tokens = "{" BINDING_TOKEN "}",
         .error =
             "failed to build auth config for mode AzureTokenProxy: clientID is required for identity binding"},
        {PROXY, "app",
         .error =
             "failed to build auth config for mode AzureTokenProxy: service account tokens are required for identity binding"},
        {PROXY, "app", .tokens = "{" WORKLOAD_TOKEN "}",
         .error = IB_ERROR "token for audience api://AKSIdentityBinding not found"},
        {PROXY, "app", .tokens = "nonsense", .error = IB_ERROR UNMARSHAL "*"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_credentials struct credentials credentials = {0};
        cleanup_error struct error *error = NULL;
        if (parse(&rows[i], &credentials, &error) == 0)
            fail_msg("row %zu is accepted", i);
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
        size_t len = strlen(rows[i].error);
        if (rows[i].error[len - 1] == '*')
            assert_memory_equal(error_message(error), rows[i].error, len - 1);
        else
            assert_string_equal(error_message(error), rows[i].error);
    }
}

static void a_trimmed_line_break_is_known_to_the_caller(void **state)
{
    (void)state;
    static const struct row with = {.secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"b\\n\"}"};
    static const struct row without = {.secret_json = "{\"clientid\":\"a\",\"clientsecret\":\"b\"}"};
    cleanup_credentials struct credentials first = {0}, second = {0};
    assert_int_equal(parse(&with, &first, NULL), 0);
    assert_int_equal(parse(&without, &second, NULL), 0);
    assert_true(first.newline_trimmed);
    assert_false(second.newline_trimmed);
}

static void a_password_of_a_certificate_is_kept(void **state)
{
    (void)state;
    static const struct row row = {
        .secret_json =
            "{\"clientid\":\"a\",\"clientcertificate\":\"c\",\"clientCertificatePassword\":\"p w\\n\"}"};
    cleanup_credentials struct credentials credentials = {0};
    assert_int_equal(parse(&row, &credentials, NULL), 0);
    assert_credential(credentials.password, "p w");
}

static void rfc_3339_is_checked_as_the_kubelet_writes_it(void **state)
{
    (void)state;
    static const char *const good[] = {"2026-01-26T22:04:07Z",      "2026-01-26t22:04:07z",
                                       "2026-12-31T23:59:60Z",      "2026-01-26T22:04:07.123456789Z",
                                       "2026-01-26T22:04:07+02:00", "2026-01-26T22:04:07.5-11:30"};
    static const char *const bad[] = {"",
                                      "2026-01-26",
                                      "2026-01-26 22:04:07Z",
                                      "2026-01-26T22:04:07",
                                      "2026-13-26T22:04:07Z",
                                      "2026-01-32T22:04:07Z",
                                      "2026-01-26T24:04:07Z",
                                      "2026-01-26T22:60:07Z",
                                      "2026-01-26T22:04:07.Z",
                                      "2026-01-26T22:04:07Zx",
                                      "2026-01-26T22:04:07+0200",
                                      "1769465047",
                                      "26-01-26T22:04:07Z"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(timestamp_is_rfc3339(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(timestamp_is_rfc3339(bad[i]));
}

static void timestamps_of_imds_are_read_in_every_spelling(void **state)
{
    (void)state;
    char texts[][32] = {"1506484173", "2017-09-27T03:49:33Z", "2017-09-27T05:49:33+02:00",
                        "09/27/2017 03:49:33 +00:00", "2017-09-27 03:49:33"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_int_equal(timestamp_from_json(&(cJSON){.type = cJSON_String, .valuestring = texts[i]}),
                         1506484173);
    char empty[] = "";
    assert_int_equal(timestamp_from_json(&(cJSON){.type = cJSON_String, .valuestring = empty}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_takes_the_credential_that_is_its_own),
        cmocka_unit_test(what_is_missing_or_ambiguous_is_named),
        cmocka_unit_test(a_trimmed_line_break_is_known_to_the_caller),
        cmocka_unit_test(a_password_of_a_certificate_is_kept),
        cmocka_unit_test(rfc_3339_is_checked_as_the_kubelet_writes_it),
        cmocka_unit_test(timestamps_of_imds_are_read_in_every_spelling),
    };
    return cmocka_run_group_tests_name("azure_auth", tests, NULL, NULL);
}
