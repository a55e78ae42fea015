/*
 * kube_write.c - create, replace, merge patch and delete of the emulated API server.
 */
#include <stdio.h>
#include <strings.h>

#include "test/emulator/base64.h"
#include "test/emulator/kube.h"
#include "test/emulator/memory.h"

enum { MAX_SECRET_BYTES = 1024 * 1024 };

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

void kube_create(struct kube_call *call)
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
        kube_respond_object(call, 201,
                            kube_store_put(call->emulator->kube, call->resource, call->ns, name, json));
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
    kube_respond_object(call, 200,
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

void kube_replace(struct kube_call *call, struct kube_object *old)
{
    cJSON *json = request_json(call->request);
    if (json == NULL)
        kube_status(call, 400, "BadRequest", "the object provided is unrecognized: it is not a JSON object");
    else
        update_object(call, old, json, call->resource->custom);
}

void kube_patch(struct kube_call *call, struct kube_object *old)
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

void kube_delete(struct kube_call *call, const struct kube_object *old)
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
        kube_respond_status(call->response, 200, NULL, NULL, details);
    }
    cJSON_Delete(options);
}
