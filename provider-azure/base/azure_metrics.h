/*
 * azure_metrics.h - the metrics of this program, by what happened.
 *
 * keyvault_request and grpc_request keep the names and buckets of the provider this one replaces. Their
 * labels are bounded: `error` and `grpc_message` hold a short class instead of whole texts, and there is
 * no `object_name`, which made one series of 15 buckets per object and outcome.
 * docs/metrics-provider-azure.md lists all families; a test compares it with the running program. Every
 * function accepts NULL for the metrics (nothing is counted), so that modules run without metrics.
 */
#ifndef PROVIDER_AZURE_BASE_AZURE_METRICS_H
#define PROVIDER_AZURE_BASE_AZURE_METRICS_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/process/metrics.h"

struct azure_metrics;

/* Registers the families; `registry` is borrowed. NULL on lack of memory. */
struct azure_metrics *azure_metrics_create(struct metrics *registry);
void azure_metrics_destroy(struct azure_metrics *metrics);

/* "", "auth", "forbidden", "not_found", "throttled", "network", "timeout", "invalid", "other". A literal. */
const char *azure_metrics_error_class(enum grpc_status code);

/* One read of an object or version list, retries included. */
void azure_metrics_vault_call(struct azure_metrics *metrics, const char *object_type, enum grpc_status code,
                              double seconds);
/* One gRPC call served. */
void azure_metrics_grpc(struct azure_metrics *metrics, const char *method, enum grpc_status code,
                        double seconds);
/* One token acquisition, retries included. `mode` names the identity mode. */
void azure_metrics_token(struct azure_metrics *metrics, const char *mode, enum grpc_status code,
                         double seconds);
/* How a need for a token was met: "hit", "joined", "miss". */
void azure_metrics_token_lookup(struct azure_metrics *metrics, const char *outcome);
/* How a need for a vault object was met: "fetched", "joined", "republished". */
void azure_metrics_object_lookup(struct azure_metrics *metrics, const char *outcome);
/* One HTTP request went out to `service` ("vault", "entra", "token-proxy", "imds", "nmi") and this came
 * back (0 = no answer). */
void azure_metrics_http(struct azure_metrics *metrics, const char *service, int status);
void azure_metrics_retry(struct azure_metrics *metrics, const char *service);
/* Time spent waiting because the service answered 429. */
void azure_metrics_throttled(struct azure_metrics *metrics, const char *service, double seconds);

#endif
