/*
 * owners.c - owner references.
 */
#include "driver/sync/owner_references.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"

static void owner_free(struct owner *owner)
{
    free(owner->api_version);
    free(owner->kind);
    free(owner->name);
    free(owner->uid);
}

void owners_finish(struct owners *owners)
{
    for (size_t i = 0; i < owners->n; i++)
        owner_free(&owners->items[i]);
    free(owners->items);
    *owners = (struct owners){0};
}

bool owners_have(const struct owners *owners, const char *uid)
{
    for (size_t i = 0; i < owners->n; i++) {
        if (strcmp(owners->items[i].uid, uid) == 0)
            return true;
    }
    return false;
}

bool owners_have_all(const struct owners *owners, const struct owners *some)
{
    for (size_t i = 0; i < some->n; i++) {
        if (!owners_have(owners, some->items[i].uid))
            return false;
    }
    return true;
}

static int append(struct owners *owners, const char *api_version, const char *kind, const char *name,
                  const char *uid, struct error **err)
{
    struct owner *grown = reallocarray(owners->items, owners->n + 1, sizeof(*grown));
    struct owner owner = {0};

    if (grown != NULL) {
        owners->items = grown;
        owner = (struct owner){.api_version = strdup(api_version),
                               .kind = strdup(kind),
                               .name = strdup(name),
                               .uid = strdup(uid)};
    }
    if (owner.api_version == NULL || owner.kind == NULL || owner.name == NULL || owner.uid == NULL) {
        owner_free(&owner);
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    owners->items[owners->n++] = owner;
    return 0;
}

int owners_add(struct owners *owners, const char *api_version, const char *kind, const char *name,
               const char *uid, struct error **err)
{
    if (owners_have(owners, uid))
        return 0;
    if (owners->n == OWNERS_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d owner references", OWNERS_MAX);
    return append(owners, api_version, kind, name, uid, err);
}

static int add_reference(struct owners *owners, const cJSON *item, struct error **err)
{
    const char *api_version = NULL, *kind = NULL, *name = NULL, *uid = NULL;

    if (json_get_string(item, "apiVersion", &api_version, err) < 0 ||
        json_get_string(item, "kind", &kind, err) < 0 || json_get_string(item, "name", &name, err) < 0 ||
        json_get_string(item, "uid", &uid, err) < 0)
        return -1;
    return owners_add(owners, api_version, kind, name, uid, err);
}

int owners_from_object(const cJSON *object, struct owners *ret, struct error **err)
{
    cleanup_owners struct owners owners = {0};
    const cJSON *metadata = NULL, *references = NULL, *item = NULL;

    if (json_get_object(object, "metadata", &metadata, err) < 0 ||
        json_opt_array(metadata, "ownerReferences", &references, err) < 0)
        return -1;
    cJSON_ArrayForEach(item, references)
    {
        if (add_reference(&owners, item, err) < 0)
            return error_wrap(err, "ownerReferences");
    }
    *ret = owners;
    owners = (struct owners){0};
    return 0;
}

cJSON *owner_to_json(const struct owner *owner)
{
    cleanup_json cJSON *json = cJSON_CreateObject();

    if (json == NULL || cJSON_AddStringToObject(json, "apiVersion", owner->api_version) == NULL ||
        cJSON_AddStringToObject(json, "kind", owner->kind) == NULL ||
        cJSON_AddStringToObject(json, "name", owner->name) == NULL ||
        cJSON_AddStringToObject(json, "uid", owner->uid) == NULL)
        return NULL;
    return steal_ptr(&json);
}
