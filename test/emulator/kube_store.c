/*
 * kube_store.c - see kube_store.h.
 */
#include "test/emulator/kube_store.h"

#include <stdio.h>

#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"

#define SECRETS_STORE "secrets-store.csi.x-k8s.io"

static const struct kube_resource kube_resources[] = {
    {SECRETS_STORE, "v1", "v1alpha1", "secretproviderclasses", "SecretProviderClass", true, true},
    {SECRETS_STORE, "v1", "v1alpha1", "secretproviderclasspodstatuses", "SecretProviderClassPodStatus", true,
     true},
    {"", "v1", NULL, "secrets", "Secret", true, false},
    {"", "v1", NULL, "pods", "Pod", true, false},
    {"", "v1", NULL, "events", "Event", true, false},
    {"", "v1", NULL, "nodes", "Node", false, false},
};

struct kube_store {
    struct map by_key; /* "plural/ns/name" -> struct kube_object */
    struct kube_object *first[ARRAY_SIZE(kube_resources)];
    struct kube_object *last[ARRAY_SIZE(kube_resources)];
    uint64_t version;
};

const struct kube_resource *kube_resource_by_plural(const char *plural)
{
    for (size_t i = 0; i < ARRAY_SIZE(kube_resources); i++)
        if (strcmp(kube_resources[i].plural, plural) == 0)
            return &kube_resources[i];
    return NULL;
}

struct kube_store *kube_store_create(void)
{
    struct kube_store *store = xcalloc(1, sizeof(*store));
    store->version = 1000; /* not small: no client should take it for a count */
    return store;
}

static void object_free(void *value)
{
    struct kube_object *object = value;
    cJSON_Delete(object->json);
    free(object->text);
    free(object->ns);
    free(object->name);
    free(object);
}

void kube_store_destroy(struct kube_store *store)
{
    map_finish(&store->by_key, object_free);
    free(store);
}

void kube_store_clear(struct kube_store *store)
{
    map_finish(&store->by_key, object_free);
    *store = (struct kube_store){.version = store->version + 1};
}

static size_t index_of(const struct kube_resource *resource)
{
    return (size_t)(resource - kube_resources);
}

static char *key_of(const struct kube_resource *resource, const char *ns, const char *name)
{
    return format_text("%s/%s/%s", resource->plural, ns, name);
}

struct kube_object *kube_store_get(const struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name)
{
    char *key = key_of(resource, ns, name);
    struct kube_object *object = map_get(&store->by_key, key);
    free(key);
    return object;
}

struct kube_object *kube_store_first(const struct kube_store *store, const struct kube_resource *resource)
{
    return store->first[index_of(resource)];
}

const char *kube_object_text(struct kube_object *object)
{
    if (object->text == NULL)
        object->text = cJSON_PrintUnformatted(object->json);
    return object->text;
}

/* ---- metadata ---- */

static void set_string(cJSON *object, const char *name, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    cJSON_AddStringToObject(object, name, value);
}

static void set_version(cJSON *metadata, uint64_t version)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)version);
    set_string(metadata, "resourceVersion", text);
}

static cJSON *metadata_of(cJSON *json)
{
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(json, "metadata");
    if (cJSON_IsObject(metadata))
        return metadata;
    cJSON_DeleteItemFromObjectCaseSensitive(json, "metadata");
    return cJSON_AddObjectToObject(json, "metadata");
}

/* uid and creationTimestamp are the server's: those of the existing object win over what a client sends. */
static void stamp(const struct kube_resource *resource, const char *ns, const char *name, cJSON *json,
                  cJSON *old)
{
    cJSON *metadata = metadata_of(json);
    char *api_version =
        format_text("%s%s%s", resource->group, resource->group[0] ? "/" : "", resource->version);
    set_string(json, "apiVersion", api_version);
    set_string(json, "kind", resource->kind);
    free(api_version);
    set_string(metadata, "name", name);
    if (resource->namespaced)
        set_string(metadata, "namespace", ns);

    const cJSON *old_metadata = old == NULL ? NULL : metadata_of(old);
    char uid[GUID_SIZE];
    char now[RFC3339_SIZE];
    random_guid(uid);
    format_time(unix_now(), 'T', now);
    const char *old_uid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(old_metadata, "uid"));
    const char *old_time =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(old_metadata, "creationTimestamp"));
    const char *given = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "uid"));
    if (old_uid != NULL || given == NULL) /* a test may choose the uid of a new object */
        set_string(metadata, "uid", old_uid != NULL ? old_uid : uid);
    set_string(metadata, "creationTimestamp", old_time != NULL ? old_time : now);
}

static struct kube_object *add(struct kube_store *store, const struct kube_resource *resource, const char *ns,
                               const char *name, cJSON *json)
{
    struct kube_object *object = xcalloc(1, sizeof(*object));
    size_t r = index_of(resource);
    object->resource = resource;
    object->ns = xstrdup(ns);
    object->name = xstrdup(name);
    object->json = json;
    object->version = ++store->version;
    set_version(metadata_of(json), object->version);
    object->previous = store->last[r];
    *(object->previous != NULL ? &object->previous->next : &store->first[r]) = object;
    store->last[r] = object;
    char *key = key_of(resource, ns, name);
    (void)map_set(&store->by_key, key, object);
    free(key);
    return object;
}

struct kube_object *kube_store_put(struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name, cJSON *json)
{
    struct kube_object *object = kube_store_get(store, resource, ns, name);
    stamp(resource, ns, name, json, object == NULL ? NULL : object->json);
    if (object == NULL)
        return add(store, resource, ns, name, json);
    set_version(metadata_of(json), object->version);
    if (cJSON_Compare(json, object->json, 1)) {
        cJSON_Delete(json);
        return object;
    }
    cJSON_Delete(object->json);
    object->json = json;
    free(object->text);
    object->text = NULL;
    object->version = ++store->version;
    set_version(metadata_of(json), object->version);
    return object;
}

bool kube_store_delete(struct kube_store *store, const struct kube_resource *resource, const char *ns,
                       const char *name)
{
    struct kube_object *object = kube_store_get(store, resource, ns, name);
    if (object == NULL)
        return false;
    size_t r = index_of(resource);
    *(object->previous != NULL ? &object->previous->next : &store->first[r]) = object->next;
    *(object->next != NULL ? &object->next->previous : &store->last[r]) = object->previous;
    char *key = key_of(resource, ns, name);
    (void)map_remove(&store->by_key, key);
    free(key);
    store->version++;
    object_free(object);
    return true;
}
