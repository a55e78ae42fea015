/*
 * token.c - access tokens: their life and their reference count.
 */
#include "provider-azure/identity/token.h"

#include <stdlib.h>
#include <string.h>

/* Refresh this long before the end; Entra's tokens live an hour or more. A token that lives longer than
 * two hours (those of managed identities live a day) is refreshed at half of its life. */
enum { REFRESH_BEFORE_S = 300, LONG_LIFE_S = 7200 };

int64_t token_life(int64_t seconds)
{
    if (seconds < 0)
        return 0;
    return seconds < TOKEN_LIFE_MAX_S ? seconds : TOKEN_LIFE_MAX_S;
}

/* Whether the text fits into a header (RFC 6750, 2.1, and the characters that services add to it). */
static bool fits_header(const char *text)
{
    size_t len = strnlen(text, TOKEN_TEXT_MAX + 1);
    if (len == 0 || len > TOKEN_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return true;
}

struct token *token_create(const uint8_t principal[DIGEST_SHA256_LEN], const char *text, int64_t expires_unix,
                           int64_t refresh_in, int64_t now_unix, struct error **err)
{
    if (!fits_header(text)) {
        error_set(
            err, GRPC_STATUS_UNAVAILABLE,
            "the access_token in the response is longer than %d bytes or has characters that no token has",
            TOKEN_TEXT_MAX);
        return NULL;
    }
    struct token *token = calloc(1, sizeof(*token));
    if (token != NULL) {
        token->refs = 1;
        token->value = secret_from_bytes(text, strlen(text));
    }
    if (token == NULL || token->value == NULL) {
        (void)error_no_memory(err, NULL);
        token_unref(token);
        return NULL;
    }
    token->life_s = expires_unix > now_unix ? token_life(expires_unix - now_unix) : 0;
    token->refresh_s = token->life_s > LONG_LIFE_S        ? token->life_s / 2
                       : token->life_s > REFRESH_BEFORE_S ? token->life_s - REFRESH_BEFORE_S
                                                          : 0;
    if (refresh_in > 0 && token_life(refresh_in) < token->refresh_s)
        token->refresh_s = token_life(refresh_in);
    memcpy(token->principal, principal, DIGEST_SHA256_LEN);
    return token;
}

void token_unref(struct token *token)
{
    if (token == NULL || --token->refs > 0)
        return;
    secret_destroy(token->value);
    free(token);
}
