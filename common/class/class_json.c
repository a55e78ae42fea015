/*
 * class_json.c - SecretProviderClasses in JSON.
 */
#include <string.h>

#include "common/base/json.h"
#include "common/class/class.h"

static enum class_node_kind json_kind(const void *node)
{
    const cJSON *json = node;

    if (cJSON_IsNull(json))
        return CLASS_NODE_NULL;
    if (cJSON_IsString(json))
        return CLASS_NODE_STRING;
    if (cJSON_IsArray(json))
        return CLASS_NODE_LIST;
    if (cJSON_IsObject(json))
        return CLASS_NODE_MAP;
    return CLASS_NODE_OTHER_SCALAR;
}

static const char *json_text(const void *node)
{
    return ((const cJSON *)node)->valuestring;
}

static size_t json_count(const void *node)
{
    return (size_t)cJSON_GetArraySize(node);
}

/* Walks the list each time; the lists of a class are short, and parameters are read once. */
static const void *json_item(const void *node, size_t i)
{
    const cJSON *item = ((const cJSON *)node)->child;

    for (; item != NULL && i > 0; i--)
        item = item->next;
    return item;
}

static const char *json_key(const void *node, size_t i)
{
    return ((const cJSON *)json_item(node, i))->string;
}

static const void *json_merged(const void *node, size_t i)
{
    (void)node;
    (void)i;
    return NULL;
}

static const void *json_member(const void *node, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(node, key);
}

static unsigned json_line(const void *node)
{
    (void)node;
    return 0;
}

static const struct class_tree json_tree = {
    .kind = json_kind,
    .text = json_text,
    .count = json_count,
    .item = json_item,
    .key = json_key,
    .merged = json_merged,
    .get = json_member,
    .line = json_line,
};

struct secret_provider_class *class_from_json(const struct cJSON *json, const char *default_namespace,
                                              struct error **err)
{
    struct secret_provider_class *class = NULL;

    switch (class_decode(&json_tree, json, default_namespace, &class, err)) {
    case CLASS_DECODED:
        return class;
    case CLASS_OTHER_KIND:
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not a " CLASS_KIND);
        return NULL;
    case CLASS_INVALID:
        break;
    }
    return NULL;
}

static int decode_one(const cJSON *json, const char *default_namespace, class_found *found, void *arg,
                      struct error **err)
{
    struct secret_provider_class *class = NULL;

    switch (class_decode(&json_tree, json, default_namespace, &class, err)) {
    case CLASS_DECODED:
        return found(class, arg, err);
    case CLASS_OTHER_KIND:
        return 0;
    case CLASS_INVALID:
        break;
    }
    return -1;
}

int class_json_each(const char *text, size_t len, const char *default_namespace, class_found *found,
                    void *arg, struct error **err)
{
    cleanup_json cJSON *json = json_parse(text, len, CLASS_TEXT_MAX, err);
    const cJSON *items;
    const cJSON *item;

    if (json == NULL)
        return -1;
    items = cJSON_GetObjectItemCaseSensitive(json, "items");
    if (!cJSON_IsArray(items))
        return decode_one(json, default_namespace, found, arg, err);
    cJSON_ArrayForEach(item, items)
    {
        if (decode_one(item, default_namespace, found, arg, err) < 0)
            return -1;
    }
    return 0;
}
