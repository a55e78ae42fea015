/*
 * endpoint_call.c - one unary call to an endpoint of the own process.
 */
#include "common/grpc/endpoint_call.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"

struct endpoint_call {
    struct grpc_channel *channel;
    grpc_client_callback *callback;
    void *arg;
};

static void on_end(ProtobufCMessage *response, const struct error *error, void *arg)
{
    cleanup_free struct endpoint_call *call = arg;

    call->callback(response, error, call->arg);
    grpc_channel_destroy(call->channel);
}

static struct grpc_channel *open_channel(uv_loop_t *loop, const struct endpoint *endpoint,
                                         uint64_t timeout_ms, struct error **err)
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
        .connect_timeout_ms = timeout_ms,
    };
    return grpc_channel_create(loop, &config, err);
}

int endpoint_call_start(uv_loop_t *loop, const struct endpoint *endpoint, const char *method,
                        const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                        uint64_t timeout_ms, grpc_client_callback *callback, void *arg, struct error **err)
{
    cleanup_free struct endpoint_call *call = alloc_zeroed(sizeof(*call), err);

    if (call == NULL)
        return -1;
    *call = (struct endpoint_call){
        .channel = open_channel(loop, endpoint, timeout_ms, err), .callback = callback, .arg = arg};
    if (call->channel == NULL)
        return -1;
    if (grpc_client_call_start(call->channel, method, request, response_type, timeout_ms, on_end, call,
                               err) == NULL) {
        grpc_channel_destroy(call->channel);
        return -1;
    }
    (void)steal_ptr(&call);
    return 0;
}
