/*
 * health_endpoints.h - /healthz, /readyz and /metrics.
 *
 *  /healthz  liveness: 200 when Probe succeeds on the CSI endpoint, by a connection of its own (csi_probe.h),
 *            and the paths of the sockets lead to this process, else 503. A failure outside of the driver is
 *            only reported in the text: without the API server, mounts that need nothing from it go on.
 *                ok
 *                degraded: the Kubernetes API does not respond
 *  /readyz   200 when the sockets serve and, if the driver registers itself, the kubelet has registered it
 *            since the registration socket was created; 503 before, while the driver stops, and while its
 *            mounts do not reach the pods (pods_mounts.h).
 */
#ifndef DRIVER_HEALTH_ENDPOINTS_H
#define DRIVER_HEALTH_ENDPOINTS_H

#include <stdbool.h>
#include <uv.h>

#include "common/grpc/server.h"
#include "common/http/admin_server.h"
#include "common/kube/kube_client.h"
#include "common/process/endpoint.h"
#include "common/process/metrics.h"
#include "driver/base/driver_metrics.h"
#include "driver/base/memory_limit.h"
#include "driver/kubelet/pods_mounts.h"
#include "driver/kubelet/registration.h"
#include "driver/rotation/volume_state.h"

struct health_request;

/* Everything is borrowed and outlives the servers. */
struct health_endpoints {
    uv_loop_t *loop;
    const struct metrics *metrics;
    struct driver_metrics *driver_metrics;
    const struct kube_client *kube; /* NULL in standalone mode */
    const struct volume_states *volumes;
    struct memory_limit *memory;
    const struct endpoint *endpoint;   /* of the CSI server */
    struct grpc_server *csi;           /* NULL before it listens */
    struct registration *registration; /* NULL when a sidecar registers the driver */
    const struct pods_mounts *pods;    /* NULL when it is off */
    bool stopping;
    struct health_request *waiting; /* for the check that runs; internal */
};

/* One row of a server. */
struct health_endpoint {
    const char *path;
    admin_handler *handler;
};

/* Handlers; `arg` is the struct health_endpoints. They are served once the loop runs, after
 * program_start(). */
void health_endpoints_metrics(struct admin_request *request, void *arg);
void health_endpoints_healthz(struct admin_request *request, void *arg);
void health_endpoints_readyz(struct admin_request *request, void *arg);

#endif
