/*
 * settings.h - the options of the command line.
 */
#ifndef PROVIDER_AZURE_SETTINGS_H
#define PROVIDER_AZURE_SETTINGS_H

#include "common/process/options.h"

struct settings {
    bool version;
    const char *endpoint;
    const char *prepare_socket_dir;
    bool log_format_json;
    int64_t verbosity;
    int64_t healthz_port;
    const char *healthz_path;
    int64_t healthz_timeout_ns;
    const char *metrics_backend;
    int64_t prometheus_port;
    bool construct_pem_chain;
    bool separate_files;
    const char *cloud_name;
    const char *class_ca_dir;
    const char *class_proxies;
    const char *sandbox;
    const char *sandbox_allow;
    const char *custom_user_agent;
    bool enable_pprof;
    int64_t pprof_port;
    const char *token_proxy_url;
    const char *sni_name;
    const char *token_proxy_ca_file;
    const char *api_server;
    bool driver_write_secrets;
    int64_t republish_cache_ttl_ns;
    int64_t serve_stale_max_age_ns;
    int64_t max_bytes_in_flight;
    const char *imds_endpoint;
    const char *nmi_endpoint;
};

/* The table of options; its destination is a struct settings. */
extern const struct option_row settings_rows[];
extern const size_t settings_n_rows;

/* The User-Agent of all requests: "csi-secrets-store/<version> (linux/<arch>) <commit>/<date>[ <custom>]".
 * The caller frees. NULL on lack of memory. */
char *settings_user_agent(const char *version, const char *commit, const char *date, const char *custom);

#endif
