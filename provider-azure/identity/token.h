/*
 * token.h - an access token, shared by everything that is using it.
 */
#ifndef PROVIDER_AZURE_TOKEN_H
#define PROVIDER_AZURE_TOKEN_H

#include <stdint.h>

#include "common/base/secret.h"
#include "provider-azure/crypto/crypto.h"

struct token {
    unsigned refs;
    struct secret *value;
    int64_t expires_unix;
    int64_t refresh_unix; /* from then on a new one is fetched in the background */
    /* Who the service takes the bearer for: mounts whose tokens have the same principal may share what was
     * read with one of them. Each of them holds a token, so each has proved to be that principal. */
    uint8_t principal[DIGEST_LEN];
};

/* The text to send; valid while the token lives. */
static inline const char *token_text(const struct token *token)
{
    return (const char *)secret_bytes(token->value);
}

static inline struct token *token_ref(struct token *token)
{
    token->refs++;
    return token;
}

/* Accepts NULL. Defined in token_cache.c. */
void token_unref(struct token *token);

#endif
