/*
 * azure_metrics.c - metric families and their labels.
 */
#include "provider-azure/base/azure_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

#define SERVICE_NAME "csi-secrets-store-provider-azure"

static const double buckets[] = {0.1, 0.2, 0.3, 0.4, 0.5, 1, 1.5, 2, 2.5, 3, 5, 10, 15, 30};
/* Token and vault requests over kept connections take milliseconds; the inherited buckets start at 100 ms. */
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
        "Lookups of a token, by outcome: hit (cached), joined (a request was in flight), miss (a request was sent)",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric_desc object_lookups = {
    .name = "azure_object_lookups_total",
    .help =
        "Lookups of a vault object, by outcome: fetched, joined (a request of the same identity was in flight), republished (cached)",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric_desc stale_served = {
    .name = "azure_stale_served_total",
    .help = "Reads of first mounts that were served from kept values because their vaults could not answer",
    .type = METRIC_COUNTER,
};
static const struct metric_desc stale_values = {
    .name = "azure_stale_kept_values",
    .help = "Values that are kept for outages (--serve-stale-max-age)",
    .type = METRIC_GAUGE,
};
static const struct metric_desc stale_bytes = {
    .name = "azure_stale_kept_bytes",
    .help = "Memory of the values that are kept for outages",
    .type = METRIC_GAUGE,
};
static const struct metric_desc stale_oldest = {
    .name = "azure_stale_kept_oldest_timestamp_seconds",
    .help = "When the value that was kept first was read (0: none is kept)",
    .type = METRIC_GAUGE,
};
static const struct metric_desc fallback_reads = {
    .name = "azure_fallback_reads_total",
    .help =
        "Reads that a fallback vault got a request for, by outcome: served (by a fallback vault), unused (the object's own vault responded after all), failed",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric_desc http_requests = {
    .name = "azure_http_requests_total",
    .help = "HTTP requests sent, retries included, by service and status (0: no response)",
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
    .help = "Time that requests waited because of a 429 response",
    .type = METRIC_COUNTER,
    .labels = {"service"},
};
static const struct metric_desc socket_created = {
    .name = "azure_socket_created_again_total",
    .help = "Times that the provider's socket was created again because another process had removed it",
    .type = METRIC_COUNTER,
};
static const struct metric_desc socket_reachable = {
    .name = "azure_socket_reachable",
    .help = "Whether the path of the provider's socket leads to this process",
    .type = METRIC_GAUGE,
};

struct azure_metrics {
    struct metric_family *keyvault_request;
    struct metric_family *grpc_request;
    struct metric_family *token_request;
    struct metric_family *token_lookups;
    struct metric_family *object_lookups;
    struct metric_family *stale_served;
    struct metric_family *stale_values;
    struct metric_family *stale_bytes;
    struct metric_family *stale_oldest;
    struct metric_family *fallback_reads;
    struct metric_family *http_requests;
    struct metric_family *http_retries;
    struct metric_family *throttled_seconds;
    struct metric_family *socket_created;
    struct metric_family *socket_reachable;
};

static const char *const no_labels[] = {NULL};

/* rate() and alerts need a counter from the start, not from its first event. */
static void add_zeros(struct azure_metrics *metrics)
{
    static const char *const token_outcomes[] = {"hit", "joined", "miss"};
    static const char *const object_outcomes[] = {"fetched", "joined", "republished"};
    static const char *const fallback_outcomes[] = {"served", "unused", "failed"};
    static const char *const services[] = {"vault", "entra"};

    for (size_t i = 0; i < ARRAY_SIZE(token_outcomes); i++)
        metric_add(metrics->token_lookups, &token_outcomes[i], 0);
    for (size_t i = 0; i < ARRAY_SIZE(object_outcomes); i++)
        metric_add(metrics->object_lookups, &object_outcomes[i], 0);
    for (size_t i = 0; i < ARRAY_SIZE(fallback_outcomes); i++)
        metric_add(metrics->fallback_reads, &fallback_outcomes[i], 0);
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        metric_add(metrics->http_retries, &services[i], 0);
        metric_add(metrics->throttled_seconds, &services[i], 0);
    }
    metric_add(metrics->socket_created, no_labels, 0);
    metric_add(metrics->stale_served, no_labels, 0);
    azure_metrics_stale_kept(metrics, 0, 0, 0);
    metric_set(metrics->socket_reachable, no_labels, 1); /* created last: without it the program ends */
}

struct azure_metrics *azure_metrics_create(struct metrics *registry)
{
    struct azure_metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics == NULL)
        return NULL;
    *metrics = (struct azure_metrics){
        .keyvault_request = metrics_register(registry, &keyvault_request),
        .grpc_request = metrics_register(registry, &grpc_request),
        .token_request = metrics_register(registry, &token_request),
        .token_lookups = metrics_register(registry, &token_lookups),
        .object_lookups = metrics_register(registry, &object_lookups),
        .stale_served = metrics_register(registry, &stale_served),
        .stale_values = metrics_register(registry, &stale_values),
        .stale_bytes = metrics_register(registry, &stale_bytes),
        .stale_oldest = metrics_register(registry, &stale_oldest),
        .fallback_reads = metrics_register(registry, &fallback_reads),
        .http_requests = metrics_register(registry, &http_requests),
        .http_retries = metrics_register(registry, &http_retries),
        .throttled_seconds = metrics_register(registry, &throttled_seconds),
        .socket_created = metrics_register(registry, &socket_created),
        .socket_reachable = metrics_register(registry, &socket_reachable),
    };
    add_zeros(metrics);
    return metrics;
}

void azure_metrics_destroy(struct azure_metrics *metrics)
{
    free(metrics);
}

static const char *error_class(enum grpc_status code)
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

void azure_metrics_vault_call(struct azure_metrics *metrics, const char *object_type, enum grpc_status code,
                              double seconds)
{
    if (metrics == NULL)
        return;
    const char *labels[] = {"azure", "linux", SERVICE_NAME, object_type, error_class(code)};
    metric_observe(metrics->keyvault_request, labels, seconds);
}

void azure_metrics_grpc(struct azure_metrics *metrics, const char *method, enum grpc_status code,
                        double seconds)
{
    if (metrics == NULL)
        return;
    const char *labels[] = {"azure",          "linux", SERVICE_NAME, method, grpc_status_go_name(code),
                            error_class(code)};
    metric_observe(metrics->grpc_request, labels, seconds);
}

void azure_metrics_token(struct azure_metrics *metrics, const char *mode, enum grpc_status code,
                         double seconds)
{
    if (metrics == NULL)
        return;
    const char *labels[] = {mode, error_class(code)};
    metric_observe(metrics->token_request, labels, seconds);
}

void azure_metrics_token_lookup(struct azure_metrics *metrics, const char *outcome)
{
    if (metrics != NULL)
        metric_add(metrics->token_lookups, (const char *[]){outcome}, 1);
}

void azure_metrics_object_lookup(struct azure_metrics *metrics, const char *outcome)
{
    if (metrics != NULL)
        metric_add(metrics->object_lookups, (const char *[]){outcome}, 1);
}

void azure_metrics_stale_served(struct azure_metrics *metrics)
{
    if (metrics != NULL)
        metric_add(metrics->stale_served, no_labels, 1);
}

void azure_metrics_stale_kept(struct azure_metrics *metrics, size_t values, size_t bytes,
                              int64_t oldest_unix_s)
{
    if (metrics == NULL)
        return;
    metric_set(metrics->stale_values, no_labels, (double)values);
    metric_set(metrics->stale_bytes, no_labels, (double)bytes);
    metric_set(metrics->stale_oldest, no_labels, (double)oldest_unix_s);
}

void azure_metrics_fallback_read(struct azure_metrics *metrics, const char *outcome)
{
    if (metrics != NULL)
        metric_add(metrics->fallback_reads, (const char *[]){outcome}, 1);
}

void azure_metrics_http(struct azure_metrics *metrics, const char *service, int status)
{
    if (metrics == NULL)
        return;
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", status);
    metric_add(metrics->http_requests, (const char *[]){service, text}, 1);
}

void azure_metrics_retry(struct azure_metrics *metrics, const char *service)
{
    if (metrics != NULL)
        metric_add(metrics->http_retries, (const char *[]){service}, 1);
}

void azure_metrics_throttled(struct azure_metrics *metrics, const char *service, double seconds)
{
    if (metrics != NULL)
        metric_add(metrics->throttled_seconds, (const char *[]){service}, seconds);
}

void azure_metrics_socket(struct azure_metrics *metrics, bool reachable)
{
    if (metrics == NULL)
        return;
    metric_set(metrics->socket_reachable, no_labels, reachable ? 1 : 0);
    if (reachable)
        metric_add(metrics->socket_created, no_labels, 1);
}
