/*
 * mount.h - one mount, from its parameters to its files.
 *
 *     start (parameters checked) ─▶ TOKENS ─▶ BYTES ─▶ FETCH ─▶ CONVERT ─▶ emit all ─▶ done
 *                                     └─────────┴────────┴────────┴──▶ guard: deadline near ─▶ done(error)
 *
 * BYTES waits until the budget has space for what the mount will read (common/process/byte_budget.h).
 *
 * Knows neither gRPC nor libuv: files go to a writer, the outside is a transport. Contract:
 * common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_MOUNT_H
#define PROVIDER_AZURE_MOUNT_H

#include "provider-azure/content/content.h"
#include "provider-azure/mount_request.h"
#include "provider-azure/mount_response.h"
#include "provider-azure/vault/fetch.h"
#include "provider-azure/vault/served_volumes.h"

/* The limit of a mount without a deadline of the caller. */
enum { MOUNT_LIMIT_MS = 120 * 1000 };

struct mount;

/* For how long after its last call the first call of a throttled volume is remembered, and for how long what
 * it needs is held: the kubelet calls again within 122 seconds. */
enum { MOUNT_THROTTLED_MS = 10 * 60 * 1000, MOUNT_HOLD_MS = 150 * 1000 };

/* Shared by all mounts of the process. Borrowed. */
struct mount_shared {
    const struct network *network;
    struct token_cache *tokens;
    struct vault_cache *cache;
    struct served_volumes *volumes;
    struct served_volumes
        *throttled; /* first calls of volumes that have no content yet: MOUNT_THROTTLED_MS */
    const struct request_defaults *defaults;
    const struct content_options *content;
    struct pem_cache *pems;
    struct byte_budget *budget; /* NULL: unlimited */
    struct class_reports
        *warned; /* contents of classes whose mistakes a response has; NULL: none gets them */
};

/* `error` is borrowed; NULL: success. All messages begin with "failed to mount objects, error: ". */
typedef void mount_callback(const struct error *error, void *arg);

/* Checks the parameters and starts the mount. `input` is borrowed during the call only. NULL with err set
 * when the parameters are wrong. `arg` goes to writer and callback; only a mount that succeeds writes, right
 * before the callback. */
struct mount *mount_start(const struct mount_shared *shared, const struct mount_input *input,
                          const struct response_writer *writer, mount_callback *callback, void *arg,
                          struct error **err);

/* Ends the mount without a callback; what only it waits for is cancelled. */
void mount_cancel(struct mount **mount);

#endif
