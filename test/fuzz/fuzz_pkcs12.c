/*
 * fuzz_pkcs12.c - the PKCS#12 reader on anything.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/pki/pkcs12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    (void)pkcs12_read(data, size, &pkcs12, NULL);
    return 0;
}
