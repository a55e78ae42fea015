/*
 * keyvault.c - the data plane of Azure Key Vault: the checks that come before every object, in the service's
 * order.
 */
#include "test/emulator/keyvault.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "test/emulator/base64.h"
#include "test/emulator/counters.h"
#include "test/emulator/limits.h"
#include "test/emulator/memory.h"

#define REGION "westeurope"

enum { MAX_PAGE = 25, MAX_SKIP_TOKEN = 32 };

static const char *const api_versions[] = {"2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6"};
/* From this one on they are dates; newer clients send newer ones, with the same responses to these
 * requests. */
#define FIRST_DATED_VERSION "2025-07-01"

void keyvault_error(struct response *response, unsigned status, const char *code, const char *inner,
                    const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    cJSON *json = cJSON_CreateObject();
    cJSON *error = cJSON_AddObjectToObject(json, "error");
    cJSON_AddStringToObject(error, "code", code);
    cJSON_AddStringToObject(error, "message", message);
    if (inner != NULL)
        cJSON_AddStringToObject(cJSON_AddObjectToObject(error, "innererror"), "code", inner);
    response_json_take(response, status, json);
}

static void common_headers(struct response *response)
{
    char id[GUID_SIZE];
    random_guid(id);
    response_header_static(response, "Cache-Control", "no-cache");
    response_header_static(response, "Pragma", "no-cache");
    response_header_static(response, "Content-Type", "application/json; charset=utf-8");
    response_header_static(response, "Expires", "-1");
    response_header_static(response, "x-ms-keyvault-region", REGION);
    response_header(response, "x-ms-request-id", id);
    response_header_static(response, "x-ms-keyvault-service-version", "1.9.2500.1");
    response_header_static(response, "x-ms-keyvault-network-info",
                           "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;");
    response_header_static(response, "X-Content-Type-Options", "nosniff");
    response_header_static(response, "Strict-Transport-Security", "max-age=31536000;includeSubDomains");
}

void keyvault_error_body(struct emulator *emulator, unsigned status, struct response *response)
{
    (void)emulator;
    common_headers(response);
    const char *code = status == 429   ? "Throttled"
                       : status == 400 ? "BadParameter"
                       : status == 401 ? "Unauthorized"
                       : status == 403 ? "Forbidden"
                       : status == 404 ? "SecretNotFound"
                       : status == 503 ? "ServiceUnavailable"
                                       : "InternalServerError";
    keyvault_error(
        response, status, code, NULL, "%s",
        status == 429
            ? "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"
            : "The request was not processed.");
}

const char *keyvault_resource(const struct vault_call *call)
{
    return call->vault->hsm ? call->emulator->hsm_resource : call->emulator->resource;
}

static void challenge(struct vault_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void challenge(struct vault_call *call, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    response_headerf(call->response, "WWW-Authenticate", "Bearer authorization=\"%s/%s\", resource=\"%s\"",
                     call->emulator->login_url, call->vault->tenant, keyvault_resource(call));
    keyvault_error(call->response, 401, "Unauthorized", NULL, "%s", message);
}

static bool is_date(const char *text)
{
    static const char shape[] = "dddd-dd-dd";
    if (strlen(text) != sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == '-' ? text[i] != '-' : text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static bool check_api_version(struct vault_call *call)
{
    const char *version = params_get(&call->request->url.query, "api-version");
    if (version == NULL || *version == '\0') {
        keyvault_error(call->response, 400, "BadParameter", NULL, "api-version must be specified");
        return false;
    }
    call->api_version = version;
    for (size_t i = 0; i < ARRAY_SIZE(api_versions); i++)
        if (strcmp(api_versions[i], version) == 0)
            return true;
    if (is_date(version) && strcmp(version, FIRST_DATED_VERSION) >= 0)
        return true;
    keyvault_error(
        call->response, 400, "BadParameter", NULL,
        "The specified version (%s) is not recognized. Consider using the latest supported version (" FIRST_DATED_VERSION
        ").",
        version);
    return false;
}

static bool check_token(struct vault_call *call)
{
    struct emulator *emulator = call->emulator;
    const char *text = request_bearer_token(call->request);
    if (text == NULL) {
        challenge(call, "AKV10000: Request is missing a Bearer or PoP token.");
        return false;
    }
    call->token = tokens_find(emulator->tokens, text);
    if (call->token == NULL) {
        challenge(
            call,
            "AKV10000: Error validating token: the token was not issued by a known issuer or was revoked.");
        return false;
    }
    (void)snprintf(call->request->client_id, sizeof(call->request->client_id), "%s", call->token->client_id);
    if (call->token->expires_unix <= unix_now()) {
        challenge(call, "[TokenExpired] Error validating token: the token expired.");
        return false;
    }
    if (strcmp(call->token->audience, keyvault_resource(call)) != 0) {
        challenge(call, "AKV10022: Invalid audience. Expected %s, found: %s.", keyvault_resource(call),
                  call->token->audience);
        return false;
    }
    if (strcasecmp(call->token->tenant, call->vault->tenant) != 0) {
        challenge(call, "AKV10032: Invalid issuer. Expected one of %s/%s/, found %s/%s/.",
                  emulator->login_url, call->vault->tenant, emulator->login_url, call->token->tenant);
        return false;
    }
    return true;
}

static char *caller_text(const struct vault_call *call)
{
    return format_text("appid=%s;oid=%s;iss=%s/%s/", call->token->client_id, call->token->object_id,
                       call->emulator->login_url, call->token->tenant);
}

static bool check_firewall(struct vault_call *call)
{
    if (!call->vault->firewall)
        return true;
    char *caller = caller_text(call);
    keyvault_error(
        call->response, 403, "Forbidden", "ForbiddenByFirewall",
        "Client address is not authorized and caller is not a trusted service.\r\nClient address: 127.0.0.1\r\nCaller: %s\r\nVault: %s;location=" REGION,
        caller, call->vault->name);
    free(caller);
    return false;
}

bool keyvault_allow(struct vault_call *call, enum vault_kind kind, const char *verb, enum permission needed)
{
    const char *collection = vault_kind_collection(kind);
    if ((vault_permissions(call->vault, call->token->client_id, kind) & needed) != 0)
        return true;
    char *caller = caller_text(call);
    if (call->vault->rbac)
        keyvault_error(
            call->response, 403, "Forbidden", "ForbiddenByRbac",
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n"
            "Caller: %s\r\nAction: 'Microsoft.KeyVault/vaults/%s/%s/action'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: %s;location=" REGION
            "\r\n",
            caller, collection, verb, call->vault->name);
    else
        keyvault_error(
            call->response, 403, "Forbidden", "AccessDenied",
            "The user, group or application '%s' does not have %s %s permission on key vault '%s;location=" REGION
            "'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            caller, collection, verb, call->vault->name);
    free(caller);
    return false;
}

/* ---- paging: the skip token is the index to go on at, in a wrapping that says "do not touch" ---- */

bool keyvault_page(struct vault_call *call, size_t total, size_t *ret_first, size_t *ret_end)
{
    const struct params *query = &call->request->url.query;
    long max = MAX_PAGE;
    if (params_get_int(query, "maxresults", 1, MAX_PAGE, &max) < 0) {
        keyvault_error(call->response, 400, "BadParameter", NULL,
                       "maxresults is invalid: it must be between 1 and %d.", MAX_PAGE);
        return false;
    }
    size_t first = 0;
    const char *skip = params_get(query, "$skiptoken");
    if (skip != NULL) {
        static const char start[] = "{\"NextMarker\":";
        size_t len = 0;
        char *decoded = base64_decode(skip, &len);
        bool good = decoded != NULL && starts_with(decoded, start) && strlen(decoded) < MAX_SKIP_TOKEN;
        if (good) {
            char *end;
            first = strtoul(decoded + sizeof(start) - 1, &end, 10);
            good = strcmp(end, "}") == 0;
        }
        free(decoded);
        if (!good) {
            keyvault_error(call->response, 400, "BadParameter", NULL, "The $skiptoken is invalid.");
            return false;
        }
    }
    *ret_first = first < total ? first : total;
    *ret_end = total - *ret_first > (size_t)max ? *ret_first + (size_t)max : total;
    return true;
}

void keyvault_respond_page(struct vault_call *call, cJSON *value, size_t end, size_t total)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "value", value);
    if (end >= total) {
        cJSON_AddNullToObject(json, "nextLink");
    } else {
        const char *max = params_get(&call->request->url.query, "maxresults");
        char *marker = format_text("{\"NextMarker\":%zu}", end);
        char *skip = base64url_encode(marker, strlen(marker));
        struct text link = {0};
        text_printf(&link, "https://%s", call->vault->authority);
        text_append_bytes(&link, call->request->target, strcspn(call->request->target, "?"));
        text_printf(&link, "?api-version=%s&$skiptoken=%s&maxresults=%s", call->api_version, skip,
                    max != NULL ? max : "25");
        cJSON_AddStringToObject(json, "nextLink", link.bytes);
        text_finish(&link);
        free(skip);
        free(marker);
    }
    response_json_take(call->response, 200, json);
}

void keyvault_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    char name[MAX_HOST_BYTES];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(request->host, "."), request->host);
    struct vault_call call = {.emulator = emulator, .request = request, .response = response};
    call.vault = vault_find(emulator->vaults, name);
    bool to_hsm = ends_with(request->host, "." HSM_SUFFIX);
    if (call.vault == NULL ||
        call.vault->hsm != to_hsm) { /* in reality its name would not resolve: hang up */
        response->route = "unknown vault";
        counters_unknown_vault(emulator->counters);
        return;
    }
    int retry_after = -1;
    if (!limits_admit_vault(emulator->limits, call.vault->name, &retry_after)) {
        response->route = "-";
        keyvault_error_body(emulator, 429, response);
        if (retry_after >= 0)
            response_headerf(response, "Retry-After", "%d", retry_after);
        return;
    }
    common_headers(response);
    if (!check_api_version(&call) || !check_token(&call) || !check_firewall(&call))
        return;
    enum vault_kind kind = vault_kind_find(request->url.segments[0]);
    if (kind != KIND_COUNT && (kind == KIND_KEY || !call.vault->hsm)) {
        keyvault_serve_objects(&call, kind);
        return;
    }
    keyvault_error(response, 404, "NotFound", NULL, "There is nothing at this path.");
}
