/*
 * publish_request.h - a NodePublishVolume request, checked and owned.
 *
 * volume_context has two authors: the kubelet (keys "csi.storage.k8s.io/...") and the pod's author (all
 * others). The kubelet's keys overwrite the pod's only if the CSIDriver object asks for them. So they are
 * cross-checked with a value that a pod cannot choose: its UID is part of the target path. Where the path is
 * the kubelet's, the UID must be there and the same. A pod's author does not know the UID in advance, and so
 * cannot supply name and namespace in the place of a kubelet that adds no keys. "ephemeral" must not be other
 * than "true". The volume id, a hash of UID and volume name, is not compared: it comes from the kubelet as
 * the path does, so it adds nothing, and other callers choose their own ids.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_REQUEST_H
#define DRIVER_PUBLISH_PUBLISH_REQUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "driver/volume/volume_names.h"
#include "proto/csi.pb-c.h"

#define CONTEXT_CLASS           "secretProviderClass"
#define CONTEXT_PROVIDER        "providerName" /* older than classes; a metrics label until one is read */
#define CONTEXT_KUBELET_PREFIX  "csi.storage.k8s.io/"
#define CONTEXT_POD_NAME        CONTEXT_KUBELET_PREFIX "pod.name"
#define CONTEXT_POD_NAMESPACE   CONTEXT_KUBELET_PREFIX "pod.namespace"
#define CONTEXT_POD_UID         CONTEXT_KUBELET_PREFIX "pod.uid"
#define CONTEXT_SERVICE_ACCOUNT CONTEXT_KUBELET_PREFIX "serviceAccount.name"
#define CONTEXT_EPHEMERAL       CONTEXT_KUBELET_PREFIX "ephemeral"
#define CONTEXT_TOKENS          CONTEXT_KUBELET_PREFIX "serviceAccount.tokens"

struct publish_request {
    char *volume_id;
    char *target_path;
    struct string_map context; /* all of volume_context */
    struct string_map secrets; /* sensitive */
    bool readonly;
    gid_t gid; /* volume_mount_group, the pod's fsGroup; (gid_t)-1 without */
    /* Borrowed from `context`; "" when absent. */
    const char *class_name;
    const char *provider_hint;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid;
};

/* Copies and checks, in this order (CSI conformance tests check it): volume_capability, volume_id,
 * target_path, volume_context present; then the values: a mount capability, a clean absolute path, the
 * kubelet's keys. All failures are INVALID_ARGUMENT (RESOURCE_EXHAUSTED: memory). The publish operation
 * checks `readonly` and the class name: a volume that is already there comes before that. */
int publish_request_decode(const Csi__V1__NodePublishVolumeRequest *message, struct publish_request *ret,
                           struct error **err);

void publish_request_finish(struct publish_request *request);

/* The names of its volume, borrowed from the request. */
static inline struct volume_names publish_request_names(const struct publish_request *request)
{
    return (struct volume_names){.target_path = request->target_path,
                                 .ns = request->pod_namespace,
                                 .pod_name = request->pod_name,
                                 .pod_uid = request->pod_uid,
                                 .class_name = request->class_name};
}

/* The attributes for the provider: the class's parameters and the volume context, as one map.
 *  - Keys of the kubelet's name space come from the kubelet only: a class cannot forge a pod's identity.
 *  - The service account tokens come from `secrets` (Kubernetes 1.35 and later) if they are there, else
 *    from the context.
 *  - For other keys that both define, the class wins unless `pod_overrides`: a pod's author must not
 *    redirect a class to another vault. */
int publish_request_attributes(const struct publish_request *request, const struct string_map *parameters,
                               bool pod_overrides, struct string_map *ret_attributes, struct error **err);

#endif
