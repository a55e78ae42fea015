/*
 * csi_identity.c - the CSI Identity service.
 */
#include "driver/csi_identity.h"

#include "common/cleanup.h"
#include "common/lifecycle.h"
#include "proto/csi.pb-c.h"

/* protobuf-c's messages hold pointers to non-const text, which packing only reads. */
static char *text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

static void get_plugin_info(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_identity *identity = arg;
    Csi__V1__GetPluginInfoResponse response = CSI__V1__GET_PLUGIN_INFO_RESPONSE__INIT;

    (void)request;
    response.name = text(identity->driver_name);
    response.vendor_version = text(build_version());
    grpc_call_reply(call, &response.base);
}

static void get_plugin_capabilities(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    Csi__V1__GetPluginCapabilitiesResponse response = CSI__V1__GET_PLUGIN_CAPABILITIES_RESPONSE__INIT;

    (void)request;
    (void)arg;
    grpc_call_reply(call, &response.base);
}

static void probe(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    Csi__V1__BoolValue ready = CSI__V1__BOOL_VALUE__INIT;
    Csi__V1__ProbeResponse response = CSI__V1__PROBE_RESPONSE__INIT;

    (void)request;
    (void)arg;
    ready.value = 1;
    response.ready = &ready;
    grpc_call_reply(call, &response.base);
}

void csi_identity_add(struct csi_identity *identity, const char *driver_name, struct grpc_server *server)
{
    static const struct grpc_method methods[] = {
        {"GetPluginInfo", &csi__v1__get_plugin_info_request__descriptor, get_plugin_info},
        {"GetPluginCapabilities", &csi__v1__get_plugin_capabilities_request__descriptor,
         get_plugin_capabilities},
        {"Probe", &csi__v1__probe_request__descriptor, probe},
    };

    *identity = (struct csi_identity){
        .driver_name = driver_name,
        .service = {.name = "csi.v1.Identity",
                    .methods = methods,
                    .n_methods = ARRAY_SIZE(methods),
                    .arg = identity},
    };
    grpc_server_add_service(server, &identity->service);
}
