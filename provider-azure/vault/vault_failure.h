/*
 * vault_failure.h - why a read of a vault failed: the vault could not answer, refused, or something else.
 *
 * Other sources of an object (fallback vaults, values that were read before) take the place of a vault that
 * cannot answer, and never of one that has answered. A vault cannot answer when
 * - its name does not resolve, there is no connection or tunnel to it, or its TLS handshake fails;
 * - it is silent, or its response breaks off;
 * - it returns 408 or 5xx, after the retries that http_retry.h makes;
 * - it returns 429 and the time to wait is beyond the caller's, or 429 in all tries. This is so, too, when
 *   the shared back-off (throttle.h) keeps a request until after the caller's deadline: its pause is longer,
 *   or requests before it use the time up. A pause that ends within the caller's time is waited for.
 *
 * A refusal is a 401, 403 or 404, whoever sends it; also a 401 for which no new token could be had, or after
 * which the vault cannot answer to the new one. All other
 * failures are neither: 400, redirects, a response that is too large or no JSON of Key Vault, lack of memory,
 * no time left for a request.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_FAILURE_H
#define PROVIDER_AZURE_VAULT_VAULT_FAILURE_H

#include "common/base/error.h"
#include "provider-azure/network/transport.h"

enum vault_failure { VAULT_FAILURE_OTHER, VAULT_FAILURE_UNAVAILABLE, VAULT_FAILURE_REFUSED };

/* The outcome of a request to a vault, as http_retry_callback() brings it: `reply`, or `error` if there is
 * none. */
enum vault_failure vault_failure_classify(const struct http_reply *reply, const struct error *error);

/* Marks the error of a read. The mark is the error's type: error_copy() and error_wrap() keep it.
 * VAULT_FAILURE_OTHER removes one. Returns -1. */
int vault_failure_mark(struct error **err, enum vault_failure failure);

/* The mark; VAULT_FAILURE_OTHER for an error without one, and for NULL. */
enum vault_failure vault_failure_of(const struct error *error);

#endif
