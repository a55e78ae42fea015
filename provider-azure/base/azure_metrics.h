/*
 * meter.h - the metrics of this program, by what happened.
 *
 * keyvault_request and grpc_request keep the names and buckets of the provider this one replaces. Their
 * labels are bounded: `error` and `grpc_message` hold a short class instead of whole texts, and there is
 * no `object_name`, which made one series of 15 buckets per object and outcome.
 * docs/metrics-provider-azure.md lists all families; a test compares it with the running program. Every
 * function accepts NULL for the meter (nothing is counted), so that modules run without metrics.
 */
#ifndef PROVIDER_AZURE_AZURE_METRICS_H
#define PROVIDER_AZURE_AZURE_METRICS_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/process/metrics.h"

struct meter;

/* Registers the families; `metrics` is borrowed. NULL on lack of memory. */
struct meter *meter_create(struct metrics *metrics);
void meter_destroy(struct meter *meter);

/* "", "auth", "forbidden", "not_found", "throttled", "network", "timeout", "invalid", "other". A literal. */
const char *meter_error_class(enum grpc_status code);

/* One read of an object or version list, retries included. */
void meter_vault_call(struct meter *meter, const char *object_type, enum grpc_status code, double seconds);
/* One gRPC call served. */
void meter_grpc(struct meter *meter, const char *method, enum grpc_status code, double seconds);
/* One token acquisition, retries included. `mode` names the identity mode. */
void meter_token(struct meter *meter, const char *mode, enum grpc_status code, double seconds);
/* How a need for a token was met: "hit", "joined", "miss". */
void meter_token_lookup(struct meter *meter, const char *outcome);
/* How a need for a vault object was met: "fetched", "joined", "republished". */
void meter_object_lookup(struct meter *meter, const char *outcome);
/* One HTTP request went out to `service` ("vault", "entra", "token-proxy", "imds", "nmi") and this came
 * back (0 = no answer). */
void meter_http(struct meter *meter, const char *service, int status);
void meter_retry(struct meter *meter, const char *service);
/* Time spent waiting because the service answered 429. */
void meter_throttled(struct meter *meter, const char *service, double seconds);

#endif
