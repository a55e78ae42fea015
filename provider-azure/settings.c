/*
 * settings.c - the table of options. Those of the provider this one replaces keep name, type and default.
 */
#include "provider-azure/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/process/byte_budget.h"
#include "common/process/sandbox.h"

#define AT(field) offsetof(struct settings, field)

enum { PORT_MAX = 65535 };
#define SECOND INT64_C(1000000000)

const struct option_row settings_rows[] = {
    {"version", OPTION_BOOL, AT(version), NULL, 0, 0, "Print version and build date as JSON and exit"},
    {"endpoint", OPTION_STRING, AT(endpoint), "unix:///tmp/azure.sock", 0, 0,
     "Listen `address`, unix://<path> or tcp://<host:port>"},
    {"prepare-socket-dir", OPTION_STRING, AT(prepare_socket_dir), "", 0, 0,
     "Give the directory of --endpoint to the group of `uid:gid`, writable and sticky, and an old socket there to the user, then exit. An init container runs this as root for a provider that runs as that user"},
    {"log-format-json", OPTION_BOOL, AT(log_format_json), "false", 0, 0,
     "Log one JSON object per line: errors to stderr, all others to stdout"},
    {"v", OPTION_INT, AT(verbosity), "0", 0, INT32_MAX,
     "Log verbosity `level`: 2 logs parameters, 5 every call"},
    {"healthz-port", OPTION_INT, AT(healthz_port), "8989", 0, PORT_MAX,
     "The `port` of the health check, all interfaces; 0 switches it off"},
    {"healthz-path", OPTION_STRING, AT(healthz_path), "/healthz", 0, 0, "URL `path` of the health check"},
    {"healthz-timeout", OPTION_DURATION, AT(healthz_timeout_ns), "5s", 1000000, 600 * SECOND,
     "Timeout of the gRPC health check behind the HTTP health check"},
    {"metrics-backend", OPTION_STRING, AT(metrics_backend), "Prometheus", 0, 0,
     "The `name` of the metrics backend; prometheus is the only one"},
    {"prometheus-port", OPTION_INT, AT(prometheus_port), "8898", 0, PORT_MAX,
     "The `port` of /metrics, all interfaces; 0 switches it off; may be the health check's"},
    {"construct-pem-chain", OPTION_BOOL, AT(construct_pem_chain), "true", 0, 0,
     "Order the certificates of a Key Vault certificate: leaf (the private key's), intermediates, root"},
    {"write-cert-and-key-in-separate-files", OPTION_BOOL, AT(separate_files), "false", 0, 0,
     "Add <file>.crt and <file>.key beside the combined file"},
    {"cloud-name", OPTION_STRING, AT(cloud_name), "AzurePublicCloud", 0, 0,
     "The `cloud` of a SecretProviderClass without cloudName"},
    {"class-ca-dir", OPTION_STRING, AT(class_ca_dir), "", 0, 0,
     "The `directory` with the CA files that a SecretProviderClass may name in caBundleFile"},
    {"class-proxies", OPTION_STRING, AT(class_proxies), "", 0, 0,
     "Comma-separated `host:port` of the proxies that a SecretProviderClass may name in httpsProxy, next to those of HTTPS_PROXY and HTTP_PROXY; empty: only those"},
    {"sandbox", OPTION_STRING, AT(sandbox), SANDBOX_DEFAULT, 0, 0, SANDBOX_HELP},
    {"sandbox-allow", OPTION_STRING, AT(sandbox_allow), "", 0, 0,
     "Comma-separated `paths and ports` to which the sandbox bounds what the provider reads and which TCP ports it connects to, together with /etc and what flags, environment and its cloud file name; empty: not bounded, because a class may name a cloud file and with it any port"},
    {"custom-user-agent", OPTION_STRING, AT(custom_user_agent), "", 0, 0,
     "The `text` that is appended to the user agent"},
    {"republish-cache-ttl", OPTION_DURATION, AT(republish_cache_ttl_ns), "2m", 0, 86400 * SECOND,
     "Maximum age of a cached read that serves a republish (rotation check). The same identity must have read it after the volume was served before; 0 caches nothing. A first mount always reads the vault"},
    {"serve-stale-max-age", OPTION_DURATION, AT(serve_stale_max_age_ns), "0", 0, 86400 * SECOND,
     "Outage mode: maximum age of a value that serves a first mount when no vault of the object can answer. The same identity must have read it on this node. A 401, 403 or 404 since then ends it; a class may ask for less (serveStaleMaxAge). 0 keeps nothing: such a mount fails"},
    {"max-bytes-in-flight", OPTION_INT, AT(max_bytes_in_flight), BYTE_BUDGET_DEFAULT, BYTE_BUDGET_MIN,
     INT64_MAX,
     "Memory for what mounts read and return in `bytes`. A mount that does not fit waits until its deadline, the smallest first"},
    {"imds-endpoint", OPTION_STRING, AT(imds_endpoint), "http://169.254.169.254", 0, 0,
     "The `URL` of the instance metadata service"},
    {"nmi-endpoint", OPTION_STRING, AT(nmi_endpoint), "http://127.0.0.1:2579", 0, 0,
     "The `URL` of aad-pod-identity's node component"},
    {"token-proxy-url", OPTION_STRING, AT(token_proxy_url), "", 0, 0,
     "The `URL` of the identity binding token proxy; empty: https://kubernetes.default.svc.cluster.local"},
    {"sni-name", OPTION_STRING, AT(sni_name), "", 0, 0,
     "TLS server `name` of the identity binding token proxy; empty: computed from the API server's certificate"},
    {"token-proxy-ca-file", OPTION_STRING, AT(token_proxy_ca_file),
     "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", 0, 0,
     "The `file` with the CA certificates of the token proxy and the API server, read for each use; without the file the system's trust store applies"},
    {"api-server", OPTION_STRING, AT(api_server), "", 0, 0,
     "The `host:port` of the API server whose certificate names the cluster; empty: kubernetes.default.svc.cluster.local:$KUBERNETES_SERVICE_PORT"},
    {"enable-pprof", OPTION_BOOL, AT(enable_pprof), "false", 0, 0,
     "Accepted for old manifests; does nothing"},
    {"pprof-port", OPTION_INT, AT(pprof_port), "6060", 0, PORT_MAX,
     "Accepted for old manifests; does nothing"},
    {"debug", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL}, /* gone since 0.0.9 */
    {"driver-write-secrets", OPTION_BOOL, AT(driver_write_secrets), "true", 0, 0,
     "Accepted for old manifests; the driver always writes the files"},
    OPTIONS_IGNORED_KLOG,
};
const size_t settings_n_rows = ARRAY_SIZE(settings_rows);

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "other"
#endif

char *settings_user_agent(const char *version, const char *commit, const char *date, const char *custom)
{
    char *text = NULL;
    bool more = custom != NULL && *custom != '\0';
    if (asprintf(&text, "csi-secrets-store/%s (linux/" ARCH ") %s/%s%s%s", version, commit, date,
                 more ? " " : "", more ? custom : "") < 0)
        return NULL;
    return text;
}
