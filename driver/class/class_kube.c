/*
 * class_kube.c - SecretProviderClasses from the Kubernetes API.
 */
#include "driver/class/class_kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

enum { RESOURCE_VERSION_MAX = 20 }; /* digits; a 64-bit number in every API server so far */

struct class_kube {
    struct kube_client *client;
};

struct class_lookup {
    struct kube_client *client;
    struct kube_call *call; /* owned */
    class_lookup_callback *callback;
    void *arg;
    char *ns;
    char *name;
    char *not_older; /* a resourceVersion, or NULL */
    uint64_t timeout_ms;
    bool fallback; /* v1 is not served, v1alpha1 is requested */
};

static void lookup_free(struct class_lookup *lookup)
{
    free(lookup->ns);
    free(lookup->name);
    free(lookup->not_older);
    free(lookup);
}

static void lookup_finish(struct class_lookup *lookup, struct secret_provider_class *class,
                          const struct error *error)
{
    class_lookup_callback *callback = lookup->callback;
    void *arg = lookup->arg;

    lookup_free(lookup);
    callback(class, error, arg);
}

static void lookup_done(struct kube_response *response, const struct error *error, void *arg);

/* Versions are opaque, but they go into a URL: only digits are sent back. */
static bool version_usable(const char *version)
{
    size_t len = version == NULL ? 0 : strnlen(version, RESOURCE_VERSION_MAX + 1);

    return len > 0 && len <= RESOURCE_VERSION_MAX && strspn(version, "0123456789") == len;
}

static int lookup_send(struct class_lookup *lookup, struct error **err)
{
    cleanup_free char *path = kube_path(CLASS_API_GROUP, lookup->fallback ? "v1alpha1" : "v1", lookup->ns,
                                        CLASS_RESOURCE, lookup->name, err);
    cleanup_free char *with_version = NULL;

    if (path == NULL)
        return -1;
    if (version_usable(lookup->not_older) &&
        asprintf(&with_version, "%s?resourceVersion=%s", path, lookup->not_older) < 0) {
        with_version = NULL;
        return error_no_memory(err, NULL);
    }
    lookup->call = kube_call_start(lookup->client,
                                   &(struct kube_request){.method = "GET",
                                                          .path = with_version != NULL ? with_version : path,
                                                          .timeout_ms = lookup->timeout_ms},
                                   lookup_done, lookup, err);
    return lookup->call == NULL ? -1 : 0;
}

/* A 404 about the object names its kind in details; a 404 about the path (group or version not served) does
 * not. */
static bool is_unknown_path(const struct kube_response *response)
{
    const cJSON *details;
    const cJSON *kind;

    if (response->status != 404)
        return false;
    details = cJSON_GetObjectItemCaseSensitive(response->json, "details");
    kind = cJSON_GetObjectItemCaseSensitive(details, "kind");
    return !cJSON_IsString(kind) || strcmp(kind->valuestring, CLASS_RESOURCE) != 0;
}

static void lookup_unknown_path(struct class_lookup *lookup)
{
    cleanup_error struct error *error = NULL;

    if (!lookup->fallback) {
        lookup->fallback = true;
        if (lookup_send(lookup, &error) < 0)
            lookup_finish(lookup, NULL, error);
        return;
    }
    (void)error_set(&error, GRPC_STATUS_NOT_FOUND,
                    "the API server does not serve " CLASS_RESOURCE "." CLASS_API_GROUP
                    " (are the custom resource definitions installed?): not found");
    lookup_finish(lookup, NULL, error);
}

static void lookup_done(struct kube_response *response, const struct error *error, void *arg)
{
    struct class_lookup *lookup = arg;
    cleanup_error struct error *failure = NULL;
    struct secret_provider_class *class = NULL;

    lookup->call = NULL;
    if (is_unknown_path(response)) {
        lookup_unknown_path(lookup);
        return;
    }
    if (error != NULL) {
        lookup_finish(lookup, NULL, error);
        return;
    }
    class = class_from_json(response->json, lookup->ns, &failure);
    lookup_finish(lookup, class, failure);
}

static struct class_lookup *kube_start_not_older(void *state, const char *ns, const char *name,
                                                 const char *resource_version, uint64_t timeout_ms,
                                                 class_lookup_callback *callback, void *arg,
                                                 struct error **err)
{
    struct class_kube *source = state;
    struct class_lookup *lookup = alloc_zeroed(sizeof(*lookup), err);

    if (lookup == NULL)
        return NULL;
    *lookup = (struct class_lookup){.client = source->client,
                                    .callback = callback,
                                    .arg = arg,
                                    .ns = strdup(ns),
                                    .name = strdup(name),
                                    .not_older = resource_version != NULL ? strdup(resource_version) : NULL,
                                    .timeout_ms = timeout_ms};
    if (lookup->ns == NULL || lookup->name == NULL) {
        (void)error_no_memory(err, NULL);
        lookup_free(lookup);
        return NULL;
    }
    if (lookup_send(lookup, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

static struct class_lookup *kube_start(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                       class_lookup_callback *callback, void *arg, struct error **err)
{
    return kube_start_not_older(state, ns, name, /* resource_version= */ NULL, timeout_ms, callback, arg,
                                err);
}

static void kube_cancel(struct class_lookup *lookup)
{
    if (lookup->call != NULL)
        kube_call_cancel(&lookup->call);
    lookup_free(lookup);
}

static void kube_destroy(void *state)
{
    free(state);
}

int class_kube_create(struct kube_client *client, struct class_source *ret_source, struct error **err)
{
    struct class_kube *source = alloc_zeroed(sizeof(*source), err);

    if (source == NULL)
        return -1;
    source->client = client;
    *ret_source = (struct class_source){.name = "kubernetes",
                                        .start = kube_start,
                                        .start_not_older = kube_start_not_older,
                                        .cancel = kube_cancel,
                                        .destroy = kube_destroy,
                                        .state = source};
    return 0;
}
