/*
 * kube.c - the part of the Kubernetes API that is used here: the paths, reading objects, errors. Writing
 * them: kube_write.c.
 *
 * Differences from a real server that matter to a client are listed in README.md.
 */
#include "test/emulator/kube.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "test/emulator/base64.h"
#include "test/emulator/memory.h"

/* ---- responses ---- */

void kube_respond_status(struct response *response, unsigned code, const char *reason, const char *message,
                         cJSON *details)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "kind", "Status");
    cJSON_AddStringToObject(json, "apiVersion", "v1");
    cJSON_AddObjectToObject(json, "metadata");
    cJSON_AddStringToObject(json, "status", code < 300 ? "Success" : "Failure");
    if (message != NULL)
        cJSON_AddStringToObject(json, "message", message);
    if (reason != NULL)
        cJSON_AddStringToObject(json, "reason", reason);
    if (details != NULL)
        cJSON_AddItemToObject(json, "details", details);
    cJSON_AddNumberToObject(json, "code", code);
    response_json_take(response, code, json);
}

void kube_status(struct kube_call *call, unsigned code, const char *reason, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    cJSON *details = cJSON_CreateObject();
    if (call->name[0] != '\0')
        cJSON_AddStringToObject(details, "name", call->name);
    if (call->resource->group[0] != '\0')
        cJSON_AddStringToObject(details, "group", call->resource->group);
    cJSON_AddStringToObject(details, "kind", call->resource->plural);
    kube_respond_status(call->response, code, reason, message, details);
}

static void common_headers(struct response *response)
{
    char id[GUID_SIZE];
    random_guid(id);
    response_header(response, "Audit-Id", id);
    response_header_static(response, "Cache-Control", "no-cache, private");
    response_header_static(response, "Content-Type", "application/json");
}

void kube_error_body(struct emulator *emulator, unsigned status, struct response *response)
{
    static const struct {
        unsigned status;
        const char *reason;
        const char *message;
    } known[] = {
        {400, "BadRequest", "the server rejected the request"},
        {401, "Unauthorized", "Unauthorized"},
        {403, "Forbidden", "the resource is forbidden: User \"driver\" cannot do this"},
        {404, "NotFound", "the server could not find the requested resource"},
        {409, "Conflict", "Operation cannot be fulfilled: the object has been modified"},
        {410, "Expired", "The provided continue parameter is too old"},
        {422, "Invalid", "the object is invalid"},
        {429, "TooManyRequests",
         "the server has received too many requests and has asked us to try again later"},
        {503, "ServiceUnavailable", "the server is currently unable to handle the request"},
        {504, "Timeout", "the request timed out"},
    };
    (void)emulator;
    common_headers(response);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (known[i].status == status) {
            kube_respond_status(response, status, known[i].reason, known[i].message, NULL);
            return;
        }
    }
    kube_respond_status(response, status, "InternalError", "an error on the server has prevented the request",
                        NULL);
}

static char *render(const cJSON *object, const struct kube_resource *resource, const char *version,
                    bool metadata_only)
{
    cJSON *copy;
    char *api_version = format_text("%s%s%s", resource->group, resource->group[0] ? "/" : "", version);
    if (metadata_only) {
        copy = cJSON_CreateObject();
        cJSON_AddStringToObject(copy, "kind", "PartialObjectMetadata");
        cJSON_AddStringToObject(copy, "apiVersion", "meta.k8s.io/v1");
        cJSON_AddItemToObject(copy, "metadata",
                              cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(object, "metadata"), 1));
    } else {
        copy = cJSON_Duplicate(object, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "apiVersion");
        cJSON_AddStringToObject(copy, "apiVersion", api_version);
    }
    free(api_version);
    char *text = cJSON_PrintUnformatted(copy);
    cJSON_Delete(copy);
    return text;
}

/* True if the stored text needs no change for this caller. */
static bool is_plain(const struct kube_call *call)
{
    return !call->metadata_only && strcmp(call->version, call->resource->version) == 0;
}

void kube_respond_object(struct kube_call *call, unsigned status, struct kube_object *object)
{
    if (is_plain(call)) {
        const char *text = kube_object_text(object);
        response_copy(call->response, status, text, strlen(text));
    } else {
        response_take(call->response, status,
                      render(object->json, call->resource, call->version, call->metadata_only));
    }
    if (strcmp(call->version, "v1alpha1") == 0)
        response_header_static(call->response, "Warning", "299 - \"this version is deprecated, use v1\"");
}

static void object_not_found(struct kube_call *call)
{
    kube_status(call, 404, "NotFound", "%s%s%s \"%s\" not found", call->resource->plural,
                call->resource->group[0] ? "." : "", call->resource->group, call->name);
}

/* ---- routing ---- */

/* Fills in resource, version, namespace and name from the path; false = no such path. */
static bool parse_path(const struct url *url, struct kube_call *call)
{
    const char *const *segments = url->segments;
    size_t n = url->n;
    size_t at;
    const char *group = "";
    if (n >= 3 && strcmp(segments[0], "api") == 0) {
        at = 2;
    } else if (n >= 4 && strcmp(segments[0], "apis") == 0) {
        group = segments[1];
        at = 3;
    } else {
        return false;
    }
    call->version = segments[at - 1];
    call->ns = "";
    call->name = "";
    if (n >= at + 3 && strcmp(segments[at], "namespaces") == 0) {
        call->ns = segments[at + 1];
        at += 2;
    }
    call->resource = kube_resource_by_plural(segments[at]);
    if (n > at + 2 || call->resource == NULL || strcmp(call->resource->group, group) != 0)
        return false;
    if (n == at + 2)
        call->name = segments[at + 1];
    const struct kube_resource *resource = call->resource;
    bool version_ok =
        strcmp(call->version, resource->version) == 0 ||
        (resource->older_version != NULL && strcmp(call->version, resource->older_version) == 0);
    bool namespace_ok =
        resource->namespaced ? call->ns[0] != '\0' || call->name[0] == '\0' : call->ns[0] == '\0';
    return version_ok && namespace_ok;
}

/* Static text for the counters: a pattern for each resource would be too many strings to keep; kind of path
 * is enough. */
static const char *route_of(const struct kube_call *call)
{
    static const char *const patterns[][2] = {
        {"/secretproviderclasses", "/secretproviderclasses/{name}"},
        {"/secretproviderclasspodstatuses", "/secretproviderclasspodstatuses/{name}"},
        {"/secrets", "/secrets/{name}"},
        {"/pods", "/pods/{name}"},
        {"/events", "/events/{name}"},
        {"/nodes", "/nodes/{name}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        if (strcmp(patterns[i][0] + 1, call->resource->plural) == 0)
            return patterns[i][call->name[0] != '\0'];
    return call->name[0] != '\0' ? "/{resource}/{name}" : "/{resource}";
}

static void serve_resource(struct kube_call *call)
{
    const struct request *request = call->request;
    const char *accept = request_header(request, "Accept");
    call->response->route = route_of(call);
    call->metadata_only = accept != NULL && strstr(accept, "as=PartialObjectMetadata") != NULL;
    if (call->name[0] == '\0') {
        if (request_is(request, "POST") && (call->ns[0] != '\0' || !call->resource->namespaced))
            kube_create(call);
        else
            kube_status(call, 405, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource");
        return;
    }
    struct kube_object *object = kube_store_get(call->emulator->kube, call->resource, call->ns, call->name);
    if (object == NULL)
        object_not_found(call);
    else if (request_is(request, "GET"))
        kube_respond_object(call, 200, object);
    else if (request_is(request, "PUT"))
        kube_replace(call, object);
    else if (request_is(request, "PATCH"))
        kube_patch(call, object);
    else if (request_is(request, "DELETE"))
        kube_delete(call, object);
    else
        kube_status(call, 405, "MethodNotAllowed",
                    "the server does not allow this method on the requested resource");
}

void kube_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    const struct url *url = &request->url;
    const char *token = request_bearer_token(request);
    common_headers(response);
    if (url->n == 1 && strcmp(url->segments[0], "readyz") == 0) {
        response->route = "/readyz";
        response_copy(response, 200, "ok", 2);
        return;
    }
    if (token == NULL || strcmp(token, emulator->kube_token) != 0) {
        kube_respond_status(response, 401, "Unauthorized", "Unauthorized", NULL);
        return;
    }
    struct kube_call call = {.emulator = emulator, .request = request, .response = response};
    if (parse_path(url, &call))
        serve_resource(&call);
    else
        response_copy(response, 404, "404 page not found\n", 19); /* plain text, as the real one */
}
