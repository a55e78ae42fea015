/*
 * vault_answer.c - reading Key Vault's JSON.
 */
#include "provider-azure/vault/vault_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "common/crypto/encoding.h"
#include "provider-azure/vault/vault_response_private.h"

/* How much of a server's message is quoted. */
enum { VAULT_MESSAGE_MAX = 400, VAULT_CODE_MAX = 64 };

static int no_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static int missing(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s", text);
}

/* Caller frees; NULL on lack of memory. */
static char *version_of(const char *id)
{
    enum { VERSION_SEGMENT = 2 };
    return vault_id_segment(id, VERSION_SEGMENT);
}

static struct secret *copy_secret(const char *text, struct error **err)
{
    struct secret *secret = secret_from_bytes(text, strlen(text));
    if (secret == NULL)
        no_memory(err);
    return secret;
}

static int opt_copy(const cJSON *object, const char *key, char **ret, struct error **err)
{
    const char *text = NULL;
    if (json_opt_string(object, key, &text, err) < 0)
        return -1;
    *ret = strdup(text != NULL ? text : "");
    return *ret == NULL ? no_memory(err) : 0;
}

static int parse_secret(const cJSON *root, struct vault_answer *answer, struct error **err)
{
    const char *value = NULL;
    const char *id = NULL;
    const char *kid = NULL;

    if (json_opt_string(root, "value", &value, err) < 0 || json_opt_string(root, "id", &id, err) < 0 ||
        json_opt_string(root, "kid", &kid, err) < 0 ||
        opt_copy(root, "contentType", &answer->content_type, err) < 0)
        return -1;
    if (value == NULL)
        return missing(err, "secret value is nil");
    if (id == NULL)
        return missing(err, "secret id is nil");
    answer->certificate = kid != NULL && *kid != '\0';
    answer->value = copy_secret(value, err);
    answer->version = version_of(id);
    if (answer->value == NULL)
        return -1;
    return answer->version == NULL ? no_memory(err) : 0;
}

static int key_number(const cJSON *key, const char *name, struct secret **ret, struct error **err)
{
    const char *text = NULL;
    if (json_opt_string(key, name, &text, err) < 0)
        return -1;
    if (text == NULL)
        return 0;
    *ret = base64url_decode(text, strlen(text), err);
    return *ret == NULL ? error_wrap(err, "key parameter %s", name) : 0;
}

static int parse_key(const cJSON *root, struct vault_answer *answer, struct error **err)
{
    const cJSON *key = NULL;
    const char *kid = NULL;

    if (json_opt_object(root, "key", &key, err) < 0)
        return -1;
    if (key == NULL)
        return missing(err, "key value is nil");
    if (json_opt_string(key, "kid", &kid, err) < 0)
        return -1;
    if (kid == NULL)
        return missing(err, "key id is nil");
    answer->version = version_of(kid);
    if (answer->version == NULL)
        return no_memory(err);
    if (opt_copy(key, "kty", &answer->kty, err) < 0 || opt_copy(key, "crv", &answer->crv, err) < 0 ||
        key_number(key, "n", &answer->n, err) < 0 || key_number(key, "e", &answer->e, err) < 0 ||
        key_number(key, "x", &answer->x, err) < 0 || key_number(key, "y", &answer->y, err) < 0)
        return -1;
    return 0;
}

static int parse_cert(const cJSON *root, struct vault_answer *answer, struct error **err)
{
    const char *cer = NULL;
    const char *id = NULL;

    if (json_opt_string(root, "cer", &cer, err) < 0 || json_opt_string(root, "id", &id, err) < 0)
        return -1;
    if (cer == NULL)
        return missing(err, "certificate value is nil");
    if (id == NULL)
        return missing(err, "certificate id is nil");
    answer->value = copy_secret(cer, err);
    answer->version = version_of(id);
    if (answer->value == NULL)
        return -1;
    return answer->version == NULL ? no_memory(err) : 0;
}

struct vault_answer *vault_answer_new(struct error **err)
{
    struct vault_answer *answer = calloc(1, sizeof(*answer));
    if (answer == NULL)
        no_memory(err);
    else
        answer->refs = 1;
    return answer;
}

cJSON *vault_json_parse(const char *json, size_t len, struct error **err)
{
    cleanup_json cJSON *root = json_parse(json, len, VAULT_ANSWER_MAX, err);
    if (root == NULL) {
        error_recode(err, GRPC_STATUS_UNAVAILABLE);
        /* A vault's own JSON that can not be taken, for example for a NUL in a value, is told from a web
         * page. */
        if (len > 0 && json[0] == '{')
            error_wrap(err, "the vault's answer can not be read");
        else
            error_wrap(err, "the vault's answer is not JSON (a proxy in between?)");
        error_check_memory(err, "the vault's answer");
        return NULL;
    }
    if (!cJSON_IsObject(root)) {
        error_set(err, GRPC_STATUS_UNAVAILABLE, "the vault's answer is not a JSON object");
        return NULL;
    }
    return steal_ptr(&root);
}

void vault_answer_blame(struct error **err)
{
    if (err == NULL || error_code(*err) != GRPC_STATUS_INVALID_ARGUMENT)
        return;
    error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
    error_wrap(err, "the vault's answer");
}

struct vault_answer *vault_answer_parse(enum object_type type, const char *json, size_t len,
                                        struct error **err)
{
    cleanup_json cJSON *root = vault_json_parse(json, len, err);
    if (root == NULL)
        return NULL;
    struct vault_answer *answer = vault_answer_new(err);
    if (answer == NULL)
        return NULL;
    int result = type == OBJECT_SECRET ? parse_secret(root, answer, err)
                 : type == OBJECT_KEY  ? parse_key(root, answer, err)
                                       : parse_cert(root, answer, err);
    if (result < 0) {
        vault_answer_blame(err);
        vault_answer_unref(answer);
        return NULL;
    }
    return answer;
}

struct vault_answer *vault_answer_ref(struct vault_answer *answer)
{
    answer->refs++;
    return answer;
}

void vault_answer_unref(struct vault_answer *answer)
{
    if (answer == NULL || --answer->refs > 0)
        return;
    for (size_t i = 0; i < answer->n_entries; i++)
        vault_entry_finish(&answer->entries[i]);
    free(answer->entries);
    error_free(answer->absence);
    free(answer->version);
    free(answer->content_type);
    free(answer->kty);
    free(answer->crv);
    secret_destroy(answer->value);
    secret_destroy(answer->n);
    secret_destroy(answer->e);
    secret_destroy(answer->x);
    secret_destroy(answer->y);
    free(answer);
}

static void mark_more(uint8_t mark[DIGEST_LEN], const struct digest_field *fields, size_t n)
{
    uint8_t next[DIGEST_LEN];
    digest_fields(fields, n, next);
    memcpy(mark, next, DIGEST_LEN);
}

void vault_answer_mark(const struct vault_answer *answer, uint8_t ret_mark[DIGEST_LEN])
{
    const char *version = answer->version != NULL ? answer->version : "";
    /* Only an answer without a version has to be known by its content. */
    const struct secret *content = *version == '\0' ? answer->value : NULL;
    const struct digest_field fields[] = {
        {version, strlen(version)},
        {secret_bytes(content), secret_len(content)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_mark);
    for (size_t i = 0; i < answer->n_entries; i++) {
        const struct vault_entry *entry = &answer->entries[i];
        const struct digest_field chained[] = {
            {ret_mark, DIGEST_LEN},
            {entry->name, strlen(entry->name)},
            {entry->version, strlen(entry->version)},
            {&entry->enabled, sizeof(entry->enabled)},
        };
        mark_more(ret_mark, chained, ARRAY_SIZE(chained));
        for (size_t k = 0; k < entry->tags.n; k++) {
            const struct string_map_entry *tag = &entry->tags.entries[k];
            const struct digest_field named[] = {
                {ret_mark, DIGEST_LEN}, {tag->key, strlen(tag->key)}, {tag->value, strlen(tag->value)}};
            mark_more(ret_mark, named, ARRAY_SIZE(named));
        }
    }
}

size_t vault_answer_size(const struct vault_answer *answer)
{
    size_t tags = 0;
    for (size_t i = 0; i < answer->n_entries; i++)
        tags += answer->entries[i].tags.n;
    return sizeof(*answer) + 256 + secret_len(answer->value) + secret_len(answer->n) +
           answer->n_entries * (sizeof(*answer->entries) + 128) + tags * 128;
}

/* --- errors
 * -----------------------------------------------------------------------------------------------------------
 */

static const char *hint_for(int status, const char *code, const char *inner, const char *message)
{
    if (status == 403 &&
        (strcmp(inner, "ForbiddenByFirewall") == 0 || strcmp(inner, "ForbiddenByConnection") == 0 ||
         strstr(message, "Client address is not authorized") != NULL))
        return "the vault's firewall does not let this node in";
    if (status == 403 && (strstr(inner, "Disabled") != NULL || strstr(message, "disabled") != NULL))
        return "this version is disabled";
    if (status == 403 && strcmp(inner, "ForbiddenByRbac") == 0)
        return "the identity lacks a role on the vault, or it was assigned minutes ago";
    if (status == 403 && strcmp(inner, "AccessDenied") == 0)
        return "the vault's access policy does not allow this identity get (and list, for a history or a selection)";
    if (status == 401 && strstr(message, "AKV10032") != NULL)
        return "tenantID is not the vault's tenant";
    if (status == 401 && strstr(message, "AKV10022") != NULL)
        return "the token is for another audience: check cloudName";
    if (status == 404 && strstr(code, "NotFound") != NULL)
        return "check name, version, type and vault; it may be deleted";
    return NULL;
}

static enum grpc_status code_of(int status)
{
    switch (status) {
    case 400:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_NOT_FOUND;
    case 429:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    default:
        return status >= 500 || status == 408 ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_UNKNOWN;
    }
}

int vault_error(const struct http_reply *reply, const char *host, unsigned tries, struct error **err)
{
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, VAULT_ANSWER_MAX, NULL);
    const cJSON *error = NULL;
    const cJSON *inner = NULL;
    const char *code = NULL;
    const char *inner_code = NULL;
    const char *message = NULL;
    char text[VAULT_MESSAGE_MAX + 1];
    char code_text[VAULT_CODE_MAX + 1];
    char inner_text[VAULT_CODE_MAX + 1];

    (void)json_opt_object(root, "error", &error, NULL);
    (void)json_opt_string(error, "code", &code, NULL);
    (void)json_opt_string(error, "message", &message, NULL);
    (void)json_opt_object(error, "innererror", &inner, NULL);
    (void)json_opt_string(inner, "code", &inner_code, NULL);
    code = code != NULL ? code : "";
    inner_code = inner_code != NULL ? inner_code : "";
    message = message != NULL ? message : "";
    const char *hint = hint_for(reply->status, code, inner_code, message);
    utf8_quote(text, sizeof(text), message);
    utf8_quote(code_text, sizeof(code_text), code);
    utf8_quote(inner_text, sizeof(inner_text), inner_code);

    char extra[64] = "";
    if (tries > 1)
        (void)snprintf(extra, sizeof(extra), " after %u tries", tries);
    return error_set(
        err, code_of(reply->status), "%s answered HTTP %d%s%s%s%s%s%s%s%s%s%s%s%.64s%s", host, reply->status,
        extra, *code != '\0' ? " " : "", code_text, *inner_code != '\0' ? "/" : "", inner_text,
        *text != '\0' ? ": " : "", text, hint != NULL ? " [hint: " : "", hint != NULL ? hint : "",
        hint != NULL ? "]" : "", reply->request_id != NULL ? " (request id " : "",
        reply->request_id != NULL ? reply->request_id : "", reply->request_id != NULL ? ")" : "");
}

static bool text_ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), ending_len = strlen(ending);
    return len >= ending_len && strcmp(text + (len - ending_len), ending) == 0;
}

struct vault_answer *vault_answer_absence(const struct http_reply *reply, struct error **error)
{
    const cJSON *body = NULL, *inner = NULL;
    const char *code = NULL, *inner_code = NULL;

    if (reply->status != 404 && reply->status != 403)
        return NULL;
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, VAULT_ANSWER_MAX, NULL);
    (void)json_opt_object(root, "error", &body, NULL);
    (void)json_opt_string(body, "code", &code, NULL);
    (void)json_opt_object(body, "innererror", &inner, NULL);
    (void)json_opt_string(inner, "code", &inner_code, NULL);
    bool absent = reply->status == 404 ? code != NULL && text_ends_with(code, "NotFound")
                                       : inner_code != NULL && text_ends_with(inner_code, "Disabled");
    struct vault_answer *answer = absent ? vault_answer_new(NULL) : NULL;
    if (answer != NULL)
        (void)error_move(&answer->absence, error);
    return answer;
}
