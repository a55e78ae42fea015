/*
 * secret_object.c - a synced Secret as JSON.
 */
#include "driver/sync/secret_object.h"

#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "driver/kube/base64.h"

static int out_of_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static const char *string_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL ? text : "";
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* --- create --- */

static int add_map(cJSON *metadata, const char *name, const struct string_map *map)
{
    cJSON *json;

    if (map->n == 0)
        return 0;
    json = cJSON_AddObjectToObject(metadata, name);
    for (size_t i = 0; i < map->n && json != NULL; i++) {
        if (cJSON_AddStringToObject(json, map->entries[i].key, map->entries[i].value) == NULL)
            return -1;
    }
    return json != NULL ? 0 : -1;
}

static int add_owners(cJSON *references, const struct owners *owners)
{
    for (size_t i = 0; i < owners->n; i++) {
        cJSON *json = owner_to_json(&owners->items[i]);

        if (json == NULL)
            return -1;
        (void)cJSON_AddItemToArray(references, json); /* fails for NULL only */
    }
    return 0;
}

static int add_data(cJSON *data, const struct secret_value *value)
{
    cleanup_secret_free char *text = kube_base64_encode(secret_bytes(value->bytes), secret_len(value->bytes));

    return text != NULL && cJSON_AddStringToObject(data, value->key, text) != NULL ? 0 : -1;
}

static int fill_metadata(cJSON *object, const char *ns, const struct secret_wish *wish)
{
    cJSON *metadata = cJSON_AddObjectToObject(object, "metadata");
    cJSON *references;

    if (metadata == NULL || cJSON_AddStringToObject(metadata, "name", wish->content->name) == NULL ||
        cJSON_AddStringToObject(metadata, "namespace", ns) == NULL ||
        add_map(metadata, "labels", &wish->content->labels) < 0 ||
        add_map(metadata, "annotations", &wish->content->annotations) < 0)
        return -1;
    if (wish->owners->n == 0)
        return 0;
    references = cJSON_AddArrayToObject(metadata, "ownerReferences");
    return references != NULL ? add_owners(references, wish->owners) : -1;
}

cJSON *secret_object_create(const char *ns, const struct secret_wish *wish, struct error **err)
{
    const struct secret_content *content = wish->content;
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *data;

    if (object == NULL || cJSON_AddStringToObject(object, "apiVersion", "v1") == NULL ||
        cJSON_AddStringToObject(object, "kind", "Secret") == NULL || fill_metadata(object, ns, wish) < 0 ||
        cJSON_AddStringToObject(object, "type", content->type) == NULL)
        goto fail;
    data = cJSON_AddObjectToObject(object, "data");
    if (data == NULL)
        goto fail;
    for (size_t i = 0; i < content->n_values; i++) {
        if (add_data(data, &content->values[i]) < 0)
            goto fail;
    }
    return steal_ptr(&object);
fail:
    (void)out_of_memory(err);
    return NULL;
}

/* --- patch --- */

/* The object `name` of `parent`, made when it is not there yet. NULL without memory. */
static cJSON *part(cJSON *parent, const char *name)
{
    cJSON *json = cJSON_GetObjectItemCaseSensitive(parent, name);

    return json != NULL ? json : cJSON_AddObjectToObject(parent, name);
}

static int patch_map(cJSON *patch, const char *name, const struct string_map *wanted,
                     const struct string_map *old, const cJSON *current)
{
    const cJSON *there = member(member(current, "metadata"), name);
    cJSON *changes = NULL;

    for (size_t i = 0; i < wanted->n; i++) {
        const struct string_map_entry *entry = &wanted->entries[i];
        const char *value = cJSON_GetStringValue(member(there, entry->key));

        if (value != NULL && strcmp(value, entry->value) == 0)
            continue;
        changes = part(part(patch, "metadata"), name);
        if (cJSON_AddStringToObject(changes, entry->key, entry->value) == NULL)
            return -1;
    }
    for (size_t i = 0; old != NULL && i < old->n; i++) {
        const char *key = old->entries[i].key;

        if (string_map_get(wanted, key) != NULL || member(there, key) == NULL)
            continue;
        changes = part(part(patch, "metadata"), name);
        if (cJSON_AddNullToObject(changes, key) == NULL)
            return -1;
    }
    return 0;
}

static bool has_reference(const cJSON *references, const char *uid)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, references)
    {
        if (strcmp(string_of(item, "uid"), uid) == 0)
            return true;
    }
    return false;
}

/* A merge patch replaces lists as a whole: the references of others go back in as they are. */
static int patch_owners(cJSON *patch, const struct owners *owners, const cJSON *current)
{
    const cJSON *references = member(member(current, "metadata"), "ownerReferences");
    cleanup_json cJSON *all = NULL;
    cJSON *metadata;
    bool missing = false;

    for (size_t i = 0; i < owners->n; i++)
        missing = missing || !has_reference(references, owners->items[i].uid);
    if (!missing)
        return 0;
    all = references != NULL ? cJSON_Duplicate(references, /* recurse= */ 1) : cJSON_CreateArray();
    for (size_t i = 0; i < owners->n && all != NULL; i++) {
        cJSON *json;

        if (has_reference(references, owners->items[i].uid))
            continue;
        json = owner_to_json(&owners->items[i]);
        if (json == NULL)
            return -1;
        (void)cJSON_AddItemToArray(all, json);
    }
    metadata = part(patch, "metadata");
    if (all == NULL || metadata == NULL || !cJSON_AddItemToObject(metadata, "ownerReferences", all))
        return -1;
    all = NULL; /* belongs to the patch now */
    return 0;
}

static bool is_wanted_key(const struct secret_content *content, const char *key)
{
    for (size_t i = 0; i < content->n_values; i++) {
        if (strcmp(content->values[i].key, key) == 0)
            return true;
    }
    return false;
}

static int patch_value(cJSON *patch, const struct secret_value *value, const cJSON *there)
{
    cleanup_secret_free char *text = kube_base64_encode(secret_bytes(value->bytes), secret_len(value->bytes));
    const char *found = cJSON_GetStringValue(member(there, value->key));

    if (text == NULL)
        return -1;
    if (found != NULL && strcmp(found, text) == 0)
        return 0;
    return cJSON_AddStringToObject(part(patch, "data"), value->key, text) != NULL ? 0 : -1;
}

static int patch_data(cJSON *patch, const struct secret_content *content, const cJSON *current)
{
    const cJSON *there = member(current, "data");
    const cJSON *item = NULL;

    for (size_t i = 0; i < content->n_values; i++) {
        if (patch_value(patch, &content->values[i], there) < 0)
            return -1;
    }
    cJSON_ArrayForEach(item, there)
    {
        if (!is_wanted_key(content, item->string) &&
            cJSON_AddNullToObject(part(patch, "data"), item->string) == NULL)
            return -1;
    }
    return 0;
}

static bool is_ours(const struct secret_wish *wish, const cJSON *current)
{
    const cJSON *metadata = member(current, "metadata");
    const cJSON *references = member(metadata, "ownerReferences");

    if (strcmp(string_of(member(metadata, "labels"), SECRET_MANAGED_LABEL), "true") == 0)
        return true;
    for (size_t i = 0; i < wish->owners->n; i++) {
        if (has_reference(references, wish->owners->items[i].uid))
            return true;
    }
    return false;
}

/* Of a Secret that is none, nothing may be taken for granted. */
static int check_shape(const cJSON *current, struct error **err)
{
    const cJSON *metadata = NULL, *part_of = NULL;

    if (json_get_object(current, "metadata", &metadata, err) < 0 ||
        json_opt_object(metadata, "labels", &part_of, err) < 0 ||
        json_opt_object(metadata, "annotations", &part_of, err) < 0 ||
        json_opt_array(metadata, "ownerReferences", &part_of, err) < 0 ||
        json_opt_object(current, "data", &part_of, err) < 0) {
        (void)error_recode(err, GRPC_STATUS_INTERNAL);
        return error_wrap(err, "the API server's answer is no Secret");
    }
    return 0;
}

static int check_current(const struct secret_wish *wish, const cJSON *current, struct error **err)
{
    const char *type = string_of(current, "type");

    if (check_shape(current, err) < 0)
        return -1;
    if (!is_ours(wish, current))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the Secret exists and was made by somebody else: delete it, or give it the "
                         "label " SECRET_MANAGED_LABEL "=true to let this driver overwrite it");
    if (strcmp(type, wish->content->type) != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the Secret exists with type '%.253s', the class says '%.253s', and the type of a "
                         "Secret can not be changed: delete the Secret or correct the class",
                         type, wish->content->type);
    return 0;
}

int secret_object_patch(const struct secret_wish *wish, const cJSON *current, cJSON **ret_patch,
                        struct error **err)
{
    const struct secret_content *content = wish->content;
    cleanup_json cJSON *patch = cJSON_CreateObject();

    if (patch == NULL)
        return out_of_memory(err);
    if (check_current(wish, current, err) < 0)
        return -1;
    if (patch_map(patch, "labels", &content->labels, wish->old_labels, current) < 0 ||
        patch_map(patch, "annotations", &content->annotations, wish->old_annotations, current) < 0 ||
        patch_owners(patch, wish->owners, current) < 0 ||
        (wish->authority == SECRET_AUTHORITY_FULL && patch_data(patch, content, current) < 0))
        return out_of_memory(err);
    if (member(patch, "data") != NULL && cJSON_IsTrue(member(current, "immutable")))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the Secret is marked immutable and its data can not be changed: delete it");
    *ret_patch = patch->child != NULL ? steal_ptr(&patch) : NULL;
    return 0;
}
