/*
 * provider_registry.h - finding providers by the name of their socket, and keeping one connection to each.
 *
 * A provider is <dir>/<name>.sock. The directories of --additional-provider-volume-paths come first, in
 * order, then --provider-volume; the first that has the socket wins. The path is checked again at every
 * use, and the connection is bound to the file found (device, inode, time of change): a provider that moves
 * to another directory, or is replaced by another process on the same path, is noticed by the next call.
 *
 * A provider that restarts has no socket for a short time. If it was known before, its old path is tried for
 * PROVIDER_RETRY_MS; a provider that never was there fails at once.
 *
 * The directories are writable by root only. To be sure that the peer is the one that made the socket, its
 * user must be root or the owner of the file.
 */
#ifndef DRIVER_PROVIDER_PROVIDER_REGISTRY_H
#define DRIVER_PROVIDER_PROVIDER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/grpc/client.h"

enum {
    PROVIDER_NAME_MAX = 30, /* ^[a-zA-Z0-9_-]{1,30}$ */
    PROVIDER_DIRECTORIES_MAX = 16,
    /* How long a restart may take before a mount fails. A kubelet notices within a second that a container
     * has ended, and takes one to two for the next. */
    PROVIDER_RETRY_MS = 5000,
    PROVIDER_CONNECT_MS = 2000, /* to a local socket */
};

struct provider_registry;
struct provider_ref; /* one use of a provider's connection */

struct provider_registry_config {
    struct log *log;                    /* borrowed, may be NULL */
    const char *additional_directories; /* comma separated, searched first; empty elements are skipped */
    const char *directory;              /* searched last; "" = none */
    size_t max_response_bytes;          /* --max-call-recv-msg-size */
};

/* Returns NULL with err set: RESOURCE_EXHAUSTED, INVALID_ARGUMENT (too many directories). */
struct provider_registry *
provider_registry_create(uv_loop_t *loop, const struct provider_registry_config *config, struct error **err);

/* All references must have been released. Accepts NULL. */
void provider_registry_destroy(struct provider_registry *registry);

uv_loop_t *provider_registry_loop(const struct provider_registry *registry);

/* Finds the provider and borrows its connection until provider_ref_release(). Connects nothing yet. NULL
 * with err set: INVALID_ARGUMENT (not a provider name), FAILED_PRECONDITION (no such socket: the text names
 * the directories). */
struct provider_ref *provider_registry_find(struct provider_registry *registry, const char *name,
                                            struct error **err);

struct grpc_channel *provider_ref_channel(const struct provider_ref *ref);
const char *provider_ref_path(const struct provider_ref *ref);

/* Has this provider (the process behind this socket file) returned files? It does not write them itself,
 * then. Not known of a provider that is new or was replaced. */
bool provider_ref_returns_files(const struct provider_ref *ref);
void provider_ref_set_returns_files(struct provider_ref *ref, bool returns_files);

/* The same of the provider that was found last. Its socket file may have been replaced since: that is what
 * provider_registry_find() sees. */
bool provider_registry_returned_files(const struct provider_registry *registry, const char *name);

/* Accepts NULL. */
void provider_ref_release(struct provider_ref *ref);

/* Calls `each` with every provider that has been used so far. */
void provider_registry_each(struct provider_registry *registry, void (*each)(const char *name, void *arg),
                            void *arg);

#endif
