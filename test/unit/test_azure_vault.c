/*
 * test_azure_vault.c - vaults by name and by URL: which hosts may ever get a token, and for which audience.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "provider-azure/base/url.h"
#include "provider-azure/vault/vault.h"
#include "provider-azure/vault/vault_call.h"

static const char custom[] =
    "{\"activeDirectoryEndpoint\":\"https://login.example:8443/\",\"keyVaultEndpoint\":\"https://vault.example\",\"keyVaultDNSSuffix\":\"vault.example:8443\","
    "\"managedHSMEndpoint\":\"https://hsm.example/\",\"managedHSMDNSSuffix\":\"hsm.example:8443\"}";

static void urls_name_a_vault_or_a_managed_hsm_of_the_cloud(void **state)
{
    static const struct {
        const char *cloud; /* NULL: `custom` */
        const char *url;
        const char *made;
        const char *audience;
        bool hsm;
    } cases[] = {
        {"AzurePublicCloud", "https://kv1.vault.azure.net", "https://kv1.vault.azure.net/",
         "https://vault.azure.net", false},
        {"AzurePublicCloud", "HTTPS://Kv-1.Vault.Azure.Net:443/", "https://Kv-1.vault.azure.net/",
         "https://vault.azure.net", false},
        {"AzurePublicCloud", "https://hsm1.managedhsm.azure.net/", "https://hsm1.managedhsm.azure.net/",
         "https://managedhsm.azure.net", true},
        {"AzureUSGovernment", "https://hsm1.managedhsm.usgovcloudapi.net",
         "https://hsm1.managedhsm.usgovcloudapi.net/", "https://managedhsm.usgovcloudapi.net", true},
        {"AzureChinaCloud", "https://hsm1.managedhsm.azure.cn", "https://hsm1.managedhsm.azure.cn/",
         "https://managedhsm.azure.cn", true},
        {"AzureGermanCloud", "https://kv1.vault.microsoftazure.de", "https://kv1.vault.microsoftazure.de/",
         "https://vault.microsoftazure.de", false},
        {NULL, "https://kv1.vault.example:8443", "https://kv1.vault.example:8443/", "https://vault.example",
         false},
        {NULL, "https://kv1.hsm.example:8443/", "https://kv1.hsm.example:8443/", "https://hsm.example", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_cloud struct cloud cloud = {0};
        struct vault vault;
        assert_int_equal(cases[i].cloud != NULL ? cloud_resolve(cases[i].cloud, NULL, &cloud, NULL)
                                                : cloud_parse(custom, sizeof(custom) - 1, &cloud, NULL),
                         0);
        assert_int_equal(vault_init_url(&vault, cases[i].url, &cloud, NULL), 0);
        assert_string_equal(vault.url, cases[i].made);
        assert_string_equal(vault.audience, cases[i].audience);
        assert_int_equal(vault.hsm, cases[i].hsm);
        vault_finish(&vault);
    }
}

static void a_token_cannot_be_sent_to_another_host(void **state)
{
    static const char *const urls[] = {
        "",
        "kv1.vault.azure.net",
        "http://kv1.vault.azure.net",
        "https://",
        "https://vault.azure.net",
        "https://.vault.azure.net",
        "https://a.b.vault.azure.net",
        "https://kv1.vault.azure.net.evil.example",
        "https://kv1.evilvault.azure.net",
        "https://evil.example/kv1.vault.azure.net",
        "https://evil.example#kv1.vault.azure.net",
        "https://evil.example?kv1.vault.azure.net",
        "https://evil.example\\kv1.vault.azure.net",
        "https://evil.example:443@kv1.vault.azure.net",
        "https://user@kv1.vault.azure.net",
        "https://kv1.vault.azure.net@evil.example",
        "https://kv1.vault.azure.net:8443",
        "https://kv1.vault.azure.net/secrets",
        "https://kv1.vault.azure.net/?x=1",
        "https://kv1.vault.azure.net//",
        "https://kv1.vault.azure.cn",
        "https://kv1.vault.azure.net.",
        "https://kv 1.vault.azure.net",
        "https://kv.vault.azure.net",
        "https://averylongvaultnamethatisnotvalid.vault.azure.net",
    };
    cleanup_cloud struct cloud cloud = {0};
    (void)state;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        cleanup_error struct error *error = NULL;
        struct vault vault;
        if (vault_init_url(&vault, urls[i], &cloud, &error) == 0)
            fail_msg("'%s' was taken for %s", urls[i], vault.url);
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
        assert_null(vault.url);
    }
}

static void a_cloud_without_managed_hsm_has_none(void **state)
{
    static const char *const ends[] = {
        "}", ",\"managedHSMEndpoint\":\"N/A\",\"managedHSMDNSSuffix\":\"N/A\"}",
        ",\"managedHSMEndpoint\":\"https://hsm.example\"}", ",\"managedHSMDNSSuffix\":\"hsm.example\"}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        cleanup_buffer struct buffer text = {.ceiling = 1000};
        cleanup_cloud struct cloud cloud = {0};
        struct vault vault;
        assert_int_equal(
            buffer_printf(
                &text, NULL,
                "{\"activeDirectoryEndpoint\":\"https://l\",\"keyVaultEndpoint\":\"https://v\",\"keyVaultDNSSuffix\":\"v\"%s",
                ends[i]),
            0);
        assert_int_equal(cloud_parse(buffer_str(&text), text.len, &cloud, NULL), 0);
        assert_string_equal(cloud.hsm_suffix, "");
        assert_int_equal(vault_init_url(&vault, "https://abc.hsm.example", &cloud, NULL), -1);
        assert_int_equal(vault_init_url(&vault, "https://abc.", &cloud, NULL), -1);
    }
}

static void pages_stay_on_one_host_and_port(void **state)
{
    (void)state;
    assert_true(url_same_origin("https://a.example/x", "HTTPS://A.example:443/y?z"));
    assert_true(url_same_origin("https://a.example:8443/x", "https://a.example:8443"));
    assert_false(url_same_origin("https://a.example:8443/x", "https://a.example/x"));
    assert_false(url_same_origin("https://a.example/x", "http://a.example/x"));
    assert_false(url_same_origin("https://a.example/x", "https://a.example@b.example/x"));
    assert_false(url_same_origin("https://a.example/x", "https://a.example.b/x"));
    assert_false(url_same_origin("https://", "https://"));
}

static void a_challenge_is_honoured_for_a_resource_above_the_vault(void **state)
{
    static const struct {
        const char *host, *resource;
        bool allowed;
    } rows[] = {
        {"kv1.vault.azure.net", "https://vault.azure.net", true},
        {"kv1.vault.azure.net", "https://VAULT.azure.net/.default", true},
        {"evilvault.azure.net", "https://vault.azure.net", false}, /* the same letters, another domain */
        {"vault.azure.net", "https://vault.azure.net", false},
        {"kv1.vault.azure.net.example", "https://vault.azure.net", false},
        {"kv1.vault.azure.net", "https://management.azure.com", false},
        {"kv1.vault.azure.net", "vault.azure.net", false},
        {"kv1.vault.azure.net", "", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (vault_host_is_below(rows[i].host, rows[i].resource) != rows[i].allowed)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_name_a_vault_or_a_managed_hsm_of_the_cloud),
        cmocka_unit_test(a_token_cannot_be_sent_to_another_host),
        cmocka_unit_test(a_cloud_without_managed_hsm_has_none),
        cmocka_unit_test(pages_stay_on_one_host_and_port),
        cmocka_unit_test(a_challenge_is_honoured_for_a_resource_above_the_vault),
    };
    return cmocka_run_group_tests_name("azure vault", tests, NULL, NULL);
}
