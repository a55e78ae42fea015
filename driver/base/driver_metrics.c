/*
 * telemetry.c - the driver's metrics.
 */
#include "driver/base/driver_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/process/lifecycle.h"

#define OS_TYPE "linux"

struct telemetry {
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
    struct metric_family *provider_up;
    struct metric_family *kube_requests;
    struct metric_family *kube_up;
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
static const struct metric_desc rotation_desc = {
    .name = "rotation_reconcile_total",
    .help = "Total number of looks for rotated objects that succeeded",
    .type = METRIC_COUNTER,
    .labels = {"provider", "os_type", "rotated"}};
static const struct metric_desc rotation_error_desc = {
    .name = "rotation_reconcile_error_total",
    .help = "Total number of looks for rotated objects that failed",
    .type = METRIC_COUNTER,
    .labels = {"provider", "error_type", "os_type", "rotated"}};
static const struct metric_desc rotation_seconds_desc = {.name = "rotation_reconcile_duration_sec",
                                                         .help = "Seconds a look for rotated objects took",
                                                         .type = METRIC_HISTOGRAM,
                                                         .labels = {"os_type"},
                                                         .buckets = seconds_buckets,
                                                         .n_buckets = ARRAY_SIZE(seconds_buckets)};
static const struct metric_desc provider_seconds_desc = {.name = "provider_mount_duration_sec",
                                                         .help = "Seconds a provider took to answer Mount",
                                                         .type = METRIC_HISTOGRAM,
                                                         .labels = {"provider", "grpc_status"},
                                                         .buckets = seconds_buckets,
                                                         .n_buckets = ARRAY_SIZE(seconds_buckets)};
static const struct metric_desc events_desc = {.name = "kube_events_total",
                                               .help =
                                                   "Total number of occurrences told in Kubernetes Events",
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
    .help = "When a look for rotated objects succeeded last, in seconds since 1970",
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
static const struct metric_desc provider_up_desc = {.name = "provider_up",
                                                    .help =
                                                        "Whether the provider answered the last health check",
                                                    .type = METRIC_GAUGE,
                                                    .labels = {"provider"}};
static const struct metric_desc kube_requests_desc = {
    .name = "kube_api_requests_total",
    .help = "Requests to the Kubernetes API by outcome, repetitions included",
    .type = METRIC_COUNTER,
    .labels = {"method", "resource", "code"}};
static const struct metric_desc kube_up_desc = {.name = "kube_api_up",
                                                .help =
                                                    "Whether the Kubernetes API answered the last request",
                                                .type = METRIC_GAUGE};

struct telemetry *telemetry_create(struct metrics *metrics)
{
    struct telemetry *telemetry = calloc(1, sizeof(*telemetry));

    if (telemetry == NULL)
        abort();
    *telemetry = (struct telemetry){
        .publish = metrics_register(metrics, &publish_desc),
        .publish_error = metrics_register(metrics, &publish_error_desc),
        .unpublish = metrics_register(metrics, &unpublish_desc),
        .unpublish_error = metrics_register(metrics, &unpublish_error_desc),
        .rotation = metrics_register(metrics, &rotation_desc),
        .rotation_error = metrics_register(metrics, &rotation_error_desc),
        .rotation_seconds = metrics_register(metrics, &rotation_seconds_desc),
        .provider_seconds = metrics_register(metrics, &provider_seconds_desc),
        .events = metrics_register(metrics, &events_desc),
        .record_error = metrics_register(metrics, &record_error_desc),
        .csi_seconds = metrics_register(metrics, &csi_seconds_desc),
        .secret = metrics_register(metrics, &secret_desc),
        .secret_error = metrics_register(metrics, &secret_error_desc),
        .secret_seconds = metrics_register(metrics, &secret_seconds_desc),
        .rotation_time = metrics_register(metrics, &rotation_time_desc),
        .files_bytes = metrics_register(metrics, &files_bytes_desc),
        .volumes = metrics_register(metrics, &volumes_desc),
        .provider_up = metrics_register(metrics, &provider_up_desc),
        .kube_requests = metrics_register(metrics, &kube_requests_desc),
        .kube_up = metrics_register(metrics, &kube_up_desc),
    };
    return telemetry;
}

void telemetry_destroy(struct telemetry *telemetry)
{
    free(telemetry);
}

void telemetry_publish_ok(struct telemetry *telemetry, const char *provider)
{
    if (telemetry != NULL)
        metric_add(telemetry->publish, (const char *const[]){provider, OS_TYPE}, 1);
}

void telemetry_publish_error(struct telemetry *telemetry, const char *provider, const char *error_type)
{
    if (telemetry != NULL)
        metric_add(telemetry->publish_error, (const char *const[]){provider, error_type, OS_TYPE}, 1);
}

void telemetry_unpublish(struct telemetry *telemetry, enum grpc_status status)
{
    if (telemetry != NULL)
        metric_add(status == GRPC_STATUS_OK ? telemetry->unpublish : telemetry->unpublish_error,
                   (const char *const[]){OS_TYPE}, 1);
}

void telemetry_rotation_ok(struct telemetry *telemetry, const char *provider, int rotated, double seconds)
{
    if (telemetry == NULL)
        return;
    metric_add(telemetry->rotation, (const char *const[]){provider, OS_TYPE, rotated ? "true" : "false"}, 1);
    metric_observe(telemetry->rotation_seconds, (const char *const[]){OS_TYPE}, seconds);
    metric_set(telemetry->rotation_time, (const char *const[]){provider}, (double)clock_unix_s());
}

void telemetry_rotation_error(struct telemetry *telemetry, const char *provider, const char *error_type)
{
    if (telemetry != NULL)
        metric_add(telemetry->rotation_error, (const char *const[]){provider, error_type, OS_TYPE, "false"},
                   1);
}

void telemetry_provider_call(struct telemetry *telemetry, const char *provider, enum grpc_status status,
                             double seconds)
{
    if (telemetry != NULL)
        metric_observe(telemetry->provider_seconds,
                       (const char *const[]){provider, grpc_status_go_name(status)}, seconds);
}

void telemetry_files_written(struct telemetry *telemetry, const char *provider, size_t bytes)
{
    if (telemetry != NULL)
        metric_add(telemetry->files_bytes, (const char *const[]){provider}, (double)bytes);
}

void telemetry_provider_up(struct telemetry *telemetry, const char *provider, bool up)
{
    if (telemetry != NULL)
        metric_set(telemetry->provider_up, (const char *const[]){provider}, up ? 1 : 0);
}

void telemetry_kube_request(struct telemetry *telemetry, const char *method, const char *resource, int status)
{
    char code[16] = "none";

    if (telemetry == NULL)
        return;
    if (status != 0)
        (void)snprintf(code, sizeof(code), "%d", status);
    metric_add(telemetry->kube_requests, (const char *const[]){method, resource, code}, 1);
}

void telemetry_state(struct telemetry *telemetry, int kube_reachable, size_t volumes)
{
    static const char *const none[] = {NULL};

    if (telemetry == NULL)
        return;
    metric_set(telemetry->volumes, none, (double)volumes);
    if (kube_reachable >= 0)
        metric_set(telemetry->kube_up, none, kube_reachable > 0 ? 1 : 0);
}

void telemetry_event(struct telemetry *telemetry, const char *reason, const char *result, uint64_t n)
{
    if (telemetry != NULL && n > 0)
        metric_add(telemetry->events, (const char *const[]){reason, result}, (double)n);
}

void telemetry_record_error(struct telemetry *telemetry, const char *recorder)
{
    if (telemetry != NULL)
        metric_add(telemetry->record_error, (const char *const[]){recorder}, 1);
}

void telemetry_csi_call(struct telemetry *telemetry, const char *method, enum grpc_status status,
                        double seconds)
{
    const char *slash = strrchr(method, '/');

    if (telemetry == NULL)
        return;
    /* Names of methods that do not exist are the caller's invention and would fill the table. */
    metric_observe(
        telemetry->csi_seconds,
        (const char *const[]){status == GRPC_STATUS_UNIMPLEMENTED || slash == NULL ? "other" : slash + 1,
                              grpc_status_go_name(status)},
        seconds);
}

void telemetry_secret_written(struct telemetry *telemetry, const char *provider)
{
    if (telemetry != NULL)
        metric_add(telemetry->secret, (const char *const[]){provider, OS_TYPE}, 1);
}

void telemetry_secret_error(struct telemetry *telemetry, const char *provider, enum grpc_status status)
{
    if (telemetry != NULL)
        metric_add(telemetry->secret_error,
                   (const char *const[]){provider, grpc_status_go_name(status), OS_TYPE}, 1);
}

void telemetry_secret_sync(struct telemetry *telemetry, double seconds)
{
    if (telemetry != NULL)
        metric_observe(telemetry->secret_seconds, (const char *const[]){OS_TYPE}, seconds);
}
