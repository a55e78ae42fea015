/*
 * csi_identity.h - the CSI Identity service (CSI specification, "Identity Service RPC").
 */
#ifndef DRIVER_CSI_IDENTITY_H
#define DRIVER_CSI_IDENTITY_H

#include "common/grpc/server.h"

struct csi_identity {
    const char *driver_name; /* borrowed */
    struct grpc_service service;
};

/* Fills `identity` and adds its service to the server; `identity` must live as long as the server. No plugin
 * capability is advertised: there is no controller service, and inline volumes need none. Probe answers
 * ready: it is only served while volumes can be published. */
void csi_identity_add(struct csi_identity *identity, const char *driver_name, struct grpc_server *server);

#endif
