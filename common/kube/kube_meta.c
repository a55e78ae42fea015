/*
 * kube_meta.c - how the Kubernetes API writes paths, times, metadata and failures.
 */
#include "common/kube/kube_meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/http/client.h"

/* --- failures --- */

static enum grpc_status code_of(int status, const char *reason)
{
    switch (status) {
    case 400:
    case 422:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_NOT_FOUND;
    case 409:
        return strcmp(reason, "AlreadyExists") == 0 ? GRPC_STATUS_ALREADY_EXISTS : GRPC_STATUS_ABORTED;
    case 410:
        return GRPC_STATUS_OUT_OF_RANGE;
    case 413:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case 429:
        return GRPC_STATUS_UNAVAILABLE;
    case 504:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    default:
        return status >= 500 ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_INTERNAL;
    }
}

static const char *string_member(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

int kube_status_error(int status, const cJSON *json, struct error **err)
{
    const char *reason = string_member(json, "reason");
    const char *message = string_member(json, "message");

    if (message[0] != '\0')
        return error_set(err, code_of(status, reason), "%s", message);
    /* Proxies, and the API server for unknown groups, respond with plain text. */
    return error_set(err, code_of(status, reason), "the Kubernetes API server responded %d%s", status,
                     status == 404 ? " not found" : "");
}

/* --- paths --- */

char *kube_path(const char *group, const char *version, const char *ns, const char *resource,
                const char *name, struct error **err)
{
    cleanup_free char *escaped_ns = http_escape(ns);
    cleanup_free char *escaped_name = name == NULL ? NULL : http_escape(name);
    char *path = NULL;

    if (escaped_ns == NULL || (name != NULL && escaped_name == NULL) ||
        asprintf(&path, "/%s%s/%s%s%s/%s%s%s", group[0] == '\0' ? "api" : "apis/", group, version,
                 ns[0] == '\0' ? "" : "/namespaces/", escaped_ns, resource, name == NULL ? "" : "/",
                 name == NULL ? "" : escaped_name) < 0) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return path;
}

static const char *skip_segments(const char *path, unsigned n)
{
    for (; n > 0 && *path == '/'; n--)
        path += 1 + strcspn(path + 1, "/?");
    return path;
}

void kube_path_resource(const char *path, char *out, size_t size)
{
    /* "/api/v1" or "/apis/group/version" */
    const char *resource = skip_segments(path, strncmp(path, "/apis/", 6) == 0 ? 3 : 2);
    const char *in_namespace;

    if (strncmp(resource, "/namespaces/", 12) == 0) {
        in_namespace = skip_segments(resource, 2);
        if (*in_namespace == '/')
            resource = in_namespace;
    }
    (void)snprintf(out, size, "%.*s", *resource == '/' ? (int)strcspn(resource + 1, "/?") : 0,
                   *resource == '/' ? resource + 1 : "");
}

/* --- objects --- */

const char *kube_metadata_string(const cJSON *object, const char *key)
{
    return string_member(cJSON_GetObjectItemCaseSensitive(object, "metadata"), key);
}

bool kube_is_being_deleted(const cJSON *object)
{
    return kube_metadata_string(object, "deletionTimestamp")[0] != '\0';
}

void kube_time(int64_t unix_s, char out[KUBE_TIME_SIZE])
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900 ||
        strftime(out, KUBE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}
