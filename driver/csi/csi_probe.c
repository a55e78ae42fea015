/*
 * csi_probe.c - calls Probe on the driver's own CSI endpoint.
 */
#include "driver/csi/csi_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "proto/csi.pb-c.h"

struct csi_probe {
    struct grpc_channel *channel;
    csi_probe_callback *callback;
    void *arg;
};

static void on_probed(ProtobufCMessage *response, const struct error *error, void *arg)
{
    cleanup_free struct csi_probe *probe = arg;

    probe->callback(error, probe->arg);
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    grpc_channel_destroy(probe->channel);
}

static struct grpc_channel *open_channel(uv_loop_t *loop, const struct endpoint *endpoint, struct error **err)
{
    const char *address = endpoint->address;
    char loopback[64];

    if (endpoint->kind == ENDPOINT_TCP && address[0] == ':') {
        (void)snprintf(loopback, sizeof(loopback), "127.0.0.1%s", address);
        address = loopback;
    }
    const struct grpc_channel_config config = {
        .unix_path = endpoint->kind == ENDPOINT_UNIX ? address : NULL,
        .tcp_address = endpoint->kind == ENDPOINT_TCP ? address : NULL,
        .connect_timeout_ms = CSI_PROBE_TIMEOUT_MS,
    };
    return grpc_channel_create(loop, &config, err);
}

int csi_probe_start(uv_loop_t *loop, const struct endpoint *endpoint, csi_probe_callback *callback, void *arg,
                    struct error **err)
{
    Csi__V1__ProbeRequest request = CSI__V1__PROBE_REQUEST__INIT;
    cleanup_free struct csi_probe *probe = alloc_zeroed(sizeof(*probe), err);

    if (probe == NULL)
        return -1;
    *probe =
        (struct csi_probe){.channel = open_channel(loop, endpoint, err), .callback = callback, .arg = arg};
    if (probe->channel == NULL)
        return -1;
    if (grpc_client_call_start(probe->channel, "/csi.v1.Identity/Probe", &request.base,
                               &csi__v1__probe_response__descriptor, CSI_PROBE_TIMEOUT_MS, on_probed, probe,
                               err) == NULL) {
        grpc_channel_destroy(probe->channel);
        return -1;
    }
    (void)steal_ptr(&probe);
    return 0;
}
