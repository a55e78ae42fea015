/*
 * class_source.h - where SecretProviderClasses come from: the Kubernetes API (class_kube.h) or a directory of
 * files (class_files.h).
 *
 * A source is a vtable with one state. Lookups follow the operation contract of common/grpc/client.h.
 */
#ifndef DRIVER_CLASS_CLASS_SOURCE_H
#define DRIVER_CLASS_CLASS_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/class/class.h"

struct class_lookup; /* one running lookup; its content is the source's own */

/* `class` belongs to the callee. On failure it is NULL and `error` is borrowed: NOT_FOUND (the text ends in
 * "not found"), PERMISSION_DENIED, UNAVAILABLE, DEADLINE_EXCEEDED, INVALID_ARGUMENT (the object is there but
 * malformed). */
typedef void class_lookup_callback(struct secret_provider_class *class, const struct error *error, void *arg);

struct class_source {
    const char *name;              /* "kubernetes", "files": for logs */
    const char *default_namespace; /* for callers that name none; NULL = they must */
    bool local;                    /* a lookup needs no request, so caching is of no use (class_cache.h) */
    struct class_lookup *(*start)(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                  class_lookup_callback *callback, void *arg, struct error **err);
    /* As start, for a class that is not older than `resource_version` (of an earlier lookup): the API server
     * can take it from its cache then. NULL: the source has no use for that. */
    struct class_lookup *(*start_not_older)(void *state, const char *ns, const char *name,
                                            const char *resource_version, uint64_t timeout_ms,
                                            class_lookup_callback *callback, void *arg, struct error **err);
    void (*cancel)(struct class_lookup *lookup);
    void (*destroy)(void *state); /* no lookup may be running (cancelled ones may linger) */
    void *state;
};

static inline struct class_lookup *class_source_start(const struct class_source *source, const char *ns,
                                                      const char *name, uint64_t timeout_ms,
                                                      class_lookup_callback *callback, void *arg,
                                                      struct error **err)
{
    return source->start(source->state, ns, name, timeout_ms, callback, arg, err);
}

/* Sets *lookup to NULL; the callback will not run any more. */
static inline void class_source_cancel(const struct class_source *source, struct class_lookup **lookup)
{
    source->cancel(*lookup);
    *lookup = NULL;
}

/* Accepts a source that was never filled in. */
static inline void class_source_destroy(struct class_source *source)
{
    if (source->destroy != NULL)
        source->destroy(source->state);
    *source = (struct class_source){0};
}

#endif
