/*
 * secret_release.c - releases a Secret that a class does not name any more.
 */
#include "driver/sync/secret_release.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "driver/kube/kube_upsert.h"
#include "driver/sync/secret_content.h"
#include "driver/sync/secret_field_owners.h"

struct secret_release {
    struct secret_release_request request;
    struct kube_upsert *upsert; /* owned */
    secret_release_callback *callback;
    void *arg;
};

/* --- the patch --- */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The owner references without those of the pod, or NULL when it has none (or without memory). */
static cJSON *other_owners(const struct owner_references *owners, const cJSON *metadata)
{
    const cJSON *item = NULL;
    cJSON *others = cJSON_CreateArray();
    bool found = false;

    cJSON_ArrayForEach(item, member(metadata, "ownerReferences"))
    {
        const char *uid = cJSON_GetStringValue(member(item, "uid"));

        if (uid != NULL && owner_references_contain(owners, uid))
            found = true;
        else
            (void)cJSON_AddItemToArray(others, cJSON_Duplicate(item, /* recurse= */ 1));
    }
    if (!found) {
        cJSON_Delete(others);
        return NULL;
    }
    return others;
}

static int remove_member(cJSON *metadata, const cJSON *current, const char *part, const char *key)
{
    cJSON *changes;

    if (member(member(current, part), key) == NULL)
        return 0;
    changes = cJSON_AddObjectToObject(metadata, part);
    return cJSON_AddNullToObject(changes, key) != NULL ? 0 : -1;
}

static int release_all(const struct secret_release_request *request, const cJSON *current, cJSON *metadata)
{
    cJSON *others = other_owners(request->owners, current);

    if (others != NULL && !cJSON_AddItemToObject(metadata, "ownerReferences", others)) {
        cJSON_Delete(others);
        return -1;
    }
    if (remove_member(metadata, current, "labels", SECRET_MANAGED_LABEL) < 0)
        return -1;
    return remove_member(metadata, current, "annotations", SECRET_FIELD_OWNERS_ANNOTATION);
}

static int release_fields(const cJSON *field_owners, cJSON *metadata)
{
    cleanup_secret_free char *text = secret_field_owners_text(field_owners);
    cJSON *annotations = cJSON_AddObjectToObject(metadata, "annotations");

    return text != NULL && cJSON_AddStringToObject(annotations, SECRET_FIELD_OWNERS_ANNOTATION, text) != NULL
               ? 0
               : -1;
}

/* Is it a Secret that this driver keeps? */
static bool is_ours(const struct secret_release_request *request, const cJSON *metadata)
{
    const char *managed = cJSON_GetStringValue(member(member(metadata, "labels"), SECRET_MANAGED_LABEL));
    cleanup_json cJSON *others = other_owners(request->owners, metadata);

    return (managed != NULL && strcmp(managed, "true") == 0) || others != NULL;
}

cJSON *secret_release_patch(const struct secret_release_request *request, const cJSON *current,
                            struct error **err)
{
    const cJSON *metadata = member(current, "metadata");
    cleanup_json cJSON *field_owners = NULL;
    cleanup_json cJSON *patch = NULL;
    cJSON *changes;
    bool pruned;

    if (!is_ours(request, metadata) || kube_is_being_deleted(current))
        return NULL;
    field_owners = secret_field_owners_read(current);
    patch = cJSON_CreateObject();
    changes = cJSON_AddObjectToObject(patch, "metadata");
    if (field_owners == NULL || changes == NULL)
        goto fail;
    pruned = secret_field_owners_prune(field_owners, request->class_name, /* class= */ NULL, request->name);
    if (field_owners->child == NULL) {
        if (release_all(request, metadata, changes) < 0)
            goto fail;
    } else if (pruned && release_fields(field_owners, changes) < 0) {
        goto fail;
    }
    return changes->child != NULL ? steal_ptr(&patch) : NULL;
fail:
    (void)error_no_memory(err, NULL);
    return NULL;
}

/* --- the operation --- */

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    const struct secret_release *release = arg;

    return step == KUBE_UPSERT_CREATE ? NULL : secret_release_patch(&release->request, current, err);
}

static void upsert_done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct secret_release *release = arg;
    secret_release_callback *callback = release->callback;
    void *callback_arg = release->arg;

    free(release);
    callback(error == NULL && result->wrote, error, callback_arg);
}

struct secret_release *secret_release_start(const struct secret_release_request *request,
                                            secret_release_callback *callback, void *arg, struct error **err)
{
    struct secret_release *release = calloc(1, sizeof(*release));

    if (release == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *release = (struct secret_release){.request = *request, .callback = callback, .arg = arg};
    release->upsert = kube_upsert_start(request->client,
                                        &(struct kube_upsert_request){.group = "",
                                                                      .version = "v1",
                                                                      .ns = request->ns,
                                                                      .resource = "secrets",
                                                                      .name = request->name,
                                                                      .first = KUBE_UPSERT_READ,
                                                                      .build = build,
                                                                      .metadata_only = true},
                                        upsert_done, release, err);
    if (release->upsert == NULL) {
        free(release);
        return NULL;
    }
    return release;
}

void secret_release_cancel(struct secret_release **release)
{
    kube_upsert_cancel(&(*release)->upsert);
    free(*release);
    *release = NULL;
}
