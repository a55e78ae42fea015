/*
 * service.c - serves Mount calls.
 */
#include "provider-azure/service.h"

#include <stdlib.h>

#include "common/process/lifecycle.h"

/* One call and its mount; lives until the driver has its response. */
struct service_call {
    const struct service *service;
    struct provider_mount *rpc;
    struct mount *mount;
    uint64_t since_ns;
    struct byte_reservation bytes; /* of what the mount reads, then of its response */
    uint64_t response_bytes;
};

static int add_file(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                    struct error **err)
{
    struct service_call *call = arg;
    log_debug(call->service->log, 5, "file added", LOG_STR("path", path));
    call->response_bytes += len;
    return provider_mount_add_file(call->rpc, path, mode, bytes, len, err);
}

static int add_version(void *arg, const char *id, const char *version, struct error **err)
{
    const struct service_call *call = arg;
    return provider_mount_add_version(call->rpc, id, version, err);
}

static int add_warning(void *arg, const char *text, struct error **err)
{
    const struct service_call *call = arg;
    return provider_mount_add_warning(call->rpc, text, err);
}

static const struct response_writer writer = {
    .add_file = add_file, .add_version = add_version, .add_warning = add_warning};

static void on_released(void *arg)
{
    struct service_call *call = arg;
    byte_reservation_release(&call->bytes);
    free(call);
}

/* The call may be gone then. */
static void fail(struct service_call *call, const struct error *error)
{
    const struct string_map *attributes = provider_mount_attributes(call->rpc);
    log_error(call->service->log, "failed to process mount request",
              LOG_OBJECT("pod", string_map_get(attributes, ATTRIBUTE_POD_NAMESPACE),
                         string_map_get(attributes, ATTRIBUTE_POD_NAME)),
              LOG_ERR(error));
    if (error_code(error) == GRPC_STATUS_UNAVAILABLE) /* after all tries of http_retry.h */
        provider_mount_forbid_retry(call->rpc);
    provider_mount_fail(call->rpc, error);
}

static void on_done(const struct error *error, void *arg)
{
    struct service_call *call = arg;
    call->mount = NULL;
    if (error != NULL) {
        fail(call, error);
        return;
    }
    log_debug(call->service->log, 2, "mounted",
              LOG_UINT("durationUs", (clock_monotonic_ns() - call->since_ns) / 1000));
    byte_reservation_resize(&call->bytes, call->response_bytes);
    provider_mount_done(call->rpc);
}

static void on_cancelled(struct provider_mount *rpc, void *arg)
{
    struct service_call *call = arg;
    struct error *error = NULL;
    enum grpc_status reason = provider_mount_cancel_reason(rpc);
    mount_cancel(&call->mount);
    (void)error_set(&error, reason, "%s",
                    reason == GRPC_STATUS_UNAVAILABLE ? "the provider is stopping"
                                                      : "the caller does not wait any more");
    log_debug(call->service->log, 2, "mount cancelled");
    provider_mount_fail(call->rpc, error);
    error_free(error);
}

void service_mount(struct provider_mount *rpc, void *arg)
{
    const struct service *service = arg;
    struct error *error = NULL;
    struct service_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_no_memory(&error, NULL);
        provider_mount_fail(rpc, error);
        error_free(error);
        return;
    }
    *call = (struct service_call){.service = service, .rpc = rpc, .since_ns = clock_monotonic_ns()};
    byte_reservation_init(&call->bytes);
    provider_mount_on_released(rpc, on_released, call);
    const struct mount_input input = {
        .attributes = provider_mount_attributes(rpc),
        .secrets = provider_mount_secrets(rpc),
        .permission = provider_mount_permission(rpc),
        .target_path = provider_mount_target_path(rpc),
        .republish = provider_mount_current_count(rpc) > 0,
        .time_left_ms = provider_mount_time_left_ms(rpc),
        .bytes = &call->bytes,
    };
    call->mount = mount_start(service->shared, &input, &writer, on_done, call, &error);
    if (call->mount == NULL) {
        fail(call, error);
        error_free(error);
        return;
    }
    provider_mount_on_cancel(rpc, on_cancelled, call);
}
