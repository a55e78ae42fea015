/*
 * pem_conversion.c - one conversion.
 */
#include "provider-azure/content/pem_conversion.h"

#include <stdlib.h>

struct pem_conversion *pem_conversion_create(void)
{
    struct pem_conversion *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->refs = 1;
    made->chain = CERTIFICATE_CHAIN_ORDERED;
    buffer_init(&made->text, PEM_CONVERSION_MAX_BYTES);
    return made;
}

struct pem_conversion *pem_convert(const struct secret *pfx, enum certificate_order order,
                                   struct pkcs12_run *run)
{
    struct pem_conversion *made = pem_conversion_create();
    if (made == NULL)
        return NULL;
    (void)certificate_pem_from_pfx((const char *)secret_bytes(pfx), secret_len(pfx), order, run, &made->text,
                                   &made->chain, &made->cost, &made->error);
    return made;
}

struct pem_conversion *pem_conversion_ref(struct pem_conversion *conversion)
{
    conversion->refs++;
    return conversion;
}

void pem_conversion_unref(struct pem_conversion *conversion)
{
    if (conversion == NULL || --conversion->refs > 0)
        return;
    buffer_finish(&conversion->text);
    error_free(conversion->error);
    free(conversion);
}
