/*
 * telemetry.h - the metrics of this program, by what happened.
 *
 * keyvault_request and grpc_request keep the names, labels and buckets of the provider this one replaces;
 * their error labels hold a short class instead of whole texts, so that the number of series stays bounded.
 * Every function accepts NULL for the telemetry (nothing is counted), so that modules run without metrics.
 */
#ifndef PROVIDER_AZURE_TELEMETRY_H
#define PROVIDER_AZURE_TELEMETRY_H

#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"

struct telemetry;

/* Registers the families; `metrics` is borrowed. NULL on lack of memory. */
struct telemetry *telemetry_create(struct metrics *metrics);
void telemetry_destroy(struct telemetry *telemetry);

/* "", "auth", "forbidden", "not_found", "throttled", "network", "timeout", "invalid", "other". A literal. */
const char *telemetry_error_class(enum grpc_status code);

/* One read of an object or version list, retries included. */
void telemetry_vault_call(struct telemetry *telemetry, const char *object_type, const char *object_name,
                          enum grpc_status code, double seconds);
/* One gRPC call served. */
void telemetry_grpc(struct telemetry *telemetry, const char *method, enum grpc_status code, double seconds);
/* One token acquisition, retries included. `mode` names the identity mode. */
void telemetry_token(struct telemetry *telemetry, const char *mode, enum grpc_status code, double seconds);
/* How a need for a token was met: "hit", "joined", "miss". */
void telemetry_token_lookup(struct telemetry *telemetry, const char *outcome);
/* How a need for a vault object was met: "fetched", "joined", "republished". */
void telemetry_object_lookup(struct telemetry *telemetry, const char *outcome);
/* One HTTP request went out to `service` ("vault", "entra", "imds", "nmi") and this came back (0 = no
 * answer). */
void telemetry_http(struct telemetry *telemetry, const char *service, int status);
void telemetry_retry(struct telemetry *telemetry, const char *service);
/* Time spent waiting because the service answered 429. */
void telemetry_throttled(struct telemetry *telemetry, const char *service, double seconds);

#endif
