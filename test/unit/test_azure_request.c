/*
 * test_azure_request.c - parameters, objects, clouds, credentials, encodings and keys: the table of known
 * inputs and outcomes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/encoding.h"
#include "provider-azure/content/content.h"
#include "provider-azure/identity/timestamp.h"
#include "provider-azure/mount_request.h"
#include "provider-azure/settings.h"

static const struct content_options content_options = {.order = CERTIFICATE_ORDER_CHAIN};

/* Attributes as "name=value" lines over a set that is complete but for `objects`; "name" alone removes one.
 */
static struct error *parse(const char *const *changes, const char *secrets_json)
{
    static const char base[] =
        "{\"csi.storage.k8s.io/pod.name\":\"pod1\",\"csi.storage.k8s.io/pod.namespace\":\"ns1\",\"keyvaultName\":\"testKV\",\"tenantId\":\"tid\",\"objects\":\"array:\"}";
    cleanup_string_map struct string_map attributes = {0};
    cleanup_string_map struct string_map secrets = {0};
    cleanup_cloud struct cloud cloud = {0};
    struct error *error = NULL;
    struct mount_request request = {0};

    assert_int_equal(string_map_from_json(&attributes, base, strlen(base), NULL, NULL), 0);
    for (; *changes != NULL; changes++) {
        const char *equals = strchr(*changes, '=');
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - *changes), *changes);
        assert_int_equal(string_map_set(&attributes, name, equals + 1, NULL), 0);
    }
    if (secrets_json != NULL)
        assert_int_equal(string_map_from_json(&secrets, secrets_json, strlen(secrets_json), NULL, NULL), 0);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    const struct request_defaults defaults = {.cloud = &cloud,
                                              .endpoints = {.imds = "http://imds", .nmi = "http://nmi"}};
    const struct mount_input input = {
        .attributes = &attributes, .secrets = secrets_json != NULL ? &secrets : NULL, .permission = 0644};
    if (mount_request_parse(&input, &defaults, &request, &error) == 0)
        mount_request_finish(&request);
    return error;
}

#define SP           "{\"clientid\":\"foo\",\"ClientSecret\":\"bar\"}"
#define ITEM(fields) "objects=array:\n  - |\n    " fields

static void parameters_are_checked_in_order_with_the_known_messages(void **state)
{
    static const struct {
        const char *changes[4];
        const char *secrets;
        const char *expected; /* NULL: accepted; a part of the message otherwise */
    } cases[] = {
        {{"csi.storage.k8s.io/pod.name="}, SP, "pod name is not provided"},
        {{"csi.storage.k8s.io/pod.namespace="}, SP, "pod namespace is not provided"},
        {{"keyvaultName= "}, SP, "keyvaultName is not provided"},
        {{"tenantId="}, SP, "tenantId is not provided"},
        {{"tenantId=", "tenantID= test "}, SP, NULL},
        {{"usePodIdentity=tru"},
         SP,
         "failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \"tru\": invalid syntax"},
        {{"useVMManagedIdentity=test"}, SP, "failed to parse useVMManagedIdentity flag"},
        {{"useAzureTokenProxy=invalid"}, SP, "failed to parse useAzureTokenProxy flag"},
        {{"usePodIdentity= true ", "useAzureTokenProxy=1"},
         SP,
         "only one identity mode can be enabled at a time"},
        {{"cloudName=AzureCloud1"},
         SP,
         "cloudName AzureCloud1 is not valid, error: autorest/azure: There is no cloud environment matching the name \"AZURECLOUD1\""},
        {{"cloudName=AzureCloud"}, SP, NULL},
        {{"cloudName=AzureStackCloud", "cloudEnvFileName=/etc/kubernetes/akscustom.json"},
         SP,
         "cloudName AzureStackCloud is not valid, error: open /etc/kubernetes/akscustom.json: no such file or directory"},
        {{"cloudName=AzureStackCloud"}, SP, "open : no such file or directory"},
        {{"useVMManagedIdentity=true", "objects="}, NULL, "objects is not set"},
        {{"objects="},
         NULL,
         "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not set"},
        {{"objects="}, "{\"clientid\":\"a\"}", "could not find clientsecret in secrets"},
        {{"objects="}, "{\"clientsecret\":\"a\"}", "could not find clientid in secrets"},
        {{"objects="},
         "{\"clientid\":\"a\",\"ClientID\":\"b\",\"clientsecret\":\"c\"}",
         "more than one key named clientid"},
        {{"clientID=x", "objects="}, "{}", "service account tokens not found"},
        {{"clientID=x", "csi.storage.k8s.io/serviceAccount.tokens=invalid"},
         "{}",
         "failed to unmarshal service account tokens"},
        {{"clientID=x", "csi.storage.k8s.io/serviceAccount.tokens={\"aud1\":{\"token\":\"t\"}}"},
         "{}",
         "token for audience api://AzureADTokenExchange not found"},
        {{"clientID=x",
          "csi.storage.k8s.io/serviceAccount.tokens={\"api://AzureADTokenExchange\":{\"token\":12345}}"},
         "{}",
         "failed to unmarshal"},
        {{"clientID=x",
          "csi.storage.k8s.io/serviceAccount.tokens={\"api://AzureADTokenExchange\":{\"token\":\"t\"},\"aud2\":{\"token\":\"u\"}}"},
         "{}",
         NULL},
        {{"useAzureTokenProxy=true"}, NULL, "clientID is required"},
        {{"useAzureTokenProxy=true", "clientID=x"},
         NULL,
         "service account tokens are required for identity binding"},
        {{"useAzureTokenProxy=true", "clientID=x",
          "csi.storage.k8s.io/serviceAccount.tokens={\"api://AzureADTokenExchange\":{\"token\":\"t\"}}"},
         NULL,
         "token for audience api://AKSIdentityBinding not found"},
        {{"useVMManagedIdentity=true", "clientID=x"},
         NULL,
         NULL}, /* tokens only for the modes that need them */
        {{"usePodIdentity=true"}, NULL, NULL},
        {{"objects=- |\n  objectName: a\n"},
         SP,
         "failed to yaml unmarshal objects, error: yaml: unmarshal errors"},
        {{"objects=Array:\n  - a"}, SP, "the key array is missing"},
        {{"objects=array:\n - objectName: a"}, SP, "cannot unmarshal !!map into string"},
        {{"objects=array: 5"}, SP, "cannot unmarshal"},
        {{"objects=array:\n - 5"}, SP, "unmarshal failed for keyVaultObjects at index 0"},
        {{"objects=array:\n - ~\n"}, SP, NULL},
        {{ITEM("# nothing")}, SP, "file name must not be empty"},
        {{ITEM("objectName: secret1\n    objectType: secret\n    objectFormat: pkcs")},
         SP,
         "failed to get objectType:secret, objectName:secret1, objectVersion:: invalid objectFormat: pkcs, should be PEM or PFX"},
        {{ITEM("objectName: secret1\n    objectType: secret\n    objectEncoding: utf-16")},
         SP,
         "objectVersion:: invalid objectEncoding: utf-16, should be hex, base64 or utf-8"},
        {{ITEM("objectName: a\n    objectType: cert\n    objectFormat: PFX")},
         SP,
         "PFX format only supported for objectType: secret"},
        {{ITEM("objectName: a\n    objectType: cert\n    objectEncoding: base64")},
         SP,
         "objectEncoding only supported for objectType: secret"},
        {{ITEM("objectName: a\n    objectType: certificate")}, SP, "Invalid vaultObjectTypes"},
        {{ITEM("objectName: a\n    objectType: secret\n    objectAlias: /a")},
         SP,
         "file name must be a relative path"},
        {{ITEM("objectName: a\n    objectType: secret\n    objectAlias: a..b")},
         SP,
         "file name must not contain '..'"},
        {{ITEM("objectName: a\n    objectType: secret\n    objectAlias: a//b")},
         SP,
         "file name must be clean"},
        {{ITEM("objectName: a\n    objectType: secret\n    filePermission: 0900")},
         SP,
         "invalid filePermission: 0900"},
        {{ITEM("objectName: a\n    objectType: secret\n    objectVersionHistory: \"5\"")}, SP, "into int32"},
        {{ITEM(
             "objectName: a\n    objectType: secret\n  - |\n    objectName: b\n    objectType: secret\n    objectAlias: a/b")},
         SP,
         "lies below file name a of object a"},
        {{ITEM(
             "objectName: a\n    objectType: secret\n  - |\n    objectName: a-b\n    objectType: secret\n  - |\n    objectName: c\n    objectType: secret\n    objectAlias: a/c")},
         SP,
         "lies below file name a of object a"}, /* '-' sorts before '/' */
        {{ITEM(
             "objectName: a\n    objectType: secret\n  - |\n    objectName: b\n    objectType: key\n    objectAlias: a")},
         SP,
         "have the same file name a"},
        {{ITEM("objectName: a\n    objectType: secret"), "keyvaultName=kv"},
         SP,
         "failed to get vault: Invalid vault name: \"kv\", must be between 3 and 24 chars"},
        {{ITEM("objectName: a\n    objectType: secret"), "keyvaultName=kv_test"},
         SP,
         "must match [-a-zA-Z0-9]{3,24}"},
        {{ITEM("objectName: a\n    objectType: secret"), "tenantId=a/b"},
         SP,
         "failed to get keyvault client: invalid tenantID"},
        {{ITEM(
             "objectName: a  # name\n    objectType: \"  secret\"\n    objectVersion: \"\"\n    objectFormat: pfx\n    objectEncoding: BasE64")},
         SP,
         NULL},
        {{"objects=array:\n - '{\"objectName\": \"a\", \"objectType\": \"key\"}'"}, SP, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = parse(cases[i].changes, cases[i].secrets);
        if (cases[i].expected == NULL ? error != NULL
                                      : strstr(error_message(error), cases[i].expected) == NULL)
            fail_msg("case %zu: got '%s', expected '%s'", i, error_message(error),
                     cases[i].expected != NULL ? cases[i].expected : "success");
    }
}

static void items_are_trimmed_and_converted_as_yaml_scalars(void **state)
{
    static const struct {
        const char *text;
        int history;
    } cases[] = {{"12", 12}, {"010", 8}, {"0o10", 8}, {"0x10", 16}, {"1_0", 10},
                 {"5.7", 5}, {"~", 0},   {"-3", -3},  {"1e3", 1000}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[512];
        struct object_list list = {0};
        (void)snprintf(
            text, sizeof(text),
            "array:\n  - |\n    objectName: 0755   \n    objectType: \" key \"\n    objectVersion: latest\n"
            "    objectVersionHistory: %s\n",
            cases[i].text);
        assert_int_equal(objects_parse(text, &(struct object_defaults){.mode = 0640}, &list, NULL), 0);
        assert_int_equal(list.n, 1);
        assert_string_equal(list.items[0].path, "0755");
        assert_string_equal(list.items[0].version, "");
        assert_int_equal(list.items[0].mode, 0640);
        assert_int_equal(list.items[0].history, cases[i].history);
        object_list_finish(&list);
    }
}

static void clouds_and_vault_urls_follow_the_table(void **state)
{
    static const struct {
        const char *cloud;
        const char *url;
    } cases[] = {{"AZUREPUBLICCLOUD", "https://testkv.vault.azure.net/"},
                 {"AZURECHINACLOUD", "https://testkv.vault.azure.cn/"},
                 {"AZUREGERMANCLOUD", "https://testkv.vault.microsoftazure.de/"},
                 {"azureusgovernment", "https://testkv.vault.usgovcloudapi.net/"}};
    static const char custom[] =
        "{\"NAME\":\"x\",\"activeDirectoryEndpoint\":\"https://login.example\",\"keyVaultEndpoint\":\"https://vault.example/\",\"keyVaultDNSSuffix\":\"vault.example\",\"other\":{}}";
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_cloud struct cloud cloud = {0};
        struct vault vault;
        assert_int_equal(cloud_resolve(cases[i].cloud, NULL, &cloud, NULL), 0);
        assert_int_equal(vault_init(&vault, "testkv", &cloud, NULL), 0);
        assert_string_equal(vault.url, cases[i].url);
        vault_finish(&vault);
    }
    cleanup_cloud struct cloud cloud = {0};
    assert_int_equal(cloud_parse(custom, sizeof(custom) - 1, &cloud, NULL), 0);
    assert_string_equal(cloud.authority, "https://login.example/");
    assert_string_equal(cloud.vault, "https://vault.example");
    assert_int_equal(cloud_parse("{\"name\":\"x\"}", 12, &cloud, NULL), -1);
    cleanup_free char *one = cloud_scope("https://vault.azure.net");
    cleanup_free char *two = cloud_scope("https://vault.azure.net/.default");
    cleanup_free char *three = cloud_scope("https://vault.azure.net/");
    assert_string_equal(one, "https://vault.azure.net/.default");
    assert_string_equal(two, one);
    assert_string_equal(three, "https://vault.azure.net//.default");
}

static void encodings_decode_what_they_should_and_refuse_the_rest(void **state)
{
    static const struct {
        bool hex;
        const char *text;
        const char *bytes; /* NULL: error */
        const char *error;
    } cases[] = {
        {false, "QmFzZTY0RW5jb2RlZFN0cmluZw==", "Base64EncodedString", NULL},
        {false, "YQ==\n", "a", NULL},
        {false, "YW\nJj", "abc", NULL},
        {false, "", "", NULL},
        {false, "YQ", NULL, "illegal base64 data at input byte 0"},
        {false, "Y Q==", NULL, "illegal base64 data at input byte 1"},
        {false, "-_-_", NULL, "illegal base64 data at input byte 0"},
        {false, "YQ==YQ==", NULL, "illegal base64 data at input byte 4"},
        {true, "486578456E636F646564537472696E67", "HexEncodedString", NULL},
        {true, "4a4B", "JK", NULL},
        {true, "abc", NULL, "encoding/hex: odd length hex string"},
        {true, "zz", NULL, "encoding/hex: invalid byte"},
        {true, "4a\n", NULL, "encoding/hex: invalid byte"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        size_t len = strlen(cases[i].text);
        cleanup_secret struct secret *out =
            cases[i].hex ? hex_decode(cases[i].text, len, &error) : base64_decode(cases[i].text, len, &error);
        if (cases[i].bytes == NULL) {
            assert_null(out);
            assert_non_null(strstr(error_message(error), cases[i].error));
        } else {
            assert_non_null(out);
            assert_int_equal(secret_len(out), strlen(cases[i].bytes));
            assert_memory_equal(secret_bytes(out), cases[i].bytes, secret_len(out));
        }
    }
}

static void keys_and_certificates_become_pem(void **state)
{
    static const struct {
        enum object_type type;
        const char *json;
        const char *pem; /* body lines, NULL: error */
        const char *error;
    } cases[] = {
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"https://v/keys/k/1\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MSgMZZKzCaeMZNuTeGOiIdEOf7mdhtVh5IZEFIs4nOo\",\"y\":\"hvX-cUq3_8K5pHx4NNGyE3kT3W6TcMcbRit9JjblIDc\"}}",
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMSgMZZKzCaeMZNuTeGOiIdEOf7md\nhtVh5IZEFIs4nOqG9f5xSrf/wrmkfHg00bITeRPdbpNwxxtGK30mNuUgNw==\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC-HSM\",\"crv\":\"P-256\",\"x\":\"xQ6ZtnR_dFMmd4nrSItxkk9zj0bUmUkne1YuaX_tzQ\",\"y\":\"VVc2YmlpPjx8439O2iFCbcDJajfDjHPn9SFQz5vfOsE\"}}",
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAMUOmbZ0f3RTJneJ60iLcZJPc49G\n1JlJJ3tWLml/7c1VVzZiaWk+PHzjf07aIUJtwMlqN8OMc+f1IVDPm986wQ==\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"fFfmp3jFed5Q08xHOMuIEf1I0TwzyG4Sdo3V_OcZ6RMZBv4GQDxGb50QCQASe_xg\",\"y\":"
         "\"qYXPQVXLM6kZdLtISxdvD5SRJf6POFq2fO_Iv368OrtADrgVdSSli5qHDOJZsDIh\"}}",
         "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEfFfmp3jFed5Q08xHOMuIEf1I0TwzyG4S\ndo3V/OcZ6RMZBv4GQDxGb50QCQASe/xgqYXPQVXLM6kZdLtISxdvD5SRJf6POFq2\nfO/Iv368OrtADrgVdSSli5qHDOJZsDIh\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AM3iQG-GgjgvEdxgtwSa6XsFUzfJRCIaWmrrQH1DGigZVGMNAL8Uuz0zlP6EDjnfagH5B5cjEeajAPZxEGXkbzaV\",\"y\":"
         "\"AMPHWPrvYq-4wlKZbQmogXt4Q8ikrzBpx-c_I_i88SkePo5S_L1LdVkXNiJkgJ0eCPEbPIhdoRzwfZKfiOsXNVT3\"}}",
         "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAzeJAb4aCOC8R3GC3BJrpewVTN8lE\nIhpaautAfUMaKBlUYw0AvxS7PTOU/oQOOd9qAfkHlyMR5qMA9nEQZeRvNpUAw8dY\n+u9ir7jCUpltCaiBe3hDyKSvMGnH5z8j+LzxKR4+"
         "jlL8vUt1WRc2ImSAnR4I8Rs8\niF2hHPB9kp+I6xc1VPc=\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"mXyMDHSXmP3YCeEPxJFGwY1om2xQf5KjVx1Jo_w_6XLqtzxRGNU4UoL8aJSs9x3J3n8NP0BRuac49cRpdH9-oGGNNHFXlqW-"
         "tt4MX0I6OhvcHqHc0llTKyrflnKFurngyHXow_CfraRpbUvAJAd9viIVm9KpX2iyTWj0w5enIwzY--AqUcklJ4ZlOrXLMPCCg_hlT0CgbZJpQIrotIQY7PG2oIjy6sWXyg8z1x5DoMfgXFAglhy8UQ8WjeX3C5ut1XAi89h0vKTz533ADEaI3-"
         "7GkUbgECe17Qc2Owc2HvaDX1TSGac5RwmdZ4A02DuMXTFyfrDt38Q9WOKkMv-KvQ\"}}",
         "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmXyMDHSXmP3YCeEPxJFG\nwY1om2xQf5KjVx1Jo/w/6XLqtzxRGNU4UoL8aJSs9x3J3n8NP0BRuac49cRpdH9+\noGGNNHFXlqW+tt4MX0I6OhvcHqHc0llTKyrflnKFurngyHXow/"
         "CfraRpbUvAJAd9\nviIVm9KpX2iyTWj0w5enIwzY++AqUcklJ4ZlOrXLMPCCg/hlT0CgbZJpQIrotIQY\n7PG2oIjy6sWXyg8z1x5DoMfgXFAglhy8UQ8WjeX3C5ut1XAi89h0vKTz533ADEaI\n3+"
         "7GkUbgECe17Qc2Owc2HvaDX1TSGac5RwmdZ4A02DuMXTFyfrDt38Q9WOKkMv+K\nvQIDAQAB\n",
         NULL},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256K\",\"x\":\"AA\",\"y\":\"AA\"}}",
         NULL, "curve P-256K is not supported"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}}",
         NULL, "not a point on curve"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"}}", NULL,
         "modulus or exponent is zero"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"\"}}", NULL,
         "modulus or exponent is zero"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"\",\"y\":\"AQ\"}}",
         NULL, "a coordinate of the P-384 key has a bad length"},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}}", NULL,
         "not a point on curve P-256"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\"}}", NULL, "key type '' currently not supported"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"oct\"}}", NULL,
         "key type 'oct' currently not supported"},
        {OBJECT_CERT, "{\"id\":\"i\",\"cer\":\"dGVzdA==\"}", "dGVzdA==\n", NULL},
        {OBJECT_CERT, "{\"id\":\"i\"}", NULL, "certificate value is nil"},
        {OBJECT_CERT, "{\"cer\":\"dGVzdA==\"}", NULL, "certificate id is nil"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        struct content content = {0};
        const struct object_item item = {.type = cases[i].type};
        cleanup_vault_object struct vault_object object = {0};
        int result = vault_object_parse(cases[i].type, cases[i].json, strlen(cases[i].json), &object, &error);
        if (result == 0)
            result = content_make(&content_options, &item, &object, &content, &error);
        if (cases[i].pem == NULL) {
            assert_int_equal(result, -1);
            assert_non_null(strstr(error_message(error), cases[i].error));
        } else {
            char expected[2048];
            const char *label = cases[i].type == OBJECT_KEY ? "PUBLIC KEY" : "CERTIFICATE";
            (void)snprintf(expected, sizeof(expected), "-----BEGIN %s-----\n%s-----END %s-----\n", label,
                           cases[i].pem, label);
            assert_int_equal(result, 0);
            assert_int_equal(content.n_parts, 1);
            assert_int_equal(content.parts[0].len, strlen(expected));
            assert_memory_equal(content.parts[0].bytes, expected, content.parts[0].len);
        }
        content_finish(&content);
    }
}

static void the_user_agent_names_program_version_and_custom_text(void **state)
{
    (void)state;
    cleanup_free char *agent = settings_user_agent("version", "commit", "now", "managedBy:aks");
    assert_non_null(strstr(agent, "csi-secrets-store/version (linux/"));
    assert_non_null(strstr(agent, ") commit/now managedBy:aks"));
}

static void timestamps_of_imds_are_read_in_every_spelling(void **state)
{
    (void)state;
    assert_int_equal(timestamp_parse("1506484173"), 1506484173);
    assert_int_equal(timestamp_parse("2017-09-27T03:49:33Z"), 1506484173);
    assert_int_equal(timestamp_parse("2017-09-27T05:49:33+02:00"), 1506484173);
    assert_int_equal(timestamp_parse("09/27/2017 03:49:33 +00:00"), 1506484173);
    assert_int_equal(timestamp_parse("2017-09-27 03:49:33"), 1506484173);
    assert_int_equal(timestamp_parse(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_checked_in_order_with_the_known_messages),
        cmocka_unit_test(items_are_trimmed_and_converted_as_yaml_scalars),
        cmocka_unit_test(clouds_and_vault_urls_follow_the_table),
        cmocka_unit_test(encodings_decode_what_they_should_and_refuse_the_rest),
        cmocka_unit_test(keys_and_certificates_become_pem),
        cmocka_unit_test(the_user_agent_names_program_version_and_custom_text),
        cmocka_unit_test(timestamps_of_imds_are_read_in_every_spelling),
    };
    return cmocka_run_group_tests_name("azure request", tests, NULL, NULL);
}
