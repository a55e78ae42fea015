/*
 * test_azure_mount_request.c - parameters of a mount, row by row.
 *
 * Rows that live elsewhere: decoding of the RPC's JSON texts (test_provider_server.c, test_string_map.c);
 * sources of identity (test_azure_credentials.c); refused service principals (test_azure_mount.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/cleanup.h"
#include "common/lint/similar_name.h"
#include "provider-azure/mount_request.h"

#define POD      "csi.storage.k8s.io/pod.name"
#define POD_NS   "csi.storage.k8s.io/pod.namespace"
#define SA       "csi.storage.k8s.io/serviceAccount.tokens"
#define WI_TOKEN "{\"api://AzureADTokenExchange\":{\"token\":\"t\"}}"
#define TOKENS                                                                                               \
    "{\"api://AzureADTokenExchange\":{\"token\":\"t\"},\"api://AKSIdentityBinding\":{\"token\":\"u\"}}"
#define SP      "{\"clientid\":\"foo\",\"clientsecret\":\"bar\"}"
#define SECRET1 "array:\n  - |\n    objectName: secret1\n    objectType: secret\n"

enum { PAIRS_MAX = 9 };

struct pairs {
    const char *name[PAIRS_MAX][2]; /* ends with NULL */
};

static struct parsed_objects_cache *parsed; /* NULL: each mount parses its objects */

static int parse(const struct pairs *pairs, const char *secrets_json, struct mount_request *ret_request,
                 struct error **err)
{
    cleanup_string_map struct string_map attributes = {0};
    cleanup_string_map struct string_map secrets = {0};
    cleanup_cloud struct cloud cloud = {0};

    for (size_t i = 0; i < PAIRS_MAX && pairs->name[i][0] != NULL; i++)
        assert_int_equal(string_map_set(&attributes, pairs->name[i][0], pairs->name[i][1], NULL), 0);
    if (secrets_json != NULL)
        assert_int_equal(string_map_from_json(&secrets, secrets_json, strlen(secrets_json), NULL, NULL), 0);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    const struct request_defaults defaults = {
        .cloud = &cloud, /* no request goes to the token proxy: any pointer does */
        .endpoints = {"http://imds", "http://nmi", (struct token_proxy *)(void *)&cloud},
        .parsed = parsed};
    const struct mount_input input = {
        .attributes = &attributes, .secrets = secrets_json != NULL ? &secrets : NULL, .permission = 0644};
    return mount_request_parse(&input, &defaults, ret_request, err);
}

static void names_that_are_nearly_right_are_recognized(void **state)
{
    static const char *const known[] = {
        "keyvaultName",   "keyvaultURL",          "tenantID", "tenantId", "clientID",
        "usePodIdentity", "useVMManagedIdentity", "objects",  "cloudName"};
    static const struct {
        const char *name, *similar;
    } rows[] = {
        {"tenantid", "tenantID"},
        {"TenantId", "tenantID"},
        {"keyVaultName", "keyvaultName"},
        {"keyvaultname", "keyvaultName"},
        {"KeyvaultNames", "keyvaultName"},
        {"keyvault_name", "keyvaultName"},
        {"keyvaultUrl", "keyvaultURL"},
        {"clientId", "clientID"},
        {"usePodIdentiy", "usePodIdentity"},
        {"usePodIdenttiy", "usePodIdentity"},
        {"usePodIdnetiyt", "usePodIdentity"},
        {"useVmManagedIdentity", "useVMManagedIdentity"},
        {"object", "objects"},
        {"cloud-name", "cloudName"},
        {"usePodIdy", NULL},
        {"vault", NULL},
        {"", NULL},
        {"secretObjects", NULL},
        {"keyvaultNameXYZ", NULL},
        {"k\xc3\xbcyvaultName", "keyvaultName"},
        {"keyvaultNamekeyvaultNamekeyvaultNamekeyvaultNamekeyvaultNamekeyvaultName", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *similar = similar_name(rows[i].name, known, ARRAY_SIZE(known));
        if ((similar == NULL) != (rows[i].similar == NULL) ||
            (similar != NULL && strcmp(similar, rows[i].similar) != 0))
            fail_msg("%s: %s", rows[i].name, similar != NULL ? similar : "nothing");
    }
}

static void fields_are_recognized_by_their_last_words_and_without_what_cannot_be_seen(void **state)
{
    static const char *const known[] = {"objectName", "objectVersion", "objectKey", "filePermission",
                                        "keyvaultName"};
    static const struct {
        const char *name, *similar;
    } rows[] = {
        {"vaultName", "keyvaultName"},
        {"aultName", "keyvaultName"},
        {"ultName", NULL},
        {"permission", "filePermission"},
        {"Version", "objectVersion"},
        {"name", "objectName"},
        {"key", NULL},
        {"mission", NULL},
        {"jectName", "objectName"},
        {"\xc2\xa0objectName", "objectName"},
        {"\xe2\x80\x8bobjectKey", "objectKey"},
        {"object\xe2\x80\x93version", "objectVersion"},
        {"\xe2\x80\x8b", NULL},
        {"", NULL},
        {"namenamenamenamenamenamenamenamenamenamenamenamenamenamenamenamename", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *similar = similar_field(rows[i].name, known, ARRAY_SIZE(known));
        if ((similar == NULL) != (rows[i].similar == NULL) ||
            (similar != NULL && strcmp(similar, rows[i].similar) != 0))
            fail_msg("%s: %s", rows[i].name, similar != NULL ? similar : "nothing");
    }
}

static void a_content_of_a_class_is_reported_once_until_many_others_were(void **state)
{
    struct class_reports reports = {0};
    uint8_t digest[DIGEST_SHA256_LEN] = {0};
    (void)state;
    for (unsigned i = 0; i <= CLASS_REPORTS_MAX; i++) {
        digest[0] = (uint8_t)i;
        digest[1] = (uint8_t)(i >> 8);
        assert_true(class_reports_add(&reports, digest));
        assert_false(class_reports_add(&reports, digest));
    }
    memset(digest, 0, sizeof(digest)); /* the oldest made room for the last */
    assert_true(class_reports_add(&reports, digest));
}

/* The last row of a step fails in the next step: the checks have an order. */
static void checks_come_in_the_order_users_know(void **state)
{
    static const struct {
        struct pairs given;
        const char *secrets;
        const char *expected; /* part of the message; NULL: accepted */
    } rows[] = {
        {{{{NULL, NULL}}}, SP, "pod name is not provided"},
        {{{{POD, "pod1"}}}, SP, "pod namespace is not provided"},
        {{{{POD, " "}, {POD_NS, "ns1"}}}, SP, "pod name is not provided"},
        {{{{POD, "pod1"}, {POD_NS, ""}}}, SP, "pod namespace is not provided"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}}}, SP, "keyvaultName is not provided"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", " "}}}, SP, "keyvaultName is not provided"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"usePodIdentity", "tru"}}},
         SP,
         "failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \"tru\": invalid syntax"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"usePodIdentity", "true"}, {"useVMManagedIdentity", "x"}}},
         SP,
         "failed to parse useVMManagedIdentity flag, error: strconv.ParseBool: parsing \"x\": invalid syntax"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"usePodIdentity", "true"}, {"useAzureTokenProxy", "true"}}},
         SP,
         "only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or useAzureTokenProxy"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"usePodIdentity", "1"}, {"useVMManagedIdentity", "T"}}},
         SP,
         "only one identity mode"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"usePodIdentity", " true "}, {"useAzureTokenProxy", "1"}}},
         SP,
         "only one identity mode"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyVaultName", "testKV"}}},
         SP,
         "keyvaultName is not provided [hint: parameter keyVaultName is not known, keyvaultName is]"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "testKV"}, {"tenantid", "t"}}},
         SP,
         "tenantId is not provided [hint: parameter tenantid is not known, tenantID is]"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "testKV"},
           {"tenantId", "t"},
           {"usePodIdentiy", "true"}}},
         NULL,
         "[hint: parameter usePodIdentiy is not known, usePodIdentity is]"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "testKV"},
           {"tenantId", "t"},
           {"Objects", "x"},
           {"clientId", "c"}}},
         SP,
         "objects is not set [hint: parameter Objects is not known, objects is; parameter clientId is not known, clientID is]"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "testKV"}}}, SP, "tenantId is not provided"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "testKV"}, {"tenantId", ""}}},
         SP,
         "tenantId is not provided"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "testKV"},
           {"tenantId", "t"},
           {"cloudName", "AzureCloud1"}}},
         SP,
         "cloudName AzureCloud1 is not valid, error: autorest/azure: There is no cloud environment matching the name \"AZURECLOUD1\""},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "testKV"},
           {"tenantId", "t"},
           {"cloudName", "AzureCloud"}}},
         SP,
         "objects is not set"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "testKV"},
           {"tenantId", "t"},
           {"cloudName", "AzureStackCloud"},
           {"cloudEnvFileName", "/etc/kubernetes/akscustom.json"}}},
         SP,
         "cloudName AzureStackCloud is not valid, error: open /etc/kubernetes/akscustom.json: no such file or directory"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "k"}, {"tenantId", "t"}}},
         NULL,
         "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not set"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"useVMManagedIdentity", "true"}}},
         NULL,
         "objects is not set"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"useAzureTokenProxy", "true"}}},
         NULL,
         "failed to build auth config for mode AzureTokenProxy: clientID is required for identity binding"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"useAzureTokenProxy", "true"},
           {"clientID", "c"}}},
         NULL,
         "service account tokens are required for identity binding"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"objects", "- |\n  objectName: secret1\n- |\n  objectName: secret2\n"}}},
         SP,
         "failed to yaml unmarshal objects, error: yaml: unmarshal errors"},
        /* no objects: the vault's name is not even looked at */
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "k"}, {"tenantId", "t"}, {"objects", "array:"}}},
         SP,
         NULL},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"objects", SECRET1 "    objectFormat: pkcs\n"}}},
         SP,
         "failed to get objectType:secret, objectName:secret1, objectVersion:: invalid objectFormat: pkcs, should be PEM or PFX"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "k"},
           {"tenantId", "t"},
           {"objects", SECRET1 "    objectEncoding: utf-16\n"}}},
         SP,
         "failed to get objectType:secret, objectName:secret1, objectVersion:: invalid objectEncoding: utf-16, should be hex, base64 or utf-8"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "k"}, {"tenantId", "t"}, {"objects", SECRET1}}},
         SP,
         "failed to get vault: Invalid vault name: \"k\", must be between 3 and 24 chars"},
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "kv1"},
           {"tenantId", "a b"},
           {"objects", SECRET1}}},
         SP,
         "failed to get keyvault client: invalid tenantID"},
        {{{{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "kv1"}, {"tenantId", "t"}, {"objects", SECRET1}}},
         SP,
         NULL},
        /* the first releases required these; later ones ignore them */
        {{{{POD, "pod1"},
           {POD_NS, "ns1"},
           {"keyvaultName", "kv1"},
           {"tenantId", "t"},
           {"objects", SECRET1},
           {"resourceGroup", "g"},
           {"subscriptionId", "s"}}},
         SP,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *error = NULL;
        struct mount_request request = {0};
        int result = parse(&rows[i].given, rows[i].secrets, &request, &error);
        if (rows[i].expected == NULL ? result < 0 : strstr(error_message(error), rows[i].expected) == NULL)
            fail_msg("row %zu: got '%s', expected '%s'", i, error_message(error),
                     rows[i].expected != NULL ? rows[i].expected : "success");
        assert_int_equal(error_code(error), result < 0 ? GRPC_STATUS_INVALID_ARGUMENT : GRPC_STATUS_OK);
        mount_request_finish(&request);
    }
}

static void booleans_are_those_of_go(void **state)
{
    static const struct {
        const char *text;
        int value; /* -1: error */
    } rows[] = {
        {"", 0},      {"true", 1},  {"false", 0}, {"True", 1},    {"False", 0},    {" true ", 1},
        {"FALSE", 0}, {"1", 1},     {"0", 0},     {"TRUE", 1},    {"t", 1},        {"T", 1},
        {"f", 0},     {"F", 0},     {"test", -1}, {"tru", -1},    {"invalid", -1}, {"invalid-value", -1},
        {"yes", -1},  {"tRUE", -1}, {"2", -1},    {"true x", -1},
    };
    static const char *const names[] = {"usePodIdentity", "useVMManagedIdentity", "useAzureTokenProxy"};
    static const enum identity_mode modes[] = {IDENTITY_POD, IDENTITY_MANAGED, IDENTITY_BINDING};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            cleanup_error struct error *error = NULL;
            struct mount_request request = {0};
            const struct pairs given = {{{POD, "p"},
                                         {POD_NS, "n"},
                                         {"keyvaultName", "kv1"},
                                         {"tenantId", "t"},
                                         {"objects", SECRET1},
                                         {"clientID", "c"},
                                         {SA, TOKENS},
                                         {names[k], rows[i].text}}};
            int result = parse(&given, SP, &request, &error);
            assert_int_equal(result, rows[i].value < 0 ? -1 : 0);
            if (result == 0)
                assert_int_equal(request.identities[0]->ops->mode,
                                 rows[i].value ? modes[k] : IDENTITY_WORKLOAD);
            else
                assert_non_null(strstr(error_message(error), names[k]));
            mount_request_finish(&request);
        }
    }
}

static void either_spelling_of_the_tenant_will_do(void **state)
{
    static const struct {
        const char *upper, *lower; /* tenantID, tenantId */
        const char *expected;
    } rows[] = {{" test ", NULL, "test"}, {NULL, "test", "test"}, {"one", "two", "one"},
                {"", "two", "two"},       {" ", "two", "two"},    {"adfs", NULL, "adfs"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pairs pairs = {{{POD, "p"}, {POD_NS, "n"}, {"keyvaultName", "kv1"}, {"objects", SECRET1}}};
        struct mount_request request = {0};
        size_t n = 4;
        if (rows[i].upper != NULL) {
            pairs.name[n][0] = "tenantID";
            pairs.name[n++][1] = rows[i].upper;
        }
        if (rows[i].lower != NULL) {
            pairs.name[n][0] = "tenantId";
            pairs.name[n][1] = rows[i].lower;
        }
        assert_int_equal(parse(&pairs, SP, &request, NULL), 0);
        assert_string_equal(request.identities[0]->tenant, rows[i].expected);
        mount_request_finish(&request);
    }
}

static void every_text_parameter_is_trimmed(void **state)
{
    static const struct pairs given = {{{POD, " pod1 "},
                                        {POD_NS, "\tns1\n"},
                                        {"keyvaultName", " testKV "},
                                        {"tenantId", " test "},
                                        {"cloudName", " AzureChinaCloud "},
                                        {"clientID", " client "},
                                        {SA, " " WI_TOKEN "\n"},
                                        {"objects", "\n\n" SECRET1 "\n "}}};
    struct mount_request request = {0};
    (void)state;
    static const struct pairs trimmed = {{{POD, "pod1"},
                                          {POD_NS, "ns1"},
                                          {"keyvaultName", "kv1"},
                                          {"tenantId", "t"},
                                          {"clientID", "client"},
                                          {SA, WI_TOKEN},
                                          {"objects", SECRET1}}};
    struct mount_request other = {0};
    assert_int_equal(parse(&given, NULL, &request, NULL), 0);
    assert_int_equal(parse(&trimmed, NULL, &other, NULL), 0);
    assert_memory_equal(request.volume, other.volume, sizeof(other.volume)); /* made of pod and namespace */
    mount_request_finish(&other);
    assert_string_equal(request.vaults.at[0].url, "https://testKV.vault.azure.cn/");
    assert_string_equal(request.identities[0]->tenant, "test");
    assert_string_equal(request.identities[0]->client_id, "client");
    assert_int_equal(request.objects.n, 1);
    mount_request_finish(&request);
}

static void tokens_of_the_pod_may_come_with_the_secret(void **state)
{
    static const char secret[] =
        "{\"" SA "\":\"{\\\"api://AzureADTokenExchange\\\":{\\\"token\\\":\\\"from-secret\\\"}}\"}";
    static const struct pairs given = {{{POD, "pod1"},
                                        {POD_NS, "ns1"},
                                        {"keyvaultName", "kv1"},
                                        {"tenantId", "t"},
                                        {"clientID", "client"},
                                        {"objects", SECRET1}}};
    struct mount_request request = {0};
    (void)state;
    assert_int_equal(parse(&given, secret, &request, NULL), 0);
    assert_int_equal(request.identities[0]->ops->mode, IDENTITY_WORKLOAD);
    assert_string_equal((const char *)secret_bytes(request.identities[0]->credential), "from-secret");
    mount_request_finish(&request);
}

static void the_history_switch_is_a_boolean_of_the_class(void **state)
{
    static const struct {
        const char *value;
        size_t versions; /* 0: error */
    } rows[] = {{"", 4}, {"false", 4}, {"true", 3}, {" 1 ", 3}, {"exact", 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct pairs given = {{{POD, "p"},
                                     {POD_NS, "n"},
                                     {"keyvaultName", "kv1"},
                                     {"tenantId", "t"},
                                     {"objects", SECRET1 "    objectVersionHistory: 3\n"},
                                     {"objectVersionHistoryExact", rows[i].value}}};
        struct mount_request request = {0};
        assert_int_equal(parse(&given, SP, &request, NULL), rows[i].versions == 0 ? -1 : 0);
        if (rows[i].versions != 0)
            assert_int_equal(request.objects.items[0].versions, rows[i].versions);
        mount_request_finish(&request);
    }
}

static void the_objects_of_a_class_are_parsed_for_its_first_pod(void **state)
{
    static const struct pairs given = {
        {{POD, "pod1"}, {POD_NS, "ns1"}, {"keyvaultName", "kv1"}, {"tenantId", "t"}, {"objects", SECRET1}}};
    struct mount_request first = {0}, second = {0};
    (void)state;
    parsed = parsed_objects_cache_create(NULL);
    assert_non_null(parsed);
    assert_int_equal(parse(&given, SP, &first, NULL), 0);
    assert_int_equal(parse(&given, SP, &second, NULL), 0);
    assert_int_equal(second.objects.n, 1);
    assert_ptr_equal(second.objects.items, first.objects.items);
    mount_request_finish(&first);
    assert_string_equal(second.objects.items[0].name, "secret1");
    mount_request_finish(&second);
    parsed_objects_cache_destroy(steal_ptr(&parsed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_nearly_right_are_recognized),
        cmocka_unit_test(fields_are_recognized_by_their_last_words_and_without_what_cannot_be_seen),
        cmocka_unit_test(a_content_of_a_class_is_reported_once_until_many_others_were),
        cmocka_unit_test(checks_come_in_the_order_users_know),
        cmocka_unit_test(booleans_are_those_of_go),
        cmocka_unit_test(either_spelling_of_the_tenant_will_do),
        cmocka_unit_test(every_text_parameter_is_trimmed),
        cmocka_unit_test(tokens_of_the_pod_may_come_with_the_secret),
        cmocka_unit_test(the_history_switch_is_a_boolean_of_the_class),
        cmocka_unit_test(the_objects_of_a_class_are_parsed_for_its_first_pod),
    };
    return cmocka_run_group_tests_name("azure mount request", tests, NULL, NULL);
}
