/*
 * csi_identity.h - csi.v1.Identity: name, capabilities and health of the plugin.
 *
 * GetPluginCapabilities is empty: this is a node plugin without a controller. Probe is a health check
 * (health.h).
 */
#ifndef DRIVER_CSI_CSI_IDENTITY_H
#define DRIVER_CSI_CSI_IDENTITY_H

#include <stdbool.h>
#include <uv.h>

#include "common/grpc/server.h"

struct csi_identity {
    uv_loop_t *loop;
    const char *driver_name; /* borrowed */
};

enum { CSI_IDENTITY_NAME_MAX = 63 };

/* May a driver have this name? As the CSI specification says; it is the name of a socket file, too. */
bool csi_identity_name_valid(const char *name);

/* Adds the service; `identity` is borrowed for the server's life. */
void csi_identity_add(struct grpc_server *server, struct csi_identity *identity,
                      struct grpc_service *storage);

#endif
