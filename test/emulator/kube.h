/*
 * kube.h - what the parts of the emulated API server share.
 */
#ifndef EMULATOR_KUBE_H
#define EMULATOR_KUBE_H

#include "test/emulator/emulator.h"
#include "test/emulator/kube_selector.h"
#include "test/emulator/kube_store.h"

/* One request to a resource. */
struct kube_call {
    struct emulator *emulator;
    struct request *request;
    struct answer *answer;
    const struct kube_resource *resource;
    const char *version; /* the API version of the path */
    const char *ns;      /* "" = all, or not namespaced */
    const char *name;    /* "" = the collection */
    bool metadata_only;  /* Accept: ...;as=PartialObjectMetadata(List) */
};

/* A Status body for a failure; `name` may be "". */
void kube_status(struct kube_call *call, unsigned code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The object as this caller wants to see it: API version of the path, perhaps metadata only. The caller
 * frees. */
char *kube_render(const cJSON *object, const struct kube_resource *resource, const char *version,
                  bool metadata_only);

/* GET with watch=1: answers with a stream (kube_watch.c). The selectors are taken. */
void kube_watch_start(struct kube_call *call, struct kube_selector *labels, struct kube_selector *fields);
struct kube_watches;
/* Ends all watches as a server does that goes away. */
void kube_watches_close_all(struct kube_watches *watches);
struct kube_watches *kube_watches_create(struct emulator *emulator);
void kube_watches_destroy(struct kube_watches *watches);

#endif
