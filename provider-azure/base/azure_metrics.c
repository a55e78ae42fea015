/*
 * meter.c - metric families and their labels.
 */
#include "provider-azure/base/azure_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

#define SERVICE_NAME "csi-secrets-store-provider-azure"

static const double buckets[] = {0.1, 0.2, 0.3, 0.4, 0.5, 1, 1.5, 2, 2.5, 3, 5, 10, 15, 30};
/* Token and vault exchanges over kept connections take milliseconds; the inherited buckets start at 100 ms.
 */
static const double fine_buckets[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

static const struct metric_desc keyvault_request = {
    .name = "keyvault_request",
    .help = "Distribution of how long it took to get an object from Key Vault, in seconds",
    .type = METRIC_HISTOGRAM,
    .labels = {"provider", "os_type", "service_name", "object_type", "error"},
    .buckets = buckets,
    .n_buckets = ARRAY_SIZE(buckets),
};
static const struct metric_desc grpc_request = {
    .name = "grpc_request",
    .help = "Distribution of how long it took to serve a gRPC call, in seconds",
    .type = METRIC_HISTOGRAM,
    .labels = {"provider", "os_type", "service_name", "grpc_method", "grpc_code", "grpc_message"},
    .buckets = buckets,
    .n_buckets = ARRAY_SIZE(buckets),
};
static const struct metric_desc token_request = {
    .name = "azure_token_request_seconds",
    .help = "Distribution of how long it took to obtain a token, retries included",
    .type = METRIC_HISTOGRAM,
    .labels = {"mode", "error"},
    .buckets = fine_buckets,
    .n_buckets = ARRAY_SIZE(fine_buckets),
};
static const struct metric_desc token_lookups = {
    .name = "azure_token_lookups_total",
    .help =
        "Needs for a token, by how they were met: hit (cache), joined (a request in flight), miss (new request)",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric_desc object_lookups = {
    .name = "azure_object_lookups_total",
    .help =
        "Needs for a vault object, by how they were met: fetched, joined (a request in flight), republished (from what the same identity fetched a moment ago)",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric_desc http_requests = {
    .name = "azure_http_requests_total",
    .help = "HTTP requests sent, retries counted, by service and status (0: no answer)",
    .type = METRIC_COUNTER,
    .labels = {"service", "status"},
};
static const struct metric_desc http_retries = {
    .name = "azure_http_retries_total",
    .help = "HTTP requests that were retries",
    .type = METRIC_COUNTER,
    .labels = {"service"},
};
static const struct metric_desc throttled_seconds = {
    .name = "azure_throttled_seconds_total",
    .help = "Time requests waited because the service had asked for a pause",
    .type = METRIC_COUNTER,
    .labels = {"service"},
};

struct meter {
    struct metric_family *keyvault_request;
    struct metric_family *grpc_request;
    struct metric_family *token_request;
    struct metric_family *token_lookups;
    struct metric_family *object_lookups;
    struct metric_family *http_requests;
    struct metric_family *http_retries;
    struct metric_family *throttled_seconds;
};

/* A counter that is there from the start can be watched with rate() and alerts before it first counts. */
static void show_zeros(struct meter *meter)
{
    static const char *const token_outcomes[] = {"hit", "joined", "miss"};
    static const char *const object_outcomes[] = {"fetched", "joined", "republished"};
    static const char *const services[] = {"vault", "entra"};

    for (size_t i = 0; i < ARRAY_SIZE(token_outcomes); i++)
        metric_add(meter->token_lookups, &token_outcomes[i], 0);
    for (size_t i = 0; i < ARRAY_SIZE(object_outcomes); i++)
        metric_add(meter->object_lookups, &object_outcomes[i], 0);
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        metric_add(meter->http_retries, &services[i], 0);
        metric_add(meter->throttled_seconds, &services[i], 0);
    }
}

struct meter *meter_create(struct metrics *metrics)
{
    struct meter *meter = calloc(1, sizeof(*meter));
    if (meter == NULL)
        return NULL;
    *meter = (struct meter){
        .keyvault_request = metrics_register(metrics, &keyvault_request),
        .grpc_request = metrics_register(metrics, &grpc_request),
        .token_request = metrics_register(metrics, &token_request),
        .token_lookups = metrics_register(metrics, &token_lookups),
        .object_lookups = metrics_register(metrics, &object_lookups),
        .http_requests = metrics_register(metrics, &http_requests),
        .http_retries = metrics_register(metrics, &http_retries),
        .throttled_seconds = metrics_register(metrics, &throttled_seconds),
    };
    show_zeros(meter);
    return meter;
}

void meter_destroy(struct meter *meter)
{
    free(meter);
}

const char *meter_error_class(enum grpc_status code)
{
    switch (code) {
    case GRPC_STATUS_OK:
        return "";
    case GRPC_STATUS_UNAUTHENTICATED:
        return "auth";
    case GRPC_STATUS_PERMISSION_DENIED:
        return "forbidden";
    case GRPC_STATUS_NOT_FOUND:
        return "not_found";
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return "throttled";
    case GRPC_STATUS_UNAVAILABLE:
        return "network";
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return "timeout";
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_FAILED_PRECONDITION:
        return "invalid";
    default:
        return "other";
    }
}

void meter_vault_call(struct meter *meter, const char *object_type, enum grpc_status code, double seconds)
{
    if (meter == NULL)
        return;
    const char *labels[] = {"azure", "linux", SERVICE_NAME, object_type, meter_error_class(code)};
    metric_observe(meter->keyvault_request, labels, seconds);
}

void meter_grpc(struct meter *meter, const char *method, enum grpc_status code, double seconds)
{
    if (meter == NULL)
        return;
    const char *labels[] = {
        "azure", "linux", SERVICE_NAME, method, grpc_status_go_name(code), meter_error_class(code)};
    metric_observe(meter->grpc_request, labels, seconds);
}

void meter_token(struct meter *meter, const char *mode, enum grpc_status code, double seconds)
{
    if (meter == NULL)
        return;
    const char *labels[] = {mode, meter_error_class(code)};
    metric_observe(meter->token_request, labels, seconds);
}

void meter_token_lookup(struct meter *meter, const char *outcome)
{
    if (meter != NULL)
        metric_add(meter->token_lookups, (const char *[]){outcome}, 1);
}

void meter_object_lookup(struct meter *meter, const char *outcome)
{
    if (meter != NULL)
        metric_add(meter->object_lookups, (const char *[]){outcome}, 1);
}

void meter_http(struct meter *meter, const char *service, int status)
{
    if (meter == NULL)
        return;
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", status);
    metric_add(meter->http_requests, (const char *[]){service, text}, 1);
}

void meter_retry(struct meter *meter, const char *service)
{
    if (meter != NULL)
        metric_add(meter->http_retries, (const char *[]){service}, 1);
}

void meter_throttled(struct meter *meter, const char *service, double seconds)
{
    if (meter != NULL)
        metric_add(meter->throttled_seconds, (const char *[]){service}, seconds);
}
