/*
 * secret_claims.c - which class keeps which part of a Kubernetes Secret.
 */
#include "driver/sync/secret_field_owners.h"

#include <string.h>

#include "common/base/json.h"
#include "driver/sync/secret_content.h"

const char *secret_part_name(enum secret_part part)
{
    static const char *const names[SECRET_PARTS] = {"data", "labels", "annotations"};

    return names[part];
}

/* --- reading --- */

static bool is_claim(const cJSON *claim)
{
    const cJSON *list = NULL, *key = NULL;

    if (!class_name_valid(claim->string) || !cJSON_IsObject(claim))
        return false;
    cJSON_ArrayForEach(list, claim)
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

static bool are_claims(const cJSON *json)
{
    const cJSON *claim = NULL;

    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) > SECRET_CLAIMS_CLASSES_MAX)
        return false;
    cJSON_ArrayForEach(claim, json)
    {
        if (!is_claim(claim))
            return false;
    }
    return true;
}

cJSON *secret_claims_read(const cJSON *object)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
    const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(annotations, SECRET_CLAIMS_ANNOTATION));
    cleanup_error struct error *error = NULL;
    cleanup_json cJSON *json = NULL;

    if (text != NULL)
        json = json_parse(text, strlen(text), SECRET_CLAIMS_TEXT_MAX, &error);
    if (error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED)
        return NULL; /* others' claims are there, and must not be written over */
    return are_claims(json) ? steal_ptr(&json) : cJSON_CreateObject();
}

static bool has(const cJSON *claim, enum secret_part part, const char *key)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(claim, secret_part_name(part)))
    {
        if (strcmp(item->valuestring, key) == 0)
            return true;
    }
    return false;
}

bool secret_claims_have(const cJSON *claims, const char *class, enum secret_part part, const char *key)
{
    return has(cJSON_GetObjectItemCaseSensitive(claims, class), part, key);
}

const cJSON *secret_claims_of(const cJSON *claims, const char *class, enum secret_part part)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(claims, class),
                                            secret_part_name(part));
}

bool secret_claims_shared(const cJSON *claims, const char *class)
{
    int own = cJSON_HasObjectItem(claims, class) ? 1 : 0;

    return cJSON_GetArraySize(claims) > own;
}

const char *secret_claims_other(const cJSON *claims, const char *class, enum secret_part part,
                                const char *key)
{
    const cJSON *claim = NULL;

    cJSON_ArrayForEach(claim, claims)
    {
        if ((class == NULL || strcmp(claim->string, class) != 0) && has(claim, part, key))
            return claim->string;
    }
    return NULL;
}

/* --- changing --- */

int secret_claims_add(cJSON *claims, const char *class, enum secret_part part, const char *key)
{
    const char *name = secret_part_name(part);
    cJSON *claim = cJSON_GetObjectItemCaseSensitive(claims, class);
    cJSON *list, *item;

    if (has(claim, part, key))
        return 0;
    if (claim == NULL)
        claim = cJSON_AddObjectToObject(claims, class);
    list = cJSON_GetObjectItemCaseSensitive(claim, name);
    if (list == NULL)
        list = cJSON_AddArrayToObject(claim, name);
    item = cJSON_CreateString(key);
    if (list == NULL || item == NULL) {
        cJSON_Delete(item);
        return -1;
    }
    (void)cJSON_AddItemToArray(list, item); /* fails for NULL only */
    return 0;
}

/* Removes the list of a part, or a claim, that has nothing in it any more. */
static void drop_empty(cJSON *parent, cJSON *child)
{
    if (child->child == NULL)
        cJSON_Delete(cJSON_DetachItemViaPointer(parent, child));
}

/* Removes those items of one claim that `keep` does not want. Returns how many. */
typedef bool keep_function(enum secret_part part, const char *key, const void *arg);

static size_t filter(cJSON *claims, cJSON *claim, keep_function *keep, const void *arg)
{
    size_t removed = 0;

    for (int part = 0; part < SECRET_PARTS; part++) {
        cJSON *list = cJSON_GetObjectItemCaseSensitive(claim, secret_part_name((enum secret_part)part));
        cJSON *next = NULL;

        for (cJSON *item = list != NULL ? list->child : NULL; item != NULL; item = next) {
            next = item->next;
            if (keep((enum secret_part)part, item->valuestring, arg))
                continue;
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
            removed++;
        }
        if (list != NULL)
            drop_empty(claim, list);
    }
    drop_empty(claims, claim);
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

void secret_claims_drop(cJSON *claims, const char *class, enum secret_part part, const char *key)
{
    cJSON *claim = cJSON_GetObjectItemCaseSensitive(claims, class);

    if (claim != NULL)
        (void)filter(claims, claim, is_other_field, &(struct field){.part = part, .key = key});
}

struct named {
    const struct secret_provider_class *class;
    const char *secret;
};

static bool is_named(enum secret_part part, const char *key, const void *arg)
{
    const struct named *named = arg;

    return named->class != NULL && secret_content_names(named->class, named->secret, part, key);
}

bool secret_claims_prune(cJSON *claims, const char *class_name, const struct secret_provider_class *class,
                         const char *secret)
{
    cJSON *claim = cJSON_GetObjectItemCaseSensitive(claims, class_name);

    return claim != NULL &&
           filter(claims, claim, is_named, &(struct named){.class = class, .secret = secret}) > 0;
}

char *secret_claims_text(const cJSON *claims)
{
    return json_print(claims, /* err= */ NULL);
}
