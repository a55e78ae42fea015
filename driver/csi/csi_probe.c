/*
 * csi_probe.c - calls Probe on the driver's own CSI endpoint.
 */
#include "driver/csi/csi_probe.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/grpc/endpoint_call.h"
#include "proto/csi.pb-c.h"

struct csi_probe {
    csi_probe_callback *callback;
    void *arg;
};

static void on_probed(ProtobufCMessage *response, const struct error *error, void *arg)
{
    cleanup_free struct csi_probe *probe = arg;

    probe->callback(error, probe->arg);
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
}

int csi_probe_start(uv_loop_t *loop, const struct endpoint *endpoint, csi_probe_callback *callback, void *arg,
                    struct error **err)
{
    Csi__V1__ProbeRequest request = CSI__V1__PROBE_REQUEST__INIT;
    cleanup_free struct csi_probe *probe = alloc_zeroed(sizeof(*probe), err);

    if (probe == NULL)
        return -1;
    *probe = (struct csi_probe){.callback = callback, .arg = arg};
    if (endpoint_call_start(loop, endpoint, "/csi.v1.Identity/Probe", &request.base,
                            &csi__v1__probe_response__descriptor, CSI_PROBE_TIMEOUT_MS, on_probed, probe,
                            err) < 0)
        return -1;
    (void)steal_ptr(&probe);
    return 0;
}
