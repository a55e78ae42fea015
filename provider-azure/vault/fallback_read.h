/*
 * fallback_read.h - one read of an object, or a list, that several vaults may serve: the object's own vault,
 * then its fallback vaults in their order.
 *
 *     time   0            LATE              2 x LATE
 *     1st    ├─ request ──┼─────────────────┤ its response alone counts until here, unless it cannot answer
 *     2nd                 ├─ request ───────┼───────────────┤
 *     3rd                                   ├─ request ── ...
 *
 * - A vault gets a request when the one before cannot answer (vault_failure.h), or is late: FALLBACK_LATE_MS,
 *   less when the mount has little time. A vault in the pause after a 429 that ends within its time is not
 *   late.
 * - The first good response of the earliest vault counts. While a vault is not twice as late, later ones wait
 *   for it, so that one slow response does not change the source of an object. So a silent vault costs a
 *   mount 2 x FALLBACK_LATE_MS.
 * - A vault that was silent or could not answer before, in the same mount, gets one, but nothing waits for
 *   it.
 * - Any other response of a vault (401, 403, 404, ...), or a failure that is not a vault's, ends the read: no
 *   later vault gets a request. That an object is not there is only taken from its own vault.
 * - Each vault leaves FALLBACK_RESERVE_MS of the mount's time to every one behind it. A 429 whose pause is
 *   longer than what is left then means that it cannot answer.
 *
 * The error of a read has the causes of all vaults that got a request. It is marked as
 * VAULT_FAILURE_UNAVAILABLE when none of them could answer. Contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_VAULT_FALLBACK_READ_H
#define PROVIDER_AZURE_VAULT_FALLBACK_READ_H

#include "provider-azure/vault/vault_cache.h"
#include "provider-azure/vault/vault_set.h"
#include "provider-azure/vault/vault_tokens.h"

/* A request on a kept connection that the network has dropped gets its response after about two seconds:
 * common/http/client.h. Key Vault responds within one. */
enum { FALLBACK_LATE_MS = 2500, FALLBACK_RESERVE_MS = 10 * 1000 };

struct fallback_read;

/* Borrowed until the end, but `query`, which is borrowed during the start. */
struct fallback_read_input {
    const struct transport *transport;
    struct azure_metrics *metrics; /* may be NULL */
    struct vault_cache *cache;
    const struct vault_set *vaults;
    const struct vault_tokens *tokens;
    const struct vault_order *order; /* of two vaults or more */
    const struct vault_query *query; /* without a vault; its texts and filter are borrowed until the end */
    const struct vault_freshness *freshness;
    uint64_t deadline_ms;
    /* Of each vault of the set: it was silent, or could not answer. Shared by a mount's reads. */
    bool *suspects;
};

/* As vault_callback(), and the index in the set of the vault that served the response. `cause`, borrowed, is
 * why the vaults before it did not; NULL when it is the object's own. */
typedef void fallback_callback(struct vault_response *response, size_t vault, const struct error *cause,
                               const struct error *error, void *arg);

struct fallback_read *fallback_read_start(const struct fallback_read_input *input,
                                          fallback_callback *callback, void *arg, struct error **err);

/* Why there is no response yet: sets *err, marked. Returns -1. */
int fallback_read_pending_error(const struct fallback_read *read, struct error **err);

/* Ends the read without a callback. Sets *read to NULL; accepts a pointer to NULL. */
void fallback_read_cancel(struct fallback_read **read);

#endif
