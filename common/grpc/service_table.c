/*
 * service_table.c - the services of a server and the paths of their methods.
 */
#include "common/grpc/service_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/grpc/metadata.h"

/* Start-up allocations of a few hundred bytes: nothing sensible can be done without them. */
static void *grow(void *table, size_t n, size_t size)
{
    void *grown = reallocarray(table, n, size);

    if (grown == NULL)
        abort();
    return grown;
}

static char *make_path(const struct grpc_service *service, const struct grpc_method *method)
{
    size_t service_len = strlen(service->name);
    size_t method_len = strlen(method->name);
    char *path = grow(NULL, service_len + method_len + 3, 1);

    assert(service_len + method_len + 2 <= SERVICE_PATH_MAX);
    path[0] = '/';
    memcpy(path + 1, service->name, service_len);
    path[service_len + 1] = '/';
    memcpy(path + service_len + 2, method->name, method_len + 1);
    return path;
}

void service_table_add(struct service_table *table, const struct grpc_service *service)
{
    assert(!service_table_has(table, service->name, strlen(service->name)));
    table->services =
        grow((void *)table->services, table->n_services + 1, sizeof(const struct grpc_service *));
    table->services[table->n_services++] = service;
    if (service->n_methods == 0)
        return;
    table->routes = grow(table->routes, table->n_routes + service->n_methods, sizeof(*table->routes));
    for (size_t i = 0; i < service->n_methods; i++) {
        table->routes[table->n_routes++] = (struct service_route){
            .path = make_path(service, &service->methods[i]),
            .service = service,
            .method = &service->methods[i],
        };
    }
}

const struct service_route *service_table_find(const struct service_table *table, const char *path,
                                               size_t len)
{
    for (size_t i = 0; i < table->n_routes; i++) {
        if (metadata_equal(path, len, table->routes[i].path))
            return &table->routes[i];
    }
    return NULL;
}

bool service_table_has(const struct service_table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->n_services; i++) {
        if (metadata_equal(name, len, table->services[i]->name))
            return true;
    }
    return false;
}

int service_table_refuse(const struct service_table *table, const char *path, size_t len, struct error **err)
{
    const char *slash = strrchr(path, '/');
    int service_len;

    if (path[0] != '/' || slash == path || len > SERVICE_PATH_MAX)
        return error_set(err, GRPC_STATUS_UNIMPLEMENTED, "malformed method name: \"%s\"", path);
    service_len = (int)(slash - path - 1);
    if (service_table_has(table, path + 1, (size_t)service_len))
        return error_set(err, GRPC_STATUS_UNIMPLEMENTED, "unknown method %s for service %.*s", slash + 1,
                         service_len, path + 1);
    return error_set(err, GRPC_STATUS_UNIMPLEMENTED, "unknown service %.*s", service_len, path + 1);
}

void service_table_finish(struct service_table *table)
{
    for (size_t i = 0; i < table->n_routes; i++)
        free(table->routes[i].path);
    free(table->routes);
    free((void *)table->services);
    *table = (struct service_table){0};
}
