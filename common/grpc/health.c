/*
 * health.c - the health service (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): Check
 * only.
 */
#include <string.h>

#include "common/grpc/server_private.h"
#include "proto/health.pb-c.h"

static bool is_known(const struct grpc_server *server, const char *name)
{
    if (server->health_mode == GRPC_HEALTH_ANY_SERVICE || name[0] == '\0')
        return true;
    for (size_t i = 0; i < server->n_services; i++) {
        if (strcmp(server->services[i]->name, name) == 0)
            return true;
    }
    return false;
}

static void check(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const Grpc__Health__V1__HealthCheckRequest *asked = (const Grpc__Health__V1__HealthCheckRequest *)request;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    const struct grpc_server *server = arg;

    if (!is_known(server, asked->service)) {
        cleanup_error struct error *err = NULL;

        (void)error_set(&err, GRPC_STATUS_NOT_FOUND, "unknown service %s", asked->service);
        grpc_call_fail(call, err);
        return;
    }
    response.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc_call_reply(call, &response.base);
}

void grpc_server_add_health(struct grpc_server *server, enum grpc_health_mode mode)
{
    server->health_mode = mode;
    server->health_method = (struct grpc_method){
        .name = "Check",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .handler = check,
    };
    server->health = (struct grpc_service){
        .name = "grpc.health.v1.Health",
        .methods = &server->health_method,
        .n_methods = 1,
        .arg = server,
    };
    grpc_server_add_service(server, &server->health);
}
