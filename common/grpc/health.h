/*
 * health.h - the health service of a server: Check of grpc.health.v1.Health
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
 */
#ifndef COMMON_GRPC_HEALTH_H
#define COMMON_GRPC_HEALTH_H

#include "common/grpc/server.h"
#include "common/grpc/service_table.h"

/* Embedded in its server. */
struct health_service {
    struct grpc_service service;
    struct grpc_method method;
    enum grpc_health_mode mode;
    const struct service_table *known; /* borrowed */
};

/* Prepares `health->service` for service_table_add(); `known` is borrowed for the life of the service. */
void health_service_init(struct health_service *health, const struct service_table *known,
                         enum grpc_health_mode mode);

#endif
