/*
 * cloud.h - the endpoints of Entra, Key Vault and Managed HSM: the table of Azure clouds and the custom cloud
 * file.
 */
#ifndef PROVIDER_AZURE_CLOUD_CLOUD_H
#define PROVIDER_AZURE_CLOUD_CLOUD_H

#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

struct cloud {
    char *name;
    char *authority;    /* Active Directory endpoint, "https://login.microsoftonline.com/" (with the slash) */
    char *vault;        /* Key Vault endpoint without trailing slash: the audience of vault tokens */
    char *vault_suffix; /* "vault.azure.net" */
    char *hsm;          /* the same two for Managed HSM; "" when the cloud has none */
    char *hsm_suffix;
};

/* The name that selects the custom file. */
#define CLOUD_CUSTOM_NAME "AzureStackCloud"

/* Finds the cloud `name` in any case. For CLOUD_CUSTOM_NAME the file at `custom_path` is read; the path
 * comes with the mount and is never stored anywhere. Errors are INVALID_ARGUMENT with the known texts:
 * "autorest/azure: There is no cloud environment matching the name ...", "open <path>: no such file or
 * directory". The read is of a small local file (a ConfigMap or hostPath) and synchronous. */
int cloud_resolve(const char *name, const char *custom_path, struct cloud *ret_cloud, struct error **err);

/* Reads a custom cloud file: keys without regard to case, unknown ones ignored; activeDirectoryEndpoint (an
 * https URL) and keyVaultDNSSuffix required; keyVaultEndpoint (an https URL) is "https://<keyVaultDNSSuffix>" unless it is given; managedHSMEndpoint and managedHSMDNSSuffix only together. "" and "N/A", as
 * the tools write it, mean none. */
int cloud_parse(const char *json, size_t len, struct cloud *ret_cloud, struct error **err);

/* "<resource>/.default" unless it ends so already; the caller frees. The double slash of a resource with a
 * trailing slash is kept: it is part of the audience. NULL on lack of memory. */
char *cloud_scope(const char *resource);

/* Copies all texts; `ret_cloud` is ended with cloud_finish(). */
int cloud_copy(const struct cloud *from, struct cloud *ret_cloud, struct error **err);

/* Frees all texts. Accepts one that is all zero. */
void cloud_finish(struct cloud *cloud);
#define cleanup_cloud CLEANUP(cloud_finish)

#endif
