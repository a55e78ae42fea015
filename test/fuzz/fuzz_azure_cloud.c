/*
 * fuzz_azure_cloud.c - the custom cloud file; what is accepted must give a vault URL with a host.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/cloud.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cloud cloud = {0};
    struct vault vault = {0};
    if (cloud_parse((const char *)data, size, &cloud, NULL) == 0)
        (void)vault_init(&vault, "testkv", &cloud, NULL);
    vault_finish(&vault);
    cloud_finish(&cloud);
    return 0;
}
