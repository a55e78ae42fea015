/*
 * csi_node.c - the CSI Node service.
 *
 * An RPC that starts an operation is a small object that holds the call and the operation until one of them
 * ends: the operation with its answer, or the call by being cancelled.
 */
#include "driver/csi_node.h"

#include <stdlib.h>
#include <string.h>

#include "driver/target_path.h"
#include "driver/unpublish.h"
#include "driver/volume.h"
#include "driver/worker.h"
#include "proto/csi.pb-c.h"

/* Every failure has a text, and the call has ended afterwards. */
static void fail(struct grpc_call *call, struct error *error)
{
    grpc_call_fail(call, error);
    error_free(error);
}

static void fail_cancelled(struct grpc_call *call)
{
    struct error *error = NULL;

    (void)error_set(&error, grpc_call_cancel_reason(call), "the call was cancelled");
    fail(call, error);
}

/* --- NodeGetInfo, NodeGetCapabilities
 * ----------------------------------------------------------------------------- */

static void node_get_info(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_node *node = arg;
    Csi__V1__NodeGetInfoResponse response = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;

    (void)request;
    response.node_id = (char *)(uintptr_t)node->node_id; /* only read */
    grpc_call_reply(call, &response.base);
}

static void node_get_capabilities(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    enum { N = 2 };
    static const Csi__V1__NodeServiceCapability__RPC__Type types[N] = {
        CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__GET_VOLUME_STATS,
        CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__VOLUME_MOUNT_GROUP,
    };
    Csi__V1__NodeServiceCapability__RPC rpcs[N];
    Csi__V1__NodeServiceCapability capabilities[N], *list[N];
    Csi__V1__NodeGetCapabilitiesResponse response = CSI__V1__NODE_GET_CAPABILITIES_RESPONSE__INIT;

    (void)request;
    (void)arg;
    for (size_t i = 0; i < N; i++) {
        csi__v1__node_service_capability__rpc__init(&rpcs[i]);
        csi__v1__node_service_capability__init(&capabilities[i]);
        rpcs[i].type = types[i];
        capabilities[i].type_case = CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC;
        capabilities[i].rpc = &rpcs[i];
        list[i] = &capabilities[i];
    }
    response.n_capabilities = N;
    response.capabilities = list;
    grpc_call_reply(call, &response.base);
}

/* --- NodePublishVolume
 * -------------------------------------------------------------------------------------------- */

struct publish_rpc {
    struct grpc_call *call;
    struct publish *publish;
};

static void publish_done(const struct error *error, void *arg)
{
    struct publish_rpc *rpc = arg;
    Csi__V1__NodePublishVolumeResponse response = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;

    if (error != NULL)
        grpc_call_fail(rpc->call, error);
    else
        grpc_call_reply(rpc->call, &response.base);
    free(rpc);
}

static void publish_cancelled(struct grpc_call *call, void *arg)
{
    struct publish_rpc *rpc = arg;

    publish_cancel(&rpc->publish, grpc_call_cancel_reason(call));
    fail_cancelled(call);
    free(rpc);
}

/* A request that is refused at the door is counted and logged like any other failure. */
static void refuse_publish(const struct csi_node *node, struct grpc_call *call, struct error *error)
{
    telemetry_publish_error(node->publisher->telemetry, "", ERROR_TYPE_MOUNT);
    log_error(node->publisher->log, "publish request refused", LOG_ERR(error));
    fail(call, error);
}

static void node_publish_volume(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_node *node = arg;
    const Csi__V1__NodePublishVolumeRequest *message = (const Csi__V1__NodePublishVolumeRequest *)request;
    struct publish_request decoded;
    struct error *error = NULL;

    if (publish_request_decode(message, &decoded, &error) < 0) {
        refuse_publish(node, call, error);
        return;
    }
    log_debug(node->publisher->log, 2, "publish", LOG_STR("volumeId", decoded.volume_id),
              LOG_STR("targetPath", decoded.target_path), LOG_STR("spc", decoded.class_name),
              LOG_STR("namespace", decoded.pod_namespace), LOG_STR("pod", decoded.pod_name));
    struct publish_rpc *rpc = calloc(1, sizeof(*rpc));
    if (rpc == NULL) {
        publish_request_finish(&decoded);
        (void)error_set(&error, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        refuse_publish(node, call, error);
        return;
    }
    rpc->call = call;
    rpc->publish =
        publish_start(node->publisher, &decoded, grpc_call_time_left_ms(call), publish_done, rpc, &error);
    if (rpc->publish == NULL) {
        free(rpc);
        refuse_publish(node, call, error);
        return;
    }
    grpc_call_on_cancel(call, publish_cancelled, rpc);
}

/* --- NodeUnpublishVolume
 * ------------------------------------------------------------------------------------------ */

struct unpublish_rpc {
    struct grpc_call *call;
    struct unpublish *unpublish;
};

static void unpublish_done(const struct error *error, void *arg)
{
    struct unpublish_rpc *rpc = arg;
    Csi__V1__NodeUnpublishVolumeResponse response = CSI__V1__NODE_UNPUBLISH_VOLUME_RESPONSE__INIT;

    if (error != NULL)
        grpc_call_fail(rpc->call, error);
    else
        grpc_call_reply(rpc->call, &response.base);
    free(rpc);
}

static void unpublish_cancelled(struct grpc_call *call, void *arg)
{
    struct unpublish_rpc *rpc = arg;

    unpublish_cancel(&rpc->unpublish);
    fail_cancelled(call);
    free(rpc);
}

static int check_unpublish(const Csi__V1__NodeUnpublishVolumeRequest *message, struct error **err)
{
    if (message->volume_id[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Volume ID missing in request");
    if (message->target_path[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Target path missing in request");
    return target_path_check("target_path", message->target_path, err);
}

static void node_unpublish_volume(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_node *node = arg;
    const Csi__V1__NodeUnpublishVolumeRequest *message = (const Csi__V1__NodeUnpublishVolumeRequest *)request;
    struct error *error = NULL;
    struct unpublish_rpc *rpc = NULL;

    if (check_unpublish(message, &error) == 0) {
        rpc = calloc(1, sizeof(*rpc));
        if (rpc == NULL)
            (void)error_set(&error, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    if (rpc != NULL) {
        rpc->call = call;
        rpc->unpublish = unpublish_start(node->publisher, message->target_path, unpublish_done, rpc, &error);
    }
    if (error != NULL) {
        free(rpc);
        telemetry_unpublish(node->publisher->telemetry, error_code(error));
        fail(call, error);
        return;
    }
    grpc_call_on_cancel(call, unpublish_cancelled, rpc);
}

/* --- NodeGetVolumeStats
 * ------------------------------------------------------------------------------------------- */

struct stats_rpc {
    struct grpc_call *call; /* NULL: cancelled */
    char *path;
    struct volume_stats stats;
    struct error *error;
};

static void run_stats(void *job)
{
    struct stats_rpc *rpc = job;

    (void)volume_stats(rpc->path, &rpc->stats, &rpc->error);
}

static Csi__V1__VolumeUsage usage(Csi__V1__VolumeUsage__Unit unit, uint64_t total, uint64_t used,
                                  uint64_t available)
{
    Csi__V1__VolumeUsage ret = CSI__V1__VOLUME_USAGE__INIT;

    ret.unit = unit;
    ret.total = (int64_t)total;
    ret.used = (int64_t)used;
    ret.available = (int64_t)available;
    return ret;
}

static void stats_done(void *job)
{
    struct stats_rpc *rpc = job;
    const struct volume_stats *stats = &rpc->stats;

    if (rpc->call != NULL && rpc->error != NULL) {
        grpc_call_fail(rpc->call, rpc->error);
    } else if (rpc->call != NULL) {
        Csi__V1__VolumeUsage usages[] = {
            usage(CSI__V1__VOLUME_USAGE__UNIT__BYTES, stats->total_bytes, stats->used_bytes,
                  stats->available_bytes),
            usage(CSI__V1__VOLUME_USAGE__UNIT__INODES, stats->total_inodes, stats->used_inodes,
                  stats->available_inodes),
        };
        Csi__V1__VolumeUsage *list[] = {&usages[0], &usages[1]};
        Csi__V1__NodeGetVolumeStatsResponse response = CSI__V1__NODE_GET_VOLUME_STATS_RESPONSE__INIT;
        response.n_usage = ARRAY_SIZE(list);
        response.usage = list;
        grpc_call_reply(rpc->call, &response.base);
    }
    error_free(rpc->error);
    free(rpc->path);
    free(rpc);
}

static void stats_cancelled(struct grpc_call *call, void *arg)
{
    struct stats_rpc *rpc = arg;

    rpc->call = NULL; /* the worker's callback frees the rest */
    fail_cancelled(call);
}

static void node_get_volume_stats(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_node *node = arg;
    const Csi__V1__NodeGetVolumeStatsRequest *message = (const Csi__V1__NodeGetVolumeStatsRequest *)request;
    struct error *error = NULL;

    if (message->volume_id[0] == '\0' || message->volume_path[0] == '\0') {
        (void)error_set(&error, GRPC_STATUS_INVALID_ARGUMENT, "%s missing in request",
                        message->volume_id[0] == '\0' ? "Volume ID" : "Volume path");
        fail(call, error);
        return;
    }
    struct stats_rpc *rpc = calloc(1, sizeof(*rpc));
    char *path = strdup(message->volume_path);
    if (rpc != NULL && path != NULL) {
        rpc->call = call;
        rpc->path = path;
        if (worker_start(node->publisher->loop, run_stats, stats_done, rpc, &error) == 0) {
            grpc_call_on_cancel(call, stats_cancelled, rpc);
            return;
        }
    } else {
        (void)error_set(&error, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    free(rpc);
    free(path);
    fail(call, error);
}

void csi_node_add(struct csi_node *node, const char *node_id, const struct publisher *publisher,
                  struct grpc_server *server)
{
    static const struct grpc_method methods[] = {
        {"NodeGetInfo", &csi__v1__node_get_info_request__descriptor, node_get_info},
        {"NodeGetCapabilities", &csi__v1__node_get_capabilities_request__descriptor, node_get_capabilities},
        {"NodePublishVolume", &csi__v1__node_publish_volume_request__descriptor, node_publish_volume},
        {"NodeUnpublishVolume", &csi__v1__node_unpublish_volume_request__descriptor, node_unpublish_volume},
        {"NodeGetVolumeStats", &csi__v1__node_get_volume_stats_request__descriptor, node_get_volume_stats},
    };

    *node = (struct csi_node){
        .node_id = node_id,
        .publisher = publisher,
        .service = {.name = "csi.v1.Node", .methods = methods, .n_methods = ARRAY_SIZE(methods), .arg = node},
    };
    grpc_server_add_service(server, &node->service);
}
