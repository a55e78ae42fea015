/*
 * csi_node.h - csi.v1.Node: the edge between RPCs and operations.
 *
 * Here arguments are checked and answers are made; what happens in between is publish.h and unpublish.h. Not
 * implemented, hence answered UNIMPLEMENTED by the server itself: NodeStageVolume, NodeUnstageVolume (inline
 * volumes are never staged), NodeExpandVolume.
 *
 * Advertised: GET_VOLUME_STATS, and VOLUME_MOUNT_GROUP, the only way in which the kubelet hands a pod's
 * fsGroup to a read-only volume.
 */
#ifndef DRIVER_CSI_CSI_NODE_H
#define DRIVER_CSI_CSI_NODE_H

#include "common/grpc/server.h"
#include "driver/publish/publisher.h"

struct csi_node {
    const char *node_id; /* borrowed */
    const struct publisher *publisher;
};

/* Adds the service; `node` and `storage` are borrowed for the server's life. */
void csi_node_add(struct grpc_server *server, struct csi_node *node, struct grpc_service *storage);

#endif
