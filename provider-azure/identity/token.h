/*
 * token.h - an access token, shared by everything that is using it.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/crypto/digest.h"

/* The limits of a service's token: Entra's tokens live a day at most, and have some KiB. */
enum { TOKEN_LIFE_MAX_S = 7 * 24 * 3600, TOKEN_TEXT_MAX = 48 * 1024 };

struct token {
    unsigned refs;
    struct secret *value;
    /* Seconds from its reception: until it expires, and until a new one is fetched in the background.
     * Durations, for the wall clock of a node may be set while the token is kept. */
    int64_t life_s;
    int64_t refresh_s;
    uint64_t received_ms; /* on the transport's clock; set by token_fetch.c */
    /* The bearer as the service sees it: mounts whose tokens have the same principal may share a response.
     * Each of them has a token, so each has proved to be that principal. */
    uint8_t principal[DIGEST_SHA256_LEN];
};

/* A token for `text` that expires at `expires_unix`, TOKEN_LIFE_MAX_S from now at the latest. `refresh_in` is
 * in seconds, 0 = unknown. The token has one reference, the caller's. NULL with err set: UNAVAILABLE for a
 * text that cannot be sent in a header, RESOURCE_EXHAUSTED. */
struct token *token_create(const uint8_t principal[DIGEST_SHA256_LEN], const char *text, int64_t expires_unix,
                           int64_t refresh_in, int64_t now_unix, struct error **err);

/* A number of seconds from a service, cut to 0 ... TOKEN_LIFE_MAX_S: safe to add to a time. */
int64_t token_life(int64_t seconds);

/* The text to send; valid while the token lives. */
static inline const char *token_text(const struct token *token)
{
    return (const char *)secret_bytes(token->value);
}

/* The times at which it expires, and from which on a new one is fetched, on the transport's clock. */
static inline uint64_t token_expires_ms(const struct token *token)
{
    return token->received_ms + (uint64_t)token->life_s * 1000;
}

static inline uint64_t token_refresh_ms(const struct token *token)
{
    return token->received_ms + (uint64_t)token->refresh_s * 1000;
}

/* Takes a reference and returns `token`. */
static inline struct token *token_ref(struct token *token)
{
    token->refs++;
    return token;
}

/* Drops a reference; the last one wipes the text. Accepts NULL. */
void token_unref(struct token *token);

#endif
