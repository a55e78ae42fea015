/*
 * fuzz_azure_request.c - attributes as JSON: all parameters of a mount. Those that begin with
 * "secret." are of the Secret instead. Lint reads the same ones.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/lint.h"
#include "provider-azure/mount_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a mount refuses, lint must call an error. */
static void lint(const struct string_map *attributes, bool refused)
{
    cleanup_lint_response struct lint_response response = {0};
    bool has_error = false;

    if (lint_parameters(attributes, &response, NULL) < 0)
        abort();
    for (size_t i = 0; i < response.findings.n; i++) {
        const struct finding *finding = &response.findings.list[i];
        has_error = has_error || finding->level == FINDING_ERROR;
        for (const char *at = finding->message; *at != '\0'; at++)
            if ((unsigned char)*at < ' ')
                abort();
    }
    if (refused && !has_error && response.findings.left_out == 0)
        abort();
}

/* Refused because of the pod, its credentials or the node, which lint does not have. */
static bool is_of_the_node(const char *message)
{
    static const char *const starts[] = {"pod name", "cloudName", "httpsProxy",
                                         "failed to build auth config"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (strncmp(message, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static bool is_vault_host(const char *host, bool hsm)
{
    static const char *const vaults[] = {".vault.azure.net", ".vault.usgovcloudapi.net", ".vault.azure.cn",
                                         ".vault.microsoftazure.de"};
    static const char *const hsms[] = {".managedhsm.azure.net", ".managedhsm.usgovcloudapi.net",
                                       ".managedhsm.azure.cn", ".managedhsm.microsoftazure.de"};
    size_t label = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-");
    for (size_t i = 0; i < ARRAY_SIZE(vaults); i++) {
        if (label > 0 && strcmp(host + label, hsm ? hsms[i] : vaults[i]) == 0)
            return true;
    }
    return false;
}

/* Tokens go to these hosts: labels below the suffixes of a cloud, each once. */
static void check_vaults(const struct mount_request *request)
{
    const struct vault_set *set = &request->vaults;
    if (set->n > VAULTS_MAX || set->n_audiences > VAULT_AUDIENCES_MAX)
        abort();
    for (size_t i = 0; i < set->n; i++) {
        if (!is_vault_host(set->at[i].host, set->at[i].hsm))
            abort();
        for (size_t k = 0; k < i; k++) {
            if (strcmp(set->at[i].host, set->at[k].host) == 0)
                abort();
        }
    }
    for (size_t i = 0; i < request->objects.n; i++) {
        const struct vault_order *order = &request->orders[i];
        if (order->n == 0 || order->n > VAULT_ORDER_MAX)
            abort();
        for (size_t k = 0; k < order->n; k++) {
            if (order->at[k] >= set->n || memchr(order->at, order->at[k], k) != NULL)
                abort();
            if (request->identities[vault_set_audience(set, order->at[k])] == NULL)
                abort();
        }
        if (vault_order_has_hsm(set, order) && request->objects.items[i].type != OBJECT_KEY)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct string_map attributes = {0};
    struct string_map secrets = {0};
    struct mount_request request = {0};
    struct cloud cloud = {0};
    if (cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL) < 0)
        abort();
    static struct class_reports reports;
    struct proxy_allowlist *proxies = proxy_allowlist_create("proxy:3128", NULL, 0, NULL);
    const struct request_defaults defaults = {.cloud = &cloud,
                                              .egress = {.ca_dir = "/nonexistent", .proxies = proxies},
                                              .reports = &reports,
                                              .endpoints = {.imds = "http://imds", .nmi = "http://nmi"}};
    cleanup_error struct error *error = NULL;
    const struct mount_input input = {.attributes = &attributes, .secrets = &secrets, .permission = 0644};
    (void)string_map_set(&secrets, "clientid", "a", NULL);
    (void)string_map_set(&secrets, "clientsecret", "b", NULL);
    if (string_map_from_json(&attributes, (const char *)data, size, NULL, NULL) == 0) {
        /* A fuzzer must not read files of its choice. */
        (void)string_map_set(&attributes, "cloudEnvFileName", "/nonexistent", NULL);
        for (size_t i = 0; i < attributes.n; i++)
            if (strncmp(attributes.entries[i].key, "secret.", 7) == 0)
                (void)string_map_set(&secrets, attributes.entries[i].key + 7, attributes.entries[i].value,
                                     NULL);
        if (mount_request_parse(&input, &defaults, &request, &error) == 0) {
            check_vaults(&request);
            mount_request_finish(&request);
        } else if (error == NULL) {
            abort();
        }
        lint(&attributes, error != NULL && !is_of_the_node(error_message(error)));
    }
    string_map_finish(&attributes);
    string_map_finish(&secrets);
    proxy_allowlist_destroy(proxies);
    cloud_finish(&cloud);
    return 0;
}
