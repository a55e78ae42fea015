/*
 * fuzz_azure_pem.c - PEM texts: finding blocks, separate files for certificates and keys, and the order of
 * the certificates that are in there.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12.h"
#include "provider-azure/content/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_blocks(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    struct pem_block block;
    size_t n = 0;
    while (pem_next(&at, end, &block)) {
        if (block.whole < text || block.whole + block.whole_len > end || block.body < block.whole)
            abort();
        n++;
    }
    return n;
}

static void order(const char *text, size_t len)
{
    struct secret *certificates[PKCS12_ITEMS_MAX];
    const char *at = text, *end = text + len;
    struct pem_block block;
    size_t n = 0;
    while (n < PKCS12_ITEMS_MAX && pem_next(&at, end, &block)) {
        certificates[n] = base64_decode(block.body, block.body_len, NULL);
        n += certificates[n] != NULL ? 1 : 0;
    }
    (void)certificate_chain_order(certificates, &n);
    for (size_t i = 0; i < n; i++)
        secret_destroy(certificates[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct buffer certificates = {.ceiling = 1 << 20}, keys = {.ceiling = 1 << 20};
    size_t n = count_blocks(text, size);
    if (certificate_split_pem(text, size, &certificates, &keys, NULL) == 0 &&
        count_blocks(buffer_str(&certificates), certificates.len) +
                count_blocks(buffer_str(&keys), keys.len) !=
            n)
        abort(); /* a block was lost, or made */
    order(text, size);
    buffer_finish(&certificates);
    buffer_finish(&keys);
    return 0;
}
