/*
 * fuzz_azure_cloud.c - the custom cloud file; an accepted one must give a vault URL with a host.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/vault/vault.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cloud cloud = {0};
    struct vault vault = {0};
    if (cloud_parse((const char *)data, size, &cloud, NULL) == 0) {
        (void)vault_init(&vault, "testkv", &cloud, NULL);
        vault_finish(&vault);
        /* a URL made of the cloud's own suffix, when that is one a host can have */
        char url[512];
        (void)snprintf(url, sizeof(url), "https://testhsm.%s/", cloud.hsm_suffix);
        (void)vault_init_url(&vault, url, &cloud, NULL);
    }
    struct fuzz_input input = {.at = data, .left = size};
    cleanup_free char *text = fuzz_text(&input, size);
    if (text != NULL && vault_host_is_below("testkv.vault.azure.net", text) &&
        strstr(text, "vault") == NULL && strcasestr(text, "net") == NULL)
        abort();
    vault_finish(&vault);
    cloud_finish(&cloud);
    return 0;
}
