/*
 * csi_node.c - csi.v1.Node: the edge between RPCs and operations.
 */
#include "driver/csi/csi_node.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "driver/base/worker.h"
#include "driver/publish/publish.h"
#include "driver/publish/unpublish.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume.h"
#include "proto/csi.pb-c.h"

/* An RPC whose operation runs: at most one of the two is set. */
struct node_call {
    struct grpc_call *call;
    struct publish *publish;
    struct unpublish *unpublish;
};

static void fail(struct grpc_call *call, enum grpc_status code, const char *message)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, code, "%s", message);
    grpc_call_fail(call, error);
}

/* The caller is gone or its time is over. The operation ends by itself; the RPC ends here. */
static void node_call_cancelled(struct grpc_call *call, void *arg)
{
    struct node_call *node_call = arg;
    enum grpc_status reason = grpc_call_cancel_reason(call);
    cleanup_error struct error *error = NULL;

    if (reason == GRPC_STATUS_DEADLINE_EXCEEDED && node_call->publish != NULL)
        publish_pending_error(node_call->publish, &error);
    else
        (void)error_set(&error, reason, "%s",
                        reason == GRPC_STATUS_UNAVAILABLE
                            ? "the driver is stopping"
                            : "the call was cancelled or its deadline has passed");
    if (node_call->publish != NULL)
        publish_cancel(&node_call->publish, reason);
    if (node_call->unpublish != NULL)
        unpublish_cancel(&node_call->unpublish);
    grpc_call_fail(call, error);
    free(node_call);
}

/* --- NodePublishVolume --- */

static void publish_done(const struct error *error, void *arg)
{
    struct node_call *node_call = arg;
    Csi__V1__NodePublishVolumeResponse response = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;

    if (error != NULL)
        grpc_call_fail(node_call->call, error);
    else
        grpc_call_reply(node_call->call, &response.base);
    free(node_call);
}

static void node_publish_volume(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    const struct csi_node *node = arg;
    const struct publisher *publisher = node->publisher;
    cleanup_free struct node_call *node_call = calloc(1, sizeof(*node_call));
    cleanup_error struct error *error = NULL;
    struct publish_request request;
    uint64_t timeout_ms = grpc_call_time_left_ms(call);

    if (node_call == NULL) {
        fail(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    if (publish_request_decode((const Csi__V1__NodePublishVolumeRequest *)message, &request, &error) < 0) {
        driver_metrics_publish_error(publisher->metrics, "", ERROR_TYPE_MOUNT);
        log_error(publisher->log, "publish request refused", LOG_ERR(error));
        grpc_call_fail(call, error);
        return;
    }
    log_debug(publisher->log, 2, "publish", LOG_STR("volumeId", request.volume_id),
              LOG_STR("targetPath", request.target_path),
              LOG_OBJECT("pod", request.pod_namespace, request.pod_name), LOG_STR("spc", request.class_name));
    pods_mounts_seen(node->pods, request.target_path);
    node_call->call = call;
    node_call->publish = publish_start(publisher, &request, timeout_ms, publish_done, node_call, &error);
    if (node_call->publish == NULL) {
        grpc_call_fail(call, error);
        return;
    }
    grpc_call_on_cancel(call, node_call_cancelled, node_call);
    grpc_call_cancel_early(call, publish_response_margin(timeout_ms));
    (void)steal_ptr(&node_call);
}

/* --- NodeUnpublishVolume --- */

static void unpublish_done(const struct error *error, void *arg)
{
    struct node_call *node_call = arg;
    Csi__V1__NodeUnpublishVolumeResponse response = CSI__V1__NODE_UNPUBLISH_VOLUME_RESPONSE__INIT;

    if (error != NULL)
        grpc_call_fail(node_call->call, error);
    else
        grpc_call_reply(node_call->call, &response.base);
    free(node_call);
}

static int check_unpublish(const Csi__V1__NodeUnpublishVolumeRequest *request, struct error **err)
{
    if (request->volume_id[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Volume ID missing in request");
    if (request->target_path[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Target path missing in request");
    return target_path_check("target_path", request->target_path, err);
}

static void node_unpublish_volume(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    const struct csi_node *node = arg;
    const Csi__V1__NodeUnpublishVolumeRequest *request = (const Csi__V1__NodeUnpublishVolumeRequest *)message;
    cleanup_free struct node_call *node_call = calloc(1, sizeof(*node_call));
    cleanup_error struct error *error = NULL;

    if (node_call == NULL) {
        fail(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    if (check_unpublish(request, &error) < 0) {
        driver_metrics_unpublish(node->publisher->metrics, error_code(error));
        grpc_call_fail(call, error);
        return;
    }
    log_debug(node->publisher->log, 2, "unpublish", LOG_STR("volumeId", request->volume_id),
              LOG_STR("targetPath", request->target_path));
    node_call->call = call;
    node_call->unpublish =
        unpublish_start(node->publisher, request->target_path, unpublish_done, node_call, &error);
    if (node_call->unpublish == NULL) {
        grpc_call_fail(call, error);
        return;
    }
    grpc_call_on_cancel(call, node_call_cancelled, node_call);
    (void)steal_ptr(&node_call);
}

/* --- NodeGetVolumeStats --- */

struct stats_job {
    struct grpc_call *call; /* NULL once ended */
    char *path;
    struct volume_stats stats;
    struct error *error;
};

static void stats_free(struct stats_job *job)
{
    free(job->path);
    error_free(job->error);
    free(job);
}

static void run_stats(void *arg)
{
    struct stats_job *job = arg;

    (void)volume_stats(job->path, &job->stats, &job->error);
}

static int64_t clamp(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void stats_reply(struct grpc_call *call, const struct volume_stats *stats)
{
    Csi__V1__NodeGetVolumeStatsResponse response = CSI__V1__NODE_GET_VOLUME_STATS_RESPONSE__INIT;
    Csi__V1__VolumeUsage bytes = CSI__V1__VOLUME_USAGE__INIT;
    Csi__V1__VolumeUsage inodes = CSI__V1__VOLUME_USAGE__INIT;
    Csi__V1__VolumeUsage *usage[] = {&bytes, &inodes};

    bytes.unit = CSI__V1__VOLUME_USAGE__UNIT__BYTES;
    bytes.total = clamp(stats->total_bytes);
    bytes.used = clamp(stats->used_bytes);
    bytes.available = clamp(stats->available_bytes);
    inodes.unit = CSI__V1__VOLUME_USAGE__UNIT__INODES;
    inodes.total = clamp(stats->total_inodes);
    inodes.used = clamp(stats->used_inodes);
    inodes.available = clamp(stats->available_inodes);
    response.usage = usage;
    response.n_usage = ARRAY_SIZE(usage);
    grpc_call_reply(call, &response.base);
}

static void stats_done(void *arg)
{
    struct stats_job *job = arg;

    if (job->call != NULL && job->error != NULL)
        grpc_call_fail(job->call, job->error);
    else if (job->call != NULL)
        stats_reply(job->call, &job->stats);
    stats_free(job);
}

static void stats_cancelled(struct grpc_call *call, void *arg)
{
    struct stats_job *job = arg;

    fail(call, grpc_call_cancel_reason(call), "cancelled");
    job->call = NULL; /* the worker's end frees it */
}

/* Takes no volume lock: a volume that is removed meanwhile is NOT_FOUND, and the call must not wait for a
 * slow publish. */
static void node_get_volume_stats(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    const struct csi_node *node = arg;
    const Csi__V1__NodeGetVolumeStatsRequest *request = (const Csi__V1__NodeGetVolumeStatsRequest *)message;
    cleanup_error struct error *error = NULL;
    struct stats_job *job;

    if (request->volume_id[0] == '\0') {
        fail(call, GRPC_STATUS_INVALID_ARGUMENT, "Volume ID missing in request");
        return;
    }
    if (request->volume_path[0] == '\0') {
        fail(call, GRPC_STATUS_INVALID_ARGUMENT, "Volume path missing in request");
        return;
    }
    if (target_path_check("volume_path", request->volume_path, /* err= */ NULL) < 0) {
        fail(call, GRPC_STATUS_NOT_FOUND, "no volume is published at this path");
        return;
    }
    job = calloc(1, sizeof(*job));
    if (job != NULL)
        job->path = strdup(request->volume_path);
    if (job == NULL || job->path == NULL) {
        free(job);
        fail(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    job->call = call;
    if (worker_start(node->publisher->loop, run_stats, stats_done, job, &error) < 0) {
        grpc_call_fail(call, error);
        stats_free(job);
        return;
    }
    grpc_call_on_cancel(call, stats_cancelled, job);
}

/* --- NodeGetCapabilities, NodeGetInfo --- */

static void node_get_capabilities(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    Csi__V1__NodeServiceCapability__RPC rpcs[] = {CSI__V1__NODE_SERVICE_CAPABILITY__RPC__INIT,
                                                  CSI__V1__NODE_SERVICE_CAPABILITY__RPC__INIT};
    Csi__V1__NodeServiceCapability capabilities[] = {CSI__V1__NODE_SERVICE_CAPABILITY__INIT,
                                                     CSI__V1__NODE_SERVICE_CAPABILITY__INIT};
    Csi__V1__NodeServiceCapability *pointers[] = {&capabilities[0], &capabilities[1]};
    Csi__V1__NodeGetCapabilitiesResponse response = CSI__V1__NODE_GET_CAPABILITIES_RESPONSE__INIT;

    (void)message;
    (void)arg;
    rpcs[0].type = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__GET_VOLUME_STATS;
    rpcs[1].type = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__VOLUME_MOUNT_GROUP;
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
        capabilities[i].type_case = CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC;
        capabilities[i].rpc = &rpcs[i];
    }
    response.capabilities = pointers;
    response.n_capabilities = ARRAY_SIZE(pointers);
    grpc_call_reply(call, &response.base);
}

static void node_get_info(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    const struct csi_node *node = arg;
    Csi__V1__NodeGetInfoResponse response = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;

    (void)message;
    response.node_id = (char *)(uintptr_t)node->node_id; /* packed, not changed */
    grpc_call_reply(call, &response.base);
}

void csi_node_add(struct grpc_server *server, struct csi_node *node, struct grpc_service *storage)
{
    static const struct grpc_method methods[] = {
        {"NodePublishVolume", &csi__v1__node_publish_volume_request__descriptor, node_publish_volume},
        {"NodeUnpublishVolume", &csi__v1__node_unpublish_volume_request__descriptor, node_unpublish_volume},
        {"NodeGetVolumeStats", &csi__v1__node_get_volume_stats_request__descriptor, node_get_volume_stats},
        {"NodeGetCapabilities", &csi__v1__node_get_capabilities_request__descriptor, node_get_capabilities},
        {"NodeGetInfo", &csi__v1__node_get_info_request__descriptor, node_get_info},
    };

    *storage = (struct grpc_service){
        .name = "csi.v1.Node", .methods = methods, .n_methods = ARRAY_SIZE(methods), .arg = node};
    grpc_server_add_service(server, storage);
}
