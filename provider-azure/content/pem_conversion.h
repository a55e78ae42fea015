/*
 * pem_conversion.h - a PFX as PEM, or why it cannot be: the result that the files of several items, mounts
 * and republishes share. A file that is composed as PKCS#12 (key_store.h) is the same in the other direction.
 */
#ifndef PROVIDER_AZURE_CONTENT_PEM_CONVERSION_H
#define PROVIDER_AZURE_CONTENT_PEM_CONVERSION_H

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"
#include "provider-azure/content/certificate.h"

/* The PEM of one PFX, or one PFX. */
enum { PEM_CONVERSION_MAX_BYTES = 1024 * 1024 };

/* Immutable once it is made. */
struct pem_conversion {
    unsigned refs;
    struct buffer text;
    enum certificate_chain chain;
    struct error *error; /* NULL: `text` is the PEM, or the PFX in DER */
    uint64_t cost;       /* of its key derivations: pkcs12_cost.h */
};

/* An empty one with one reference. NULL on lack of memory. */
struct pem_conversion *pem_conversion_create(void);

/* Converts the base64 text of a PFX: see certificate_pem_from_pfx(). May take a second and more. Returns a
 * result with one reference, also for a PFX that cannot be read; NULL on lack of memory. Needs no loop.
 * `run` (may be NULL): with run->later the result means nothing. */
struct pem_conversion *pem_convert(const struct secret *pfx, enum certificate_order order,
                                   struct pkcs12_run *run);

/* Counts one holder more, and one fewer (accepts NULL): the last one wipes the text. On the loop only. */
struct pem_conversion *pem_conversion_ref(struct pem_conversion *conversion);
void pem_conversion_unref(struct pem_conversion *conversion);

#endif
