/*
 * vault_resource.h - the resource of tokens that a vault itself names.
 *
 * A request without a token is refused with a challenge (WWW-Authenticate) that has the resource. It serves
 * where the cloud's own resource is unknown to the token service (AADSTS500011): vaults that are not Azure's,
 * and cloud files without keyVaultEndpoint. Only a resource whose host lies above the vault's is taken: a
 * vault must not get tokens for another service. Contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_RESOURCE_H
#define PROVIDER_AZURE_VAULT_VAULT_RESOURCE_H

#include "provider-azure/network/http_retry.h"
#include "provider-azure/vault/vault.h"

struct vault_resource;

/* Either `resource`, without a trailing slash or "/.default", or `error`; both borrowed. */
typedef void vault_resource_callback(const char *resource, const struct error *error, void *arg);

/* Sends the request. `network` is borrowed until the end; `vault` and `egress` (may be NULL) during this
 * call. */
struct vault_resource *vault_resource_start(const struct network *network, const struct vault *vault,
                                            struct egress *egress, uint64_t deadline_ms,
                                            vault_resource_callback *callback, void *arg, struct error **err);

/* Ends it without a callback. Sets *query to NULL; accepts a pointer to NULL. */
void vault_resource_cancel(struct vault_resource **query);

#endif
