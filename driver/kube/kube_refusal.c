/*
 * kube_refusal.c - why the API server has refused a write.
 */
#include "driver/kube/kube_refusal.h"

#include <stdbool.h>
#include <string.h>

struct phrase {
    const char *text;
    enum kube_refusal refusal;
};

/* The first phrase that occurs counts. The message of a policy may contain anything, so policies come first.
 */
static const struct phrase phrases[] = {
    {"denied the request", KUBE_REFUSAL_POLICY}, /* admission webhook "..." denied the request: */
    {"denied request",
     KUBE_REFUSAL_POLICY}, /* ValidatingAdmissionPolicy '...' with binding '...' denied request: */
    {"is forbidden: User \"", KUBE_REFUSAL_RBAC},
    {"because it is being terminated", KUBE_REFUSAL_TERMINATING},
    {"exceeded quota", KUBE_REFUSAL_QUOTA},
    {"failed quota", KUBE_REFUSAL_QUOTA},
    {"insufficient quota", KUBE_REFUSAL_QUOTA},
    {"status unknown for quota", KUBE_REFUSAL_QUOTA},
    {"cannot set an ownerRef", KUBE_REFUSAL_OWNERS},
    {"cannot set blockOwnerDeletion", KUBE_REFUSAL_OWNERS},
    {"metadata.ownerReferences", KUBE_REFUSAL_OWNERS},
    {"metadata.labels", KUBE_REFUSAL_LABELS},
    {"metadata.annotations", KUBE_REFUSAL_ANNOTATIONS},
};

static bool is_refusal(enum grpc_status code)
{
    return code == GRPC_STATUS_PERMISSION_DENIED || code == GRPC_STATUS_INVALID_ARGUMENT;
}

enum kube_refusal kube_refusal_of(const struct error *error)
{
    enum grpc_status code = error_code(error);

    if (!is_refusal(code))
        return KUBE_REFUSAL_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(phrases); i++) {
        if (strstr(error_message(error), phrases[i].text) != NULL)
            return phrases[i].refusal;
    }
    return code == GRPC_STATUS_PERMISSION_DENIED ? KUBE_REFUSAL_POLICY : KUBE_REFUSAL_INVALID;
}

const char *kube_refusal_hint(enum kube_refusal refusal, const char *rbac)
{
    switch (refusal) {
    case KUBE_REFUSAL_RBAC:
        return rbac;
    case KUBE_REFUSAL_QUOTA:
        return " (a ResourceQuota of the namespace: raise it; the driver retries)";
    case KUBE_REFUSAL_TERMINATING:
        return " (the namespace is being deleted)";
    case KUBE_REFUSAL_OWNERS:
        return " (the admission plugin OwnerReferencesPermissionEnforcement is on, as in OpenShift: give the driver the verb delete for this resource)";
    case KUBE_REFUSAL_POLICY:
        return " (a policy or webhook of the cluster refuses it: correct the class, or exempt the driver)";
    default:
        return "";
    }
}
