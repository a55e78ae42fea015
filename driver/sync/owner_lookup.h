/*
 * owner_lookup.h - finds the owners of a pod's Secrets: the owners of the pod (a ReplicaSet, a Job, ...), and
 * for a pod without owners the SecretProviderClassPodStatus of its volume, which goes with the pod.
 *
 *     start ─▶ GET pod ─┬─ has owners ─────────────────▶ done
 *                       └─ none ─▶ GET its status object ─▶ done
 *                                  (by its plain name; if that is missing or another pod's, by the longer)
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_SYNC_OWNER_LOOKUP_H
#define DRIVER_SYNC_OWNER_LOOKUP_H

#include <stdbool.h>

#include "common/kube/kube_client.h"
#include "driver/sync/owner_references.h"
#include "driver/volume/volume_names.h"

struct owner_lookup;

/* Type of the error (UNAVAILABLE) when the pod is there and its status object is not. */
#define OWNER_LOOKUP_NO_STATUS "StatusObjectMissing"

/* On success `owners` has at least one; the callee may take them (leaving {0}). On failure it is NULL and
 * `error` is borrowed: NOT_FOUND when the pod is gone or another pod has its name now, PERMISSION_DENIED with
 * a hint, others as in kube_client.h. */
typedef void owner_lookup_callback(struct owner_references *owners, const struct error *error, void *arg);

/* `target` is borrowed until the end. `bare`: the pod is known to have no owners; it is read only when its
 * status object is missing. */
struct owner_lookup *owner_lookup_start(struct kube_client *client, const struct volume_names *target,
                                        bool bare, owner_lookup_callback *callback, void *arg,
                                        struct error **err);

/* Sets *lookup to NULL; the callback will not run. */
void owner_lookup_cancel(struct owner_lookup **lookup);

#endif
