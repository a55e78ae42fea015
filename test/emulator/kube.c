/*
 * kube.c - the part of the Kubernetes API that is used here: generic create, read, list, watch, replace,
 * merge patch, delete.
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

enum { MAX_SECRET_BYTES = 1024 * 1024, DEFAULT_LIMIT = 1000000 };

/* ---- answers ---- */

static void status_answer(struct answer *answer, unsigned code, const char *reason, const char *message,
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
    answer_json_take(answer, code, json);
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
    status_answer(call->answer, code, reason, message, details);
}

static void common_headers(struct answer *answer)
{
    char id[GUID_SIZE];
    random_guid(id);
    answer_header(answer, "Audit-Id", id);
    answer_header_static(answer, "Cache-Control", "no-cache, private");
    answer_header_static(answer, "Content-Type", "application/json");
}

void kube_error_body(struct emulator *emulator, unsigned status, struct answer *answer)
{
    static const struct {
        unsigned status;
        const char *reason;
        const char *message;
    } known[] = {
        {400, "BadRequest", "the server rejected the request"},
        {401, "Unauthorized", "Unauthorized"},
        {403, "Forbidden", "forbidden: the request is not allowed for this user"},
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
    common_headers(answer);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (known[i].status == status) {
            status_answer(answer, status, known[i].reason, known[i].message, NULL);
            return;
        }
    }
    status_answer(answer, status, "InternalError", "an error on the server has prevented the request", NULL);
}

char *kube_render(const cJSON *object, const struct kube_resource *resource, const char *version,
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

static void object_answer(struct kube_call *call, unsigned status, struct kube_object *object)
{
    if (is_plain(call)) {
        const char *text = kube_object_text(object);
        answer_copy(call->answer, status, text, strlen(text));
    } else {
        answer_take(call->answer, status,
                    kube_render(object->json, call->resource, call->version, call->metadata_only));
    }
    if (strcmp(call->version, "v1alpha1") == 0)
        answer_header_static(call->answer, "Warning", "299 - \"this version is deprecated, use v1\"");
}

static void object_not_found(struct kube_call *call)
{
    kube_status(call, 404, "NotFound", "%s%s%s \"%s\" not found", call->resource->plural,
                call->resource->group[0] ? "." : "", call->resource->group, call->name);
}

/* ---- list ---- */

static void list_objects(struct kube_call *call, const struct kube_selector *labels,
                         const struct kube_selector *fields)
{
    const struct params *query = &call->request->url.query;
    const char *token = params_get(query, "continue");
    long limit = DEFAULT_LIMIT;
    (void)params_get_int(query, "limit", 1, DEFAULT_LIMIT, &limit);
    /* A continue token is the creation version of the last object sent. */
    uint64_t after = token != NULL ? strtoull(token, NULL, 10) : 0;
    uint64_t last = 0;
    long n = 0;
    bool more = false;
    struct text items = {0};
    for (struct kube_object *object = kube_store_first(call->emulator->kube, call->resource); object != NULL;
         object = object->next) {
        if (object->created <= after || (call->ns[0] != '\0' && strcmp(object->ns, call->ns) != 0) ||
            !kube_selector_matches_labels(labels, object->json) ||
            !kube_selector_matches_fields(fields, object->json))
            continue;
        if (n == limit) {
            more = true;
            break;
        }
        text_append(&items, n++ == 0 ? "" : ",");
        if (is_plain(call)) {
            text_append(&items, kube_object_text(object));
        } else {
            char *rendered = kube_render(object->json, call->resource, call->version, call->metadata_only);
            text_append(&items, rendered);
            free(rendered);
        }
        last = object->created;
    }
    struct text body = {0};
    const struct kube_resource *resource = call->resource;
    if (call->metadata_only)
        text_append(&body, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",");
    else
        text_printf(&body, "{\"kind\":\"%sList\",\"apiVersion\":\"%s%s%s\",", resource->kind, resource->group,
                    resource->group[0] ? "/" : "", call->version);
    text_printf(&body, "\"metadata\":{\"resourceVersion\":\"%llu\"",
                (unsigned long long)kube_store_version(call->emulator->kube));
    if (more)
        text_printf(&body, ",\"continue\":\"%llu\"", (unsigned long long)last);
    text_printf(&body, "},\"items\":[%s]}", items.bytes != NULL ? items.bytes : "");
    text_finish(&items);
    answer_take(call->answer, 200, text_take(&body));
}

static bool field_selector_is_supported(const struct kube_resource *resource,
                                        const struct kube_selector *fields)
{
    static const char *const core_fields[] = {"spec.nodeName", "status.phase", "type", "reason"};
    for (size_t i = 0; i < fields->n; i++) {
        const char *key = fields->terms[i].key;
        bool known = strcmp(key, "metadata.name") == 0 || strcmp(key, "metadata.namespace") == 0;
        for (size_t k = 0; k < ARRAY_SIZE(core_fields) && !resource->custom; k++)
            known = known || strcmp(key, core_fields[k]) == 0 || starts_with(key, "involvedObject.");
        if (!known)
            return false;
    }
    return true;
}

static void list_or_watch(struct kube_call *call)
{
    const struct params *query = &call->request->url.query;
    const char *watch = params_get(query, "watch");
    struct kube_selector labels = {0};
    struct kube_selector fields = {0};
    if (!kube_selector_parse(&labels, params_get(query, "labelSelector")) ||
        !kube_selector_parse(&fields, params_get(query, "fieldSelector")))
        kube_status(call, 400, "BadRequest", "unable to parse requirement of a selector");
    else if (!field_selector_is_supported(call->resource, &fields))
        kube_status(call, 400, "BadRequest", "field label not supported: %s",
                    params_get(query, "fieldSelector"));
    else if (watch != NULL && (strcmp(watch, "true") == 0 || strcmp(watch, "1") == 0))
        kube_watch_start(call, &labels, &fields);
    else
        list_objects(call, &labels, &fields);
    kube_selector_finish(&labels);
    kube_selector_finish(&fields);
}

/* ---- write ---- */

static const char *metadata_string(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "metadata"), name));
}

/* Secrets: stringData goes into data, data must be base64 and not too much. False with the error set. */
static bool finish_secret(struct kube_call *call, cJSON *json, const struct kube_object *old)
{
    if (strcmp(call->resource->plural, "secrets") != 0)
        return true;
    cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    cJSON *plain = cJSON_DetachItemFromObjectCaseSensitive(json, "stringData");
    const cJSON *item;
    size_t total = 0;
    if (cJSON_IsObject(plain) && !cJSON_IsObject(data)) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "data");
        data = cJSON_AddObjectToObject(json, "data");
    }
    cJSON_ArrayForEach(item, plain)
    {
        const char *value = cJSON_IsString(item) ? item->valuestring : "";
        char *encoded = base64_encode(value, strlen(value));
        cJSON_DeleteItemFromObjectCaseSensitive(data, item->string);
        cJSON_AddStringToObject(data, item->string, encoded);
        free(encoded);
    }
    cJSON_Delete(plain);
    cJSON_ArrayForEach(item, data)
    {
        if (!cJSON_IsString(item) || !base64_is_standard(item->valuestring)) {
            kube_status(
                call, 400, "BadRequest",
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0");
            return false;
        }
        if (!only_characters(item->string, "-._")) {
            kube_status(call, 422, "Invalid", "Secret \"%s\" is invalid: data[%s]: Invalid value", call->name,
                        item->string);
            return false;
        }
        total += strlen(item->valuestring) / 4 * 3;
    }
    if (total > MAX_SECRET_BYTES) {
        kube_status(call, 422, "Invalid",
                    "Secret \"%s\" is invalid: data: Too long: must have at most 1048576 bytes", call->name);
        return false;
    }
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "type"));
    const char *old_type =
        old == NULL ? NULL : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(old->json, "type"));
    if (type == NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "type");
        cJSON_AddStringToObject(json, "type", old_type != NULL ? old_type : "Opaque");
    } else if (old_type != NULL && strcmp(type, old_type) != 0) {
        kube_status(call, 422, "Invalid",
                    "Secret \"%s\" is invalid: type: Invalid value: \"%s\": field is immutable", call->name,
                    type);
        return false;
    }
    return true;
}

/* Kind, namespace and name of the body against the path. False with the error set. */
static bool check_body(struct kube_call *call, const cJSON *json)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "kind"));
    const char *api_version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "apiVersion"));
    const char *ns = metadata_string(json, "namespace");
    const char *name = metadata_string(json, "name");
    char *expected =
        format_text("%s%s%s", call->resource->group, call->resource->group[0] ? "/" : "", call->version);
    /* Custom resources need both; of built-in ones the path says enough. */
    bool version_ok = api_version == NULL ? !call->resource->custom : strcmp(api_version, expected) == 0;
    bool kind_ok = kind == NULL ? !call->resource->custom : strcmp(kind, call->resource->kind) == 0;
    free(expected);
    if (!version_ok || !kind_ok) {
        kube_status(call, 400, "BadRequest", "the object provided is unrecognized (must be of type %s)",
                    call->resource->kind);
        return false;
    }
    if (ns != NULL && call->ns[0] != '\0' && strcmp(ns, call->ns) != 0) {
        kube_status(call, 400, "BadRequest",
                    "the namespace of the provided object does not match the namespace sent on the request");
        return false;
    }
    if (name != NULL && call->name[0] != '\0' && strcmp(name, call->name) != 0) {
        kube_status(call, 400, "BadRequest",
                    "the name of the object (%s) does not match the name on the URL (%s)", name, call->name);
        return false;
    }
    return true;
}

/* RFC 1123: what names of objects may look like. */
static bool is_object_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 253)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '.'))
            return false;
    return strchr("-.", name[0]) == NULL && strchr("-.", name[len - 1]) == NULL;
}

static void create_object(struct kube_call *call)
{
    cJSON *json = request_json(call->request);
    char *name = NULL;
    if (json == NULL) {
        kube_status(call, 400, "BadRequest", "the object provided is unrecognized: it is not a JSON object");
        return;
    }
    if (!check_body(call, json))
        goto out;
    const char *given = metadata_string(json, "name");
    const char *prefix = metadata_string(json, "generateName");
    const char *version = metadata_string(json, "resourceVersion");
    if (given != NULL && *given != '\0') {
        name = xstrdup(given);
    } else if (prefix != NULL) {
        char suffix[6];
        random_hex(suffix, 5);
        name = format_text("%s%s", prefix, suffix);
    } else {
        kube_status(call, 422, "Invalid",
                    "%s is invalid: metadata.name: Required value: name or generateName is required",
                    call->resource->kind);
        goto out;
    }
    call->name = name;
    if (!is_object_name(name))
        kube_status(call, 422, "Invalid", "%s \"%s\" is invalid: metadata.name: Invalid value",
                    call->resource->kind, name);
    else if (version != NULL && *version != '\0')
        kube_status(call, 400, "BadRequest", "resourceVersion should not be set on objects to be created");
    else if (kube_store_get(call->emulator->kube, call->resource, call->ns, name) != NULL)
        kube_status(call, 409, "AlreadyExists", "%s%s%s \"%s\" already exists", call->resource->plural,
                    call->resource->group[0] ? "." : "", call->resource->group, name);
    else if (finish_secret(call, json, NULL)) {
        cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "metadata"), "uid");
        object_answer(call, 201, kube_store_put(call->emulator->kube, call->resource, call->ns, name, json));
        json = NULL;
    }
out:
    call->name = "";
    cJSON_Delete(json);
    free(name);
}

static void conflict(struct kube_call *call)
{
    kube_status(
        call, 409, "Conflict",
        "Operation cannot be fulfilled on %s%s%s \"%s\": the object has been modified; please apply your changes to the latest version and try again",
        call->resource->plural, call->resource->group[0] ? "." : "", call->resource->group, call->name);
}

/* The rest of PUT and PATCH: takes `json`. `must_have_version`: a missing resourceVersion is an error. */
static void update_object(struct kube_call *call, struct kube_object *old, cJSON *json,
                          bool must_have_version)
{
    const char *version = metadata_string(json, "resourceVersion");
    const char *uid = metadata_string(json, "uid");
    const char *old_uid = metadata_string(old->json, "uid");
    if (!check_body(call, json))
        goto out;
    if (version == NULL || *version == '\0') {
        if (must_have_version) {
            kube_status(
                call, 422, "Invalid",
                "%s.%s \"%s\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
                call->resource->plural, call->resource->group, call->name);
            goto out;
        }
    } else if (strtoull(version, NULL, 10) != old->version) {
        conflict(call);
        goto out;
    }
    if (uid != NULL && *uid != '\0' && strcmp(uid, old_uid) != 0) {
        kube_status(
            call, 409, "Conflict",
            "Operation cannot be fulfilled on %s \"%s\": Precondition failed: UID in precondition: %s, UID in object meta: %s",
            call->resource->plural, call->name, uid, old_uid);
        goto out;
    }
    if (!finish_secret(call, json, old))
        goto out;
    object_answer(call, 200,
                  kube_store_put(call->emulator->kube, call->resource, call->ns, call->name, json));
    return;
out:
    cJSON_Delete(json);
}

/* RFC 7396. */
static void merge_patch(cJSON *target, const cJSON *patch)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, patch)
    {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(target, item->string);
        if (cJSON_IsNull(item)) {
            cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
        } else if (!cJSON_IsObject(item)) {
            cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
            cJSON_AddItemToObject(target, item->string, cJSON_Duplicate(item, 1));
        } else {
            if (!cJSON_IsObject(old)) {
                cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
                old = cJSON_AddObjectToObject(target, item->string);
            }
            merge_patch(old, item);
        }
    }
}

static void replace_object(struct kube_call *call, struct kube_object *old)
{
    cJSON *json = request_json(call->request);
    if (json == NULL)
        kube_status(call, 400, "BadRequest", "the object provided is unrecognized: it is not a JSON object");
    else
        update_object(call, old, json, call->resource->custom);
}

static void patch_object(struct kube_call *call, struct kube_object *old)
{
    const char *type = request_header(call->request, "Content-Type");
    if (type == NULL || strncasecmp(type, "application/merge-patch+json", 28) != 0) {
        kube_status(
            call, 415, "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/merge-patch+json");
        return;
    }
    cJSON *patch = request_json(call->request);
    if (patch == NULL) {
        kube_status(call, 400, "BadRequest", "the patch is not a JSON object");
        return;
    }
    cJSON *json = cJSON_Duplicate(old->json, 1);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "apiVersion");
    char *api_version =
        format_text("%s%s%s", call->resource->group, call->resource->group[0] ? "/" : "", call->version);
    cJSON_AddStringToObject(json, "apiVersion", api_version);
    free(api_version);
    merge_patch(json, patch);
    cJSON_Delete(patch);
    update_object(call, old, json, false);
}

static void delete_object(struct kube_call *call, const struct kube_object *old)
{
    cJSON *options = request_json(call->request);
    const cJSON *preconditions = cJSON_GetObjectItemCaseSensitive(options, "preconditions");
    const char *uid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(preconditions, "uid"));
    const char *version =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(preconditions, "resourceVersion"));
    if ((uid != NULL && strcmp(uid, metadata_string(old->json, "uid")) != 0) ||
        (version != NULL && strtoull(version, NULL, 10) != old->version)) {
        conflict(call);
    } else {
        cJSON *details = cJSON_CreateObject();
        cJSON_AddStringToObject(details, "name", call->name);
        cJSON_AddStringToObject(details, "group", call->resource->group);
        cJSON_AddStringToObject(details, "kind", call->resource->plural);
        cJSON_AddStringToObject(details, "uid", metadata_string(old->json, "uid"));
        (void)kube_store_delete(call->emulator->kube, call->resource, call->ns, call->name);
        status_answer(call->answer, 200, NULL, NULL, details);
    }
    cJSON_Delete(options);
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
        {"/serviceaccounts", "/serviceaccounts/{name}"},
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
    call->answer->route = route_of(call);
    call->metadata_only = accept != NULL && strstr(accept, "as=PartialObjectMetadata") != NULL;
    if (call->name[0] == '\0') {
        if (request_is(request, "GET"))
            list_or_watch(call);
        else if (request_is(request, "POST") && (call->ns[0] != '\0' || !call->resource->namespaced))
            create_object(call);
        else
            kube_status(call, 405, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource");
        return;
    }
    struct kube_object *object = kube_store_get(call->emulator->kube, call->resource, call->ns, call->name);
    if (object == NULL)
        object_not_found(call);
    else if (request_is(request, "GET"))
        object_answer(call, 200, object);
    else if (request_is(request, "PUT"))
        replace_object(call, object);
    else if (request_is(request, "PATCH"))
        patch_object(call, object);
    else if (request_is(request, "DELETE"))
        delete_object(call, object);
    else
        kube_status(call, 405, "MethodNotAllowed",
                    "the server does not allow this method on the requested resource");
}

void kube_serve(struct emulator *emulator, struct request *request, struct answer *answer)
{
    static const char version[] =
        "{\"major\":\"1\",\"minor\":\"31\",\"gitVersion\":\"v1.31.0-emulator\",\"platform\":\"linux/amd64\"}";
    const struct url *url = &request->url;
    const char *token = request_bearer_token(request);
    const char *first = url->segments[0];
    common_headers(answer);
    if (url->n == 1 && strcmp(first, "version") == 0) {
        answer->route = "/version";
        answer_copy(answer, 200, version, sizeof(version) - 1);
        return;
    }
    if (url->n == 1 &&
        (strcmp(first, "readyz") == 0 || strcmp(first, "livez") == 0 || strcmp(first, "healthz") == 0)) {
        answer->route = "/readyz";
        answer_copy(answer, 200, "ok", 2);
        return;
    }
    if (token == NULL || strcmp(token, emulator->kube_token) != 0) {
        status_answer(answer, 401, "Unauthorized", "Unauthorized", NULL);
        return;
    }
    struct kube_call call = {.emulator = emulator, .request = request, .answer = answer};
    if (parse_path(url, &call))
        serve_resource(&call);
    else
        answer_copy(answer, 404, "404 page not found\n", 19); /* plain text, as the real one */
}
