/*
 * vault_error.h - errors of Key Vault: responses with a status other than 200.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_ERROR_H
#define PROVIDER_AZURE_VAULT_VAULT_ERROR_H

#include <stdbool.h>

#include "common/base/error.h"
#include "provider-azure/network/transport.h"

/* The error for the reply, one line: status, code, inner code, message, request id, and a hint where one
 * helps. 400 INVALID_ARGUMENT, 401 UNAUTHENTICATED, 403 PERMISSION_DENIED, 404 NOT_FOUND, 429
 * RESOURCE_EXHAUSTED, 5xx UNAVAILABLE. `tries`: how many requests it took. Returns -1. */
int vault_error(const struct http_reply *reply, const char *host, unsigned tries, struct error **err);

/* Whether the reply says that the vault has no such object, or that the object is disabled: 404 with the
 * code SecretNotFound, KeyNotFound or CertificateNotFound; 403 with the inner code SecretDisabled,
 * KeyDisabled or CertificateDisabled. All other responses with these statuses are failures: a gateway sends
 * them as well. */
bool vault_error_is_not_found(const struct http_reply *reply);

#endif
