/*
 * service.h - the Mount RPC: connects the provider server with mount operations.
 */
#ifndef PROVIDER_AZURE_SERVICE_H
#define PROVIDER_AZURE_SERVICE_H

#include "common/base/log.h"
#include "common/provider_server.h"
#include "provider-azure/mount.h"

struct service {
    const struct mount_shared *shared; /* borrowed */
    struct log *log;                   /* borrowed, may be NULL */
};

/* Serves one call, for struct provider: `arg` is a struct service. Ends the call exactly once; a cancelled
 * call cancels its mount. */
void service_mount(struct provider_mount *rpc, void *arg);

#endif
