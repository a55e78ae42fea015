/*
 * driver_metrics.h - the driver's metrics, by the names that dashboards already use.
 *
 * All functions accept NULL (nothing is counted). Label values are those of the Go driver; os_type
 * is always "linux".
 */
#ifndef DRIVER_BASE_DRIVER_METRICS_H
#define DRIVER_BASE_DRIVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/process/metrics.h"

/* error_type values that exist elsewhere and must keep their spelling. */
#define ERROR_TYPE_MOUNT       "FailedToMount"
#define ERROR_TYPE_INSPECT     "FailedToEnsureMountPoint"
#define ERROR_TYPE_CLASS       "SecretProviderClassNotFound"
#define ERROR_TYPE_PROVIDER    "GRPCProviderError"
#define ERROR_TYPE_NO_PROVIDER "FailedToLookupProviderGRPCClient"
#define ERROR_TYPE_FILES       "FileWriteError"

struct driver_metrics;

/* Registers the families. `registry` must outlive the result. Aborts only on lack of memory at start. */
struct driver_metrics *driver_metrics_create(struct metrics *registry);
void driver_metrics_destroy(struct driver_metrics *metrics);

/* node_publish_total: a publish that succeeded, also one that found nothing to do. */
void driver_metrics_publish_ok(struct driver_metrics *metrics, const char *provider);

/* node_publish_error_total: a publish that failed, also a rotation check, for which the kubelet gets OK. */
void driver_metrics_publish_error(struct driver_metrics *metrics, const char *provider,
                                  const char *error_type);

/* node_unpublish_total, node_unpublish_error_total. */
void driver_metrics_unpublish(struct driver_metrics *metrics, enum grpc_status status);

/* rotation_reconcile_*, rotation_last_success_timestamp_seconds: a rotation check. `rotated`: were files
 * written? (The Go driver always has true.) */
void driver_metrics_rotation_ok(struct driver_metrics *metrics, const char *provider, bool rotated,
                                double seconds);
void driver_metrics_rotation_error(struct driver_metrics *metrics, const char *provider,
                                   const char *error_type);

/* provider_mount_duration_sec: time the provider took for one Mount. */
void driver_metrics_provider_call(struct driver_metrics *metrics, const char *provider,
                                  enum grpc_status status, double seconds);

/* sync_k8s_secret_total: Kubernetes Secrets created or changed. */
void driver_metrics_secret_written(struct driver_metrics *metrics, const char *provider);

/* sync_k8s_secret_error_total: Secrets that could not be brought to their desired state, by the code of
 * the error. */
void driver_metrics_secret_error(struct driver_metrics *metrics, const char *provider,
                                 enum grpc_status status);

/* k8s_secret_duration_sec: time to bring all Secrets of a volume up to date, when something was written. */
void driver_metrics_secret_sync(struct driver_metrics *metrics, double seconds);

/* volume_files_written_bytes_total: contents that were written, on a first mount or by a rotation. */
void driver_metrics_files_written(struct driver_metrics *metrics, const char *provider, size_t bytes);

/* provider_up: the outcome of a health check (--provider-health-check). */
void driver_metrics_provider_up(struct driver_metrics *metrics, const char *provider, bool up);

/* kube_api_requests_total: every response of the Kubernetes API, and every request without one (status 0). */
void driver_metrics_kube_request(struct driver_metrics *metrics, const char *method, const char *resource,
                                 int status);

/* Numbers that are read when /metrics is served: kube_api_up (negative: there is no API server) and
 * volumes_published. */
void driver_metrics_state(struct driver_metrics *metrics, int kube_reachable, size_t volumes);

/* memory_limit_left_bytes: until the memory limit of the cgroup. */
void driver_metrics_memory_left(struct driver_metrics *metrics, uint64_t bytes);

/* kube_events_total: occurrences that became part of an Event ("sent"), or of none ("dropped"). */
void driver_metrics_event(struct driver_metrics *metrics, const char *reason, const char *result, uint64_t n);

/* record_error_total: volumes whose observer (volume_observer.h) failed. */
void driver_metrics_record_error(struct driver_metrics *metrics, const char *recorder);

/* kubelet_registered; never called by a driver that does not register. */
void driver_metrics_registered(struct driver_metrics *metrics, bool registered);

/* socket_reachable: does the path of the socket ("csi", "registration") lead to this process? */
void driver_metrics_socket_reachable(struct driver_metrics *metrics, const char *socket, bool reachable);

/* socket_created_again_total: another process had removed the socket. */
void driver_metrics_socket_created_again(struct driver_metrics *metrics, const char *socket);

/* csi_call_duration_sec: every RPC on the CSI socket by method and status. */
void driver_metrics_csi_call(struct driver_metrics *metrics, const char *method, enum grpc_status status,
                             double seconds);

#endif
