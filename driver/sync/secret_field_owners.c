/*
 * secret_field_owners.c - which class owns which field of a Kubernetes Secret.
 */
#include "driver/sync/secret_field_owners.h"

#include <string.h>

#include "common/base/json.h"

/* --- reading --- */

static bool is_owner(const cJSON *owner)
{
    const cJSON *list = NULL, *key = NULL;

    if (!class_name_valid(owner->string) || !cJSON_IsObject(owner))
        return false;
    cJSON_ArrayForEach(list, owner)
    {
        if (!cJSON_IsArray(list))
            return false;
        cJSON_ArrayForEach(key, list)
        {
            if (!cJSON_IsString(key))
                return false;
        }
    }
    return true;
}

static bool are_field_owners(const cJSON *json)
{
    const cJSON *owner = NULL;

    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) > SECRET_FIELD_OWNERS_CLASSES_MAX)
        return false;
    cJSON_ArrayForEach(owner, json)
    {
        if (!is_owner(owner))
            return false;
    }
    return true;
}

cJSON *secret_field_owners_read(const cJSON *object)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
    const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(annotations, SECRET_FIELD_OWNERS_ANNOTATION));
    cleanup_error struct error *error = NULL;
    cleanup_json cJSON *json = NULL;

    if (text != NULL)
        json = json_parse(text, strlen(text), SECRET_FIELD_OWNERS_TEXT_MAX, &error);
    if (error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED)
        return NULL; /* the owners exist, and must not be overwritten */
    return are_field_owners(json) ? steal_ptr(&json) : cJSON_CreateObject();
}

static bool has(const cJSON *owner, enum secret_part part, const char *key)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(owner, secret_part_name(part)))
    {
        if (strcmp(item->valuestring, key) == 0)
            return true;
    }
    return false;
}

bool secret_field_owners_has(const cJSON *owners, const char *class, enum secret_part part, const char *key)
{
    return has(cJSON_GetObjectItemCaseSensitive(owners, class), part, key);
}

const cJSON *secret_field_owners_keys(const cJSON *owners, const char *class, enum secret_part part)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(owners, class),
                                            secret_part_name(part));
}

bool secret_field_owners_shared(const cJSON *owners, const char *class)
{
    int own = cJSON_HasObjectItem(owners, class) ? 1 : 0;

    return cJSON_GetArraySize(owners) > own;
}

const char *secret_field_owners_other(const cJSON *owners, const char *class, enum secret_part part,
                                      const char *key)
{
    const cJSON *owner = NULL;

    cJSON_ArrayForEach(owner, owners)
    {
        if ((class == NULL || strcmp(owner->string, class) != 0) && has(owner, part, key))
            return owner->string;
    }
    return NULL;
}

/* --- changing --- */

int secret_field_owners_add(cJSON *owners, const char *class, enum secret_part part, const char *key)
{
    const char *name = secret_part_name(part);
    cJSON *owner = cJSON_GetObjectItemCaseSensitive(owners, class);
    cJSON *list, *item;

    if (has(owner, part, key))
        return 0;
    if (owner == NULL)
        owner = cJSON_AddObjectToObject(owners, class);
    list = cJSON_GetObjectItemCaseSensitive(owner, name);
    if (list == NULL)
        list = cJSON_AddArrayToObject(owner, name);
    item = cJSON_CreateString(key);
    if (list == NULL || item == NULL) {
        cJSON_Delete(item);
        return -1;
    }
    (void)cJSON_AddItemToArray(list, item); /* fails for NULL only */
    return 0;
}

/* Removes the list of a part, or an owner, that is empty. */
static void drop_empty(cJSON *parent, cJSON *child)
{
    if (child->child == NULL)
        cJSON_Delete(cJSON_DetachItemViaPointer(parent, child));
}

/* Should this field of an owner stay? */
typedef bool keep_function(enum secret_part part, const char *key, const void *arg);

/* Removes the fields of one owner that shall not stay. Returns how many. */
static size_t filter(cJSON *owners, cJSON *owner, keep_function *keep, const void *arg)
{
    size_t removed = 0;

    for (int part = 0; part < SECRET_PARTS; part++) {
        cJSON *list = cJSON_GetObjectItemCaseSensitive(owner, secret_part_name((enum secret_part)part));
        cJSON *next = NULL;

        for (cJSON *item = list != NULL ? list->child : NULL; item != NULL; item = next) {
            next = item->next;
            if (keep((enum secret_part)part, item->valuestring, arg))
                continue;
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
            removed++;
        }
        if (list != NULL)
            drop_empty(owner, list);
    }
    drop_empty(owners, owner);
    return removed;
}

struct field {
    enum secret_part part;
    const char *key;
};

static bool is_other_field(enum secret_part part, const char *key, const void *arg)
{
    const struct field *field = arg;

    return part != field->part || strcmp(key, field->key) != 0;
}

void secret_field_owners_remove(cJSON *owners, const char *class, enum secret_part part, const char *key)
{
    cJSON *owner = cJSON_GetObjectItemCaseSensitive(owners, class);

    if (owner != NULL)
        (void)filter(owners, owner, is_other_field, &(struct field){.part = part, .key = key});
}

struct named {
    const struct secret_provider_class *class;
    const char *secret;
};

static bool is_named(enum secret_part part, const char *key, const void *arg)
{
    const struct named *named = arg;

    return named->class != NULL && secret_field_named(named->class, named->secret, part, key);
}

bool secret_field_owners_prune(cJSON *owners, const char *class_name,
                               const struct secret_provider_class *class, const char *secret)
{
    cJSON *owner = cJSON_GetObjectItemCaseSensitive(owners, class_name);

    return owner != NULL &&
           filter(owners, owner, is_named, &(struct named){.class = class, .secret = secret}) > 0;
}

char *secret_field_owners_text(const cJSON *owners)
{
    return json_print(owners, /* err= */ NULL);
}
