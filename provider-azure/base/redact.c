/*
 * redact.c - credentials in texts of peers.
 */
#include "provider-azure/base/redact.h"

#include <string.h>

static size_t common_prefix(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t n = 0;
    while (n < a_len && n < b_len && a[n] == b[n])
        n++;
    return n;
}

/* The length of the longest run at the start of `text` that is part of the secret, 0 if that is too short. */
static size_t run_of(const char *text, size_t len, const struct secret *secret)
{
    const uint8_t *bytes = secret_bytes(secret);
    size_t secret_size = secret_len(secret);
    size_t min = secret_size < REDACT_RUN_MIN ? secret_size : REDACT_RUN_MIN;
    size_t longest = 0;

    if (secret_size < REDACT_VALUE_MIN || len < min)
        return 0;
    const uint8_t *end = bytes + secret_size;
    for (const uint8_t *p = bytes; (p = memmem(p, (size_t)(end - p), text, min)) != NULL; p++) {
        size_t run = common_prefix(p, (size_t)(end - p), (const uint8_t *)text, len);
        if (run > longest)
            longest = run;
    }
    return longest;
}

static size_t longest_run(const char *text, size_t len, const struct secret *const *secrets, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t run = run_of(text, len, secrets[i]);
        if (run > longest)
            longest = run;
    }
    return longest;
}

void redact(char *ret, size_t size, const char *text, const struct secret *const *secrets, size_t n)
{
    size_t left = text != NULL ? strlen(text) : 0;
    size_t used = 0;

    while (left > 0 && used + 1 < size) {
        size_t run = longest_run(text, left, secrets, n);
        const char *piece = run > 0 ? REDACTED : text;
        size_t piece_len = run > 0 ? strlen(REDACTED) : 1;
        if (run == 0)
            run = 1;
        if (piece_len > size - 1 - used)
            piece_len = size - 1 - used;
        memcpy(ret + used, piece, piece_len);
        used += piece_len;
        text += run;
        left -= run;
    }
    ret[used] = '\0';
}
