/*
 * service_table.h - the services of a server and the paths of their methods.
 */
#ifndef COMMON_GRPC_SERVICE_TABLE_H
#define COMMON_GRPC_SERVICE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/grpc/server.h"

/* Longest path of a method: "/csi.v1.Node/NodePublishVolume". */
enum { SERVICE_PATH_MAX = 128 };

struct service_route {
    char *path; /* owned */
    const struct grpc_service *service;
    const struct grpc_method *method;
};

/* {0} is an empty table. */
struct service_table {
    struct service_route *routes;
    size_t n_routes;
    const struct grpc_service **services; /* the members borrowed */
    size_t n_services;
};

/* Adds a service, borrowed for the life of the table. Adding the same name twice and a path that is too long
 * are programming errors (assert). Aborts on lack of memory. Pointers into the table are valid until the next
 * addition. */
void service_table_add(struct service_table *table, const struct grpc_service *service);

/* The method of a path, or NULL. */
const struct service_route *service_table_find(const struct service_table *table, const char *path,
                                               size_t len);

/* True when a service of this name has been added. */
bool service_table_has(const struct service_table *table, const char *name, size_t len);

/* The error for a path without a method, UNIMPLEMENTED in the words of grpc-go: malformed path, unknown
 * service or unknown method. `path` is followed by a NUL and may be the beginning of one that has `len`
 * bytes. Returns -1. */
int service_table_refuse(const struct service_table *table, const char *path, size_t len, struct error **err);

void service_table_finish(struct service_table *table);

#endif
