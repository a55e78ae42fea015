/*
 * pod_status_object.h - the content of a SecretProviderClassPodStatus, and how an existing one differs from
 * it. Pure: no loop, no requests, the time comes in as an argument.
 *
 *     metadata.name              <pod>-<namespace>-<class>, see pod_status_name()
 *     metadata.labels            internal.secrets-store.csi.k8s.io/node-name: the node
 *     metadata.ownerReferences   exactly one: the pod, by uid; the garbage collector removes the object
 *                                with it
 *     status.podName, secretProviderClassName, mounted (true), targetPath
 *     status.objects             {id, version}, by id
 *     status.lastCheckedTime     the last good contact with the provider, as of the last write
 *     status.lastRotatedTime     the last change of the volume's content
 *     status.lastError, lastErrorTime
 *                                why the last rotation check failed; absent when it succeeded
 *
 * The last four are no reason to write: they go along with a change, and a failure that begins or ends is a
 * change. An API server whose resource definition does not know them drops them, which does no harm.
 */
#ifndef DRIVER_STATUS_POD_STATUS_OBJECT_H
#define DRIVER_STATUS_POD_STATUS_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/crypto/digest.h"
#include "driver/rotation/version_set.h"
#include "driver/status/volume_observer.h"

#define POD_STATUS_RESOURCE   "secretproviderclasspodstatuses"
#define POD_STATUS_KIND       "SecretProviderClassPodStatus"
#define POD_STATUS_NODE_LABEL "internal.secrets-store.csi.k8s.io/node-name"

enum {
    POD_STATUS_NAME_MAX = 253,   /* of an object name */
    POD_STATUS_LABEL_MAX = 63,   /* of a label value */
    POD_STATUS_ERROR_MAX = 1024, /* bytes of lastError */
};

enum pod_status_name_flags { POD_STATUS_NAME_UNIQUE = 1 };

/* "<pod>-<ns>-<class>". Longer than a name may be, or with the flag: the beginning of it, '-', and 16
 * digits of the SHA-256 of "<pod>/<ns>/<class>". The flag is for the pod that finds its plain name taken by
 * another: pod "a" with class "b-ns-c" and pod "a-ns-b" with class "c" would share one. The caller frees;
 * NULL with err set on lack of memory. */
char *pod_status_name(const char *pod, const char *ns, const char *class_name, unsigned flags,
                      struct error **err);

/* The node's name as a label value: what is too long is its beginning, '-', and 16 digits of its SHA-256.
 * */
char *pod_status_node_label(const char *node, struct error **err);

/* The desired status of one volume; everything is owned. */
struct desired_pod_status {
    enum volume_event_type event_type;
    char *pod_name;
    char *pod_namespace;
    char *pod_uid;
    char *class_name;
    char *target_path;
    char *node_label;
    cJSON *objects; /* sorted list; NULL when the versions are not known */
    bool changed;   /* the content, just now */
    int64_t checked_unix;
    int64_t now_unix;
    char *error; /* NULL when all is well */
    /* Of everything but the times, the error's text and the objects that are not known. */
    char digest[DIGEST_SHA256_HEX_LEN + 1];
    struct version_set
        *versions;             /* of `objects`, for the writer to keep; a reference that came from `sets` */
    struct version_sets *sets; /* NULL: `versions` is not shared */
};

/* Copies what matters of an event. NULL with err set on lack of memory. */
struct desired_pod_status *desired_pod_status_create(const struct volume_event *event, const char *node_label,
                                                     int64_t now_unix, struct error **err);

/* The same for an object in the API, whose owner is the pod: with `versions`, which come from `sets`.
 * INVALID_ARGUMENT when the pod is not named. */
struct desired_pod_status *desired_pod_status_create_shared(const struct volume_event *event,
                                                            const char *node_label, int64_t now_unix,
                                                            struct version_sets *sets, struct error **err);

/* Accepts NULL. */
void desired_pod_status_destroy(struct desired_pod_status *desired);

/* The whole object, as it is created under `name`. NULL with err set on lack of memory. */
cJSON *pod_status_object(const struct desired_pod_status *desired, const char *name, struct error **err);

/* Whose is an existing object? */
enum pod_status_relation {
    POD_STATUS_OURS,       /* of this pod, or without an owner */
    POD_STATUS_OTHER_POD,  /* of a pod of this name with another uid: it was created again (StatefulSet) */
    POD_STATUS_OTHER_NAME, /* of a pod or class of another name: two names that make one */
};
enum pod_status_relation pod_status_relation(const cJSON *current, const struct desired_pod_status *desired);

enum pod_status_patch_flags {
    POD_STATUS_PATCH_ERROR_TEXT = 1 << 0, /* an error with another text is a difference */
    POD_STATUS_PATCH_KEEP_PATH = 1 << 1,  /* `current` is NULL: targetPath is that of another volume */
};

/* The merge patch that brings `current` to the desired status, or NULL when there is no difference (or,
 * with err set, on lack of memory). NULL as `current`: all of the status. What others have written (labels,
 * annotations, finalizers, unknown fields) stays. Of two volumes of one pod with one class the object shows
 * the smaller path, whatever their order; *ret_other_path: it is not that of `desired`. Any JSON is taken
 * for an object. */
cJSON *pod_status_patch(const cJSON *current, const struct desired_pod_status *desired, unsigned flags,
                        bool *ret_other_path, struct error **err);

#endif
