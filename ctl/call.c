/*
 * call.c - one gRPC call on a loop of its own.
 */
#include "ctl/call.h"

#include <limits.h>
#include <string.h>
#include <uv.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "common/process/endpoint.h"
#include "common/process/lifecycle.h"
#include "ctl/node.h"

enum {
    MAX_RESPONSE_BYTES =
        64 * 1024 * 1024, /* the largest response of a provider built on common/provider_server.h */
    NS_PER_MS = 1000000,
};

struct outcome {
    struct grpc_channel *channel; /* owned */
    ProtobufCMessage *response;   /* owned */
    struct error *error;          /* owned */
};

static void on_response(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct outcome *outcome = arg;

    outcome->response = response;
    outcome->error = error_copy(error);
    grpc_channel_destroy(outcome->channel); /* ends the loop */
    outcome->channel = NULL;
}

/* Without --endpoint the socket that the node has for such calls. */
static int find_endpoint(const struct ctl_options *options, const char *method, char ret_path[PATH_MAX],
                         struct error **err)
{
    if (strncmp(method, "/csi.", strlen("/csi.")) == 0)
        return node_find_driver(options, ret_path, err);
    return node_find_provider(options, /* name= */ "", ret_path, err);
}

/* A plain path means a Unix socket; anything with "://" is parsed. */
static int parse_endpoint(const struct ctl_options *options, const char *method,
                          struct endpoint *ret_endpoint, struct error **err)
{
    const char *text = options->endpoint;
    char found[PATH_MAX];

    if (strstr(text, "://") != NULL)
        return endpoint_parse(text, ret_endpoint, err) < 0 ? error_set_type(err, UNUSABLE_INPUT) : 0;
    if (*text == '\0') {
        if (find_endpoint(options, method, found, err) < 0)
            return -1;
        text = found;
    }

    char *path = strdup(text);
    if (path == NULL)
        return error_no_memory(err, NULL);
    *ret_endpoint = (struct endpoint){.kind = ENDPOINT_UNIX, .address = path};
    return 0;
}

static int run_call(const struct ctl_options *options, const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response,
                    struct error **err)
{
    CLEANUP(endpoint_finish) struct endpoint endpoint = {0};
    struct outcome outcome = {0};
    struct grpc_client_call *call = NULL;
    uv_loop_t loop;

    if (parse_endpoint(options, method, &endpoint, err) < 0)
        return -1;

    const struct grpc_channel_config config = {
        .unix_path = endpoint.kind == ENDPOINT_UNIX ? endpoint.address : NULL,
        .tcp_address = endpoint.kind == ENDPOINT_TCP ? endpoint.address : NULL,
        .max_response_bytes = MAX_RESPONSE_BYTES,
    };

    if (uv_loop_init(&loop) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "cannot create an event loop");
    outcome.channel = grpc_channel_create(&loop, &config, err);
    if (outcome.channel != NULL)
        call = grpc_client_call_start(outcome.channel, method, request, response_type,
                                      (uint64_t)options->timeout_ns / NS_PER_MS, on_response, &outcome, err);
    if (call == NULL)
        grpc_channel_destroy(outcome.channel);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    lifecycle_close_loop(&loop, /* log= */ NULL);

    if (call == NULL)
        return -1;
    if (outcome.error != NULL) {
        (void)error_set_type(&outcome.error, CALL_FAILED);
        return error_move(err, &outcome.error);
    }
    *ret_response = outcome.response;
    return 0;
}

int call_send(const struct ctl_options *options, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response,
              struct error **err)
{
    if (run_call(options, method, request, response_type, ret_response, err) < 0)
        return error_wrap(err, "%s", strrchr(method, '/') + 1);
    return 0;
}

void call_response_free(ProtobufCMessage *response)
{
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
}
