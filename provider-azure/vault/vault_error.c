/*
 * vault_error.c - Key Vault's errors.
 */
#include "provider-azure/vault/vault_error.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"

#include "provider-azure/vault/vault_json.h"

/* How much of a server's message is quoted. */
enum { MESSAGE_MAX = 400, CODE_MAX = 64, REQUEST_ID_MAX = 64 };

/* {"error": {"code": ..., "message": ..., "innererror": {"code": ...}}}; "" where there is none. */
struct vault_error_body {
    cJSON *root; /* the texts point into it */
    const char *code;
    const char *inner_code;
    const char *message;
};

static const char *opt_text(const cJSON *object, const char *key)
{
    const char *text = NULL;
    (void)json_opt_string(object, key, &text, NULL);
    return text != NULL ? text : "";
}

/* Never fails: a body that is no such JSON says nothing. The caller frees `root`. */
static struct vault_error_body read_body(const struct http_reply *reply)
{
    static const char *const members[] = {"error", NULL};
    const struct json_options options = {
        .max_len = VAULT_RESPONSE_MAX, .max_values = VAULT_VALUES_MAX, .members = members};
    cJSON *root =
        json_parse_options((const char *)reply->body.data, reply->body.len, &options, /* err= */ NULL);
    const cJSON *error = NULL;
    const cJSON *inner = NULL;

    (void)json_opt_object(root, "error", &error, NULL);
    (void)json_opt_object(error, "innererror", &inner, NULL);
    return (struct vault_error_body){
        .root = root,
        .code = opt_text(error, "code"),
        .inner_code = opt_text(inner, "code"),
        .message = opt_text(error, "message"),
    };
}

/* Whether the code is that of an object, "SecretNotFound" with the ending "NotFound". Gateways have codes with
 * the same endings ("ResourceNotFound", "PublicNetworkAccessDisabled"), which say nothing about the object. */
static bool is_code_of_object(const char *code, const char *ending)
{
    static const char *const kinds[] = {"Secret", "Key", "Certificate"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i]);
        if (strncmp(code, kinds[i], len) == 0 && strcmp(code + len, ending) == 0)
            return true;
    }
    return false;
}

static bool is_missing(int status, const struct vault_error_body *body)
{
    return status == 404 && is_code_of_object(body->code, "NotFound");
}

static bool is_disabled(int status, const struct vault_error_body *body)
{
    return status == 403 && is_code_of_object(body->inner_code, "Disabled");
}

/* Whether the reply is a redirect, a web page or another text: all errors of Key Vault that have a body have
 * a code in it. */
static bool is_foreign(const struct http_reply *reply, const struct vault_error_body *body)
{
    return (reply->status >= 300 && reply->status < 400) || (reply->body.len > 0 && *body->code == '\0');
}

/* A cause that the body suggests, NULL when it suggests none. */
static const char *hint_for(int status, const struct vault_error_body *body)
{
    const char *inner = body->inner_code, *message = body->message;

    if (status == 403 && strcmp(inner, "ForbiddenByConnection") == 0 &&
        strcasestr(message, "private link") != NULL)
        return "the vault's firewall takes connections through private endpoints only: its name must resolve to their address on this node (private DNS)";
    if (status == 403 &&
        (strcmp(inner, "ForbiddenByFirewall") == 0 || strcmp(inner, "ForbiddenByConnection") == 0 ||
         strstr(message, "Client address is not authorized") != NULL))
        return "the vault's firewall does not let this node in";
    if (is_disabled(status, body))
        return "this version is disabled";
    if (status == 403 && strcmp(inner, "ForbiddenByRbac") == 0)
        return "the identity lacks a role on the vault, or it was assigned minutes ago";
    if (status == 403 && strcmp(inner, "AccessDenied") == 0)
        return "the vault's access policy does not allow this identity get (and list, for a history or a selection)";
    if (status == 403 && strcmp(inner, "ForbiddenByPolicy") == 0)
        return "the access policy names this identity together with an application (compound identity): give it an entry without one";
    if (status == 401 && strstr(message, "AKV10032") != NULL)
        return "tenantID is not the vault's tenant";
    if (status == 401 && strstr(message, "AKV10022") != NULL)
        return "the token is for another audience: check cloudName";
    if (status == 400 && strstr(message, "invalid name") != NULL)
        return "names in a vault have letters, digits and '-' only, at most 127";
    if (is_missing(status, body))
        return "check name, version, type and vault; it may be deleted";
    if (status == 404)
        return "no vault reports a missing object like this: check keyvaultURL and proxies";
    return NULL;
}

static enum grpc_status grpc_status_of(int status)
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
    const struct vault_error_body body = read_body(reply);
    cleanup_json cJSON *root = body.root; /* what `body` borrows from */
    (void)root;
    const char *hint = hint_for(reply->status, &body);
    char message[MESSAGE_MAX + 1];
    char code[CODE_MAX + 1];
    char inner_code[CODE_MAX + 1];
    char request_id[REQUEST_ID_MAX + 1];
    char extra[64] = "";

    if (hint == NULL && is_foreign(reply, &body))
        hint = "no vault sends this response: a proxy in between?";
    utf8_quote(message, sizeof(message), body.message);
    utf8_quote(code, sizeof(code), body.code);
    utf8_quote(inner_code, sizeof(inner_code), body.inner_code);
    utf8_quote(request_id, sizeof(request_id), reply->request_id);
    if (tries > 1)
        (void)snprintf(extra, sizeof(extra), " after %u tries", tries);
    return error_set(err, grpc_status_of(reply->status), "%s returned HTTP %d%s%s%s%s%s%s%s%s%s%s%s%s%s",
                     host, reply->status, extra, *body.code != '\0' ? " " : "", code,
                     *body.inner_code != '\0' ? "/" : "", inner_code, *message != '\0' ? ": " : "", message,
                     hint != NULL ? " [hint: " : "", hint != NULL ? hint : "", hint != NULL ? "]" : "",
                     *request_id != '\0' ? " (request id " : "", request_id, *request_id != '\0' ? ")" : "");
}

bool vault_error_is_not_found(const struct http_reply *reply)
{
    if (reply->status != 404 && reply->status != 403)
        return false;
    const struct vault_error_body body = read_body(reply);
    cleanup_json cJSON *root = body.root;
    (void)root;
    return is_missing(reply->status, &body) || is_disabled(reply->status, &body);
}
