/*
 * handover.h - gives the values that are kept for outages (stale_store.h) to the process that takes the place
 * of this one on the node.
 *
 *     old: SIGTERM ─▶ drained ─▶ connect to the path of the own socket ─▶ Put ─▶ Put ... ─▶ end
 *     new:                       (its socket has taken that path)        keeps them
 *
 * In a rolling update with surge the new process serves the path of the socket before the old one is stopped.
 * The old one gives its values at its very end, when no read is in flight any more, so that it has seen each
 * refusal; the new one keeps nothing that a vault has refused to it since (stale_store_keep()). The values
 * are moved: what is sent is not in the store of the old process any more. Bytes pass through the kernel's
 * buffers of one Unix socket, and nowhere else.
 *
 * Both ends check the other one (SO_PEERCRED): it must run as the own user; and the socket must belong to
 * that user. Who meets this can already be the provider: it may replace the socket, and gets the credentials
 * of all mounts then (docs/security-model.md). The binary of the peer is not checked: processes in two
 * containers do not see each other in /proc.
 *
 * A process takes part for HANDOVER_WINDOW_MS after its start: a predecessor ends soon after that, and later
 * calls would only be somebody's attempt to give it values of their own.
 *
 * The first call is empty: a process that does not take part (outage mode is off, an older version) gets no
 * value.
 */
#ifndef PROVIDER_AZURE_ENDPOINT_HANDOVER_H
#define PROVIDER_AZURE_ENDPOINT_HANDOVER_H

#include <uv.h>

#include "common/grpc/server.h"
#include "common/process/endpoint.h"
#include "provider-azure/vault/stale_store.h"

enum { HANDOVER_WINDOW_MS = 10 * 60 * 1000 };
/* For all calls together; and the bytes of the values in one call. */
enum { HANDOVER_LIMIT_MS = 2000, HANDOVER_CALL_BYTES = 256 * 1024 };

/* --- the new process --- */

/* The service for provider_server_config. All zero before handover_service_init(). */
struct handover_service {
    struct grpc_service service;
    struct grpc_method methods[1];
    struct stale_store *store; /* borrowed, as the next one */
    const struct network *network;
    uint64_t until_ms;
};

void handover_service_init(struct handover_service *service, struct stale_store *store,
                           const struct network *network);

/* --- the old process --- */

struct handover;

struct handover_config {
    uv_loop_t *loop;
    const struct endpoint *endpoint; /* the own one; borrowed, as the next two */
    struct stale_store *store;
    const struct network *network;
};

/* All is given, or cannot be. */
typedef void handover_callback(void *arg);

/* Begins. False, and no callback, when there is nothing to give, or no Unix socket. */
bool handover_start(const struct handover_config *config, handover_callback *callback, void *arg);

#endif
