/*
 * health.h - GET <healthz path>: does the provider's own socket answer a gRPC health check?
 *
 * 200 "ok" when it says SERVING; 503 with the reason otherwise. It says nothing about Entra or Key Vault: a
 * kubelet that restarted the provider because the vault is away would make things worse.
 */
#ifndef PROVIDER_AZURE_HEALTH_H
#define PROVIDER_AZURE_HEALTH_H

#include <uv.h>

#include "common/http/admin_server.h"
#include "common/process/endpoint.h"

struct health {
    uv_loop_t *loop;                 /* borrowed */
    const struct endpoint *endpoint; /* where the provider listens; borrowed */
    uint64_t timeout_ms;
};

/* An admin_handler; `arg` is a struct health. Each request makes a connection of its own, as a caller would.
 */
void health_answer(struct admin_request *request, void *arg);

#endif
