/*
 * kube.h - shared by the parts of the emulated API server.
 */
#ifndef EMULATOR_KUBE_H
#define EMULATOR_KUBE_H

#include "test/emulator/emulator.h"
#include "test/emulator/kube_store.h"

/* One request to a resource. */
struct kube_call {
    struct emulator *emulator;
    struct request *request;
    struct response *response;
    const struct kube_resource *resource;
    const char *version; /* the API version of the path */
    const char *ns;      /* "" = all, or not namespaced */
    const char *name;    /* "" = the collection */
    bool metadata_only;  /* Accept: ...;as=PartialObjectMetadata(List) */
};

/* A Status body for a failure; `name` may be "". */
void kube_status(struct kube_call *call, unsigned code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same without an object that it is about; takes `details`, which may be NULL. */
void kube_respond_status(struct response *response, unsigned code, const char *reason, const char *message,
                         cJSON *details);

/* The object in the API version of the path, perhaps metadata only. */
void kube_respond_object(struct kube_call *call, unsigned status, struct kube_object *object);

/* kube_write.c; `object` is the one of the path. */
void kube_create(struct kube_call *call);
void kube_replace(struct kube_call *call, struct kube_object *object);
void kube_patch(struct kube_call *call, struct kube_object *object);
void kube_delete(struct kube_call *call, const struct kube_object *object);

#endif
