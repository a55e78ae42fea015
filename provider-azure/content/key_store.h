/*
 * key_store.h - a PKCS#12 file made out of the files of other items: a key with its certificates, or trusted
 * certificates.
 *
 * It has two steps. On the loop the references of the item are resolved, which gives a *recipe*: it owns all
 * that the file is made of. In another thread the recipe is carried out: its sources are read (PEM, or
 * PKCS#12 in bytes or in base64), the chain is put in order, and the file is written (pkcs12_write.h).
 */
#ifndef PROVIDER_AZURE_CONTENT_KEY_STORE_H
#define PROVIDER_AZURE_CONTENT_KEY_STORE_H

#include <stdint.h>

#include "common/crypto/digest.h"
#include "provider-azure/content/compose.h"
#include "provider-azure/content/pem_conversion.h"

struct key_store_recipe;

/* Resolves the references of an item with COMPOSED_PKCS12 or COMPOSED_TRUST_STORE. Errors as compose():
 * FAILED_PRECONDITION, also for an optional object that is not there; of a trust store only when nothing is
 * left. NULL with err set. */
struct key_store_recipe *key_store_prepare(const struct composed_item *item,
                                           const struct compose_source *sources, size_t n,
                                           struct error **err);

/* A digest of everything that the file depends on, and of `principal`: who has read it. */
void key_store_digest(const struct key_store_recipe *recipe, const uint8_t principal[DIGEST_SHA256_LEN],
                      uint8_t ret[DIGEST_SHA256_LEN]);

/* Makes the file, the `text` of the result. Contract: pem_convert(). */
struct pem_conversion *key_store_make(const struct key_store_recipe *recipe, struct pkcs12_run *run);

/* Wipes and frees. Accepts NULL. */
void key_store_recipe_free(struct key_store_recipe *recipe);

#endif
