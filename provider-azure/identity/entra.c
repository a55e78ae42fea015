/*
 * entra.c - token requests to Entra ID and its responses.
 */
#include "provider-azure/identity/entra.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "provider-azure/base/redact.h"
#include "provider-azure/identity/assertion.h"

/* Tokens have 1 to 4 KiB; error texts less. */
enum { ENTRA_RESPONSE_MAX = 256 * 1024, ENTRA_FORM_MAX = 64 * 1024 };
/* The quoted part of an error_description: the AADSTS text, without the trace ids and timestamps behind
 * it. */
enum { DESCRIPTION_MAX = 400 };
/* A resource that is not known: Entra's number, and how AD FS says it. */
enum { UNKNOWN_RESOURCE = 500011 };
#define ADFS_UNKNOWN_RESOURCE "MSIS9602"

static int append_text(struct buffer *form, const char *name, const char *value, struct error **err)
{
    return http_form_append(form, name, value, strlen(value), err);
}

bool entra_refused_resource(const struct error *error)
{
    const char *found = strstr(error_message(error), "AADSTS500011");
    return (found != NULL && strchr("0123456789", found[strlen("AADSTS500011")]) == NULL) ||
           strstr(error_message(error), ADFS_UNKNOWN_RESOURCE) != NULL;
}

/* The length of an authority ("https://host/...") without the tenant at its end: the metadata of Azure
 * Stack Hub, and cloud files made from them, have it there for AD FS. */
static int authority_len(const char *authority, const char *tenant)
{
    size_t len = strlen(authority), tail = strlen(tenant) + 1;
    const char *path = strchr(authority + strcspn(authority, ":"), '/');

    path = path != NULL && path[1] == '/' ? strchr(path + 2, '/') : NULL;
    if (path != NULL && (size_t)(authority + len - path) > tail && authority[len - tail - 1] == '/' &&
        strncasecmp(authority + len - tail, tenant, tail - 1) == 0 && authority[len - 1] == '/')
        len -= tail;
    return (int)len;
}

int entra_build_request(const struct identity *identity, const char *authority, struct token_request *request,
                        struct error **err)
{
    cleanup_free char *url = NULL;
    bool adfs = strcasecmp(identity->tenant, "adfs") == 0;
    const char *path = adfs ? "oauth2/token" : "oauth2/v2.0/token";

    request->service = "entra";
    request->method = "POST";
    request->proxy = HTTP_PROXY_ENVIRONMENT;
    request->policy = &retry_service;
    buffer_init(&request->body, ENTRA_FORM_MAX);
    if (asprintf(&url, "%.*s%s/%s", authority_len(authority, identity->tenant), authority,
                 adfs ? "adfs" : identity->tenant, path) < 0) {
        url = NULL;
        return error_no_memory(err, NULL);
    }
    if (token_request_set_url(request, url, err) < 0 ||
        token_request_add_header(request, "Content-Type", "application/x-www-form-urlencoded", err) < 0 ||
        token_request_add_header(request, "Accept", "application/json", err) < 0 ||
        append_text(&request->body, "grant_type", "client_credentials", err) < 0 ||
        append_text(&request->body, "client_id", identity->client_id, err) < 0 ||
        append_text(&request->body, "scope", identity->scope, err) < 0)
        return -1;
    return 0;
}

int entra_add_credential(struct token_request *request, const char *name, const void *value, size_t len,
                         struct error **err)
{
    if (http_form_append(&request->body, name, value, len, err) < 0)
        return -1;
    const char *equals = strrchr(buffer_str(&request->body), '='); /* in a value it is escaped */
    request->credential_at = (size_t)(equals + 1 - buffer_str(&request->body));
    return 0;
}

int entra_add_assertion(struct token_request *request, const void *assertion, size_t len, struct error **err)
{
    if (append_text(&request->body, "client_assertion_type", ASSERTION_TYPE, err) < 0)
        return -1;
    return entra_add_credential(request, "client_assertion", assertion, len, err);
}

/* Entra asks the cluster's OIDC issuer for its keys. When that fails, nothing is said about the identity. */
static bool is_failure_of_issuer(int64_t number)
{
    return number == 90061 || number == 50166 || number == 501661;
}

/* The hint for an AADSTS number, or NULL. */
static const char *hint_for(int64_t code)
{
    static const char of_issuer[] =
        "Entra cannot read the cluster's OIDC issuer: its discovery document and keys must be public";
    static const struct {
        int64_t code;
        const char *hint;
    } hints[] = {
        {7000215, "the client secret is wrong: recreate the Secret named by nodePublishSecretRef"},
        {7000222,
         "the client secret has expired: make a new one and recreate the Secret named by nodePublishSecretRef"},
        {700016, "the application is not known in this tenant: check clientid and tenantID"},
        {90002, "the tenant does not exist: check tenantID and cloudName"},
        {900023, "the tenant is malformed: check tenantID"},
        {70021, "no federated credential of the application matches the pod's service account"},
        {700211, "no federated credential matches the issuer: compare it with the cluster's OIDC issuer URL"},
        {700212,
         "no federated credential matches the token's audience (api://AzureADTokenExchange; identity bindings: api://AKSIdentityBinding)"},
        {700213,
         "no federated credential matches the subject: compare it with the pod's namespace and service account"},
        {90061, of_issuer},
        {50166, of_issuer},
        {501661, of_issuer},
        {700024, "the service account token is outside its validity: check the node's clock"},
        {700027,
         "the assertion made with clientcertificate is not accepted: is this certificate registered with the application, and is the node's clock right?"},
        {700030, "the certificate is not registered with the application, or not valid any more"},
        {1000502, "the certificate has expired or is not valid yet: register a new one with the application"},
        {50027, "the token sent as assertion is malformed"},
        {50013, "the assertion is not accepted: compare issuer, audience and the node's clock"},
        {70025, "the application has no federated credentials: add one for the pod's service account"},
        {7000229, "the application has no service principal in this tenant: create it, or check tenantID"},
        {7000112, "the application is disabled in this tenant: enable it"},
        {53003, "a Conditional Access policy blocks the application: allow it, or the node's address"},
        {7000216, "no credential was sent"},
        {50059, "tenantID must be one tenant: its id or domain name, not common or organizations"},
        {90038, "the tenant is in another cloud: check cloudName"},
        {900382, "the application is in another cloud: check cloudName and tenantID"},
        {900432, "the application is in another cloud: check cloudName and tenantID"},
        {50049,
         "Entra does not know the server that was asked: check cloudName, or activeDirectoryEndpoint of the cloud file"},
        {70011,
         "the vault's resource is not one of this cloud: check cloudName, or keyVaultEndpoint of the cloud file"},
        {1002012,
         "the vault's resource is not one of this cloud: check cloudName, or keyVaultEndpoint of the cloud file"},
        {500014, "Azure Key Vault is disabled in this tenant: has its subscription lapsed?"},
        {UNKNOWN_RESOURCE,
         "the vault's resource is not known in this tenant: check cloudName, or keyVaultEndpoint of the cloud file"},
        {50196, "too many identical token requests"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
        if (hints[i].code == code)
            return hints[i].hint;
    }
    return NULL;
}

static int64_t first_error_code(const cJSON *root)
{
    const cJSON *codes = cJSON_GetObjectItemCaseSensitive(root, "error_codes");
    const cJSON *first = cJSON_IsArray(codes) ? cJSON_GetArrayItem(codes, 0) : NULL;
    double value = first != NULL && cJSON_IsNumber(first) ? first->valuedouble : 0;
    return value > 0 && value < 1e12 ? (int64_t)value : 0;
}

/* The AADSTS number at the start of a description ("AADSTS7000215: ..."), 0 if there is none. */
static int64_t described_code(const char *description)
{
    const char *found = description != NULL ? strstr(description, "AADSTS") : NULL;
    return found != NULL ? strtoll(found + strlen("AADSTS"), NULL, 10) : 0;
}

/* The start of a text of the service, without what it quotes of the credential. */
static void leave_credential_out(char line[DESCRIPTION_MAX + 1], const char *text,
                                 const struct identity *identity, const struct secret *sent)
{
    const struct secret *const secrets[] = {sent, identity->credential};
    redact(line, DESCRIPTION_MAX + 1, text, secrets, ARRAY_SIZE(secrets));
}

static void quote(char *ret, size_t size, const char *text, const struct identity *identity,
                  const struct secret *sent)
{
    char line[DESCRIPTION_MAX + 1];
    leave_credential_out(line, text, identity, sent);
    utf8_quote(ret, size, line);
}

static void quote_description(char text[DESCRIPTION_MAX + 1], const char *description,
                              const struct identity *identity, const struct secret *sent)
{
    char line[DESCRIPTION_MAX + 1];
    /* Trace id, correlation id and time stamp follow, mostly on lines of their own. */
    static const char *const tails[] = {" Trace ID:", " Correlation ID:"};

    leave_credential_out(line, description, identity, sent);
    line[strcspn(line, "\r\n")] = '\0';
    utf8_quote(text, DESCRIPTION_MAX + 1, line);
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        char *tail = strstr(text, tails[i]);
        if (tail != NULL)
            *tail = '\0';
    }
}

static enum grpc_status code_of(int status)
{
    if (status == 429)
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    if (status >= 500 || status == 408)
        return GRPC_STATUS_UNAVAILABLE;
    return GRPC_STATUS_UNAUTHENTICATED;
}

/* JSON that is no error of OAuth: of a gateway, or the Status of an API server in front of a token proxy. */
static void refuse_foreign(const struct identity *identity, const struct http_reply *reply, const cJSON *root,
                           const struct secret *sent, struct error **err)
{
    const cJSON *error = NULL;
    const char *message = NULL;
    char text[DESCRIPTION_MAX + 1];

    (void)json_opt_string(root, "message", &message, NULL);
    if (message == NULL && json_opt_object(root, "error", &error, NULL) == 0)
        (void)json_opt_string(error, "message", &message, NULL);
    quote_description(text, message != NULL ? message : "", identity, sent);
    error_set(err, code_of(reply->status),
              "Entra returned HTTP %d with an error that is not Entra's (a proxy in between?)%s%s",
              reply->status, *text != '\0' ? ": " : "", text);
}

static void refuse(const struct identity *identity, const struct http_reply *reply, const cJSON *root,
                   const struct secret *sent, struct error **err)
{
    const char *name = NULL;
    const char *description = NULL;
    const char *correlation = NULL;
    char text[DESCRIPTION_MAX + 1];
    char name_text[64 + 1];
    char correlation_text[64 + 1];

    (void)json_opt_string(root, "error", &name, NULL);
    (void)json_opt_string(root, "error_description", &description, NULL);
    (void)json_opt_string(root, "correlation_id", &correlation, NULL);
    if (name == NULL && description == NULL && correlation == NULL) {
        refuse_foreign(identity, reply, root, sent, err);
        return;
    }
    quote_description(text, description, identity, sent);
    quote(name_text, sizeof(name_text), name, identity, sent);
    quote(correlation_text, sizeof(correlation_text), correlation, identity, sent);
    int64_t number = first_error_code(root);
    if (number == 0)
        number = described_code(description);
    if (number == 0 && description != NULL && strstr(description, ADFS_UNKNOWN_RESOURCE) != NULL)
        number = UNKNOWN_RESOURCE;
    const char *hint = hint_for(number);

    error_set(err, is_failure_of_issuer(number) ? GRPC_STATUS_UNAVAILABLE : code_of(reply->status),
              "Entra refused the %s (HTTP %d%s%s)%s%s%s%s%s%s%s%s", identity_mode_name(identity->ops->mode),
              reply->status, *name_text != '\0' ? " " : "", name_text, *text != '\0' ? ": " : "", text,
              hint != NULL ? " [hint: " : "", hint != NULL ? hint : "", hint != NULL ? "]" : "",
              correlation != NULL ? " (correlation id " : "", correlation_text,
              correlation != NULL ? ")" : "");
}

struct token *entra_parse_response(const struct identity *identity, const struct http_reply *reply,
                                   const struct secret *sent, int64_t now_unix, struct error **err)
{
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, ENTRA_RESPONSE_MAX, NULL);
    const char *text = NULL;
    int64_t expires_in = 0;
    int64_t refresh_in = 0;

    if (!cJSON_IsObject(root)) {
        error_set(err, reply->status == 200 ? GRPC_STATUS_UNAVAILABLE : code_of(reply->status),
                  "Entra returned HTTP %d with a body that is not JSON (a proxy in between?)", reply->status);
        error_check_memory(err, "Entra's response");
        return NULL;
    }
    if (reply->status != 200) {
        refuse(identity, reply, root, sent, err);
        return NULL;
    }
    struct error *bad = NULL;
    if (json_get_string(root, "access_token", &text, &bad) < 0 || *text == '\0' ||
        json_opt_int(root, "expires_in", 0, &expires_in, &bad) < 0 ||
        json_opt_int(root, "refresh_in", 0, &refresh_in, &bad) < 0 || expires_in < 0) {
        error_set(err, GRPC_STATUS_UNAVAILABLE, "Entra's response has no usable access_token or expires_in");
        error_free(bad);
        return NULL;
    }
    return token_create(identity->principal, text, now_unix + token_life(expires_in), refresh_in, now_unix,
                        err);
}
