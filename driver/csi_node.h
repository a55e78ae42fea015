/*
 * csi_node.h - the CSI Node service (CSI specification, "Node Service RPC"): the edge between gRPC and the
 * operations.
 *
 * Served: NodeGetInfo, NodeGetCapabilities, NodePublishVolume, NodeUnpublishVolume, NodeGetVolumeStats.
 * Staging and expansion are UNIMPLEMENTED: inline volumes are never staged. Advertised: GET_VOLUME_STATS, and
 * VOLUME_MOUNT_GROUP, because for a read-only volume that is the only way a pod's fsGroup reaches us.
 */
#ifndef DRIVER_CSI_NODE_H
#define DRIVER_CSI_NODE_H

#include "common/grpc/server.h"
#include "driver/publish.h"

struct csi_node {
    const char *node_id;               /* borrowed */
    const struct publisher *publisher; /* borrowed */
    struct grpc_service service;
};

/* Fills `node` and adds its service to the server; `node` must live as long as the server. */
void csi_node_add(struct csi_node *node, const char *node_id, const struct publisher *publisher,
                  struct grpc_server *server);

#endif
