/*
 * endpoint_health.c - a gRPC health check behind the HTTP health check.
 */
#include "provider-azure/endpoint/endpoint_health.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/grpc/endpoint_call.h"
#include "proto/health.pb-c.h"

struct endpoint_health_request {
    struct endpoint_health_request *next;
    struct admin_request *request;
};

/* `failure`: NULL = healthy. */
static void respond(struct admin_request *request, const char *failure)
{
    char text[ERROR_MESSAGE_MAX + 2] = "ok";
    int len = 2;

    if (failure != NULL)
        len = snprintf(text, sizeof(text), "%s\n", failure);
    admin_request_reply(request, failure == NULL ? 200 : 503, "text/plain; charset=utf-8", text, (size_t)len);
}

static const char *failure_of(const ProtobufCMessage *response, const struct error *error)
{
    if (response == NULL)
        return error_message(error);
    if (((const Grpc__Health__V1__HealthCheckResponse *)response)->status !=
        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        return "expected health check response serving";
    return NULL;
}

static void on_checked(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct endpoint_health *health = arg;
    struct endpoint_health_request *waiting = steal_ptr(&health->waiting);

    while (waiting != NULL) {
        struct endpoint_health_request *next = waiting->next;

        respond(waiting->request, failure_of(response, error));
        free(waiting);
        waiting = next;
    }
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
}

static int start_call(struct endpoint_health *health, struct error **err)
{
    Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    return endpoint_call_start(health->loop, health->endpoint, "/grpc.health.v1.Health/Check", &message.base,
                               &grpc__health__v1__health_check_response__descriptor, health->timeout_ms,
                               on_checked, health, err);
}

static int start_check(struct endpoint_health *health, struct error **err)
{
    if (health->server != NULL && provider_server_check_socket(health->server, err) < 0)
        return -1;
    return health->waiting != NULL ? 0 /* a check runs */ : start_call(health, err);
}

void endpoint_health_respond(struct admin_request *request, void *arg)
{
    struct endpoint_health *health = arg;
    struct endpoint_health_request *waiter = malloc(sizeof(*waiter));
    cleanup_error struct error *error = NULL;

    if (waiter == NULL) {
        respond(request, "out of memory");
        return;
    }
    if (start_check(health, &error) < 0) {
        free(waiter);
        respond(request, error_message(error));
        return;
    }
    *waiter = (struct endpoint_health_request){.next = health->waiting, .request = request};
    health->waiting = waiter;
}
