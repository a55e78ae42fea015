/*
 * driver_metrics.c - the driver's metrics.
 */
#include "driver/base/driver_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/process/lifecycle.h"

#define OS_TYPE "linux"

struct driver_metrics {
    struct metric_family *publish;
    struct metric_family *publish_error;
    struct metric_family *unpublish;
    struct metric_family *unpublish_error;
    struct metric_family *rotation;
    struct metric_family *rotation_error;
    struct metric_family *rotation_seconds;
    struct metric_family *provider_seconds;
    struct metric_family *record_error;
    struct metric_family *events;
    struct metric_family *csi_seconds;
    struct metric_family *secret;
    struct metric_family *secret_error;
    struct metric_family *secret_seconds;
    struct metric_family *rotation_time;
    struct metric_family *files_bytes;
    struct metric_family *volumes;
    struct metric_family *memory_left;
    struct metric_family *provider_up;
    struct metric_family *kube_requests;
    struct metric_family *kube_up;
    struct metric_family *socket_created;
    struct metric_family *registered;
    struct metric_family *socket_reachable;
};

/* The eleven bounds from 0.1 to 2 are a geometric progression that existing dashboards know; those below and
 * above let fast mounts and slow providers be seen. */
static const double seconds_buckets[] = {
    0.001,      0.0025,     0.005,      0.01,       0.025,      0.05,       0.1,        0.13492828,
    0.18205642, 0.24564561, 0.33144540, 0.44721360, 0.60341763, 0.81418106, 1.09856054, 1.48226890,
    2.0,        5.0,        10.0,       30.0,       60.0,       120.0};

static const struct metric_desc publish_desc = {.name = "node_publish_total",
                                                .help = "Total number of successful node publish calls",
                                                .type = METRIC_COUNTER,
                                                .labels = {"provider", "os_type"}};
static const struct metric_desc publish_error_desc = {.name = "node_publish_error_total",
                                                      .help = "Total number of failed node publish calls",
                                                      .type = METRIC_COUNTER,
                                                      .labels = {"provider", "error_type", "os_type"}};
static const struct metric_desc unpublish_desc = {.name = "node_unpublish_total",
                                                  .help = "Total number of successful node unpublish calls",
                                                  .type = METRIC_COUNTER,
                                                  .labels = {"os_type"}};
static const struct metric_desc unpublish_error_desc = {.name = "node_unpublish_error_total",
                                                        .help = "Total number of failed node unpublish calls",
                                                        .type = METRIC_COUNTER,
                                                        .labels = {"os_type"}};
static const struct metric_desc rotation_desc = {.name = "rotation_reconcile_total",
                                                 .help = "Total number of rotation checks that succeeded",
                                                 .type = METRIC_COUNTER,
                                                 .labels = {"provider", "os_type", "rotated"}};
static const struct metric_desc rotation_error_desc = {
    .name = "rotation_reconcile_error_total",
    .help = "Total number of rotation checks that failed",
    .type = METRIC_COUNTER,
    .labels = {"provider", "error_type", "os_type", "rotated"}};
static const struct metric_desc rotation_seconds_desc = {.name = "rotation_reconcile_duration_sec",
                                                         .help = "Seconds a rotation check took",
                                                         .type = METRIC_HISTOGRAM,
                                                         .labels = {"os_type"},
                                                         .buckets = seconds_buckets,
                                                         .n_buckets = ARRAY_SIZE(seconds_buckets)};
static const struct metric_desc provider_seconds_desc = {.name = "provider_mount_duration_sec",
                                                         .help =
                                                             "Seconds a provider took to respond to Mount",
                                                         .type = METRIC_HISTOGRAM,
                                                         .labels = {"provider", "grpc_status"},
                                                         .buckets = seconds_buckets,
                                                         .n_buckets = ARRAY_SIZE(seconds_buckets)};
static const struct metric_desc events_desc = {
    .name = "kube_events_total",
    .help = "Total number of occurrences reported in Kubernetes Events, or dropped",
    .type = METRIC_COUNTER,
    .labels = {"reason", "result"}};
static const struct metric_desc record_error_desc = {
    .name = "record_error_total",
    .help = "Total number of mounted volumes that could not be recorded",
    .type = METRIC_COUNTER,
    .labels = {"recorder"}};
static const struct metric_desc csi_seconds_desc = {.name = "csi_call_duration_sec",
                                                    .help = "Seconds a CSI call took",
                                                    .type = METRIC_HISTOGRAM,
                                                    .labels = {"method", "grpc_status"},
                                                    .buckets = seconds_buckets,
                                                    .n_buckets = ARRAY_SIZE(seconds_buckets)};
static const struct metric_desc secret_desc = {.name = "sync_k8s_secret_total",
                                               .help =
                                                   "Total number of Kubernetes Secrets created or changed",
                                               .type = METRIC_COUNTER,
                                               .labels = {"provider", "os_type"}};
static const struct metric_desc secret_error_desc = {
    .name = "sync_k8s_secret_error_total",
    .help = "Total number of failures to create or change a Kubernetes Secret",
    .type = METRIC_COUNTER,
    .labels = {"provider", "error_type", "os_type"}};
static const struct metric_desc secret_seconds_desc = {.name = "k8s_secret_duration_sec",
                                                       .help = "Seconds the sync of a volume's Secrets took",
                                                       .type = METRIC_HISTOGRAM,
                                                       .labels = {"os_type"},
                                                       .buckets = seconds_buckets,
                                                       .n_buckets = ARRAY_SIZE(seconds_buckets)};

static const struct metric_desc rotation_time_desc = {
    .name = "rotation_last_success_timestamp_seconds",
    .help = "Time of the last successful rotation check, in seconds since 1970",
    .type = METRIC_GAUGE,
    .labels = {"provider"}};
static const struct metric_desc files_bytes_desc = {.name = "volume_files_written_bytes_total",
                                                    .help = "Bytes of contents written into volumes",
                                                    .type = METRIC_COUNTER,
                                                    .labels = {"provider"}};
static const struct metric_desc volumes_desc = {
    .name = "volumes_published",
    .help = "Volumes that are published, as far as this process has published or met them",
    .type = METRIC_GAUGE};
static const struct metric_desc memory_left_desc = {
    .name = "memory_limit_left_bytes",
    .help = "Bytes until the memory limit of the container or pod, for which volumes count, too",
    .type = METRIC_GAUGE};
static const struct metric_desc provider_up_desc = {
    .name = "provider_up",
    .help = "Whether the provider responded to the last health check",
    .type = METRIC_GAUGE,
    .labels = {"provider"}};
static const struct metric_desc kube_requests_desc = {
    .name = "kube_api_requests_total",
    .help = "Requests to the Kubernetes API by outcome, retries included",
    .type = METRIC_COUNTER,
    .labels = {"method", "resource", "code"}};
static const struct metric_desc kube_up_desc = {
    .name = "kube_api_up",
    .help = "Whether the Kubernetes API responded to the last request",
    .type = METRIC_GAUGE};
static const struct metric_desc registered_desc = {.name = "kubelet_registered",
                                                   .help = "Whether the kubelet has registered the driver",
                                                   .type = METRIC_GAUGE};
static const struct metric_desc socket_created_desc = {
    .name = "socket_created_again_total",
    .help = "Total number of times a socket was created again because another process had removed it",
    .type = METRIC_COUNTER,
    .labels = {"socket"}};
static const struct metric_desc socket_reachable_desc = {
    .name = "socket_reachable",
    .help = "Whether the path of the socket leads to this process",
    .type = METRIC_GAUGE,
    .labels = {"socket"}};

struct driver_metrics *driver_metrics_create(struct metrics *registry)
{
    struct driver_metrics *metrics = calloc(1, sizeof(*metrics));

    if (metrics == NULL)
        abort();
    *metrics = (struct driver_metrics){
        .publish = metrics_register(registry, &publish_desc),
        .publish_error = metrics_register(registry, &publish_error_desc),
        .unpublish = metrics_register(registry, &unpublish_desc),
        .unpublish_error = metrics_register(registry, &unpublish_error_desc),
        .rotation = metrics_register(registry, &rotation_desc),
        .rotation_error = metrics_register(registry, &rotation_error_desc),
        .rotation_seconds = metrics_register(registry, &rotation_seconds_desc),
        .provider_seconds = metrics_register(registry, &provider_seconds_desc),
        .events = metrics_register(registry, &events_desc),
        .record_error = metrics_register(registry, &record_error_desc),
        .csi_seconds = metrics_register(registry, &csi_seconds_desc),
        .secret = metrics_register(registry, &secret_desc),
        .secret_error = metrics_register(registry, &secret_error_desc),
        .secret_seconds = metrics_register(registry, &secret_seconds_desc),
        .rotation_time = metrics_register(registry, &rotation_time_desc),
        .files_bytes = metrics_register(registry, &files_bytes_desc),
        .volumes = metrics_register(registry, &volumes_desc),
        .memory_left = metrics_register(registry, &memory_left_desc),
        .provider_up = metrics_register(registry, &provider_up_desc),
        .kube_requests = metrics_register(registry, &kube_requests_desc),
        .kube_up = metrics_register(registry, &kube_up_desc),
        .socket_created = metrics_register(registry, &socket_created_desc),
        .registered = metrics_register(registry, &registered_desc),
        .socket_reachable = metrics_register(registry, &socket_reachable_desc),
    };
    return metrics;
}

void driver_metrics_destroy(struct driver_metrics *metrics)
{
    free(metrics);
}

void driver_metrics_publish_ok(struct driver_metrics *metrics, const char *provider)
{
    if (metrics != NULL)
        metric_add(metrics->publish, (const char *const[]){provider, OS_TYPE}, 1);
}

void driver_metrics_publish_error(struct driver_metrics *metrics, const char *provider,
                                  const char *error_type)
{
    if (metrics != NULL)
        metric_add(metrics->publish_error, (const char *const[]){provider, error_type, OS_TYPE}, 1);
}

void driver_metrics_unpublish(struct driver_metrics *metrics, enum grpc_status status)
{
    if (metrics != NULL)
        metric_add(status == GRPC_STATUS_OK ? metrics->unpublish : metrics->unpublish_error,
                   (const char *const[]){OS_TYPE}, 1);
}

void driver_metrics_rotation_ok(struct driver_metrics *metrics, const char *provider, bool rotated,
                                double seconds)
{
    if (metrics == NULL)
        return;
    metric_add(metrics->rotation, (const char *const[]){provider, OS_TYPE, rotated ? "true" : "false"}, 1);
    metric_observe(metrics->rotation_seconds, (const char *const[]){OS_TYPE}, seconds);
    metric_set(metrics->rotation_time, (const char *const[]){provider}, (double)clock_unix_s());
}

void driver_metrics_rotation_error(struct driver_metrics *metrics, const char *provider,
                                   const char *error_type)
{
    if (metrics != NULL)
        metric_add(metrics->rotation_error, (const char *const[]){provider, error_type, OS_TYPE, "false"}, 1);
}

void driver_metrics_provider_call(struct driver_metrics *metrics, const char *provider,
                                  enum grpc_status status, double seconds)
{
    if (metrics != NULL)
        metric_observe(metrics->provider_seconds,
                       (const char *const[]){provider, grpc_status_go_name(status)}, seconds);
}

void driver_metrics_files_written(struct driver_metrics *metrics, const char *provider, size_t bytes)
{
    if (metrics != NULL)
        metric_add(metrics->files_bytes, (const char *const[]){provider}, (double)bytes);
}

void driver_metrics_provider_up(struct driver_metrics *metrics, const char *provider, bool up)
{
    if (metrics != NULL)
        metric_set(metrics->provider_up, (const char *const[]){provider}, up ? 1 : 0);
}

void driver_metrics_kube_request(struct driver_metrics *metrics, const char *method, const char *resource,
                                 int status)
{
    char code[16] = "none";

    if (metrics == NULL)
        return;
    if (status != 0)
        (void)snprintf(code, sizeof(code), "%d", status);
    metric_add(metrics->kube_requests, (const char *const[]){method, resource, code}, 1);
}

void driver_metrics_state(struct driver_metrics *metrics, int kube_reachable, size_t volumes)
{
    static const char *const none[] = {NULL};

    if (metrics == NULL)
        return;
    metric_set(metrics->volumes, none, (double)volumes);
    if (kube_reachable >= 0)
        metric_set(metrics->kube_up, none, kube_reachable > 0 ? 1 : 0);
}

void driver_metrics_memory_left(struct driver_metrics *metrics, uint64_t bytes)
{
    static const char *const none[] = {NULL};

    if (metrics != NULL)
        metric_set(metrics->memory_left, none, (double)bytes);
}

void driver_metrics_event(struct driver_metrics *metrics, const char *reason, const char *result, uint64_t n)
{
    if (metrics != NULL && n > 0)
        metric_add(metrics->events, (const char *const[]){reason, result}, (double)n);
}

void driver_metrics_record_error(struct driver_metrics *metrics, const char *recorder)
{
    if (metrics != NULL)
        metric_add(metrics->record_error, (const char *const[]){recorder}, 1);
}

void driver_metrics_csi_call(struct driver_metrics *metrics, const char *method, enum grpc_status status,
                             double seconds)
{
    const char *slash = strrchr(method, '/');

    if (metrics == NULL)
        return;
    /* Names of methods that do not exist are the caller's invention and would fill the table. */
    metric_observe(
        metrics->csi_seconds,
        (const char *const[]){status == GRPC_STATUS_UNIMPLEMENTED || slash == NULL ? "other" : slash + 1,
                              grpc_status_go_name(status)},
        seconds);
}

void driver_metrics_registered(struct driver_metrics *metrics, bool registered)
{
    if (metrics != NULL)
        metric_set(metrics->registered, (const char *const[]){NULL}, registered ? 1 : 0);
}

void driver_metrics_socket_reachable(struct driver_metrics *metrics, const char *socket, bool reachable)
{
    if (metrics == NULL)
        return;
    metric_set(metrics->socket_reachable, (const char *const[]){socket}, reachable ? 1 : 0);
    metric_add(metrics->socket_created, (const char *const[]){socket}, 0); /* a series from the start */
}

void driver_metrics_socket_created_again(struct driver_metrics *metrics, const char *socket)
{
    if (metrics != NULL)
        metric_add(metrics->socket_created, (const char *const[]){socket}, 1);
}

void driver_metrics_secret_written(struct driver_metrics *metrics, const char *provider)
{
    if (metrics != NULL)
        metric_add(metrics->secret, (const char *const[]){provider, OS_TYPE}, 1);
}

void driver_metrics_secret_error(struct driver_metrics *metrics, const char *provider,
                                 enum grpc_status status)
{
    if (metrics != NULL)
        metric_add(metrics->secret_error,
                   (const char *const[]){provider, grpc_status_go_name(status), OS_TYPE}, 1);
}

void driver_metrics_secret_sync(struct driver_metrics *metrics, double seconds)
{
    if (metrics != NULL)
        metric_observe(metrics->secret_seconds, (const char *const[]){OS_TYPE}, seconds);
}
