/*
 * owner_references.c - the owners of a synced Secret.
 */
#include "driver/sync/owner_references.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"

void owner_references_finish(struct owner_references *owners)
{
    for (size_t i = 0; i < owners->n; i++)
        free(owners->items[i].api_version);
    free(owners->items);
    *owners = (struct owner_references){0};
}

bool owner_references_contain(const struct owner_references *owners, const char *uid)
{
    for (size_t i = 0; i < owners->n; i++) {
        if (strcmp(owners->items[i].uid, uid) == 0)
            return true;
    }
    return false;
}

bool owner_references_contain_all(const struct owner_references *owners, const struct owner_references *some)
{
    for (size_t i = 0; i < some->n; i++) {
        if (!owner_references_contain(owners, some->items[i].uid))
            return false;
    }
    return true;
}

static int append(struct owner_references *owners, const char *api_version, const char *kind,
                  const char *name, const char *uid, struct error **err)
{
    struct owner_reference *grown = reallocarray(owners->items, owners->n + 1, sizeof(*grown));
    struct owner_reference *owner;
    char *at;

    if (grown == NULL)
        return error_no_memory(err, NULL);
    owners->items = grown;
    at = malloc(strlen(api_version) + strlen(kind) + strlen(name) + strlen(uid) + 4);
    if (at == NULL)
        return error_no_memory(err, NULL);
    owner = &owners->items[owners->n++];
    owner->api_version = alloc_put_text(&at, api_version);
    owner->kind = alloc_put_text(&at, kind);
    owner->name = alloc_put_text(&at, name);
    owner->uid = alloc_put_text(&at, uid);
    return 0;
}

int owner_references_add(struct owner_references *owners, const char *api_version, const char *kind,
                         const char *name, const char *uid, struct error **err)
{
    if (owner_references_contain(owners, uid))
        return 0;
    if (owners->n == OWNER_REFERENCES_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d owner references",
                         OWNER_REFERENCES_MAX);
    return append(owners, api_version, kind, name, uid, err);
}

static int add_reference(struct owner_references *owners, const cJSON *item, struct error **err)
{
    const char *api_version = NULL, *kind = NULL, *name = NULL, *uid = NULL;

    if (json_get_string(item, "apiVersion", &api_version, err) < 0 ||
        json_get_string(item, "kind", &kind, err) < 0 || json_get_string(item, "name", &name, err) < 0 ||
        json_get_string(item, "uid", &uid, err) < 0)
        return -1;
    return owner_references_add(owners, api_version, kind, name, uid, err);
}

int owner_references_from_object(const cJSON *object, struct owner_references *ret, struct error **err)
{
    cleanup_owner_references struct owner_references owners = {0};
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
    owners = (struct owner_references){0};
    return 0;
}

cJSON *owner_reference_to_json(const struct owner_reference *owner)
{
    cleanup_json cJSON *json = cJSON_CreateObject();

    if (json == NULL || cJSON_AddStringToObject(json, "apiVersion", owner->api_version) == NULL ||
        cJSON_AddStringToObject(json, "kind", owner->kind) == NULL ||
        cJSON_AddStringToObject(json, "name", owner->name) == NULL ||
        cJSON_AddStringToObject(json, "uid", owner->uid) == NULL)
        return NULL;
    return steal_ptr(&json);
}
