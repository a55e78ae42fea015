/*
 * node_taint.h - removes the start-up taint from the node when the driver can serve it.
 *
 * A new node may be created with the taint NODE_TAINT_KEY, so that no pod lands on it before its secrets can
 * be mounted. When the kubelet has registered the driver the taint is removed: one GET, and one PATCH if
 * it is there (a merge patch that names the resourceVersion read, so taints that others set meanwhile are not
 * lost). A failure is logged and retried after growing pauses: until then the node takes no pods.
 *
 * Needs get and patch on nodes (manifests/optional/).
 */
#ifndef DRIVER_KUBELET_NODE_TAINT_H
#define DRIVER_KUBELET_NODE_TAINT_H

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/kube/kube_client.h"

#define NODE_TAINT_KEY "secrets-store.csi.k8s.io/agent-not-ready"

enum { NODE_TAINT_RETRY_FIRST_MS = 1000, NODE_TAINT_RETRY_CAP_MS = 60 * 1000 };

struct node_taint;

/* `client` and `log` are borrowed, `node` is copied. `retry_first_ms` 0: NODE_TAINT_RETRY_FIRST_MS. */
struct node_taint *node_taint_create(struct kube_client *client, const char *node, uint64_t retry_first_ms,
                                     struct log *log, struct error **err);

/* The driver serves and is registered: removes the taint if it is there. While that runs, a further call does
 * nothing. */
void node_taint_remove(struct node_taint *taint);

/* Cancels. Accepts NULL. */
void node_taint_destroy(struct node_taint *taint);

#endif
