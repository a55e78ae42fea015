/*
 * fuzz_ber.c - BER to DER. What comes out is DER: nothing is left to rewrite, and DER is left alone.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/crypto/ber.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_secret struct secret *once = NULL, *twice = NULL;
    struct der whole;

    secret_destroy(ber_join_octets(der_span(data, size), NULL));
    if (ber_to_der(der_span(data, size), &once, NULL) < 0)
        abort();
    if (once == NULL)
        return 0;
    struct der der = der_span(secret_bytes(once), secret_len(once));
    if (ber_to_der(der, &twice, NULL) < 0 || twice != NULL || der_take_any(&der, &whole) < 0)
        abort();
    return 0;
}
