/*
 * health.c - the health service: Check only.
 */
#include "common/grpc/health.h"

#include <string.h>

#include "proto/health.pb-c.h"

static bool is_known(const struct health_service *health, const char *name)
{
    return health->mode == GRPC_HEALTH_ANY_SERVICE || name[0] == '\0' ||
           service_table_has(health->known, name, strlen(name));
}

static void check(struct grpc_call *call, const ProtobufCMessage *message, void *arg)
{
    const Grpc__Health__V1__HealthCheckRequest *request =
        (const Grpc__Health__V1__HealthCheckRequest *)message;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    if (!is_known(arg, request->service)) {
        cleanup_error struct error *err = NULL;

        (void)error_set(&err, GRPC_STATUS_NOT_FOUND, "unknown service %s", request->service);
        grpc_call_fail(call, err);
        return;
    }
    response.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc_call_reply(call, &response.base);
}

void health_service_init(struct health_service *health, const struct service_table *known,
                         enum grpc_health_mode mode)
{
    *health = (struct health_service){
        .method = {.name = "Check",
                   .request = &grpc__health__v1__health_check_request__descriptor,
                   .handler = check},
        .mode = mode,
        .known = known,
    };
    health->service = (struct grpc_service){
        .name = "grpc.health.v1.Health", .methods = &health->method, .n_methods = 1, .arg = health};
}
