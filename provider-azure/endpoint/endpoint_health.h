/*
 * endpoint_health.h - GET <healthz path>: a gRPC health check of the provider's own endpoint.
 *
 * 200 "ok" when the endpoint leads to this process and says SERVING; 503 with the reason otherwise. It says nothing about Entra or Key
 * Vault: a kubelet that restarted the provider because the vault is away would make things worse.
 */
#ifndef PROVIDER_AZURE_ENDPOINT_ENDPOINT_HEALTH_H
#define PROVIDER_AZURE_ENDPOINT_ENDPOINT_HEALTH_H

#include <uv.h>

#include "common/http/admin_server.h"
#include "common/process/endpoint.h"
#include "common/provider_server.h"

struct endpoint_health_request;

struct endpoint_health {
    uv_loop_t *loop;                 /* borrowed */
    const struct endpoint *endpoint; /* where the provider listens; borrowed */
    struct provider_server *server;  /* borrowed; NULL before it listens and when it stops */
    uint64_t timeout_ms;
    struct endpoint_health_request *waiting; /* for the check that runs; internal */
};

/* An admin_handler; `arg` is a struct endpoint_health. Each check makes a connection of its own, as a caller
 * would; requests that come while one runs share it. */
void endpoint_health_respond(struct admin_request *request, void *arg);

#endif
