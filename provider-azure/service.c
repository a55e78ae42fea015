/*
 * service.c - answers Mount calls.
 */
#include "provider-azure/service.h"

#include <stdlib.h>

#include "common/process/lifecycle.h"

/* One call and its operation; ends with the call. */
struct served {
    const struct service *service;
    struct provider_mount *call;
    struct mount *mount;
    uint64_t since_ns;
};

static int add_file(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                    struct error **err)
{
    const struct served *served = arg;
    log_debug(served->service->log, 5, "file added", LOG_STR("path", path));
    return provider_mount_add_file(served->call, path, mode, bytes, len, err);
}

static int add_version(void *arg, const char *id, const char *version, struct error **err)
{
    const struct served *served = arg;
    return provider_mount_add_version(served->call, id, version, err);
}

static const struct response_writer writer = {.add_file = add_file, .add_version = add_version};

static void fail(struct served *served, const struct error *error)
{
    const struct string_map *attributes = provider_mount_attributes(served->call);
    log_error(served->service->log, "failed to process mount request",
              LOG_STR("pod", string_map_get(attributes, "csi.storage.k8s.io/pod.name")),
              LOG_STR("namespace", string_map_get(attributes, "csi.storage.k8s.io/pod.namespace")),
              LOG_ERR(error));
    provider_mount_fail(served->call, error);
    free(served);
}

static void on_done(const struct error *error, void *arg)
{
    struct served *served = arg;
    served->mount = NULL;
    if (error != NULL) {
        fail(served, error);
        return;
    }
    log_debug(served->service->log, 2, "mounted",
              LOG_UINT("duration_us", (clock_monotonic_ns() - served->since_ns) / 1000));
    provider_mount_done(served->call);
    free(served);
}

static void on_cancelled(struct provider_mount *call, void *arg)
{
    struct served *served = arg;
    struct error *error = NULL;
    (void)call;
    mount_cancel(&served->mount);
    error_set(&error, GRPC_STATUS_CANCELLED, "the caller does not wait any more");
    log_debug(served->service->log, 2, "mount cancelled");
    provider_mount_fail(served->call, error);
    error_free(error);
    free(served);
}

void service_mount(struct provider_mount *call, void *arg)
{
    const struct service *service = arg;
    struct error *error = NULL;
    struct served *served = calloc(1, sizeof(*served));

    if (served == NULL) {
        (void)error_no_memory(&error, NULL);
        provider_mount_fail(call, error);
        error_free(error);
        return;
    }
    *served = (struct served){.service = service, .call = call, .since_ns = clock_monotonic_ns()};
    const struct mount_input input = {
        .attributes = provider_mount_attributes(call),
        .secrets = provider_mount_secrets(call),
        .permission = provider_mount_permission(call),
        .target_path = provider_mount_target_path(call),
        .republish = provider_mount_current_count(call) > 0,
        .time_left_ms = provider_mount_time_left_ms(call),
    };
    served->mount = mount_start(service->shared, &input, &writer, on_done, served, &error);
    if (served->mount == NULL) {
        fail(served, error);
        error_free(error);
        return;
    }
    provider_mount_on_cancel(call, on_cancelled, served);
}
