/*
 * tokens.c - see tokens.h.
 */
#include "test/emulator/tokens.h"

#include <cjson/cJSON.h>

#include "test/emulator/base64.h"
#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"

enum { FIRST_PURGE = 4096, SIGNATURE_BYTES = 256 /* RS256 with a 2048-bit key */ };

struct token_store {
    struct map by_text; /* struct token */
    size_t purge_at;    /* purge expired ones when there are so many */
};

struct token_store *tokens_create(void)
{
    struct token_store *tokens = xcalloc(1, sizeof(*tokens));
    tokens->purge_at = FIRST_PURGE;
    return tokens;
}

static void token_free(void *value)
{
    struct token *token = value;
    free(token->tenant);
    free(token->client_id);
    free(token->audience);
    free(token->object_id);
    free(token);
}

void tokens_revoke_all(struct token_store *tokens)
{
    map_finish(&tokens->by_text, token_free);
}

void tokens_destroy(struct token_store *tokens)
{
    tokens_revoke_all(tokens);
    free(tokens);
}

const struct token *tokens_find(const struct token_store *tokens, const char *text)
{
    return map_get(&tokens->by_text, text);
}

/* Bounds the memory of long runs; amortised over the tokens issued in between. */
static void purge(struct token_store *tokens)
{
    time_t now = unix_now();
    struct map_cursor cursor = {0};
    for (struct map_entry *entry; (entry = map_next(&tokens->by_text, &cursor)) != NULL;) {
        struct token *token = entry->value;
        if (token->expires_unix < now) {
            (void)map_remove(&tokens->by_text, entry->key);
            token_free(token);
        }
    }
    tokens->purge_at = tokens->by_text.count * 2 < FIRST_PURGE ? FIRST_PURGE : tokens->by_text.count * 2;
}

static void append_part(struct text *jwt, cJSON *json)
{
    char *plain = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    char *encoded = base64url_encode(plain, strlen(plain));
    text_append(jwt, encoded);
    text_append(jwt, ".");
    free(encoded);
    free(plain);
}

char *tokens_issue(struct token_store *tokens, const char *issuer_base, const char *tenant,
                   const char *client_id, const char *object_id, const char *audience, long lifetime_s)
{
    if (tokens->by_text.count >= tokens->purge_at)
        purge(tokens);
    time_t now = unix_now();
    struct token *token = xcalloc(1, sizeof(*token));
    token->tenant = xstrdup(tenant);
    token->client_id = xstrdup(client_id);
    token->audience = xstrdup(audience);
    token->object_id = xstrdup(object_id);
    token->expires_unix = now + lifetime_s;

    struct text jwt = {0};
    cJSON *header = cJSON_CreateObject();
    cJSON_AddStringToObject(header, "typ", "JWT");
    cJSON_AddStringToObject(header, "alg", "RS256");
    cJSON_AddStringToObject(header, "kid", "emulator");
    append_part(&jwt, header);

    char id[GUID_SIZE];
    random_guid(id);
    char *issuer = format_text("%s/%s/v2.0", issuer_base, tenant);
    cJSON *claims = cJSON_CreateObject();
    cJSON_AddStringToObject(claims, "aud", audience);
    cJSON_AddStringToObject(claims, "iss", issuer);
    cJSON_AddNumberToObject(claims, "iat", (double)now);
    cJSON_AddNumberToObject(claims, "nbf", (double)now);
    cJSON_AddNumberToObject(claims, "exp", (double)token->expires_unix);
    cJSON_AddStringToObject(claims, "appid", client_id);
    cJSON_AddStringToObject(claims, "oid", object_id);
    cJSON_AddStringToObject(claims, "tid", tenant);
    cJSON_AddStringToObject(claims, "uti", id);
    cJSON_AddStringToObject(claims, "ver", "1.0");
    append_part(&jwt, claims);
    free(issuer);

    uint64_t signature[SIGNATURE_BYTES / sizeof(uint64_t)];
    for (size_t i = 0; i < ARRAY_SIZE(signature); i++)
        signature[i] = random_u64();
    char *encoded = base64url_encode(signature, sizeof(signature));
    text_append(&jwt, encoded);
    free(encoded);

    (void)map_set(&tokens->by_text, jwt.bytes, token); /* random: there is no old one */
    return text_take(&jwt);
}
