/*
 * fuzz_http_date.c - Retry-After values: no crash, and every accepted value is within the limits.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/retry_after.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int64_t ms = retry_after_value_ms(text, 1700000000);
    if (ms < -1 || ms > RETRY_AFTER_MAX_MS)
        abort();
    int64_t number = retry_after_number_ms(text, 1);
    if (number < -1 || number > RETRY_AFTER_MAX_MS)
        abort();
    free(text);
    return 0;
}
