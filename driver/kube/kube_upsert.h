/*
 * kube_upsert.h - brings one Kubernetes object to its desired state: created, changed, or left alone.
 *
 *            ┌──────── 404 ────────┐
 *            ▼                     │
 *   start ▶ POST ── 409 exists ─▶ GET ── as desired already ──▶ done, nothing written
 *       │    │                     │ ▲
 *       │    ▼                     ▼ │ 409 conflict, 410, no or unclear response
 *       └──────────────────────▶ PATCH ──▶ done
 *
 * The first step is the caller's guess: CREATE when the object is probably not there, READ when that is not
 * known, PATCH with a resourceVersion when the caller has written the object before and remembers it. A wrong
 * guess costs one more request, never a wrong write: every patch carries the resourceVersion of what it was
 * made for.
 *
 * The outcome of a write whose response was lost or unclear (5xx, a connection that broke) is found out by
 * reading the object again. Pauses grow and are spread by chance; all of it happens within the deadline.
 * 429 and Retry-After are honoured below (kube_client.h).
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_KUBE_KUBE_UPSERT_H
#define DRIVER_KUBE_KUBE_UPSERT_H

#include <stdbool.h>

#include "common/kube/kube_client.h"

enum {
    KUBE_UPSERT_TRIES_MAX = 12, /* requests of one upsert; a conflict costs two */
};

struct kube_upsert;

enum kube_upsert_step {
    KUBE_UPSERT_CREATE,
    KUBE_UPSERT_READ,
    KUBE_UPSERT_PATCH,
};

/* Builds what is to be written. `step` CREATE: the whole object (`current` is NULL). PATCH: a merge patch for
 * `current`, which is NULL only for a first step PATCH; metadata.resourceVersion is put in afterwards. The
 * result is taken over. NULL without an error: nothing is to be written, the operation is done. NULL with
 * *err set: it fails with that. May run inside kube_upsert_start(). */
typedef cJSON *kube_upsert_build(enum kube_upsert_step step, const cJSON *current, void *arg,
                                 struct error **err);

/* All borrowed during start. */
struct kube_upsert_request {
    const char *group;
    const char *version;
    const char *ns;
    const char *resource; /* the plural */
    const char *name;
    enum kube_upsert_step first;
    const char *resource_version; /* with first == PATCH */
    uint64_t timeout_ms;          /* of the whole; 0 or more than KUBE_TIMEOUT_MS = KUBE_TIMEOUT_MS */
    kube_upsert_build *build;
    bool metadata_only; /* after a write only the object's metadata comes back: for objects with secrets */
};

/* `object` is the object as the API server has it now (NULL on failure, and when there is none and build
 * returned none); the callee may take it (set to NULL). `wrote`: something was written. `error` as in
 * kube_client.h, borrowed. */
struct kube_upsert_result {
    cJSON *object;
    bool wrote;
};
typedef void kube_upsert_callback(struct kube_upsert_result *result, const struct error *error, void *arg);

/* `arg` goes to `build` and to the callback. */
struct kube_upsert *kube_upsert_start(struct kube_client *client, const struct kube_upsert_request *request,
                                      kube_upsert_callback *callback, void *arg, struct error **err);

/* Sets *upsert to NULL; neither build nor the callback will run any more. */
void kube_upsert_cancel(struct kube_upsert **upsert);

#endif
