/*
 * owner_lookup.c - finds the owners of a pod's Secrets.
 */
#include "driver/sync/owner_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/class/class.h"
#include "driver/kube/kube_refusal.h"
#include "driver/kube/kube_upsert.h"
#include "driver/status/pod_status_object.h"

#define READ_STATUS "read the status object as the owner of the Secrets"

struct owner_lookup {
    struct kube_client *client;
    const struct volume_names *target;
    struct kube_call *call; /* owned; never NULL while the operation runs */
    unsigned name_flags;    /* of the status object that is read */
    bool bare;              /* the pod has not been read, because it is known to have no owners */
    bool missing;           /* no status object of either name was there before the pod was read */
    owner_lookup_callback *callback;
    void *arg;
};

static void finish(struct owner_lookup *lookup, struct owner_references *owners, const struct error *error)
{
    owner_lookup_callback *callback = lookup->callback;
    void *arg = lookup->arg;

    free(lookup);
    callback(error == NULL ? owners : NULL, error, arg);
}

static void fail(struct owner_lookup *lookup, const struct error *cause, const char *action)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, error_code(cause), "%s: %s%s", action, error_message(cause),
                    kube_refusal_hint(kube_refusal_of(cause),
                                      " (is the ClusterRole secretproviderclasses-role up to date?)"));
    if (error != NULL)
        (void)error_set_type(&error, error_type(cause));
    finish(lookup, NULL, error != NULL ? error : cause);
}

static int get(struct owner_lookup *lookup, const char *group, const char *version, const char *resource,
               const char *name, kube_callback *callback, struct error **err)
{
    cleanup_free char *path = kube_path(group, version, lookup->target->ns, resource, name, err);

    if (path == NULL)
        return -1;
    lookup->call = kube_call_start(
        lookup->client, &(struct kube_request){.method = "GET", .path = path, .metadata_only = true},
        callback, lookup, err);
    return lookup->call != NULL ? 0 : -1;
}

static int get_pod(struct owner_lookup *lookup, struct error **err);
static int get_status(struct owner_lookup *lookup, struct error **err);

/* 1: it belongs to another pod, or is being deleted. */
static int owner_from_status(const struct owner_lookup *lookup, const cJSON *status,
                             struct owner_references *owners, struct error **err)
{
    cleanup_owner_references struct owner_references pods = {0};

    if (owner_references_from_object(status, &pods, err) < 0)
        return -1;
    /* Its name is made of names, which come back; its owner identifies the pod. */
    if (!owner_references_contain(&pods, lookup->target->pod_uid) || kube_is_being_deleted(status))
        return 1;
    return owner_references_add(owners, CLASS_API_GROUP "/v1", POD_STATUS_KIND,
                                kube_metadata_string(status, "name"), kube_metadata_string(status, "uid"),
                                err);
}

static void fail_without_status(struct owner_lookup *lookup)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "it does not exist yet");
    (void)error_set_type(&error, OWNER_LOOKUP_NO_STATUS);
    fail(lookup, error, READ_STATUS);
}

static void status_read(struct kube_response *response, const struct error *error, void *arg)
{
    struct owner_lookup *lookup = arg;
    cleanup_owner_references struct owner_references owners = {0};
    cleanup_error struct error *failure = NULL;
    bool missing = error_code(error) == GRPC_STATUS_NOT_FOUND;

    lookup->call = NULL;
    if (error == NULL) {
        missing = owner_from_status(lookup, response->json, &owners, &failure) > 0;
        error = failure;
    }
    if (missing && (lookup->name_flags & POD_STATUS_NAME_UNIQUE) == 0) {
        lookup->name_flags |= POD_STATUS_NAME_UNIQUE; /* pod_status.c may have had to take that one */
        if (get_status(lookup, &failure) == 0)
            return;
        error = failure;
    } else if (missing && lookup->bare) { /* with its pod? */
        lookup->bare = false;
        lookup->missing = true;
        if (get_pod(lookup, &failure) == 0)
            return;
        error = failure;
    } else if (missing) {
        fail_without_status(lookup);
        return;
    }
    if (error != NULL)
        fail(lookup, error, READ_STATUS);
    else
        finish(lookup, &owners, NULL);
}

static int get_status(struct owner_lookup *lookup, struct error **err)
{
    const struct volume_names *target = lookup->target;
    cleanup_free char *name =
        pod_status_name(target->pod_name, target->ns, target->class_name, lookup->name_flags, err);

    return name != NULL ? get(lookup, CLASS_API_GROUP, "v1", POD_STATUS_RESOURCE, name, status_read, err)
                        : -1;
}

static int owners_of_pod(const struct owner_lookup *lookup, const cJSON *pod, struct owner_references *owners,
                         struct error **err)
{
    if (strcmp(kube_metadata_string(pod, "uid"), lookup->target->pod_uid) != 0)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "another pod has its name now");
    return owner_references_from_object(pod, owners, err);
}

static void pod_read(struct kube_response *response, const struct error *error, void *arg)
{
    struct owner_lookup *lookup = arg;
    cleanup_owner_references struct owner_references owners = {0};
    cleanup_error struct error *failure = NULL;

    lookup->call = NULL;
    if (error == NULL && owners_of_pod(lookup, response->json, &owners, &failure) < 0)
        error = failure;
    if (error == NULL && owners.n == 0 && lookup->missing) {
        fail_without_status(lookup);
        return;
    }
    if (error == NULL && owners.n == 0 && get_status(lookup, &failure) == 0)
        return;
    if (error == NULL)
        error = failure;
    if (error != NULL)
        fail(lookup, error, "read the pod for the owners of its Secrets");
    else
        finish(lookup, &owners, NULL);
}

static int get_pod(struct owner_lookup *lookup, struct error **err)
{
    return get(lookup, "", "v1", "pods", lookup->target->pod_name, pod_read, err);
}

struct owner_lookup *owner_lookup_start(struct kube_client *client, const struct volume_names *target,
                                        bool bare, owner_lookup_callback *callback, void *arg,
                                        struct error **err)
{
    struct owner_lookup *lookup = calloc(1, sizeof(*lookup));

    if (lookup == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *lookup = (struct owner_lookup){
        .client = client, .target = target, .bare = bare, .callback = callback, .arg = arg};
    if ((bare ? get_status(lookup, err) : get_pod(lookup, err)) < 0) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

void owner_lookup_cancel(struct owner_lookup **lookup)
{
    kube_call_cancel(&(*lookup)->call);
    free(*lookup);
    *lookup = NULL;
}
