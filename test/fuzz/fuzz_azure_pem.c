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

/* What was repaired needs no repair any more. */
static void repair(const char *text, size_t len)
{
    struct buffer once = {.ceiling = 4 << 20}, twice = {.ceiling = 4 << 20};
    if (certificate_repair_pem(text, len, &once, NULL) < 0 ||
        certificate_repair_pem(buffer_str(&once), once.len, &twice, NULL) < 0 || once.len != twice.len ||
        count_blocks(buffer_str(&once), once.len) != count_blocks(text, len))
        abort();
    buffer_finish(&once);
    buffer_finish(&twice);
}

/* No certificate is lost by the order, whatever key is there. */
static void order(const char *text, size_t len)
{
    struct buffer out = {.ceiling = 2 << 20};
    if (certificate_order_pem(text, len, &out, NULL) < 0 || out.len != len ||
        count_blocks(buffer_str(&out), out.len) != count_blocks(text, len))
        abort();
    buffer_finish(&out);
}

/* As a PKCS#12 file has them: the first block is the key, unless it is a certificate. */
static void order_ders(const char *text, size_t len)
{
    struct secret *ders[CERTIFICATE_CHAIN_MAX + 1];
    struct chain_part parts[CERTIFICATE_CHAIN_MAX + 1];
    size_t order[CERTIFICATE_CHAIN_MAX];
    const char *at = text, *end = text + len;
    struct pem_block block;
    uint64_t seen = 0;
    size_t n = 0;
    while (n <= CERTIFICATE_CHAIN_MAX && pem_next(&at, end, &block)) {
        ders[n] = base64_decode(block.body, block.body_len, NULL);
        if (ders[n] == NULL)
            continue;
        parts[n] = (struct chain_part){.der = der_span(secret_bytes(ders[n]), secret_len(ders[n])),
                                       .local_key_id = der_span(secret_bytes(ders[n]), 0)};
        n++;
    }
    if (n > 1) {
        (void)certificate_chain_order(parts + 1, n - 1, &parts[0], order);
        for (size_t i = 0; i < n - 1; i++)
            seen |= UINT64_C(1) << order[i];
        if (seen + 1 != (n - 1 == 64 ? 0 : UINT64_C(1) << (n - 1)))
            abort(); /* not a permutation */
    }
    for (size_t i = 0; i < n; i++)
        secret_destroy(ders[i]);
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
    repair(text, size);
    order(text, size);
    order_ders(text, size);
    buffer_finish(&certificates);
    buffer_finish(&keys);
    return 0;
}
