/*
 * kube_store.h - Kubernetes objects in memory: versioned, listed in order of creation, with a log of changes
 * for watches.
 */
#ifndef EMULATOR_KUBE_STORE_H
#define EMULATOR_KUBE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

enum { KUBE_LOG_ENTRIES = 1024 }; /* how far back a watch can start */

struct kube_resource {
    const char *group;         /* "" = core */
    const char *version;       /* the one objects are kept in */
    const char *older_version; /* also served; may be NULL */
    const char *plural;
    const char *kind;
    bool namespaced;
    bool custom; /* a CRD: stricter PUT, no strategic merge */
};
extern const struct kube_resource kube_resources[];
extern const size_t kube_n_resources;
const struct kube_resource *kube_resource_by_plural(const char *plural);

struct kube_object {
    const struct kube_resource *resource;
    char *ns; /* "" when not namespaced */
    char *name;
    cJSON *json;
    char *text;               /* printed json; NULL = not yet */
    uint64_t version;         /* metadata.resourceVersion */
    uint64_t created;         /* the version it came with: the order of lists */
    struct kube_object *next; /* of the same resource */
    struct kube_object *previous;
};

/* A change. `previous` is the object before it (NULL for ADDED). */
struct kube_event {
    const char *type; /* "ADDED", "MODIFIED", "DELETED" */
    const struct kube_resource *resource;
    uint64_t version;
    cJSON *object;
    cJSON *previous;
};

struct kube_store;
struct kube_store *kube_store_create(void);
void kube_store_destroy(struct kube_store *store);

/* Told of each change, right after it. The event is borrowed. */
typedef void kube_listener(const struct kube_event *event, void *arg);
void kube_store_listen(struct kube_store *store, kube_listener *listener, void *arg);

uint64_t kube_store_version(const struct kube_store *store);
struct kube_object *kube_store_get(const struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name);
/* The first object of a resource; go on with ->next. */
struct kube_object *kube_store_first(const struct kube_store *store, const struct kube_resource *resource);
const char *kube_object_text(struct kube_object *object);

/* Creates or replaces, without asking; takes `json`. uid, creationTimestamp, resourceVersion and the names
 * are set; a replacement that changes nothing keeps its version and is no event. */
struct kube_object *kube_store_put(struct kube_store *store, const struct kube_resource *resource,
                                   const char *ns, const char *name, cJSON *json);
bool kube_store_delete(struct kube_store *store, const struct kube_resource *resource, const char *ns,
                       const char *name);

/* Calls `listener` for every change after `version`. False: too long ago (410). */
bool kube_store_replay(const struct kube_store *store, uint64_t version, kube_listener *listener, void *arg);
/* Forgets the changes so far: every older resourceVersion is too old from now on. */
void kube_store_compact(struct kube_store *store);

#endif
