/*
 * kube_refusal.h - why the API server has refused a write. Its status codes do not tell a missing right from
 * a policy or a quota (all of them are 403 Forbidden), the texts of its messages do. Pure.
 */
#ifndef DRIVER_KUBE_KUBE_REFUSAL_H
#define DRIVER_KUBE_KUBE_REFUSAL_H

#include "common/base/error.h"

enum kube_refusal {
    KUBE_REFUSAL_NONE,  /* no refusal: a failure that may pass, a conflict, an object that does not exist */
    KUBE_REFUSAL_RBAC,  /* the driver lacks a right */
    KUBE_REFUSAL_QUOTA, /* a ResourceQuota */
    KUBE_REFUSAL_TERMINATING, /* the namespace is being deleted */
    KUBE_REFUSAL_OWNERS, /* metadata.ownerReferences; admission plugin OwnerReferencesPermissionEnforcement */
    KUBE_REFUSAL_LABELS, /* metadata.labels are invalid */
    KUBE_REFUSAL_ANNOTATIONS, /* metadata.annotations are invalid, or too long */
    KUBE_REFUSAL_POLICY,      /* a webhook, a ValidatingAdmissionPolicy, or another admission plugin */
    KUBE_REFUSAL_INVALID,     /* the object is invalid in another way */
};

/* The reason of an error that kube_status_error() has made from the response to a write. */
enum kube_refusal kube_refusal_of(const struct error *error);

/* What helps, to be appended to the message: " (...)"; "" when the message says it all. A literal. `rbac` is
 * the hint for KUBE_REFUSAL_RBAC, because it depends on the resource. */
const char *kube_refusal_hint(enum kube_refusal refusal, const char *rbac);

#endif
