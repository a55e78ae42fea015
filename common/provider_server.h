/*
 * provider_server.h - everything needed to write a provider in C.
 *
 * A provider is a process that listens on <providers dir>/<name>.sock and serves two RPCs
 * (proto/provider.proto): Version, which this module serves, and Mount, which the provider implements. Fill a
 * `struct provider`, call provider_server_create(), run the loop. provider-azure/ is built on this header,
 * examples/provider-c/ is a small one.
 *
 *     static void mount(struct provider_mount *mount, void *arg)
 *     {
 *         const char *key = string_map_get(provider_mount_attributes(mount), "key");
 *         if (key == NULL) { ... provider_mount_fail(mount, error); return; }
 *         provider_mount_add_file(mount, "greeting", 0644, "hello", 5, NULL);
 *         provider_mount_add_version(mount, "greeting", "v1", NULL);
 *         provider_mount_done(mount);
 *     }
 */
#ifndef COMMON_PROVIDER_SERVER_H
#define COMMON_PROVIDER_SERVER_H

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/string_map.h"
#include "common/grpc/server.h"
#include "common/process/endpoint.h"

struct provider_server;
struct provider_mount; /* one Mount call */

struct provider {
    const char *name;    /* runtime_name in Version */
    const char *version; /* runtime_version, semver */
    /* Called on the loop for each Mount. Must end it exactly once, now or later, with provider_mount_done()
     * or provider_mount_fail(). */
    void (*mount)(struct provider_mount *mount, void *arg);
    void *arg;
};

struct provider_server_config {
    struct log *log;
    struct endpoint endpoint;           /* borrowed during create */
    mode_t socket_mode;                 /* 0 = 0700 */
    unsigned max_calls;                 /* see grpc_server_config */
    const struct grpc_service *service; /* another one of the provider's own; may be NULL */
    grpc_call_observer *observer;       /* may be NULL */
    void *observer_arg;
    grpc_socket_observer *socket_observer; /* may be NULL */
    void *socket_observer_arg;
};

/* Listens at once. `provider` is borrowed. Health (any service: SERVING) is included. A socket file that
 * another process removes is created again within a second. NULL with err set: see grpc_server_listen_unix()
 * and grpc_server_listen_tcp(). */
struct provider_server *provider_server_create(uv_loop_t *loop, const struct provider *provider,
                                               const struct provider_server_config *config,
                                               struct error **err);

/* Does the path of the socket lead to this server? For the health endpoint of a provider; see
 * grpc_server_check_sockets(). */
int provider_server_check_socket(struct provider_server *server, struct error **err);

/* See grpc_server_stop(). */
void provider_server_stop(struct provider_server *server, uint64_t drain_ms, void (*done)(void *arg),
                          void *arg);

/* Frees a stopped server. Accepts NULL. */
void provider_server_destroy(struct provider_server *server);

/* --- the request of a mount, decoded; valid until the mount is ended --- */

/* The parameters of the class and the volume context. */
const struct string_map *provider_mount_attributes(const struct provider_mount *mount);

/* The data of nodePublishSecretRef. NULL when the driver sent none (JSON null, or nothing). */
const struct string_map *provider_mount_secrets(const struct provider_mount *mount);

/* The path of the volume, "" when the driver sent none. */
const char *provider_mount_target_path(const struct provider_mount *mount);

/* The default mode of files. */
mode_t provider_mount_permission(const struct provider_mount *mount);

/* The version of an object that is mounted now, or NULL. */
const char *provider_mount_current_version(const struct provider_mount *mount, const char *id);

/* The number of objects that are mounted now: 0 on a first mount. */
size_t provider_mount_current_count(const struct provider_mount *mount);

/* Milliseconds until the caller's deadline, UINT64_MAX without one. */
uint64_t provider_mount_time_left_ms(const struct provider_mount *mount);

/* --- the response --- */

/* `cancelled` runs when the caller does not wait any more, or the server stops waiting for the mount; it must
 * still be ended, best with an error of the reason's code. */
void provider_mount_on_cancel(struct provider_mount *mount,
                              void (*cancelled)(struct provider_mount *mount, void *arg), void *arg);

/* CANCELLED, DEADLINE_EXCEEDED: the caller is gone. UNAVAILABLE: the server stops, and the driver is to call
 * the next provider. OK while the mount is not cancelled. */
enum grpc_status provider_mount_cancel_reason(const struct provider_mount *mount);

/* `released` runs once, when the memory of the response is gone: after the mount was ended, and after the
 * driver has taken the response. It may not use the mount any more. */
void provider_mount_on_released(struct provider_mount *mount, void (*released)(void *arg), void *arg);

/* Adds a file, or the version of an object (the same id twice: the last one wins). Bytes are copied into
 * wiped memory. -1 with err set (RESOURCE_EXHAUSTED) on lack of memory or when the response would exceed 64
 * MiB. */
int provider_mount_add_file(struct provider_mount *mount, const char *path, mode_t mode, const void *contents,
                            size_t len, struct error **err);
int provider_mount_add_version(struct provider_mount *mount, const char *id, const char *version,
                               struct error **err);

/* Adds what the user has to know although the mount succeeds, one line of UTF-8. Our driver reports it in the
 * log and in an Event on the pod; others ignore it. -1 with err set as above. */
int provider_mount_add_warning(struct provider_mount *mount, const char *text, struct error **err);

/* The provider has made tries of its own, as many as make sense: if the mount fails, drivers are not to
 * repeat the call at once (grpc_call_forbid_retry()). */
void provider_mount_forbid_retry(struct provider_mount *mount);

/* End the mount with the response, or with the error's code and message; it must not be used afterwards. */
void provider_mount_done(struct provider_mount *mount);
void provider_mount_fail(struct provider_mount *mount, const struct error *error);

#endif
