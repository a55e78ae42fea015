/*
 * program.h - the objects of the driver: what they are made of, started one upon the other, and taken down in
 * reverse.
 */
#ifndef DRIVER_PROGRAM_H
#define DRIVER_PROGRAM_H

#include "common/base/log.h"
#include "common/grpc/server.h"
#include "common/http/admin_server.h"
#include "common/http/client.h"
#include "common/kube/kube_client.h"
#include "common/process/endpoint.h"
#include "common/process/lifecycle.h"
#include "common/process/metrics.h"
#include "common/process/sandbox.h"
#include "driver/csi/csi_identity.h"
#include "driver/csi/csi_node.h"
#include "driver/health_endpoints.h"
#include "driver/kubelet/node_taint.h"
#include "driver/kubelet/pods_mounts.h"
#include "driver/kubelet/registration.h"
#include "driver/provider/provider_client.h"
#include "driver/settings.h"
#include "driver/status/events.h"
#include "driver/status/pod_status.h"
#include "driver/status/status_files.h"
#include "driver/sync/secret_sync.h"
#include "driver/volume/inherited_volumes.h"

struct program {
    /* Of main, which sets and ends them. */
    struct settings settings;
    enum sandbox_mode sandbox;
    struct log *log;
    uv_loop_t loop; /* ended by program_finish() */

    /* The rest is made by program_start(). */
    struct lifecycle *lifecycle;
    struct endpoint endpoint;
    struct metrics *metrics;
    struct driver_metrics *driver_metrics;
    struct http_client *http; /* NULL in standalone mode, like kube */
    struct kube_client *kube;
    struct class_source classes;
    struct class_cache *class_cache;       /* NULL only in standalone mode without rotation */
    struct kube_health_listener kube_back; /* for the class cache */
    struct byte_budget *budget;
    struct memory_limit *memory;
    struct inherited_volumes *inherited; /* NULL: none, or the pod's cgroup can be seen */
    struct provider_registry *providers;
    struct provider_health *provider_health; /* NULL when it is off */
    struct volume_locks *locks;
    struct volume_names_pool names; /* of the volumes, for all components; as the next */
    struct version_sets versions;
    struct volume_states *volumes;
    struct pod_status *pod_status; /* NULL without the Kubernetes API, like the next two */
    struct events *events;
    struct secret_sync *secret_sync;
    struct status_files *status_files; /* NULL without --status-dir */
    struct volume_observers observers;
    struct publisher publisher;
    struct csi_identity identity;
    struct grpc_service identity_service;
    struct csi_node node;
    struct grpc_service node_service;
    struct grpc_server *server;
    struct pods_mounts *pods;          /* NULL when it is off */
    struct node_taint *taint;          /* NULL when it is off */
    struct registration *registration; /* NULL when it is off */
    struct health_endpoints endpoints;
    struct admin_server *metrics_web; /* NULL when it is off */
    struct admin_server *health_web;  /* NULL when it is off */
};

/* Checks the settings and starts everything; the loop has not run yet. From then on SIGTERM ends the loop,
 * after the calls that are on their way. After an error, with err set, the process has to end: nothing
 * half-built is taken down. */
int program_start(struct program *program, struct error **err);

/* Runs the loop until the program has stopped. */
void program_run(struct program *program);

/* After the loop has ended: frees the objects that outlive it, and closes it. */
void program_finish(struct program *program);

#endif
