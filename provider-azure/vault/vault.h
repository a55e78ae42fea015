/*
 * vault.h - which vault a mount reads: a Key Vault by its name, or a Key Vault or Managed HSM by its URL.
 *
 * Tokens go to the host made here and nowhere else, so a URL is taken only when its host is one label in
 * front of a suffix of the cloud: `https://<label>.vault.azure.net`, `https://<label>.managedhsm.azure.net`.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_H
#define PROVIDER_AZURE_VAULT_VAULT_H

#include <stdbool.h>

#include "common/base/error.h"
#include "provider-azure/cloud/cloud.h"

struct vault {
    char *name;
    char *url;      /* "https://<name>.<suffix>/" */
    char *host;     /* "<name>.<suffix>" without a port, lower case */
    char *audience; /* of tokens for it, without a trailing slash */
    bool hsm;       /* a Managed HSM: it has keys and nothing else */
};

/* A Key Vault. INVALID_ARGUMENT `Invalid vault name: "<n>", must be between 3 and 24 chars` or `..., must
 * match [-a-zA-Z0-9]{3,24}`. On failure *vault is empty. */
int vault_init(struct vault *vault, const char *name, const struct cloud *cloud, struct error **err);

/* The vault or Managed HSM that `url` names: https, no user info, no path but "/", no query; the port is the
 * suffix's own (":443" may be written out). INVALID_ARGUMENT. */
int vault_init_url(struct vault *vault, const char *url, const struct cloud *cloud, struct error **err);

/* Whether `host` lies below the host of the URL `resource`: only then may a token for the resource go
 * there. */
bool vault_host_is_below(const char *host, const char *resource);

/* Frees the texts. */
void vault_finish(struct vault *vault);

#endif
