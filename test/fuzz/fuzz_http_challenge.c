/*
 * fuzz_http_challenge.c - WWW-Authenticate values: no crash, no leak, and no value that is longer than the
 * header.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *value, size_t size)
{
    if (value != NULL && strlen(value) > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    cleanup_http_challenge struct http_challenge challenge = {0};
    if (http_challenge_parse(text, &challenge, NULL) == 0) {
        check(challenge.authorization, size);
        check(challenge.resource, size);
        check(challenge.scope, size);
        check(challenge.claims, size);
        check(challenge.error, size);
    }
    free(text);
    return 0;
}
