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

const struct kube_resource kube_resources[] = {
    {SECRETS_STORE, "v1", "v1alpha1", "secretproviderclasses", "SecretProviderClass", true, true},
    {SECRETS_STORE, "v1", "v1alpha1", "secretproviderclasspodstatuses", "SecretProviderClassPodStatus", true,
     true},
    {"", "v1", NULL, "secrets", "Secret", true, false},
    {"", "v1", NULL, "pods", "Pod", true, false},
    {"", "v1", NULL, "events", "Event", true, false},
    {"", "v1", NULL, "serviceaccounts", "ServiceAccount", true, false},
    {"", "v1", NULL, "configmaps", "ConfigMap", true, false},
    {"", "v1", NULL, "namespaces", "Namespace", false, false},
    {"", "v1", NULL, "nodes", "Node", false, false},
    {"apps", "v1", NULL, "replicasets", "ReplicaSet", true, false},
    {"storage.k8s.io", "v1", NULL, "csidrivers", "CSIDriver", false, false},
};
const size_t kube_n_resources = ARRAY_SIZE(kube_resources);

struct kube_store {
    struct map by_key; /* "plural/ns/name" -> struct kube_object */
    struct kube_object *first[ARRAY_SIZE(kube_resources)];
    struct kube_object *last[ARRAY_SIZE(kube_resources)];
    uint64_t version;
    uint64_t compacted; /* changes up to here are forgotten */
    struct kube_event log[KUBE_LOG_ENTRIES];
    uint64_t logged;
    kube_listener *listener;
    void *listener_arg;
};

const struct kube_resource *kube_resource_by_plural(const char *plural)
{
    for (size_t i = 0; i < kube_n_resources; i++)
        if (strcmp(kube_resources[i].plural, plural) == 0)
            return &kube_resources[i];
    return NULL;
}

struct kube_store *kube_store_create(void)
{
    struct kube_store *store = xcalloc(1, sizeof(*store));
    store->version = 1000; /* not small: nobody should take it for a count */
    store->compacted = store->version;
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

static void event_finish(struct kube_event *event)
{
    cJSON_Delete(event->object);
    cJSON_Delete(event->previous);
    *event = (struct kube_event){0};
}

void kube_store_destroy(struct kube_store *store)
{
    map_finish(&store->by_key, object_free);
    for (size_t i = 0; i < KUBE_LOG_ENTRIES; i++)
        event_finish(&store->log[i]);
    free(store);
}

void kube_store_listen(struct kube_store *store, kube_listener *listener, void *arg)
{
    store->listener = listener;
    store->listener_arg = arg;
}

uint64_t kube_store_version(const struct kube_store *store)
{
    return store->version;
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

/* Logs a change and tells the listener; takes `previous`. */
static void changed(struct kube_store *store, const char *type, const struct kube_resource *resource,
                    const cJSON *object, cJSON *previous)
{
    struct kube_event *event = &store->log[store->logged++ % KUBE_LOG_ENTRIES];
    if (event->type != NULL)
        store->compacted = event->version;
    event_finish(event);
    *event = (struct kube_event){type, resource, store->version, cJSON_Duplicate(object, 1), previous};
    if (store->listener != NULL)
        store->listener(event, store->listener_arg);
}

bool kube_store_replay(const struct kube_store *store, uint64_t version, kube_listener *listener, void *arg)
{
    if (version < store->compacted)
        return false;
    uint64_t kept = store->logged < KUBE_LOG_ENTRIES ? store->logged : KUBE_LOG_ENTRIES;
    for (uint64_t i = store->logged - kept; i < store->logged; i++) {
        const struct kube_event *event = &store->log[i % KUBE_LOG_ENTRIES];
        if (event->type != NULL && event->version > version)
            listener(event, arg);
    }
    return true;
}

void kube_store_compact(struct kube_store *store)
{
    /* One version further, so that even somebody who saw the very last change is behind. */
    store->compacted = ++store->version;
    for (size_t i = 0; i < KUBE_LOG_ENTRIES; i++)
        event_finish(&store->log[i]);
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
    object->version = object->created = ++store->version;
    set_version(metadata_of(json), object->version);
    object->previous = store->last[r];
    *(object->previous != NULL ? &object->previous->next : &store->first[r]) = object;
    store->last[r] = object;
    char *key = key_of(resource, ns, name);
    (void)map_set(&store->by_key, key, object);
    free(key);
    changed(store, "ADDED", resource, json, NULL);
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
    cJSON *previous = object->json;
    object->json = json;
    free(object->text);
    object->text = NULL;
    object->version = ++store->version;
    set_version(metadata_of(json), object->version);
    changed(store, "MODIFIED", resource, json, previous);
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
    cJSON *previous = cJSON_Duplicate(object->json, 1);
    set_version(metadata_of(object->json), store->version);
    changed(store, "DELETED", resource, object->json, previous);
    object_free(object);
    return true;
}
