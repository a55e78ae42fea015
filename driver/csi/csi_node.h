/*
 * csi_node.h - csi.v1.Node: the edge between RPCs and operations.
 *
 * This module checks arguments and makes responses; publish.h and unpublish.h do the work in between. Not
 * implemented, so that the server itself returns UNIMPLEMENTED: NodeStageVolume, NodeUnstageVolume (inline
 * volumes are never staged), NodeExpandVolume.
 *
 * Advertised: GET_VOLUME_STATS, and VOLUME_MOUNT_GROUP, the only way in which the kubelet hands a pod's
 * fsGroup to a read-only volume.
 */
#ifndef DRIVER_CSI_CSI_NODE_H
#define DRIVER_CSI_CSI_NODE_H

#include "common/grpc/server.h"
#include "driver/kubelet/pods_mounts.h"
#include "driver/publish/publisher.h"

struct csi_node {
    const char *node_id; /* borrowed */
    const struct publisher *publisher;
    struct pods_mounts *pods; /* borrowed; NULL: nothing watches the propagation of mounts */
};

/* Adds the service; `node` and `storage` are borrowed for the server's life. */
void csi_node_add(struct grpc_server *server, struct csi_node *node, struct grpc_service *storage);

#endif
