/*
 * fuzz_tls_split.c - certificates and private keys out of any file. What comes out must go in again and stay
 * the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "driver/sync/tls_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct secret *split(const void *file, size_t len, struct error **err);

static void check(split *function, const uint8_t *data, size_t size)
{
    cleanup_secret struct secret *once = function(data, size, NULL);
    cleanup_secret struct secret *twice = NULL;

    if (once == NULL)
        return;
    twice = function(secret_bytes(once), secret_len(once), NULL);
    if (!secret_equal(once, twice) && secret_len(once) <= TLS_FILE_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(tls_split_certificates, data, size);
    check(tls_split_private_key, data, size);
    return 0;
}
