/*
 * tokens.h - the access tokens that were issued and are still known.
 */
#ifndef EMULATOR_TOKENS_H
#define EMULATOR_TOKENS_H

#include <time.h>

struct token {
    char *tenant;    /* owned, all four */
    char *client_id; /* the application */
    char *audience;
    char *object_id; /* of the service principal; goes into error texts */
    time_t expires_unix;
};

struct token_store;
struct token_store *tokens_create(void);
void tokens_destroy(struct token_store *tokens);

/* Makes a new token that looks like a JWT (readable header and claims, random signature) and remembers it.
 * Returns its text, which the caller frees. `issuer_base` is Entra's URL. */
char *tokens_issue(struct token_store *tokens, const char *issuer_base, const char *tenant,
                   const char *client_id, const char *object_id, const char *audience, long lifetime_s);

/* The token with that text, or NULL; expired ones are still found for a while. Valid until the next call that
 * is not a look-up. */
const struct token *tokens_find(const struct token_store *tokens, const char *text);

/* Forgets all. */
void tokens_revoke_all(struct token_store *tokens);

#endif
