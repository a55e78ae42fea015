/*
 * pem_cache.h - conversions of PFX to PEM, and files that are composed as PFX, each made once, in another
 * thread.
 *
 * Equal bytes that were read by one principal are converted once: all who ask while the conversion runs share
 * it, and its result is kept as long as the vault's response may be (--republish-cache-ttl). So an object
 * with twenty aliases, a republish and a hundred pods of one class cost one conversion. A conversion that
 * nobody waits for any more is dropped, or ends within a millisecond.
 *
 * A mount has a budget for the key derivations that it causes. What is shared or kept costs it nothing, so a
 * mount that ran out of it comes further the next time.
 */
#ifndef PROVIDER_AZURE_CONTENT_PEM_CACHE_H
#define PROVIDER_AZURE_CONTENT_PEM_CACHE_H

#include "common/crypto/digest.h"
#include "common/crypto/pkcs12_cost.h"
#include "provider-azure/content/key_store.h"
#include "provider-azure/content/pem_conversion.h"
#include "provider-azure/network/transport.h"

/* Enough for the certificates of all pods of a node; beyond it the oldest goes first. */
enum { PEM_CACHE_MAX_RESULTS = 256, PEM_CACHE_MAX_BYTES = 2 * 1024 * 1024 };
/* The budget of one mount: eight files that cost as much as one file may, about ten seconds of a processor;
 * or thousands as Key Vault makes them. */
#define PEM_CACHE_MOUNT_BUDGET (UINT64_C(8) * PKCS12_COST_MAX)

struct pem_cache;
struct pem_waiter;

/* What the conversions of one mount have cost so far; all zero at first. */
struct pem_budget {
    uint64_t used; /* see pkcs12_cost.h */
};

/* The result, a reference of the callee's; or `error`: RESOURCE_EXHAUSTED, borrowed. */
typedef void pem_callback(struct pem_conversion *conversion, const struct error *error, void *arg);

/* An empty cache; `ttl_ms` 0 keeps nothing. `transport` is borrowed. NULL with err set on lack of memory. */
struct pem_cache *pem_cache_create(const struct transport *transport, uint64_t ttl_ms, uint64_t mount_budget,
                                   enum certificate_order order, struct error **err);

/* Starts or joins a conversion. `pfx` (base64 text) is borrowed during the call, `budget` until the callback;
 * it is charged with a conversion that this call starts. Contract: common/grpc/client.h. NULL with err set:
 * RESOURCE_EXHAUSTED on lack of memory or of budget. */
struct pem_waiter *pem_cache_get(struct pem_cache *cache, const uint8_t principal[DIGEST_SHA256_LEN],
                                 const struct secret *pfx, struct pem_budget *budget, pem_callback *callback,
                                 void *arg, struct error **err);

/* The same for a PKCS#12 file: starts or joins the making of it. Takes over *recipe, also on failure. */
struct pem_waiter *pem_cache_get_key_store(struct pem_cache *cache,
                                           const uint8_t principal[DIGEST_SHA256_LEN],
                                           struct key_store_recipe **recipe, struct pem_budget *budget,
                                           pem_callback *callback, void *arg, struct error **err);

/* Ends the wait without a callback. Sets *waiter to NULL; accepts a pointer to NULL. */
void pem_waiter_cancel(struct pem_waiter **waiter);

/* Wipes what is kept. No waiter may be left. Accepts NULL. */
void pem_cache_destroy(struct pem_cache *cache);

#endif
