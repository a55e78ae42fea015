/*
 * endpoint_health.c - a gRPC health check behind the HTTP health check.
 */
#include "provider-azure/endpoint/endpoint_health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "proto/health.pb-c.h"

struct check {
    struct admin_request *request;
    struct grpc_channel *channel;
};

static void respond(struct admin_request *request, int status, const char *text)
{
    admin_request_reply(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void unavailable(struct admin_request *request, const char *reason)
{
    char text[ERROR_MESSAGE_MAX + 2];
    (void)snprintf(text, sizeof(text), "%s\n", reason);
    respond(request, 503, text);
}

static void on_checked(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct check *check = arg;
    struct admin_request *request = check->request;

    if (response == NULL)
        unavailable(request, error_message(error));
    else if (((Grpc__Health__V1__HealthCheckResponse *)response)->status !=
             GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        unavailable(request, "expected health check response serving");
    else
        respond(request, 200, "ok");
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    grpc_channel_destroy(check->channel);
    free(check);
}

void endpoint_health_respond(struct admin_request *request, void *arg)
{
    const struct endpoint_health *health = arg;
    const struct endpoint *endpoint = health->endpoint;
    const char *address = endpoint->address;
    char loopback[64];
    struct error *error = NULL;

    if (health->server != NULL && provider_server_check_socket(health->server, &error) < 0) {
        unavailable(request, error_message(error));
        error_free(error);
        return;
    }
    if (endpoint->kind == ENDPOINT_TCP && address[0] == ':') {
        (void)snprintf(loopback, sizeof(loopback), "127.0.0.1%s", address);
        address = loopback;
    }
    const struct grpc_channel_config config = {
        .unix_path = endpoint->kind == ENDPOINT_UNIX ? address : NULL,
        .tcp_address = endpoint->kind == ENDPOINT_TCP ? address : NULL,
        .connect_timeout_ms = health->timeout_ms,
    };
    struct check *check = calloc(1, sizeof(*check));
    if (check == NULL) {
        unavailable(request, "out of memory");
        return;
    }
    check->request = request;
    check->channel = grpc_channel_create(health->loop, &config, &error);
    Grpc__Health__V1__HealthCheckRequest message;
    grpc__health__v1__health_check_request__init(&message);
    if (check->channel == NULL ||
        grpc_client_call_start(check->channel, "/grpc.health.v1.Health/Check", &message.base,
                               &grpc__health__v1__health_check_response__descriptor, health->timeout_ms,
                               on_checked, check, &error) == NULL) {
        unavailable(request, error_message(error));
        error_free(error);
        grpc_channel_destroy(check->channel);
        free(check);
    }
}
