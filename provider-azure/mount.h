/*
 * mount.h - one mount, from its parameters to its files.
 *
 *     start (parameters checked) ─▶ TOKEN ─▶ FETCH ─▶ CONVERT, in steps ─▶ hand out all ─▶ done
 *                                     └────────┴────────┴──▶ guard: the deadline is near ─▶ done(error)
 *
 * Knows neither gRPC nor libuv: files go to a sink, the outside is a transport. Contract:
 * common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_MOUNT_H
#define PROVIDER_AZURE_MOUNT_H

#include "common/base/string_map.h"
#include "provider-azure/content/content.h"
#include "provider-azure/mount_request.h"
#include "provider-azure/mount_response.h"
#include "provider-azure/vault/fetch.h"
#include "provider-azure/vault/served_volumes.h"

/* The limit of a mount whose caller has none. */
enum { MOUNT_LIMIT_MS = 120 * 1000 };

struct mount;

/* What all mounts of the process share. Borrowed. */
struct mount_shared {
    const struct network *network;
    struct token_cache *tokens;
    struct store *store;
    struct volume_log *volumes;
    const struct request_defaults *defaults;
    const struct content_options *content;
};

struct mount_input {
    const struct string_map *attributes;
    const struct string_map *secrets; /* NULL: none given */
    mode_t permission;
    const char *target_path; /* only to tell volumes apart; may be NULL */
    bool republish;          /* the volume has content already */
    uint64_t time_left_ms;   /* UINT64_MAX: no deadline */
};

/* `error` NULL: success. Borrowed. All messages begin with "failed to mount objects, error: ". */
typedef void mount_callback(const struct error *error, void *arg);

/* `input` is borrowed during the call only. NULL with err set when the parameters are wrong. `arg` goes to
 * sink and callback; the sink is called only by a mount that succeeds, right before the callback. */
struct mount *mount_start(const struct mount_shared *shared, const struct mount_input *input,
                          const struct mount_sink *sink, mount_callback *callback, void *arg,
                          struct error **err);
void mount_cancel(struct mount **mount);

#endif
