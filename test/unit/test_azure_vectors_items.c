/*
 * test_azure_vectors_items.c - clouds, vault URLs and items of `objects`, row by row.
 *
 * Rows that live elsewhere: histories (test_azure_vectors_lists.c); vaults by URL (test_azure_vault.c);
 * selections, optional and split objects (test_azure_select.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "provider-azure/objects/objects.h"
#include "provider-azure/vault/vault.h"

/* --- clouds and vault URLs --- */

static void vault_urls_of_every_cloud(void **state)
{
    static const struct {
        const char *vault, *cloud;
        const char *expected; /* the URL, or a part of the message */
    } rows[] = {
        {"longkeyvaultnamewhichisnotvalid", "AzurePublicCloud",
         "Invalid vault name: \"longkeyvaultnamewhichisnotvalid\", must be between 3 and 24 chars"},
        {"kv", "AzurePublicCloud", "Invalid vault name: \"kv\", must be between 3 and 24 chars"},
        {"kv_test", "AzurePublicCloud", "Invalid vault name: \"kv_test\", must match [-a-zA-Z0-9]{3,24}"},
        {"{{ .Values.kv }}", "AzurePublicCloud", "[hint: templates and variables have to be replaced"},
        {"${kv:=x}", "AzurePublicCloud", "[hint: templates and variables have to be replaced"},
        {"https://kv.vault.azure.net/", "AzurePublicCloud", "a URL belongs into keyvaultURL]"},
        {"kv.vault.azure.net", "AzurePublicCloud", "a URL belongs into keyvaultURL]"},
        {"k\xc3\xbc", "AzurePublicCloud", "must match"}, /* three bytes are long enough */
        {"testkv", "AZUREPUBLICCLOUD", "https://testkv.vault.azure.net/"},
        {"testkv", "AzureCloud", "https://testkv.vault.azure.net/"},
        {"TestKV", "azurecloud", "https://TestKV.vault.azure.net/"},
        {"-1-", "AzurePublicCloud", "https://-1-.vault.azure.net/"},
        {"testkv", "AZURECHINACLOUD", "https://testkv.vault.azure.cn/"},
        {"testkv", "AZUREGERMANCLOUD", "https://testkv.vault.microsoftazure.de/"},
        {"testkv", "AZUREUSGOVERNMENTCLOUD", "https://testkv.vault.usgovcloudapi.net/"},
        {"testkv", "AzureUSGovernment", "https://testkv.vault.usgovcloudapi.net/"},
        {"testkv", "azureusgovernment", "https://testkv.vault.usgovcloudapi.net/"},
        {"testkv", "AZUREWRONGCLOUD",
         "autorest/azure: There is no cloud environment matching the name \"AZUREWRONGCLOUD\""},
        {"testkv", "moon",
         "\"MOON\" [hint: the names are AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureGermanCloud, AzureStackCloud]"},
        {"testkv", "AZURESTACKCLOUD", "open : no such file or directory"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *error = NULL;
        cleanup_cloud struct cloud cloud = {0};
        struct vault vault = {0};
        if (cloud_resolve(rows[i].cloud, NULL, &cloud, &error) == 0)
            (void)vault_init(&vault, rows[i].vault, &cloud, &error);
        const char *got = error != NULL ? error_message(error) : vault.url;
        if (error != NULL ? strstr(got, rows[i].expected) == NULL : strcmp(got, rows[i].expected) != 0)
            fail_msg("row %zu: '%s'", i, got);
        vault_finish(&vault);
    }
}

static void audiences_keep_their_slash(void **state)
{
    static const char *const rows[][2] = {
        {"https://vault.azure.net", "https://vault.azure.net/.default"},
        {"https://vault.azure.net/.default", "https://vault.azure.net/.default"},
        {"https://vault.azure.net/", "https://vault.azure.net//.default"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *scope = cloud_scope(rows[i][0]);
        assert_string_equal(scope, rows[i][1]);
    }
}

/* A file with nothing but a name loaded in the provider that is replaced and led to "https://testkv./". */
static void a_cloud_file_needs_its_endpoints(void **state)
{
    static const struct {
        const char *json;
        const char *expected; /* NULL: accepted */
    } rows[] = {
        {"{\"name\":\"AZURESTACKCLOUD\"}", "activeDirectoryEndpoint is missing"},
        {"{\"name\":\"n\",\"activeDirectoryEndpoint\":\"https://login.example/\",\"keyVaultEndpoint\":\"https://vault.example/\",\"keyVaultDNSSuffix\":\"vault.example\"}",
         NULL},
        {"{\"NAME\":\"n\",\"ActiveDirectoryEndpoint\":\"https://login.example\",\"KEYVAULTENDPOINT\":\"https://vault.example\",\"keyvaultdnssuffix\":\"vault.example\",\"resourceIdentifiers\":{}}",
         NULL},
        {"\xef\xbb\xbf{\"name\":\"n\",\"activeDirectoryEndpoint\":\"https://login.example/\",\"keyVaultEndpoint\":\"https://vault.example/\",\"keyVaultDNSSuffix\":\"vault.example\"}",
         NULL},
        {"{\"activeDirectoryEndpoint\":\"http://login.example/\",\"keyVaultEndpoint\":\"https://vault.example/\",\"keyVaultDNSSuffix\":\"vault.example\"}",
         "activeDirectoryEndpoint is not an https URL"},
        {"{\"activeDirectoryEndpoint\":\"https://login.example/\",\"keyVaultEndpoint\":\"https://vault.example/\",\"keyVaultDNSSuffix\":\".vault.example\"}",
         "keyVaultDNSSuffix must be a DNS name without a leading dot"},
        {"{\"activeDirectoryEndpoint\":\"https://login.example/\",\"keyVaultEndpoint\":\"https://vault.example/\"}",
         "keyVaultDNSSuffix is missing"},
        {"{\"activeDirectoryEndpoint\":1}", "the value of activeDirectoryEndpoint is not a string"},
        {"{\"activeDirectoryEndpoint\":\"https://l\",\"keyVaultEndpoint\":\"http://v\",\"keyVaultDNSSuffix\":\"v\"}",
         "keyVaultEndpoint is not an https URL"},
        {"[]", "the cloud file is not a JSON object"},
        {"", "invalid JSON"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *error = NULL;
        cleanup_cloud struct cloud cloud = {0};
        int result = cloud_parse(rows[i].json, strlen(rows[i].json), &cloud, &error);
        if (rows[i].expected == NULL ? result < 0 : strstr(error_message(error), rows[i].expected) == NULL)
            fail_msg("row %zu: '%s'", i, error_message(error));
        if (result == 0) {
            assert_string_equal(cloud.name, "n");
            assert_string_equal(cloud.authority, "https://login.example/");
            assert_string_equal(cloud.vault, "https://vault.example");
        }
    }
}

static void slashes_and_blanks_at_the_ends_of_a_cloud_files_values_do_not_matter(void **state)
{
    static const char *const texts[] = {
        "{\"activeDirectoryEndpoint\":\"https://login.example\",\"keyVaultEndpoint\":\"https://vault.example//\","
        "\"keyVaultDNSSuffix\":\"vault.example\"}",
        "{\"activeDirectoryEndpoint\":\"https://login.example//\",\"keyVaultEndpoint\":\"https://vault.example/ \","
        "\"keyVaultDNSSuffix\":\" vault.example\\n\"}",
        "{\"activeDirectoryEndpoint\":\"\\thttps://login.example/\\r\",\"keyVaultEndpoint\":\" N/A \","
        "\"keyVaultDNSSuffix\":\"vault.example\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_error struct error *error = NULL;
        cleanup_cloud struct cloud cloud = {0};
        if (cloud_parse(texts[i], strlen(texts[i]), &cloud, &error) < 0)
            fail_msg("row %zu: '%s'", i, error_message(error));
        assert_string_equal(cloud.authority, "https://login.example/");
        assert_string_equal(cloud.vault, "https://vault.example");
        assert_string_equal(cloud.vault_suffix, "vault.example");
    }
}

static void a_cloud_file_without_an_endpoint_of_vaults_has_the_one_of_their_domain(void **state)
{
    static const char *const rows[][2] = {
        {"\"keyVaultDNSSuffix\":\"vault.example\"", "https://vault.example"},
        {"\"keyVaultEndpoint\":null,\"keyVaultDNSSuffix\":\"vault.example\"", "https://vault.example"},
        {"\"keyVaultEndpoint\":\"\",\"keyVaultDNSSuffix\":\"vault.example:8443\"",
         "https://vault.example:8443"},
        {"\"keyVaultEndpoint\":\"N/A\",\"keyVaultDNSSuffix\":\"vault.example\"", "https://vault.example"},
        {"\"KeyVaultEndpoint\":\"n/a\",\"KeyVaultDNSSuffix\":\"a.vault.example\"", "https://a.vault.example"},
        {"\"keyVaultEndpoint\":\"https://vault.hub.example/1111-2222\",\"keyVaultDNSSuffix\":\"v.example\"",
         "https://vault.hub.example/1111-2222"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer text = {.ceiling = 1000};
        cleanup_cloud struct cloud cloud = {0};
        assert_int_equal(buffer_printf(&text, NULL,
                                       "{\"activeDirectoryEndpoint\":\"https://login.example/\",%s}",
                                       rows[i][0]),
                         0);
        assert_int_equal(cloud_parse(buffer_str(&text), text.len, &cloud, NULL), 0);
        assert_string_equal(cloud.vault, rows[i][1]);
    }
}

/* --- the YAML of objects --- */

static struct error *parse(const char *text, struct object_list *ret_list)
{
    struct error *error = NULL;
    (void)objects_parse(text, &(struct object_defaults){.mode = 0644}, ret_list, &error);
    return error;
}

static void shapes_of_the_list(void **state)
{
    static const struct {
        const char *text;
        int n; /* -1: error */
        const char *expected;
    } rows[] = {
        {"array:", 0, NULL},
        {"array: []", 0, NULL},
        {"array: ~", 0, NULL},
        {"array: null # nothing", 0, NULL},
        {"array:\n  - |\n    objectName: a\n    objectType: secret\n", 1, NULL},
        {"array:\n  - \"objectName: a\\nobjectType: secret\"\n", 1, NULL},
        {"array:\n  - >\n    {objectName: a,\n    objectType: secret}\n", 1, NULL},
        {"{\"array\":[\"{\\\"objectName\\\":\\\"a\\\",\\\"objectType\\\":\\\"secret\\\"}\"]}", 1, NULL},
        {"array:\n  - &x |\n    objectName: a\n    objectType: secret\n  - ~\n", 1, NULL},
        {"array:\n - |\n  objectName:\ta # a \xe2\x80\x9cquoted\xe2\x80\x9d comment\n  # another\n  objectType:\t\tsecret\n",
         1, NULL},
        {"other: 1\narray:\n - '{objectName: a, objectType: key}'\n---\narray: 5\n", 1, NULL},
        {"array:\n - |\n  objectName: a\n  objectType: key\n  ---\n  objectName: b\n", 1, NULL},
        {"\xef\xbb\xbf"
         "array:\n- |\n  objectName: a\n  objectType: secret\n",
         1, NULL},
        {"\xef\xbb\xbf"
         "array:\n  - |\n    objectName: a\n    objectType: secret\n  - |\n    objectName: b\n    objectType: secret\n",
         2, NULL},
        {"# a comment\n---\n\xef\xbb\xbf"
         "array:\n- |\n  objectName: a\n  objectType: secret\n",
         1, NULL},
        {"array:\n  - |\n    \xef\xbb\xbf"
         "objectName: a\n    objectType: secret\n    objectAlias: b\n",
         1, NULL},
        {"\xef\xbb\xbf{\"array\":[\"{\\\"objectName\\\":\\\"a\\\",\\\"objectType\\\":\\\"secret\\\"}\"]}", 1,
         NULL},
        /* nothing that is written gets lost without an error */
        {" array:\n- |\n  objectName: a\n", -1, "yaml: "},
        {"array:\n---\n- |\n  objectName: a\n", -1, "there are no items in array"},
        {"array: []\n---\narray:\n- |\n  objectName: a\n", -1, "there are no items in array"},
        {"array:\nother:\n- |\n  objectName: a\n", -1, "there are no items in array"},
        {"array:\n...\n- |\n  objectName: a\n", -1, "yaml: line"},
        {"array:\n- ~\n-\n", -1, "there are no items in array"},
        {"---\narray:\n# - |\n#   objectName: a\n...\n---\n# nothing\n", 0, NULL},
        {"{}", -1, "the key array is missing"},
        {"Array:\n - x", -1, "the key array is missing [hint: there is Array instead]"},
        {"objects: |\n  array: []\n", -1, "[hint: there is objects instead]"},
        {"\"\\u202earray\": []", -1, "[hint: there is \\u202earray instead]"},
        {"just text", -1, "failed to yaml unmarshal objects, error: yaml: unmarshal errors"},
        {"- a\n- b", -1, "failed to yaml unmarshal objects, error: yaml: unmarshal errors"},
        {"- a\n- b", -1, "[hint: the list belongs below a line with array: alone]"},
        {"|\n  array:\n  - |\n    objectName: a\n", -1,
         "[hint: the bar in front of the text is one too many]"},
        {"array: {a: b}", -1, "cannot unmarshal !!map"},
        {"array: text", -1, "cannot unmarshal !!str"},
        {"array: |\n  - |\n    objectName: a\n", -1, "[hint: array: stands alone on its line"},
        {"array:\n  objectName: a\n", -1, "[hint: array: stands alone on its line"},
        {"array:\n - objectName: a\n   objectType: secret\n", -1, "cannot unmarshal !!map into string"},
        {"array:\n - - a\n", -1, "cannot unmarshal !!seq into string"},
        {"array:\n - 5\n", -1,
         "unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors"},
        {"array:\n - true\n", -1, "unmarshal failed for keyVaultObjects at index 0"},
        {"array: []\narray: []", -1, "already defined"},
        {"array:\n - |\n  objectName: a\n  objectName: b\n", -1,
         "unmarshal failed for keyVaultObjects at index 0"},
        {"array:\n - '{objectName: a, objectType: key}'\n - '{objectName: [}'\n", -1,
         "unmarshal failed for keyVaultObjects at index 1, error: yaml: "},
        {"array:\n - |\n  objectName: {a: b}\n", -1, "cannot unmarshal !!map into string"},
        {"array:\n - ''\n", -1, "file name must not be empty"},
        {"array:\n - '# only a comment'\n", -1, "file name must not be empty"},
        {"array: [\n", -1, "failed to yaml unmarshal objects, error: yaml: line"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct object_list list = {0};
        cleanup_error struct error *error = parse(rows[i].text, &list);
        if (rows[i].n < 0 ? strstr(error_message(error), rows[i].expected) == NULL
                          : error != NULL || list.n != (size_t)rows[i].n)
            fail_msg("row %zu: %zu items, '%s'", i, list.n, error_message(error));
        object_list_finish(&list);
    }
}

static void scalars_keep_their_spelling(void **state)
{
    static const char *const rows[][2] = {
        {"0755", "0755"},
        {"123", "123"},
        {"1e3", "1e3"},
        {"true", "true"},
        {"no", "no"},
        {"2001-01-01", "2001-01-01"},
        {"'quoted'", "quoted"},
        {"\"dou\\u0062le\"", "double"},
        {"secret1     ", "secret1"},
        {"\"  padded \"", "padded"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct object_list list = {0};
        (void)snprintf(
            text, sizeof(text),
            "array:\n - |\n  objectName: %s\n  objectType: \"  secret\"\n  objectEncoding: \"base64   \"\n  objectVersion: ~\n",
            rows[i][0]);
        cleanup_error struct error *error = parse(text, &list);
        assert_null(error);
        assert_string_equal(list.items[0].name, rows[i][1]);
        assert_string_equal(list.items[0].type_text, "secret");
        assert_int_equal(list.items[0].encoding, OBJECT_BASE64);
        assert_string_equal(list.items[0].version, "");
        object_list_finish(&list);
    }
}

static void numbers_of_a_history(void **state)
{
    enum { REFUSED = INT32_MIN };
    static const struct {
        const char *text;
        int value;
        size_t versions;
    } rows[] = {
        {"~", 0, 1},           {"0", 0, 1},          {"1", 1, 1},
        {"4", 4, 5},           {"12", 12, 13},       {"5", 5, 6},
        {"010", 8, 9},         {"0o10", 8, 9},       {"0x10", 16, 17},
        {"1_0", 10, 11},       {"5.7", 5, 6},        {"", 0, 1},
        {"\"5\"", REFUSED, 0}, {"\"\"", REFUSED, 0}, {"2147483648", REFUSED, 0},
        {"five", REFUSED, 0},  {"[5]", REFUSED, 0},  {"2147483647", 2147483647, 2147483648U},
        {"2_", 2, 3},          {"_2", REFUSED, 0},   {"+2", 2, 3},
        {"-3", -3, 1},         {"1e3", 1000, 1001},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct object_list list = {0};
        (void)snprintf(text, sizeof(text),
                       "array:\n - |\n  objectName: a\n  objectType: secret\n  objectVersionHistory: %s\n",
                       rows[i].text);
        cleanup_error struct error *error = parse(text, &list);
        if (rows[i].value == REFUSED) {
            assert_non_null(strstr(error_message(error), "unmarshal failed for keyVaultObjects at index 0"));
            continue;
        }
        if (error != NULL || list.items[0].history != rows[i].value ||
            list.items[0].versions != rows[i].versions)
            fail_msg("row %zu: '%s'", i, error_message(error));
        object_list_finish(&list);
    }
}

static void fields_of_an_item(void **state)
{
    static const struct {
        const char *fields;   /* without objectName where it says so */
        const char *expected; /* NULL: accepted; a part of the message */
        mode_t mode;
    } rows[] = {
        {"objectName: a, objectType: cert", NULL, 0644},
        {"objectName: a, objectType: cert, objectVersionHistory: two", "!!str `two` into int32", 0},
        {"objectName: a, objectType: cert, objectVersionHistory: true", "!!bool `true` into int32", 0},
        {"objectName: a, objectType: cert, objectVersionHistory: 9999999999", "!!int `9999999999` into", 0},
        {"objectName: a, objectType: cert, objectVersionHistory: '2'", "!!str `2` into int32", 0},
        {"objectName: a, objectType: secret, objectFormat: PFX", NULL, 0644},
        {"objectName: a, objectType: secret, objectFormat: pfx", NULL, 0644},
        {"objectName: a, objectType: secret, objectFormat: Pem", NULL, 0644},
        {"objectName: a, objectType: cert, objectFormat: pem", NULL, 0644},
        {"objectName: a, objectType: cert, objectFormat: pfx",
         "PFX format only supported for objectType: secret", 0},
        {"objectName: a, objectType: key, objectFormat: PFX",
         "PFX format only supported for objectType: secret", 0},
        {"objectName: a, objectType: secret, objectFormat: pkcs",
         "invalid objectFormat: pkcs, should be PEM or PFX", 0},
        {"objectName: a, objectType: cert, objectEncoding: ''", NULL, 0644},
        {"objectName: a, objectType: secret, objectEncoding: BasE64", NULL, 0644},
        {"objectName: a, objectType: secret, objectEncoding: UTF-8", NULL, 0644},
        {"objectName: a, objectType: secret, objectEncoding: HEX", NULL, 0644},
        {"objectName: a, objectType: cert, objectEncoding: base64",
         "objectEncoding only supported for objectType: secret", 0},
        {"objectName: a, objectType: key, objectEncoding: utf-8",
         "objectEncoding only supported for objectType: secret", 0},
        {"objectName: a, objectType: secret, objectEncoding: SECRET_ALIAS",
         "invalid objectEncoding: SECRET_ALIAS, should be hex, base64 or utf-8", 0},
        /* format before encoding before file name before type */
        {"objectName: /a, objectType: x, objectFormat: y, objectEncoding: z", "invalid objectFormat: y", 0},
        {"objectName: /a, objectType: secret, objectEncoding: z", "invalid objectEncoding: z", 0},
        {"objectName: /a, objectType: x", "file name must be a relative path", 0},
        {"objectName: secret1, objectType: secret", NULL, 0644},
        {"objectType: secret", "file name must not be empty", 0},
        {"objectName: /secret1, objectType: secret", "file name must be a relative path", 0},
        {"objectName: secret1/.., objectType: secret", "file name must not contain '..'", 0},
        {"objectName: ../secret1, objectType: secret", "file name must not contain '..'", 0},
        {"objectName: a..b, objectType: secret", "file name must not contain '..'", 0},
        {"objectName: a, objectAlias: ./a, objectType: secret", "file name must be clean", 0},
        {"objectName: a, objectAlias: a/, objectType: secret", "file name must be clean", 0},
        {"objectName: a, objectAlias: a//b, objectType: secret", "file name must be clean", 0},
        {"objectName: a, objectAlias: ., objectType: secret", "file name must be clean", 0},
        {"objectAlias: a, objectType: secret", "objectName must not be empty", 0},
        {"objectName: .., objectAlias: a, objectType: secret", "must not be '.' or '..'", 0},
        {"objectName: ., objectAlias: a, objectType: secret", "must not be '.' or '..'", 0},
        {"objectName: a, objectVersion: .., objectType: secret", "must not be '.' or '..'", 0},
        {"objectName: a, objectType: certificate", "Invalid vaultObjectTypes. Should be secret, key, or cert",
         0},
        {"objectName: a, objectType: Secret", "Invalid vaultObjectTypes. Should be secret, key, or cert", 0},
        {"objectName: a", "objectType:, objectName:a, objectVersion:: Invalid vaultObjectTypes", 0},
        {"objectName: a, objectType: secret, ObjectAlias: b, unknown: c", NULL, 0644},
        {"objectName: a, objectType: secret, filePermission: '0600'", NULL, 0600},
        {"objectName: a, objectType: secret, filePermission: 0400", NULL, 0400},
        {"objectName: a, objectType: secret, filePermission: '777'", NULL, 0777},
        {"objectName: a, objectType: secret, filePermission: 00640", NULL, 0640},
        {"objectName: a, objectType: secret, filePermission: '0000000000000000000000000440'", NULL, 0440},
        {"objectName: a, objectType: secret, filePermission: '7777777777777777777777777'",
         "invalid filePermission", 0},
        {"objectName: a, objectType: secret, filePermission: ''", NULL, 0644},
        {"objectName: a, objectType: secret, filePermission: '0900'", "invalid filePermission: 0900", 0},
        {"objectName: a, objectType: secret, filePermission: 900", "invalid filePermission: 900", 0},
        {"objectName: a, objectType: secret, filePermission: 0o644", "invalid filePermission: 0o644", 0},
        {"objectName: a, objectType: secret, filePermission: rw", "invalid filePermission: rw", 0},
        {"objectName: a, objectType: secret, filePermission: 01777", "invalid filePermission: 01777", 0},
        {"objectName: a, objectType: secret, filePermission: 1777", "invalid filePermission: 1777", 0},
        {"objectName: a, objectType: secret, filePermission: -1", "invalid filePermission: -1", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[512];
        struct object_list list = {0};
        (void)snprintf(text, sizeof(text), "array:\n - \"{%s}\"\n", rows[i].fields);
        cleanup_error struct error *error = parse(text, &list);
        if (rows[i].expected == NULL ? error != NULL || list.items[0].mode != rows[i].mode
                                     : strstr(error_message(error), rows[i].expected) == NULL)
            fail_msg("row %zu (%s): '%s'", i, rows[i].fields, error_message(error));
        object_list_finish(&list);
    }
}

static void file_names_and_versions(void **state)
{
    static const struct {
        const char *fields;
        const char *path, *version;
    } rows[] = {
        {"objectName: test, objectType: secret, objectAlias: alias", "alias", ""},
        {"objectName: test, objectType: secret", "test", ""},
        {"objectName: test, objectType: secret, objectAlias: d/e/f", "d/e/f", ""},
        {"objectName: test, objectType: secret, objectVersion: latest", "test", ""},
        {"objectName: test, objectType: secret, objectVersion: Latest", "test", "Latest"},
        {"objectName: test, objectType: secret, objectVersion: ' v1 '", "test", "v1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct object_list list = {0};
        (void)snprintf(text, sizeof(text), "array:\n - \"{%s}\"\n", rows[i].fields);
        cleanup_error struct error *error = parse(text, &list);
        assert_null(error);
        assert_string_equal(list.items[0].path, rows[i].path);
        assert_string_equal(list.items[0].version, rows[i].version);
        object_list_finish(&list);
    }
}

static void paths_of_different_items(void **state)
{
    static const struct {
        const char *items[3];
        const char *expected;
    } rows[] = {
        {{"{objectName: a, objectType: secret}", "{objectName: b, objectType: secret, objectAlias: a/b}"},
         "lies below file name a of object a"},
        {{"{objectName: a, objectType: secret}", "{objectName: a-b, objectType: secret}",
          "{objectName: c, objectType: secret, objectAlias: a/c}"},
         "lies below file name a of object a"}, /* '-' sorts before '/' */
        {{"{objectName: a, objectType: secret}", "{objectName: b, objectType: key, objectAlias: a}"},
         "have the same file name a"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[512] = "array:\n";
        struct object_list list = {0};
        for (size_t k = 0; k < ARRAY_SIZE(rows[i].items) && rows[i].items[k] != NULL; k++)
            (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " - '%s'\n", rows[i].items[k]);
        cleanup_error struct error *error = parse(text, &list);
        if (strstr(error_message(error), rows[i].expected) == NULL)
            fail_msg("row %zu: '%s'", i, error_message(error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vault_urls_of_every_cloud),
        cmocka_unit_test(audiences_keep_their_slash),
        cmocka_unit_test(a_cloud_file_needs_its_endpoints),
        cmocka_unit_test(slashes_and_blanks_at_the_ends_of_a_cloud_files_values_do_not_matter),
        cmocka_unit_test(a_cloud_file_without_an_endpoint_of_vaults_has_the_one_of_their_domain),
        cmocka_unit_test(shapes_of_the_list),
        cmocka_unit_test(scalars_keep_their_spelling),
        cmocka_unit_test(numbers_of_a_history),
        cmocka_unit_test(fields_of_an_item),
        cmocka_unit_test(file_names_and_versions),
        cmocka_unit_test(paths_of_different_items),
    };
    return cmocka_run_group_tests_name("azure vectors items", tests, NULL, NULL);
}
