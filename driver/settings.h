/*
 * settings.h - the command line.
 */
#ifndef DRIVER_SETTINGS_H
#define DRIVER_SETTINGS_H

#include "common/process/options.h"

/* --class-dir when neither it nor a Kubernetes configuration is set. */
#define SETTINGS_CLASS_DIR "/etc/secrets-store/classes"

struct settings {
    bool version;
    const char *endpoint;
    const char *driver_name;
    const char *node_id;
    const char *provider_dir;
    const char *additional_provider_dirs;
    const char *class_dir;
    const char *status_dir;
    const char *kubeconfig;
    const char *registration_dir;
    const char *registration_path;
    const char *metrics_address;
    const char *metrics_backend;
    const char *health_address;
    bool rotation;
    int64_t rotation_interval_ns;
    int64_t max_call_recv_bytes;
    int64_t max_bytes_in_flight;
    bool provider_health_check;
    int64_t provider_health_interval_ns;
    bool allow_attribute_override;
    int64_t secret_sync_check_ns;
    bool remove_startup_taint;
    const char *sandbox;
    bool log_format_json;
    int64_t verbosity;
    bool enable_pprof;
    int64_t pprof_port;
};

extern const struct option_row settings_rows[];
extern const size_t settings_n_rows;

#endif
