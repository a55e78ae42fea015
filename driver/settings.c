/*
 * settings.c - the command line as one table. The first flags are those of the Go driver, with the
 * same defaults; ours follow; flags of its logging library and of its old releases are accepted and ignored,
 * so that old manifests still start.
 */
#include "driver/settings.h"

#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/process/byte_budget.h"
#include "common/process/sandbox.h"

#define AT(field) offsetof(struct settings, field)
#define SECOND    INT64_C(1000000000)
#define PORT_MAX  65535

enum { RECV_MIN = 1, RECV_MAX = INT32_MAX };

const struct option_row settings_rows[] = {
    {"endpoint", OPTION_STRING, AT(endpoint), "unix://tmp/csi.sock", 0, 0,
     "Listen `address` of the CSI socket, unix://<path> or tcp://<host:port>"},
    {"drivername", OPTION_STRING, AT(driver_name), "secrets-store.csi.k8s.io", 0, 0,
     "The `name` of the driver"},
    {"nodeid", OPTION_STRING, AT(node_id), "", 0, 0, "The `name` of the node; required"},
    {"provider-volume", OPTION_STRING, AT(provider_dir), "/var/run/secrets-store-csi-providers", 0, 0,
     "The `directory` of provider sockets that is searched last"},
    {"additional-provider-volume-paths", OPTION_STRING, AT(additional_provider_dirs),
     "/etc/kubernetes/secrets-store-csi-providers", 0, 0,
     "Comma-separated `directories` of provider sockets, searched first, in order"},
    {"metrics-addr", OPTION_STRING, AT(metrics_address), ":8095", 0, 0,
     "Listen `address` of /metrics; 0 switches it off"},
    {"enable-secret-rotation", OPTION_BOOL, AT(rotation), "false", 0, 0,
     "Check a mounted volume for changed contents when the kubelet publishes it again"},
    {"rotation-poll-interval", OPTION_DURATION, AT(rotation_interval_ns), "2m", 0, 365 * (86400 * SECOND),
     "Shortest time between two rotation checks of a volume, in whole seconds; below one second every call of the kubelet is one"},
    {"max-call-recv-msg-size", OPTION_INT, AT(max_call_recv_bytes), "4194304", RECV_MIN, RECV_MAX,
     "Largest provider response in `bytes`"},
    {"provider-health-check", OPTION_BOOL, AT(provider_health_check), "false", 0, 0,
     "Call Version of every provider in use at each interval and log the outcome"},
    {"provider-health-check-interval", OPTION_DURATION, AT(provider_health_interval_ns), "2m", SECOND,
     365 * (86400 * SECOND), "Time between two health checks of a provider"},
    {"log-format-json", OPTION_BOOL, AT(log_format_json), "false", 0, 0, "Log one JSON object per line"},
    {"metrics-backend", OPTION_STRING, AT(metrics_backend), "Prometheus", 0, 0,
     "The `name` of the metrics backend; prometheus is the only one"},
    {"version", OPTION_BOOL, AT(version), "false", 0, 0,
     "Print version, commit and build date as JSON and exit"},
    {"kubeconfig", OPTION_STRING, AT(kubeconfig), "", 0, 0,
     "The kubeconfig `file`; default: $KUBECONFIG, the pod's service account, ~/.kube/config"},
    {"v", OPTION_INT, AT(verbosity), "0", INT32_MIN, INT32_MAX,
     "Log verbosity `level`: 2 requests, 4 decisions, 5 every call"},

    {"class-dir", OPTION_STRING, AT(class_dir), "", 0, 0,
     "Standalone: `directory` of SecretProviderClass files (YAML, JSON), used instead of the Kubernetes API; without any Kubernetes configuration the default is " SETTINGS_CLASS_DIR},
    {"status-dir", OPTION_STRING, AT(status_dir), "", 0, 0,
     "Keep one JSON file per mounted volume in this `directory`, with the content of a status object: for nodes without the Kubernetes API. Empty: none"},
    {"registration-dir", OPTION_STRING, AT(registration_dir), "", 0, 0,
     "The kubelet's plugins_registry `directory`; the driver then registers itself. Empty: it does not, and needs a registrar sidecar"},
    {"kubelet-registration-path", OPTION_STRING, AT(registration_path), "", 0, 0,
     "The `path` of the CSI socket as the kubelet sees it; default: the path of --endpoint"},
    {"health-addr", OPTION_STRING, AT(health_address), "", 0, 0,
     "Listen `address` of /healthz and /readyz, for example :9808; empty or 0: off"},
    {"allow-attribute-override", OPTION_BOOL, AT(allow_attribute_override), "false", 0, 0,
     "Let a pod's volumeAttributes override parameters of its SecretProviderClass"},

    {"max-bytes-in-flight", OPTION_INT, AT(max_bytes_in_flight), BYTE_BUDGET_DEFAULT, BYTE_BUDGET_MIN,
     INT64_MAX,
     "Memory for the responses of providers in `bytes`. A mount whose response does not fit waits until its deadline, the smallest first"},
    {"remove-startup-taint", OPTION_BOOL, AT(remove_startup_taint), "false", 0, 0,
     "Remove the taint secrets-store.csi.k8s.io/agent-not-ready from the node once the kubelet has registered the driver; needs --registration-dir, the Kubernetes API, and get and patch on nodes"},
    {"secret-sync-check-interval", OPTION_DURATION, AT(secret_sync_check_ns), "5m", SECOND,
     365 * (86400 * SECOND),
     "Longest time until a synced Kubernetes Secret that was deleted or lost its owner is restored"},
    {"sandbox", OPTION_STRING, AT(sandbox), SANDBOX_DEFAULT, 0, 0, SANDBOX_HELP},

    {"enable-pprof", OPTION_BOOL, AT(enable_pprof), "false", 0, 0,
     "Accepted for old manifests; does nothing"},
    {"pprof-port", OPTION_INT, AT(pprof_port), "6065", 0, PORT_MAX,
     "Accepted for old manifests; does nothing"},
    OPTIONS_IGNORED_KLOG,
    {"filtered-watch-secret", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},
    {"debug", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},
    {"grpc-supported-providers", OPTION_IGNORED, 0, NULL, 0, 0, NULL},
    {"min-provider-version", OPTION_IGNORED, 0, NULL, 0, 0, NULL},
};
const size_t settings_n_rows = ARRAY_SIZE(settings_rows);
