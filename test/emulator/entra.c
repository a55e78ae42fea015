/*
 * entra.c - Microsoft Entra's token endpoint for the client credentials grant, and the discovery documents
 * other clients request.
 *
 * Error texts carry the real AADSTS numbers, because people and programs search for those.
 */
#include "test/emulator/entra.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "test/emulator/assertions.h"
#include "test/emulator/counters.h"
#include "test/emulator/emulator.h"
#include "test/emulator/limits.h"
#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/tls.h"
#include "test/emulator/tokens.h"

enum { DEFAULT_LIFETIME_S = 3599, MAX_ID_BYTES = 128 };

struct app {
    char *client_id; /* owned, all */
    char *client_secret;
    char *object_id;
    bool secret_expired;
    cJSON *certificates; /* array of PEM, or NULL */
    cJSON *federated;    /* array of {issuer, subject, audience}, or NULL */
};

struct entra {
    struct map tenants; /* lower-case tenant -> its name (owned) */
    struct map apps;    /* "tenant/client_id", lower case -> struct app */
    struct assertions *assertions;
    long lifetime_s;
};

struct entra *entra_create(void)
{
    struct entra *entra = xcalloc(1, sizeof(*entra));
    entra->lifetime_s = DEFAULT_LIFETIME_S;
    entra->assertions = assertions_create();
    return entra;
}

static void app_free(void *value)
{
    struct app *app = value;
    if (app == NULL)
        return;
    free(app->client_id);
    free(app->client_secret);
    free(app->object_id);
    cJSON_Delete(app->certificates);
    cJSON_Delete(app->federated);
    free(app);
}

void entra_destroy(struct entra *entra)
{
    map_finish(&entra->tenants, free);
    map_finish(&entra->apps, app_free);
    assertions_destroy(entra->assertions);
    free(entra);
}

void entra_set_token_lifetime(struct entra *entra, long seconds)
{
    entra->lifetime_s = seconds;
}

long entra_token_lifetime(const struct entra *entra)
{
    return entra->lifetime_s;
}

static bool app_key(const char *tenant, const char *client_id, char out[static 2 * MAX_ID_BYTES])
{
    char key[2 * MAX_ID_BYTES];
    int len = snprintf(key, sizeof(key), "%s/%s", tenant, client_id);
    return len > 0 && (size_t)len < sizeof(key) && lower_into(key, out, sizeof(key));
}

static const char *string_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

const char *entra_put_app(struct entra *entra, const cJSON *json)
{
    const char *tenant = string_of(json, "tenant");
    const char *client_id = string_of(json, "client_id");
    const char *secret = string_of(json, "client_secret");
    char key[2 * MAX_ID_BYTES];
    if (tenant == NULL || client_id == NULL || !app_key(tenant, client_id, key))
        return "'tenant' and 'client_id' are needed";
    char guid[GUID_SIZE];
    random_guid(guid);
    struct app *app = xcalloc(1, sizeof(*app));
    app->client_id = xstrdup(client_id);
    app->client_secret = xstrdup(secret);
    app->object_id = xstrdup(guid);
    app->secret_expired = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "secret_expired"));
    app->certificates = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(json, "certificates"), 1);
    app->federated = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(json, "federated"), 1);
    app_free(map_set(&entra->apps, key, app));

    char tenant_key[MAX_ID_BYTES];
    if (lower_into(tenant, tenant_key, sizeof(tenant_key)))
        free(map_set(&entra->tenants, tenant_key, xstrdup(tenant)));
    return NULL;
}

bool entra_delete_app(struct entra *entra, const cJSON *json)
{
    const char *tenant = string_of(json, "tenant");
    const char *client_id = string_of(json, "client_id");
    char key[2 * MAX_ID_BYTES];
    if (tenant == NULL || client_id == NULL || !app_key(tenant, client_id, key))
        return false;
    struct app *app = map_remove(&entra->apps, key);
    app_free(app);
    return app != NULL;
}

const char *entra_put_issuer(struct entra *entra, const cJSON *json)
{
    return assertions_put_issuer(entra->assertions, json);
}

/* ---- errors ---- */

static void error_response(struct response *response, unsigned status, const char *error, unsigned aadsts,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));
static void error_response(struct response *response, unsigned status, const char *error, unsigned aadsts,
                           const char *format, ...)
{
    char trace[GUID_SIZE];
    char correlation[GUID_SIZE];
    char timestamp[RFC3339_SIZE];
    char detail[1024];
    random_guid(trace);
    random_guid(correlation);
    format_time(unix_now(), ' ', timestamp);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    char *description = format_text("AADSTS%u: %s Trace ID: %s Correlation ID: %s Timestamp: %s", aadsts,
                                    detail, trace, correlation, timestamp);
    char *uri = format_text("https://" LOGIN_HOST "/error?code=%u", aadsts);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "error", error);
    cJSON_AddStringToObject(json, "error_description", description);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(json, "error_codes"), cJSON_CreateNumber(aadsts));
    cJSON_AddStringToObject(json, "timestamp", timestamp);
    cJSON_AddStringToObject(json, "trace_id", trace);
    cJSON_AddStringToObject(json, "correlation_id", correlation);
    cJSON_AddStringToObject(json, "error_uri", uri);
    free(description);
    free(uri);
    response_json_take(response, status, json);
}

static void common_headers(struct response *response)
{
    char id[GUID_SIZE];
    random_guid(id);
    response_header_static(response, "Content-Type", "application/json; charset=utf-8");
    response_header_static(response, "Cache-Control", "no-store, no-cache");
    response_header_static(response, "Pragma", "no-cache");
    response_header_static(response, "Strict-Transport-Security", "max-age=31536000; includeSubDomains");
    response_header_static(response, "X-Content-Type-Options", "nosniff");
    response_header(response, "x-ms-request-id", id);
}

static void too_many_requests(struct response *response)
{
    error_response(
        response, 429, "temporarily_unavailable", 50196,
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.");
}

void entra_error_body(struct emulator *emulator, unsigned status, struct response *response)
{
    (void)emulator;
    common_headers(response);
    if (status == 429)
        too_many_requests(response);
    else if (status >= 500)
        error_response(response, status, "server_error", 90033,
                       "A transient error has occurred. Please try again.");
    else
        error_response(response, status, "invalid_request", 900561, "The request is not valid.");
}

/* ---- the token endpoint ---- */

static bool is_guid_or_domain(const char *tenant)
{
    if (!only_characters(tenant, "-."))
        return false;
    if (strchr(tenant, '.') != NULL)
        return true;
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(tenant) != sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == '-' ? tenant[i] != '-' : strchr("0123456789abcdefABCDEF", tenant[i]) == NULL)
            return false;
    return true;
}

/* The tenant as registered, or NULL with the error set. */
static const char *find_tenant(struct emulator *emulator, const char *name, struct response *response)
{
    char key[MAX_ID_BYTES];
    const char *tenant = lower_into(name, key, sizeof(key)) ? map_get(&emulator->entra->tenants, key) : NULL;
    if (tenant != NULL)
        return tenant;
    if (!is_guid_or_domain(name))
        error_response(
            response, 400, "invalid_request", 900023,
            "Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.",
            name);
    else
        error_response(
            response, 400, "invalid_request", 90002,
            "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there "
            "are no active subscriptions for the tenant.",
            name);
    return NULL;
}

/* The value of a form field, or NULL with the error set. */
static const char *need_field(const struct params *form, const char *name, struct response *response)
{
    const char *value = params_get(form, name);
    if (value != NULL && *value != '\0')
        return value;
    error_response(response, 400, "invalid_request", 900144,
                   "The request body must contain the following parameter: '%s'.", name);
    return NULL;
}

/* The resource that a scope names, as audience (the caller frees), or NULL with the error set. */
static char *audience_of_scope(struct emulator *emulator, const char *scope, const char *tenant,
                               struct response *response)
{
    static const char suffix[] = "/.default";
    static const char *const ignored[] = {"openid", "offline_access", "profile", "email"};
    char *copy = xstrdup(scope);
    char *rest = copy;
    char *audience = NULL;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        bool skip = *word == '\0';
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
            skip = skip || strcmp(word, ignored[i]) == 0;
        if (skip)
            continue;
        if (audience != NULL || !ends_with(word, suffix)) {
            free(audience);
            free(copy);
            error_response(
                response, 400, "invalid_scope", 1002012,
                "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).",
                scope);
            return NULL;
        }
        audience = xstrdup(word);
        audience[strlen(word) - strlen(suffix)] = '\0';
    }
    free(copy);
    if (audience == NULL) {
        (void)need_field(&(struct params){0}, "scope", response);
        return NULL;
    }
    /* Known are the vaults' resource, with and without a final slash (the token then carries it: the vaults
     * refuse it), that of Managed HSMs, and one that is not theirs. */
    char *other = format_text("https://management.localhost:%u", emulator->tls_port);
    size_t len = strlen(emulator->resource);
    bool known = (strncmp(audience, emulator->resource, len) == 0 &&
                  (audience[len] == '\0' || strcmp(audience + len, "/") == 0)) ||
                 strcmp(audience, emulator->hsm_resource) == 0 || strcmp(audience, other) == 0;
    free(other);
    if (known)
        return audience;
    error_response(
        response, 400, "invalid_resource", 500011,
        "The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user "
        "in the tenant. You might have sent your authentication request to the wrong tenant.",
        audience, tenant);
    free(audience);
    return NULL;
}

static int check_assertion(struct emulator *emulator, const struct params *form, const struct app *app,
                           const char *assertion, const struct request *request, struct response *response)
{
    static const char bearer[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    const char *type = need_field(form, "client_assertion_type", response);
    if (type == NULL)
        return -1;
    if (strcmp(type, bearer) != 0) {
        error_response(response, 401, "invalid_client", 50027,
                       "JWT token is invalid or malformed (unknown client_assertion_type '%s').", type);
        return -1;
    }
    char *token_url = format_text("%s%s", emulator->login_url, request->target);
    const struct assertion_subject subject = {
        .client_id = app->client_id,
        .certificates = app->certificates,
        .federated = app->federated,
        .token_url = token_url,
        .token_proxy = request->service == SERVICE_TOKEN_PROXY,
    };
    struct assertion_fault fault;
    bool good = assertions_check(emulator->entra->assertions, &subject, assertion, &fault);
    free(token_url);
    if (!good)
        error_response(response, 401, "invalid_client", fault.aadsts, "%s", fault.text);
    return good ? 0 : -1;
}

static int check_secret(const struct app *app, const char *secret, struct response *response)
{
    if (app->client_secret == NULL || strcmp(app->client_secret, secret) != 0) {
        error_response(
            response, 401, "invalid_client", 7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.",
            app->client_id);
        return -1;
    }
    if (app->secret_expired) {
        error_response(
            response, 401, "invalid_client", 7000222,
            "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials "
            "for added security: https://aka.ms/certCreds.",
            app->client_id);
        return -1;
    }
    return 0;
}

static void token_response(struct emulator *emulator, const char *tenant, const struct params *form,
                           struct request *request, struct response *response)
{
    const char *grant = need_field(form, "grant_type", response);
    const char *client_id = grant == NULL ? NULL : need_field(form, "client_id", response);
    const char *scope = client_id == NULL ? NULL : need_field(form, "scope", response);
    if (scope == NULL)
        return;
    (void)snprintf(request->client_id, sizeof(request->client_id), "%s", client_id);
    if (strcmp(grant, "client_credentials") != 0) {
        error_response(response, 400, "unsupported_grant_type", 70003,
                       "The app requested an unsupported grant type '%s'.", grant);
        return;
    }
    char key[2 * MAX_ID_BYTES];
    const struct app *app = app_key(tenant, client_id, key) ? map_get(&emulator->entra->apps, key) : NULL;
    if (app == NULL) {
        error_response(
            response, 400, "unauthorized_client", 700016,
            "Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any "
            "user in the tenant. You may have sent your authentication request to the wrong tenant.",
            client_id, tenant);
        return;
    }
    int retry_after = -1;
    if (!limits_admit_token(emulator->limits, app->client_id, &retry_after)) {
        too_many_requests(response);
        if (retry_after >= 0)
            response_headerf(response, "Retry-After", "%d", retry_after);
        return;
    }
    const char *assertion = params_get(form, "client_assertion");
    const char *secret = params_get(form, "client_secret");
    if (assertion != NULL) {
        if (check_assertion(emulator, form, app, assertion, request, response) != 0)
            return;
    } else if (secret == NULL || *secret == '\0' || request->service == SERVICE_TOKEN_PROXY) {
        error_response(
            response, 401, "invalid_client", 7000216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.");
        return;
    } else if (check_secret(app, secret, response) != 0) {
        return;
    }
    char *audience = audience_of_scope(emulator, scope, tenant, response);
    if (audience == NULL)
        return;
    long lifetime = emulator->entra->lifetime_s;
    char *token = tokens_issue(emulator->tokens, emulator->login_url, tenant, app->client_id, app->object_id,
                               audience, lifetime);
    counters_token_issued(emulator->counters);
    /* The token is base64url and dots: nothing to escape. */
    response_take(
        response, 200,
        format_text(
            "{\"token_type\":\"Bearer\",\"expires_in\":%ld,\"ext_expires_in\":%ld,\"access_token\":\"%s\"}",
            lifetime, lifetime, token));
    free(token);
    free(audience);
}

static void serve_token(struct emulator *emulator, const char *tenant_name, struct request *request,
                        struct response *response)
{
    struct params form = {0};
    const char *type = request_header(request, "Content-Type");
    const char *tenant = find_tenant(emulator, tenant_name, response);
    if (tenant == NULL)
        return;
    /* A body of another type is ignored: Entra then misses the first parameter. */
    if (type == NULL || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0) {
        (void)need_field(&form, "grant_type", response);
        return;
    }
    char *body = xstrdup(request->body.bytes != NULL ? request->body.bytes : "");
    if (params_parse(&form, body) == 0)
        token_response(emulator, tenant, &form, request, response);
    else
        error_response(response, 400, "invalid_request", 900144, "The request body is not a form.");
    free(body);
}

/* ---- discovery ---- */

static void serve_openid_configuration(struct emulator *emulator, const char *tenant_name,
                                       const char *token_path, struct response *response)
{
    const char *tenant = find_tenant(emulator, tenant_name, response);
    if (tenant == NULL)
        return;
    const char *base = emulator->login_url;
    struct text body = {0};
    text_printf(&body, "{\"token_endpoint\":\"%s/%s/%s/token\",", base, tenant, token_path);
    text_printf(&body,
                "\"token_endpoint_auth_methods_supported\":[\"client_secret_post\",\"private_key_jwt\"],");
    text_printf(&body, "\"jwks_uri\":\"%s/%s/discovery/v2.0/keys\",", base, tenant);
    text_printf(&body, "\"issuer\":\"%s/%s/v2.0\",", base, tenant);
    text_printf(&body, "\"authorization_endpoint\":\"%s/%s/%s/authorize\",", base, tenant, token_path);
    text_printf(&body, "\"device_authorization_endpoint\":\"%s/%s/%s/devicecode\",", base, tenant,
                token_path);
    text_printf(&body, "\"response_types_supported\":[\"code\"],\"tenant_region_scope\":\"EU\"}");
    response_take(response, 200, text_take(&body));
}

static void serve_instance_discovery(struct emulator *emulator, struct request *request,
                                     struct response *response)
{
    static const char tail[] = "/oauth2/v2.0/authorize";
    const char *endpoint = params_get(&request->url.query, "authorization_endpoint");
    if (endpoint == NULL || !ends_with(endpoint, tail) || !starts_with(endpoint, emulator->login_url)) {
        error_response(response, 400, "invalid_instance", 50049, "Unknown or invalid instance.");
        return;
    }
    char *host = xstrdup(emulator->login_url + strlen("https://"));
    char *discovery = format_text("%.*s/v2.0/.well-known/openid-configuration",
                                  (int)(strlen(endpoint) - strlen(tail)), endpoint);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "tenant_discovery_endpoint", discovery);
    cJSON_AddStringToObject(json, "api-version", "1.1");
    cJSON *network = cJSON_CreateObject();
    cJSON_AddStringToObject(network, "preferred_network", host);
    cJSON_AddStringToObject(network, "preferred_cache", host);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(network, "aliases"), cJSON_CreateString(host));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(json, "metadata"), network);
    free(host);
    free(discovery);
    response_json_take(response, 200, json);
}

static bool path_ends_with(const struct url *url, const char *a, const char *b, const char *c)
{
    return url->n == 4 && strcasecmp(url->segments[1], a) == 0 && strcasecmp(url->segments[2], b) == 0 &&
           strcasecmp(url->segments[3], c) == 0;
}

void entra_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    const struct url *url = &request->url;
    const char *tenant = url->segments[0];
    bool adfs = url->n == 3 && strcasecmp(tenant, "adfs") == 0;
    bool is_token = true;
    common_headers(response);
    bool discovery = url->n == 3 && strcmp(tenant, "common") == 0 &&
                     strcmp(url->segments[1], "discovery") == 0 && strcmp(url->segments[2], "instance") == 0;
    if (discovery) {
        response->route = "/common/discovery/instance";
        serve_instance_discovery(emulator, request, response);
        return;
    }
    if (strcmp(request->host, DISCOVERY_HOST) == 0) {
        response_copy(response, 404, "", 0);
        return;
    }
    if (path_ends_with(url, "oauth2", "v2.0", "token")) {
        response->route = "/{tenant}/oauth2/v2.0/token";
    } else if (adfs && strcasecmp(url->segments[1], "oauth2") == 0 &&
               strcasecmp(url->segments[2], "token") == 0) {
        response->route = "/adfs/oauth2/token";
    } else {
        is_token = false;
    }
    if (is_token && request_is(request, "POST")) {
        serve_token(emulator, tenant, request, response);
    } else if (is_token) {
        error_response(response, 405, "invalid_request", 900561,
                       "The endpoint only accepts POST requests. Received a %s request.", request->method);
    } else if (path_ends_with(url, "v2.0", ".well-known", "openid-configuration")) {
        response->route = "/{tenant}/v2.0/.well-known/openid-configuration";
        serve_openid_configuration(emulator, tenant, "oauth2/v2.0", response);
    } else if (adfs && strcasecmp(url->segments[2], "openid-configuration") == 0) {
        response->route = "/adfs/.well-known/openid-configuration";
        serve_openid_configuration(emulator, tenant, "oauth2", response);
    } else {
        response_copy(response, 404, "", 0);
    }
}
