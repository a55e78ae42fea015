/*
 * test_azure_vault_set.c - which vaults a class and its items name, and in which order they are asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <string.h>

#include "provider-azure/vault/vault_set.h"

#define V(name) name ".vault.azure.net"
#define HSM     "keys.managedhsm.azure.net"

/* "a.vault.azure.net b.vault.azure.net", or the error. */
static void describe(const struct vault_set *set, const struct vault_order *order, int result,
                     const struct error *error, char *ret, size_t size)
{
    *ret = '\0';
    for (size_t i = 0; result == 0 && i < order->n; i++)
        (void)snprintf(ret + strlen(ret), size - strlen(ret), "%s%s", i > 0 ? " " : "",
                       set->at[order->at[i]].host);
    if (result < 0)
        (void)snprintf(ret, size, "%s", error_message(error));
}

static void an_item_has_its_own_vaults_or_those_of_the_class(void **state)
{
    static const struct {
        struct vault_texts class, item;
        const char *expected; /* the item's order, or part of the error */
    } rows[] = {
        {{.name = "aaa"}, {0}, V("aaa")},
        {{.url = "https://aaa.vault.azure.net/"}, {0}, V("aaa")},
        {{.name = "aaa", .fallbacks = "bbb"}, {0}, V("aaa") " " V("bbb")},
        {{.name = "aaa", .fallbacks = " bbb ,https://ccc.vault.azure.net"},
         {0},
         V("aaa") " " V("bbb") " " V("ccc")},
        {{.name = "aaa", .fallbacks = "bbb,ccc,ddd,eee"},
         {0},
         V("aaa") " " V("bbb") " " V("ccc") " " V("ddd") " " V("eee")},
        {{.name = "aaa", .fallbacks = "bbb"}, {.fallbacks = "ccc"}, V("aaa") " " V("ccc")},
        {{.name = "aaa", .fallbacks = "bbb"}, {.name = "ccc"}, V("ccc")},
        {{.name = "aaa", .fallbacks = "bbb"}, {.name = "AAA"}, V("aaa")}, /* the way to have none */
        {{.name = "aaa", .fallbacks = "bbb"}, {.name = "bbb", .fallbacks = "aaa"}, V("bbb") " " V("aaa")},
        {{.name = "aaa"}, {.url = "https://" HSM, .fallbacks = "aaa"}, HSM " " V("aaa")},
        {{0}, {.name = "bbb"}, V("bbb")},
        {{0}, {.name = "bbb", .fallbacks = "ccc"}, V("bbb") " " V("ccc")},
        /* wrong */
        {{0}, {0}, "keyvaultName is not provided: neither the class nor the object has one"},
        {{0}, {.fallbacks = "bbb"}, "keyvaultName is not provided: neither the class nor the object has one"},
        {{.fallbacks = "bbb"},
         {.name = "ccc"},
         "fallbackKeyvaults of a class needs its keyvaultName or keyvaultURL"},
        {{.name = "aaa", .fallbacks = "aaa"},
         {0},
         "fallbackKeyvaults: vault aaa.vault.azure.net is given twice"},
        {{.name = "aaa", .fallbacks = "bbb, BBB"}, {0}, "vault bbb.vault.azure.net is given twice"},
        {{.name = "aaa"},
         {.fallbacks = "https://AAA.vault.azure.net:443/"},
         "fallbackKeyvaults: vault aaa.vault.azure.net is given twice"},
        {{.name = "aaa", .fallbacks = "bbb,ccc,ddd,eee,fff"}, {0}, "at most 4 fallback vaults are allowed"},
        {{.name = "aaa", .fallbacks = "bbb,"}, {0}, "fallbackKeyvaults: Invalid vault name: \"\""},
        {{.name = "aaa", .fallbacks = ","}, {0}, "fallbackKeyvaults: Invalid vault name: \"\""},
        {{.name = "aaa", .fallbacks = "bbb ccc"}, {0}, "fallbackKeyvaults: Invalid vault name: \"bbb ccc\""},
        {{.name = "aaa", .fallbacks = "bbb;ccc"}, {0}, "fallbackKeyvaults: Invalid vault name"},
    };
    cleanup_cloud struct cloud cloud = {0};
    (void)state;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct vault_set set = {0};
        struct vault_order order = {.n = 0};
        cleanup_error struct error *error = NULL;
        char text[512];
        int result = vault_set_add_class(&set, &rows[i].class, &cloud, &error);
        if (result == 0)
            result = vault_set_add_item(&set, &rows[i].item, &cloud, &order, &error);
        describe(&set, &order, result, error, text, sizeof(text));
        if (result < 0 ? strstr(text, rows[i].expected) == NULL : strcmp(text, rows[i].expected) != 0)
            fail_msg("row %zu: %s", i, text);
        if (result < 0)
            assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
        vault_set_finish(&set);
    }
}

/* Whoever may write a class must not make the provider send a token elsewhere. */
static void items_and_fallback_vaults_lie_in_the_cloud(void **state)
{
    static const char *const urls[] = {
        "http://aaa.vault.azure.net",
        "https://evil.example",
        "https://aaa.vault.azure.net.evil.com",
        "https://evil.example/aaa.vault.azure.net",
        "https://user@aaa.vault.azure.net",
        "https://aaa.vault.azure.net:8443",
        "https://aaa.vault.azure.cn",
        "https://127.0.0.1",
        "https://a.b.vault.azure.net",
        "aaa.vault.azure.net",
        "https://vault.azure.net",
        "https://aaa.vault.azure.net/secrets",
    };
    cleanup_cloud struct cloud cloud = {0};
    (void)state;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        const struct vault_texts class = {.name = "bbb"}, with = {.name = "bbb", .fallbacks = urls[i]};
        const struct vault_texts item = {.url = urls[i]}, fallback = {.fallbacks = urls[i]};
        struct vault_set set = {0};
        struct vault_order order = {.n = 0};
        assert_int_equal(vault_set_add_class(&set, &with, &cloud, NULL), -1);
        assert_int_equal(set.of_class.n, 0);
        vault_set_finish(&set);
        assert_int_equal(vault_set_add_class(&set, &class, &cloud, NULL), 0);
        assert_int_equal(vault_set_add_item(&set, &item, &cloud, &order, NULL), -1);
        assert_int_equal(vault_set_add_item(&set, &fallback, &cloud, &order, NULL), -1);
        assert_int_equal(set.n, 1);
        vault_set_finish(&set);
    }
}

static void each_host_is_there_once_and_not_too_many_are(void **state)
{
    cleanup_cloud struct cloud cloud = {0};
    struct vault_set set = {0};
    struct vault_order order;
    cleanup_error struct error *error = NULL;
    char name[16];
    const struct vault_texts class = {.name = "v00"};
    (void)state;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    assert_int_equal(vault_set_add_class(&set, &class, &cloud, NULL), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < VAULTS_MAX; i++) {
            (void)snprintf(name, sizeof(name), "%s%02d", round == 0 ? "v" : "V", i);
            const struct vault_texts item = {.name = name};
            assert_int_equal(vault_set_add_item(&set, &item, &cloud, &order, NULL), 0);
            assert_int_equal(order.at[0], i);
        }
    }
    assert_int_equal(set.n, VAULTS_MAX);
    const struct vault_texts one_more = {.name = "one-more"};
    assert_int_equal(vault_set_add_item(&set, &one_more, &cloud, &order, &error), -1);
    assert_string_equal(error_message(error), "a class can name at most 32 vaults");
    vault_set_finish(&set);
}

static void audiences_are_those_of_objects_and_needed_for_their_own_vaults(void **state)
{
    const struct vault_texts class = {.name = "unused"}, hsm = {.url = "https://" HSM, .fallbacks = "aaa"};
    cleanup_cloud struct cloud cloud = {0};
    struct vault_set set = {0};
    struct vault_order order;
    (void)state;
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    assert_int_equal(vault_set_add_class(&set, &class, &cloud, NULL), 0);
    assert_int_equal(set.n_audiences, 0);
    assert_int_equal(vault_set_audience(&set, 0), 0); /* none */
    assert_int_equal(vault_set_add_item(&set, &hsm, &cloud, &order, NULL), 0);
    assert_true(vault_order_has_hsm(&set, &order));
    assert_false(vault_order_has_hsm(&set, &set.of_class));
    assert_int_equal(set.n_audiences, 2);
    assert_string_equal(set.audiences[0], "https://managedhsm.azure.net");
    assert_string_equal(set.audiences[1], "https://vault.azure.net");
    assert_true(set.is_needed[0]);
    assert_false(set.is_needed[1]);
    assert_int_equal(vault_set_audience(&set, order.at[0]), 0);
    assert_int_equal(vault_set_audience(&set, order.at[1]), 1);
    vault_set_finish(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_has_its_own_vaults_or_those_of_the_class),
        cmocka_unit_test(items_and_fallback_vaults_lie_in_the_cloud),
        cmocka_unit_test(each_host_is_there_once_and_not_too_many_are),
        cmocka_unit_test(audiences_are_those_of_objects_and_needed_for_their_own_vaults),
    };
    return cmocka_run_group_tests_name("azure vault set", tests, NULL, NULL);
}
