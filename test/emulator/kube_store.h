/*
 * kube_store.h - Kubernetes objects in memory: versioned, listed in order of creation.
 */
#ifndef EMULATOR_KUBE_STORE_H
#define EMULATOR_KUBE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

struct kube_resource {
    const char *group;         /* "" = core */
    const char *version;       /* the one objects are kept in */
    const char *older_version; /* also served; may be NULL */
    const char *plural;
    const char *kind;
    bool namespaced;
    bool custom; /* a CRD: stricter PUT, no strategic merge */
};
const struct kube_resource *kube_resource_by_plural(const char *plural);

struct kube_object {
    const struct kube_resource *resource;
    char *ns; /* "" when not namespaced */
    char *name;
    cJSON *json;
    char *text;               /* printed json; NULL = not yet */
    uint64_t version;         /* metadata.resourceVersion */
    struct kube_object *next; /* of the same resource */
    struct kube_object *previous;
};

struct kube_store;
struct kube_store *kube_store_create(void);
void kube_store_destroy(struct kube_store *store);
/* Removes all objects; the versions go on. */
void kube_store_clear(struct kube_store *store);

struct kube_object *kube_store_get(const struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name);
/* The first object of a resource; go on with ->next. */
struct kube_object *kube_store_first(const struct kube_store *store, const struct kube_resource *resource);
const char *kube_object_text(struct kube_object *object);

/* Creates or replaces, without asking; takes `json`. uid, creationTimestamp, resourceVersion and the names
 * are set; a replacement that changes nothing keeps its version. */
struct kube_object *kube_store_put(struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name, cJSON *json);
bool kube_store_delete(struct kube_store *store, const struct kube_resource *resource, const char *ns,
                       const char *name);

#endif
