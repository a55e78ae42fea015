/*
 * azure_metrics.h - the metrics of this program, one function per event.
 *
 * keyvault_request and grpc_request keep the names and buckets of the provider this one replaces. Their
 * labels are bounded: `error` and `grpc_message` hold a short class instead of whole texts, and there is
 * no `object_name`, which made one series of 15 buckets per object and outcome.
 * docs/metrics-provider-azure.md lists all families; a test compares it with the running program. Every
 * function accepts NULL for the metrics (nothing is counted), so that modules run without metrics.
 */
#ifndef PROVIDER_AZURE_BASE_AZURE_METRICS_H
#define PROVIDER_AZURE_BASE_AZURE_METRICS_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/process/metrics.h"

struct azure_metrics;

/* Registers the families; `registry` is borrowed. NULL on lack of memory. */
struct azure_metrics *azure_metrics_create(struct metrics *registry);

/* Accepts NULL. */
void azure_metrics_destroy(struct azure_metrics *metrics);

/* One read of an object or version list, retries included. */
void azure_metrics_vault_call(struct azure_metrics *metrics, const char *object_type, enum grpc_status code,
                              double seconds);

/* One gRPC call served. */
void azure_metrics_grpc(struct azure_metrics *metrics, const char *method, enum grpc_status code,
                        double seconds);

/* One token request, retries included. `mode` names the identity mode. */
void azure_metrics_token(struct azure_metrics *metrics, const char *mode, enum grpc_status code,
                         double seconds);

/* One lookup of a token: "hit", "joined", "miss". */
void azure_metrics_token_lookup(struct azure_metrics *metrics, const char *outcome);

/* One lookup of a vault object: "fetched", "joined", "republished". */
void azure_metrics_object_lookup(struct azure_metrics *metrics, const char *outcome);

/* A read that was served from what is kept for outages. */
void azure_metrics_stale_served(struct azure_metrics *metrics);

/* What is kept for outages: values, bytes, and when the value kept first was read (0: none is kept). */
void azure_metrics_stale_kept(struct azure_metrics *metrics, size_t values, size_t bytes,
                              int64_t oldest_unix_s);

/* One read that a fallback vault got a request for: "served" by one, "unused" because the object's own vault
 * responded after all, "failed". */
void azure_metrics_fallback_read(struct azure_metrics *metrics, const char *outcome);

/* One HTTP request to `service` ("vault", "entra", "token-proxy", "imds", "nmi") and the status of its
 * response (0 = no response). */
void azure_metrics_http(struct azure_metrics *metrics, const char *service, int status);

/* One HTTP request that is a retry. */
void azure_metrics_retry(struct azure_metrics *metrics, const char *service);

/* Time that a request waited because the service returned 429. */
void azure_metrics_throttled(struct azure_metrics *metrics, const char *service, double seconds);

/* The path of the provider's socket leads to this process again (the socket was created again), or does not
 * any more. */
void azure_metrics_socket(struct azure_metrics *metrics, bool reachable);

#endif
