/*
 * secret_release.h - releases a Secret that a class does not name any more (an entry of secretObjects was
 * renamed or removed): the class's field ownership, and when no other class owns fields of it, the managed
 * label and the owner references of the pod. The data stays: somebody may still use it, and the driver
 * deletes nothing.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_SYNC_SECRET_RELEASE_H
#define DRIVER_SYNC_SECRET_RELEASE_H

#include <cjson/cJSON.h>

#include "common/kube/kube_client.h"
#include "driver/sync/owner_references.h"

struct secret_release;

/* All borrowed until the end. */
struct secret_release_request {
    struct kube_client *client;
    const char *ns;
    const char *name;
    const char *class_name;
    const struct owner_references *owners; /* of the pod */
};

/* `released`: the Secret is there, and this was a change. `error` is borrowed; NULL on success. */
typedef void secret_release_callback(bool released, const struct error *error, void *arg);

struct secret_release *secret_release_start(const struct secret_release_request *request,
                                            secret_release_callback *callback, void *arg, struct error **err);

/* Sets *release to NULL; the callback will not run. */
void secret_release_cancel(struct secret_release **release);

/* The merge patch, or NULL when there is nothing to release (or, with err set, on lack of memory). Pure. Any
 * JSON is taken for a Secret. */
cJSON *secret_release_patch(const struct secret_release_request *request, const cJSON *current,
                            struct error **err);

#endif
