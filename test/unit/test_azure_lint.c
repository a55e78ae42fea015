/*
 * test_azure_lint.c - findings about the parameters of a class: which rule, where, and the files that are
 * made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "provider-azure/lint.h"

#define SECRET(more) "array:\n  - |\n    objectName: one\n    objectType: secret\n" more

enum { PAIRS_MAX = 6 };

/* A good class, with these parameters in place of its own; NULL for a value: without it. */
struct pairs {
    const char *name[PAIRS_MAX][2]; /* ends with NULL */
};

static void lint(const struct pairs *pairs, struct lint_response *ret)
{
    cleanup_string_map struct string_map parameters = {0};
    static const struct pairs good = {
        {{"keyvaultName", "contoso"}, {"tenantID", "t"}, {"clientID", "c"}, {"objects", SECRET("")}}};

    for (size_t i = 0; i < PAIRS_MAX && good.name[i][0] != NULL; i++) {
        const char *value = good.name[i][1];
        for (size_t k = 0; k < PAIRS_MAX && pairs->name[k][0] != NULL; k++)
            if (strcmp(pairs->name[k][0], good.name[i][0]) == 0)
                value = pairs->name[k][1];
        if (value != NULL)
            assert_int_equal(string_map_set(&parameters, good.name[i][0], value, NULL), 0);
    }
    for (size_t k = 0; k < PAIRS_MAX && pairs->name[k][0] != NULL; k++)
        if (pairs->name[k][1] != NULL)
            assert_int_equal(string_map_set(&parameters, pairs->name[k][0], pairs->name[k][1], NULL), 0);
    assert_int_equal(lint_parameters(&parameters, ret, NULL), 0);
}

/* "rule parameter:line:column level" of each finding, one a line. */
static void print(const struct findings *findings, struct buffer *text)
{
    buffer_init(text, 65536);
    for (size_t i = 0; i < findings->n; i++) {
        const struct finding *one = &findings->list[i];
        assert_int_equal(buffer_printf(text, NULL, "%s %s:%u:%u %s\n", one->rule, one->parameter, one->line,
                                       one->column, finding_level_name(one->level)),
                         0);
    }
}

static void each_rule_has_its_place(void **state)
{
    static const struct {
        struct pairs given;
        const char *expected;
        const char *message; /* part of the first one */
    } rows[] = {
        {{{{NULL, NULL}}}, "", ""},
        {{{{"keyvaultNam", "x"}}},
         "unknown-parameter keyvaultNam:1:1 warning\n",
         "keyvaultNam is not known in spec.parameters, keyvaultName is"},
        {{{{"colour", "x"}}},
         "unknown-parameter colour:1:1 warning\n",
         "colour is not known in spec.parameters, it has no effect"},
        {{{{"Identity", "x"}}},
         "unknown-parameter Identity:1:1 warning\n",
         "Identity is not known in spec.parameters, clientID (workload identity) or userAssignedIdentityID (with useVMManagedIdentity) is"},
        {{{{"podIdentity", "x"}}},
         "unknown-parameter podIdentity:1:1 warning\n",
         "podIdentity is not known in spec.parameters, usePodIdentity is"},
        {{{{"objectName", "x"}}},
         "misplaced-field objectName:1:1 warning\n",
         "objectName belongs into an item of objects"},
        {{{{"resourceGroup", "r"}, {"tenantId", "t"}}}, "", ""},
        /* the errors of a mount, all of them, in its words */
        {{{{"keyvaultName", NULL}, {"tenantID", NULL}, {"usePodIdentity", "yes"}, {"objects", ""}}},
         "refused usePodIdentity:1:1 error\nrefused keyvaultName:1:1 error\nrefused tenantID:1:1 error\n"
         "refused objects:1:1 error\n",
         "failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \"yes\": invalid syntax"},
        {{{{"keyvaultName", "a"}}},
         "refused keyvaultName:1:1 error\n",
         "failed to get vault: Invalid vault name: \"a\", must be between 3 and 24 chars"},
        {{{{"keyvaultName", NULL}, {"keyvaultURL", "http://x"}}},
         "refused keyvaultURL:1:1 error\n",
         "keyvaultURL must begin with https://"},
        {{{{"keyvaultName", NULL}, {"keyvaultURL", "https://x99.vault.azure.cn"}}},
         "refused keyvaultURL:1:1 error\n",
         "must end with .vault.azure.net"},
        {{{{"cloudName", "Moon"}}}, "refused cloudName:1:1 error\n", "cloudName Moon is not valid"},
        {{{{"tenantID", "a b"}}}, "refused tenantID:1:1 error\n", "failed to get keyvault client"},
        {{{{"useAzureTokenProxy", "true"}, {"clientID", NULL}}},
         "refused clientID:1:1 error\n",
         "clientID is required for identity binding"},
        {{{{"useAzureTokenProxy", "true"}}}, "", ""},
        {{{{"usePodIdentity", "true"}, {"useVMManagedIdentity", "true"}, {"clientID", NULL}}},
         "refused usePodIdentity:1:1 error\ndeprecated-pod-identity usePodIdentity:1:1 warning\n",
         "only one identity mode"},
        /* what only a node knows is no finding: credentials, the file of a cloud, proxies, certificates */
        {{{{"clientID", NULL}}}, "", ""},
        {{{{"keyvaultName", NULL},
           {"keyvaultURL", "https://x99.vault.local.azurestack.external/"},
           {"cloudName", "AzureStackCloud"},
           {"cloudEnvFileName", "/etc/kubernetes/azurestack.json"}}},
         "",
         ""},
        {{{{"cloudName", "AzureStackCloud"},
           {"fallbackKeyvaults", "https://h99.managedhsm.local.azurestack.external"},
           {"objects", SECRET("    keyvaultURL: https://x99.vault.local.azurestack.external/\n")}}},
         "",
         ""},
        {{{{"httpsProxy", "http://proxy:3128"}, {"caBundleFile", "corp.pem"}}}, "", ""},
        /* vaults of items */
        {{{{"fallbackKeyvaults", "west, north"},
           {"objects", SECRET("    keyvaultName: other\n    fallbackKeyvaults: west\n")}}},
         "",
         ""},
        {{{{"keyvaultName", NULL}, {"objects", SECRET("    keyvaultName: other\n")}}}, "", ""},
        {{{{"objects", SECRET("    keyvaultURL: https://evil.example\n")}}},
         "refused objects:1:1 error\n",
         "keyvaultURL must end with .vault.azure.net"},
        {{{{"fallbackKeyvaults", "west west"}}}, "refused keyvaultName:1:1 error\n", "fallbackKeyvaults"},
        {{{{"httpsProxy", "proxy"}}}, "refused httpsProxy:1:1 error\n", "httpsProxy is not a URL"},
        {{{{"usePodIdentity", "true"}, {"clientID", NULL}}},
         "deprecated-pod-identity usePodIdentity:1:1 warning\n",
         "workload identity"},
        {{{{"cloudName", "azuregermancloud"}}}, "deprecated-cloud cloudName:1:1 warning\n", "2021"},
        {{{{"useVMManagedIdentity", "true"}}},
         "client-id-without-effect clientID:1:1 warning\n",
         "the system-assigned identity reads the vault"},
        {{{{"userAssignedIdentityID", "u"}}},
         "parameter-without-effect userAssignedIdentityID:1:1 note\n",
         "useVMManagedIdentity"},
        {{{{"cloudEnvFileName", "/x"}}},
         "parameter-without-effect cloudEnvFileName:1:1 note\n",
         "AzureStackCloud"},
        {{{{"tenantId", "other"}}}, "parameter-without-effect tenantId:1:1 note\n", "beside tenantID"},
        /* items */
        {{{{"objects", SECRET("    objectFormt: pfx\n")}}},
         "unknown-field objects:5:5 warning\n",
         "objectFormt is not known in an item of objects, objectFormat is"},
        {{{{"objects", SECRET("    tenantId: t\n")}}},
         "misplaced-field objects:5:5 warning\n",
         "tenantId belongs into spec.parameters"},
        {{{{"objects", SECRET("tenantID: t\nobjectName: x\ncolour: x\n")}}},
         "misplaced-field objects:5:1 warning\nmisplaced-field objects:6:1 warning\n"
         "unknown-field objects:7:1 warning\n",
         "tenantID belongs into spec.parameters"},
        {{{{"objects", "\n\n" SECRET("    objectEncoding: bas64\n")}}},
         "refused objects:7:5 error\n",
         "failed to get objectType:secret, objectName:one, objectVersion:: invalid objectEncoding: bas64"},
        {{{{"objects", SECRET("    objectVersionHistory: x\n  - |\n    objectType: secret\n")}}},
         "refused objects:5:0 error\nrefused objects:7:5 error\n",
         "unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line 3"},
        {{{{"objects", "array:\n  - objectName: one\n    objectType: secret\n"}}},
         "refused objects:2:0 error\n",
         "each item must be text"},
        {{{{"objects", "array:\n  - \"objectName: one\\nobjectType: secre\"\n"}}},
         "refused objects:2:5 error\n",
         "Invalid vaultObjectTypes"},
        {{{{"objects", "array: []\n"}}}, "no-objects objects:1:1 error\n", "there is nothing to mount"},
        {{{{"objects", SECRET("---\narray: []\n")}}},
         "text-after-document objects:1:1 warning\n",
         "only the first YAML document"},
        {{{{"objects", SECRET("    ---\n    objectAlias: x\n")}}},
         "text-after-document objects:3:5 warning\n",
         "only the first YAML document"},
        {{{{"objects", SECRET("    objectVersionHistory: 1\n")}}},
         "history-without-effect objects:5:27 warning\n",
         "there is one file, one."},
        {{{{"objects", SECRET("    objectVersionHistory: 5\n")}}},
         "history-one-more objects:5:27 note\n",
         "up to 6 files, one/0 to one/5"},
        {{{{"objects", SECRET("    objectVersionHistory: 5\n")}, {"objectVersionHistoryExact", "true"}}},
         "",
         ""},
        {{{{"objects", SECRET("    objectFormat: pfx\n")}}},
         "pfx-as-text objects:5:19 note\n",
         "base64 text"},
        {{{{"objects",
            SECRET("    objectFormat: pfx\n    objectEncoding: base64\n    objectAlias: a.pfx\n")}}},
         "",
         ""},
        {{{{"objects", SECRET("    objectAlias: tls.PFX\n")}}},
         "alias-of-other-content objects:5:18 warning\n",
         "the file tls.PFX holds the secret as it is"},
        {{{{"objects", "array:\n- |\n  objectName: a\n  objectType: cert\n  objectAlias: d/tls.key\n"}}},
         "alias-of-other-content objects:5:16 warning\n",
         "the certificate alone"},
        {{{{"objects", SECRET("    filePermission: 420\n")}}},
         "decimal-permission objects:5:21 warning\n",
         "\"0644\""},
        {{{{"objects", SECRET("    permission: \"0400\"\n")}}},
         "unknown-field objects:5:5 warning\n",
         "permission is not known in an item of objects, filePermission is"},
        {{{{"objects", SECRET("    \xc2\xa0objectAlias: x\n")}}},
         "unknown-field objects:5:5 warning\n",
         "\\u00a0objectAlias is not known in an item of objects, objectAlias is"},
        {{{{"objects", "array:\n- |\n  objectName: DB_PASSWORD\n  objectType: secret\n"}}},
         "impossible-name objects:3:15 warning\n",
         "objectName: DB_PASSWORD is no name in a vault"},
        {{{{"objects", "array:\n- |\n  objectName: a\xe2\x80\x8b\n  objectType: secret\n"}}},
         "impossible-name objects:3:15 warning\n",
         "objectName: a\\u200b is no name"},
        {{{{"objects", SECRET("    objectVersion: $VERSION\n")}}},
         "impossible-name objects:5:20 warning\n",
         "objectVersion: $VERSION is no version"},
        {{{{"objects",
            SECRET("    objectVersion: latest\n  - |\n    objectName: a--b-2\n    objectType: key\n"
                   "    objectVersion: 0123456789abcdef0123456789ABCDEF\n")}}},
         "",
         ""},
        {{{{"objects", "array:\n- |\n  objectNamePattern: app_*\n  objectType: secret\n"}}}, "", ""},
        {{{{"objects",
            "array:\n- |\n  objectName: https://x.vault.azure.net/secrets/a\n  objectType: secret\n"}}},
         "refused objects:3:3 error\n",
         "[hint: objectName is the name alone"},
        {{{{"objects", SECRET("  - |\n")}}},
         "refused objects:6:1 error\n",
         "file name must not be empty [hint: item 2 of array has no objectName]"},
        {{{{"objects", SECRET("  - |\n    objectName:\n    objectType: secret\n")}}},
         "refused objects:6:5 error\n",
         "file name must not be empty [hint: item 2 of array has an empty objectName]"},
        {{{{"objects", SECRET("  - |\n    objectname: two\n    objectType: secret\n")}}},
         "unknown-field objects:6:5 warning\nrefused objects:6:5 error\n",
         "objectname is not known in an item of objects, objectName is"},
        {{{{"objects", "array:\n- |\n  objectName: {{ .Values.name }}\n  objectType: secret\n"}}},
         "refused objects:3:0 error\n",
         "[hint: there is {{ in it: templates have to be rendered"},
        {{{{"objects", "array:\n{{- range .Values.secrets }}\n- |\n  objectName: a\n{{- end }}\n"}}},
         "refused objects:3:0 error\n",
         "[hint: there is {{ in it: templates have to be rendered"},
        {{{{"useVMManagedIdentity", "true"},
           {"clientID", NULL},
           {"userAssignedIdentityID", "/subscriptions/s/userAssignedIdentities/i"}}},
         "resource-id userAssignedIdentityID:1:1 warning\n",
         "expects its client id"},
        {{{{"clientID", "/subscriptions/s/userAssignedIdentities/i"}}},
         "resource-id clientID:1:1 warning\n",
         "clientID is the resource id of an identity"},
        {{{{"clientID", "<WORKLOAD_IDENTITY_CLIENT_ID>"}}},
         "impossible-id clientID:1:1 warning\n",
         "clientID is no id"},
        {{{{"clientID", "$(az identity show --query clientId -o tsv)"}}},
         "impossible-id clientID:1:1 warning\n",
         "clientID is no id"},
        {{{{"useVMManagedIdentity", "true"}, {"clientID", NULL}, {"userAssignedIdentityID", "${ID}"}}},
         "impossible-id userAssignedIdentityID:1:1 warning\n",
         "userAssignedIdentityID is no id"},
        {{{{"useVMManagedIdentity", "true"}, {"clientID", NULL}, {"tenantID", "<tenant-id>"}}},
         "impossible-id tenantID:1:1 warning\n",
         "tenantID is no id"},
        {{{{"objects",
            SECRET("    objectHidden: \"true\"\n  - |\n    objectName: two\n    objectType: secret\n")}}},
         "hidden-unused objects:1:1 warning\n",
         "one is hidden"},
        {{{{"objects",
            SECRET("    objectHidden: \"true\"\n  - |\n    template: $(one)\n    objectAlias: url\n")}}},
         "",
         ""},
        {{{{"objects", SECRET("  - |\n    format: env\n    itms: {A: one}\n    objectEncoding: hex\n"
                              "    objectAlias: e\n")}}},
         "unknown-field objects:7:5 warning\nmisplaced-field objects:8:5 warning\n",
         "itms is not known in a composed item"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_lint_response struct lint_response response = {0};
        cleanup_buffer struct buffer text = {0};
        lint(&rows[i].given, &response);
        print(&response.findings, &text);
        if (strcmp(buffer_str(&text), rows[i].expected) != 0)
            fail_msg("row %zu: got\n%sexpected\n%s", i, buffer_str(&text), rows[i].expected);
        if (response.findings.n > 0 && strstr(response.findings.list[0].message, rows[i].message) == NULL)
            fail_msg("row %zu: got '%s', expected '%s'", i, response.findings.list[0].message,
                     rows[i].message);
    }
}

static void the_files_of_a_class_are_known(void **state)
{
    static const struct {
        const char *objects;
        const char *made[4];   /* ends with NULL */
        const char *others[4]; /* likewise */
    } rows[] = {
        {SECRET(""), {"one", "one.crt", "one.key"}, {"two", "one/0"}},
        {SECRET("    objectAlias: a/b\n"), {"a/b"}, {"one", "a"}},
        {SECRET("    objectVersionHistory: 2\n"), {"one/0", "one/2"}, {"one", "one/3"}},
        {SECRET("    objectVersionHistory: 1000000\n"), {"one/0", "one/5000"}, {"one"}},
        {SECRET("    objectSplit: json\n"), {"one/password", "one/a/b"}, {"one"}},
        {"array:\n- |\n  objectNamePattern: app-*\n  objectType: secret\n", {"app-x", "APP-y"}, {"ap", "x"}},
        {"array:\n- |\n  objectTags: a=b\n  objectType: key\n  objectAlias: k/*.pub\n",
         {"k/x.pub"},
         {"x", "k/x", "k/x.pub.key"}},
        {SECRET("    objectHidden: \"true\"\n  - |\n    template: $(one)\n    objectAlias: url\n"),
         {"url"},
         {"one"}},
        /* with a mistake nothing is known */
        {SECRET("  - |\n    objectName: two\n"), {"one", "two", "three"}, {NULL}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct pairs given = {{{"objects", rows[i].objects}}};
        cleanup_lint_response struct lint_response response = {0};
        lint(&given, &response);
        for (size_t k = 0; k < 4 && rows[i].made[k] != NULL; k++)
            if (!lint_response_makes(&response, rows[i].made[k]))
                fail_msg("row %zu: %s is not made", i, rows[i].made[k]);
        for (size_t k = 0; k < 4 && rows[i].others[k] != NULL; k++)
            if (lint_response_makes(&response, rows[i].others[k]))
                fail_msg("row %zu: %s is made", i, rows[i].others[k]);
    }
}

static void a_response_is_read_as_it_was_written(void **state)
{
    const struct pairs given = {{{"objects", SECRET("    objectFormt: \"x\"\n")}, {"colour", "x"}}};
    cleanup_lint_response struct lint_response response = {0};
    cleanup_lint_response struct lint_response read = {0};
    cleanup_buffer struct buffer before = {0};
    cleanup_buffer struct buffer after = {0};
    (void)state;
    lint(&given, &response);
    cleanup_secret_free char *text = lint_response_print(&response, NULL);
    assert_non_null(text);
    assert_int_equal(lint_response_parse(text, strlen(text), &read, NULL), 0);
    print(&response.findings, &before);
    print(&read.findings, &after);
    assert_string_equal(buffer_str(&after), buffer_str(&before));
    assert_string_equal(read.findings.list[1].message, response.findings.list[1].message);
    assert_true(read.files_known && lint_response_makes(&read, "one") && !lint_response_makes(&read, "x"));
}

static void a_service_principal_needs_a_secret_and_no_other_identity_does(void **state)
{
    static const struct {
        struct pairs given;
        bool needs;
    } rows[] = {
        {{{{NULL, NULL}}}, false},
        {{{{"clientID", NULL}}}, true},
        {{{{"clientID", NULL}, {"useVMManagedIdentity", "true"}}}, false},
        {{{{"clientID", NULL}, {"usePodIdentity", "true"}}}, false},
        {{{{"useAzureTokenProxy", "true"}}}, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_lint_response struct lint_response response = {0};
        cleanup_lint_response struct lint_response read = {0};
        lint(&rows[i].given, &response);
        cleanup_secret_free char *text = lint_response_print(&response, NULL);
        assert_int_equal(lint_response_parse(text, strlen(text), &read, NULL), 0);
        if (!rows[i].needs)
            assert_null(read.without_secret);
        else
            assert_string_equal(
                read.without_secret,
                "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not set");
    }
}

static void messages_that_are_none_are_refused(void **state)
{
    static const char *const responses[] = {
        "",
        "[]",
        "{}",
        "{\"version\":2}",
        "{\"version\":1,\"findings\":{}}",
        "{\"version\":1,\"findings\":[5]}",
        "{\"version\":1,\"findings\":[{\"rule\":\"a b\",\"level\":\"note\",\"message\":\"\"}]}",
        "{\"version\":1,\"findings\":[{\"rule\":\"a\",\"level\":\"bad\",\"message\":\"\"}]}",
        "{\"version\":1,\"findings\":[{\"rule\":\"a\",\"level\":\"note\",\"message\":\"\",\"line\":-1}]}",
        "{\"version\":1,\"findings\":[{\"rule\":\"a\",\"level\":\"note\"}]}",
        "{\"version\":1,\"files\":[5]}",
    };
    static const char *const requests[] = {"{\"version\":1}", "{\"version\":1,\"parameters\":{\"a\":5}}",
                                           "{\"parameters\":{}}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
        cleanup_lint_response struct lint_response response = {0};
        cleanup_error struct error *error = NULL;
        if (lint_response_parse(responses[i], strlen(responses[i]), &response, &error) == 0 || error == NULL)
            fail_msg("%s is accepted", responses[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        cleanup_string_map struct string_map parameters = {0};
        cleanup_error struct error *error = NULL;
        if (lint_request_parse(requests[i], strlen(requests[i]), &parameters, &error) == 0 || error == NULL)
            fail_msg("%s is accepted", requests[i]);
    }
    cleanup_lint_response struct lint_response least = {0};
    assert_int_equal(lint_response_parse("{\"version\":1}", 13, &least, NULL), 0);
    assert_true(lint_response_makes(&least, "anything"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_has_its_place),
        cmocka_unit_test(the_files_of_a_class_are_known),
        cmocka_unit_test(a_response_is_read_as_it_was_written),
        cmocka_unit_test(a_service_principal_needs_a_secret_and_no_other_identity_does),
        cmocka_unit_test(messages_that_are_none_are_refused),
    };
    return cmocka_run_group_tests_name("azure lint", tests, NULL, NULL);
}
