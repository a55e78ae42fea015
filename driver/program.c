/*
 * program.c - starts the objects of the driver, and takes them down.
 */
#include "driver/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "common/kube/kube_config_load.h"
#include "common/process/memory_lock.h"
#include "driver/base/worker.h"
#include "driver/class/class_files.h"
#include "driver/class/class_kube.h"
#include "driver/sandbox_needs.h"

enum {
    /* Publishes that are on their way when SIGTERM comes get this long to finish. */
    DRAIN_MS = 20 * 1000,
    /* Then writes to the Kubernetes API that are on their way get so long. */
    DRAIN_RECORDS_MS = 2 * 1000,
    /* Only root may speak to the driver: it mounts. */
    SOCKET_MODE = 0700,
    /* At a time; more get an error. A call whose connection waits to be accepted gets no response before its
     * deadline, and waits for the calls of all providers. */
    CALLS_MAX = 1024,
    CONNECTIONS_MIN = 256,
};

/* --- HTTP --- */

static bool is_off(const char *address)
{
    return *address == '\0' || strcmp(address, "0") == 0;
}

static struct admin_server *serve_web(struct program *program, const char *address,
                                      const struct health_endpoint *endpoints, size_t n_endpoints,
                                      struct error **err)
{
    struct admin_server *server = admin_server_create(&program->loop, program->log, err);

    if (server == NULL)
        return NULL;
    for (size_t i = 0; i < n_endpoints; i++)
        admin_server_add_route(server, endpoints[i].path, endpoints[i].handler, &program->endpoints);
    if (admin_server_listen(server, address, err) < 0) {
        admin_server_destroy(server);
        (void)error_wrap(err, "serve %s", endpoints[0].path);
        return NULL;
    }
    return server;
}

static int start_web(struct program *program, struct error **err)
{
    static const struct health_endpoint metrics[] = {{"/metrics", health_endpoints_metrics}};
    static const struct health_endpoint health[] = {{"/healthz", health_endpoints_healthz},
                                                    {"/readyz", health_endpoints_readyz}};
    const struct settings *settings = &program->settings;

    program->endpoints = (struct health_endpoints){.loop = &program->loop,
                                                   .metrics = program->metrics,
                                                   .driver_metrics = program->driver_metrics,
                                                   .kube = program->kube,
                                                   .volumes = program->volumes,
                                                   .memory = program->memory,
                                                   .endpoint = &program->endpoint};
    if (!is_off(settings->metrics_address)) {
        program->metrics_web =
            serve_web(program, settings->metrics_address, metrics, ARRAY_SIZE(metrics), err);
        if (program->metrics_web == NULL)
            return -1;
    }
    if (!is_off(settings->health_address)) {
        program->health_web = serve_web(program, settings->health_address, health, ARRAY_SIZE(health), err);
        if (program->health_web == NULL)
            return -1;
    }
    return 0;
}

/* --- where classes come from --- */

static void on_kube_response(const char *method, const char *resource, int status, double seconds, void *arg)
{
    const struct program *program = arg;

    (void)seconds;
    driver_metrics_kube_request(program->driver_metrics, method, resource, status);
}

static int start_kube(struct program *program, struct kube_rest_config *config, struct error **err)
{
    cleanup_free char *agent = NULL;

    if (asprintf(&agent, "secrets-store-driver/%s (linux) %s", build_version(), build_commit()) < 0)
        agent = NULL;
    program->http = http_client_create(
        &program->loop,
        &(struct http_client_config){.log = program->log, .user_agent = agent, .metrics = program->metrics},
        err);
    if (program->http == NULL)
        return -1;
    program->kube = kube_client_create(&program->loop, program->http, config, program->log, err);
    if (program->kube == NULL)
        return -1;
    kube_client_observe(program->kube, on_kube_response, program);
    return class_kube_create(program->kube, &program->classes, err);
}

/* --class-dir, else the Kubernetes API if it is configured in any of the usual ways, else the default
 * directory. */
static int start_classes(struct program *program, struct error **err)
{
    const struct kube_environment environment = {
        .kubeconfig = program->settings.kubeconfig,
        .kubeconfig_env = getenv("KUBECONFIG"),
        .service_host = getenv("KUBERNETES_SERVICE_HOST"),
        .service_port = getenv("KUBERNETES_SERVICE_PORT"),
        .home = getenv("HOME"),
    };
    const char *directory = program->settings.class_dir;
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    if (*directory == '\0') {
        if (kube_config_load(&environment, &config, &error) == 0)
            return start_kube(program, &config, err);
        if (error_code(error) != GRPC_STATUS_NOT_FOUND)
            return error_move(err, &error);
        directory = SETTINGS_CLASS_DIR;
    }
    log_info(program->log, "standalone: classes come from a directory, secretObjects are not synced",
             LOG_STR("classDir", directory));
    return class_files_create(&program->loop, directory, program->log, &program->classes, err);
}

/* --- sockets --- */

static void on_call_served(const char *method, enum grpc_status status, uint64_t duration_ns, void *arg)
{
    const struct program *program = arg;

    driver_metrics_csi_call(program->driver_metrics, method, status, (double)duration_ns / 1e9);
}

static void count_socket(const struct program *program, const char *socket, enum grpc_socket_event event)
{
    driver_metrics_socket_reachable(program->driver_metrics, socket, event == GRPC_SOCKET_CREATED_AGAIN);
    if (event == GRPC_SOCKET_CREATED_AGAIN)
        driver_metrics_socket_created_again(program->driver_metrics, socket);
}

/* The kubelet may have failed to reach the driver while its socket was gone. */
static void on_csi_socket(enum grpc_socket_event event, void *arg)
{
    const struct program *program = arg;

    count_socket(program, "csi", event);
    if (event == GRPC_SOCKET_CREATED_AGAIN && program->registration != NULL)
        registration_renew(program->registration);
}

static void on_registration_socket(enum grpc_socket_event event, void *arg)
{
    count_socket(arg, "registration", event);
}

static int listen_csi(struct program *program, struct error **err)
{
    const struct endpoint *endpoint = &program->endpoint;

    if (endpoint->kind != ENDPOINT_UNIX)
        return grpc_server_listen_tcp(program->server, endpoint->address, err);
    if (grpc_server_listen_unix(program->server, endpoint->address, SOCKET_MODE, err) < 0)
        return -1;
    driver_metrics_socket_reachable(program->driver_metrics, "csi", /* reachable= */ true);
    return 0;
}

/* A kubelet opens a connection for each call. Half of the descriptors are left for what the calls open. */
static unsigned max_connections(void)
{
    struct rlimit files = {0};

    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur / 2 > CALLS_MAX)
        return CALLS_MAX;
    return files.rlim_cur / 2 > CONNECTIONS_MIN ? (unsigned)(files.rlim_cur / 2) : CONNECTIONS_MIN;
}

static int start_csi(struct program *program, struct error **err)
{
    const struct grpc_server_config config = {.log = program->log,
                                              .max_calls = CALLS_MAX,
                                              .max_connections = max_connections(),
                                              .observer = on_call_served,
                                              .observer_arg = program,
                                              .socket_observer = on_csi_socket,
                                              .socket_observer_arg = program};

    program->server = grpc_server_create(&program->loop, &config, err);
    if (program->server == NULL)
        return -1;
    program->endpoints.csi = program->server;
    program->identity =
        (struct csi_identity){.loop = &program->loop, .driver_name = program->settings.driver_name};
    program->node = (struct csi_node){.node_id = program->settings.node_id, .publisher = &program->publisher};
    csi_identity_add(program->server, &program->identity, &program->identity_service);
    csi_node_add(program->server, &program->node, &program->node_service);
    return listen_csi(program, err);
}

static void on_registered(void *arg)
{
    const struct program *program = arg;

    if (program->taint != NULL)
        node_taint_remove(program->taint);
}

static int start_pods_mounts(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    const struct pods_mounts_config config = {
        .loop = &program->loop,
        .log = program->log,
        .registration_path =
            *settings->registration_path != '\0' ? settings->registration_path : program->endpoint.address,
    };

    if (pods_mounts_create(&config, &program->pods, err) < 0)
        return -1;
    program->node.pods = program->pods;
    program->endpoints.pods = program->pods;
    return 0;
}

static int start_registration(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    const struct registration_config config = {
        .directory = settings->registration_dir,
        .driver_name = settings->driver_name,
        .csi_path =
            *settings->registration_path != '\0' ? settings->registration_path : program->endpoint.address,
        .log = program->log,
        .registered = on_registered,
        .socket_observer = on_registration_socket,
        .arg = program,
    };

    if (settings->remove_startup_taint) {
        if (program->kube == NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "--remove-startup-taint needs the Kubernetes API, which is not configured");
        program->taint =
            node_taint_create(program->kube, settings->node_id, /* retry_first_ms= */ 0, program->log, err);
        if (program->taint == NULL)
            return -1;
    }
    if (*settings->registration_dir == '\0')
        return 0;
    program->registration = registration_create(&program->loop, &config, err);
    program->endpoints.registration = program->registration;
    if (program->registration == NULL)
        return -1;
    driver_metrics_socket_reachable(program->driver_metrics, "registration", /* reachable= */ true);
    return 0;
}

/* --- start --- */

static int64_t rotation_interval_s(const struct settings *settings)
{
    return settings->rotation_interval_ns / 1000000000;
}

/* For rotation checks and the sync of Secrets; without rotation the latter sees the edit of a class. */
static int start_class_cache(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    int64_t interval_s =
        settings->rotation ? rotation_interval_s(settings) : settings->secret_sync_check_ns / 1000000000;

    if (!settings->rotation && program->kube == NULL)
        return 0;
    program->class_cache =
        class_cache_create(&program->loop, &program->classes, interval_s, program->log, err);
    return program->class_cache != NULL ? 0 : -1;
}

static void on_owner_missing(const char *target_path, void *arg)
{
    const struct program *program = arg;

    pod_status_recheck(program->pod_status, target_path);
}

/* What publishes leave behind for others to see, in this order: Secrets may be owned by status objects. */
static int start_observers(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    struct volume_observers *observers = &program->observers;

    if (*program->settings.status_dir != '\0') {
        program->status_files = status_files_create(&program->loop, program->settings.status_dir,
                                                    program->settings.node_id, program->log, err);
        if (program->status_files == NULL)
            return -1;
        program->observers.list[program->observers.n++] = status_files_observer(program->status_files);
    }
    if (program->kube == NULL)
        return 0;
    program->pod_status = pod_status_create(&(struct pod_status_config){.loop = &program->loop,
                                                                        .kube = program->kube,
                                                                        .log = program->log,
                                                                        .metrics = program->driver_metrics,
                                                                        .node = settings->node_id,
                                                                        .names = &program->names,
                                                                        .versions = &program->versions},
                                            err);
    if (program->pod_status == NULL)
        return -1;
    observers->list[observers->n++] = pod_status_observer(program->pod_status);
    program->events = events_create(&(struct events_config){.loop = &program->loop,
                                                            .kube = program->kube,
                                                            .log = program->log,
                                                            .metrics = program->driver_metrics,
                                                            .node = settings->node_id},
                                    err);
    if (program->events == NULL)
        return -1;
    program->secret_sync = secret_sync_create(
        &(struct secret_sync_config){.loop = &program->loop,
                                     .log = program->log,
                                     .metrics = program->driver_metrics,
                                     .events = program->events,
                                     .client = program->kube,
                                     .classes = &program->classes,
                                     .class_cache = program->class_cache,
                                     .names = &program->names,
                                     .check_interval_ms =
                                         (uint64_t)(settings->secret_sync_check_ns / 1000000),
                                     .on_owner_missing = on_owner_missing,
                                     .owner_missing_arg = program},
        err);
    if (program->secret_sync == NULL)
        return -1;
    observers->list[observers->n++] = secret_sync_observer(program->secret_sync);
    return 0;
}

static void on_kube_back(void *arg)
{
    const struct program *program = arg;

    class_cache_forget_failures(program->class_cache);
    volume_states_retry_class_errors(program->volumes);
}

static int start_publisher(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    const struct provider_registry_config config = {
        .log = program->log,
        .additional_directories = settings->additional_provider_dirs,
        .directory = settings->provider_dir,
        .max_response_bytes = (size_t)settings->max_call_recv_bytes,
    };

    program->budget = byte_budget_create(&program->loop, (uint64_t)settings->max_bytes_in_flight,
                                         BYTE_BUDGET_PATIENCE_MS, err);
    program->memory = program->budget != NULL ? memory_limit_create("/proc/self", err) : NULL;
    if (program->memory == NULL)
        return -1;
    if (!memory_limit_sees_parent(program->memory) && memory_limit_left(program->memory) != MEMORY_LIMIT_NONE)
        program->inherited = inherited_volumes_find();
    if (program->inherited != NULL)
        memory_limit_count_others(program->memory, inherited_volumes_memory, program->inherited);
    metrics_add_byte_budget(program->metrics, program->budget);
    program->providers = provider_registry_create(&program->loop, &config, err);
    program->locks = program->providers != NULL ? volume_locks_create(err) : NULL;
    program->volumes =
        program->locks != NULL ? volume_states_create(&program->names, &program->versions, err) : NULL;
    if (program->volumes == NULL)
        return -1;
    program->kube_back = (struct kube_health_listener){.on_recovered = on_kube_back, .arg = program};
    if (program->kube != NULL)
        kube_client_listen(program->kube, &program->kube_back);
    program->publisher = (struct publisher){
        .loop = &program->loop,
        .log = program->log,
        .metrics = program->driver_metrics,
        .locks = program->locks,
        .volumes = program->volumes,
        .observers = &program->observers,
        .classes = &program->classes,
        .class_cache = program->class_cache,
        .providers = program->providers,
        .budget = program->budget,
        .max_bytes_in_flight = (uint64_t)settings->max_bytes_in_flight,
        .memory = program->memory,
        .events = program->events,
        .rotation = settings->rotation,
        .rotation_interval_s = rotation_interval_s(settings),
        .pod_overrides_class = settings->allow_attribute_override,
    };
    if (settings->provider_health_check) {
        program->provider_health =
            provider_health_create(&program->loop, program->providers, program->driver_metrics, program->log,
                                   (uint64_t)(settings->provider_health_interval_ns / 1000000), err);
        if (program->provider_health == NULL)
            return -1;
    }
    return 0;
}

/* Before there is another thread. */
static int enter_sandbox(struct program *program, struct error **err)
{
    (void)memory_lock_enter(program->sandbox == SANDBOX_OFF ? MEMORY_LOCK_RIGHTS_KEPT
                                                            : MEMORY_LOCK_RIGHTS_DROPPED,
                            program->log, program->metrics);
    if (sandbox_enter(&driver_sandbox_needs, program->sandbox, &program->loop, program->log, program->metrics,
                      err) < 0)
        return -1;
    return worker_pool_start(&program->loop, err);
}

static int check_settings(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;

    if (*settings->node_id == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--nodeid is not set");
    if (!csi_identity_name_valid(settings->driver_name))
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "--drivername '%s' is not the name of a CSI driver: letters, digits, '-' and '.', %d at most, a letter or digit first and last",
            settings->driver_name, CSI_IDENTITY_NAME_MAX);
    if (strcasecmp(settings->metrics_backend, "prometheus") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "unknown --metrics-backend %s",
                         settings->metrics_backend);
    if (settings->remove_startup_taint && *settings->registration_dir == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--remove-startup-taint needs --registration-dir: it waits for the registration");
    if (settings->enable_pprof)
        log_warning(program->log, "--enable-pprof is ignored, there is no profiling server");
    return endpoint_parse(settings->endpoint, &program->endpoint, err);
}

static void on_stop(void *arg);

int program_start(struct program *program, struct error **err)
{
    if (check_settings(program, err) < 0)
        return -1;
    volume_names_pool_init(&program->names);
    version_sets_init(&program->versions);
    program->metrics = metrics_create();
    metrics_add_process(program->metrics);
    metrics_add_log(program->metrics, program->log);
    program->driver_metrics = driver_metrics_create(program->metrics);
    /* The CSI socket late and the registration last: a caller that sees a socket may use it at once. */
    if (enter_sandbox(program, err) < 0 || start_classes(program, err) < 0 ||
        start_class_cache(program, err) < 0 || start_observers(program, err) < 0 ||
        start_publisher(program, err) < 0 || start_web(program, err) < 0 || start_csi(program, err) < 0)
        return -1;
    program->lifecycle = lifecycle_create(&program->loop, program->log, on_stop, program, err);
    return program->lifecycle != NULL && start_pods_mounts(program, err) == 0
               ? start_registration(program, err)
               : -1;
}

/* --- stop: registration, then calls, then their objects --- */

static void on_drained(void *arg)
{
    struct program *program = arg;

    secret_sync_destroy(steal_ptr(&program->secret_sync));
    pod_status_destroy(steal_ptr(&program->pod_status));
    events_destroy(steal_ptr(&program->events));
    status_files_destroy(steal_ptr(&program->status_files));
    provider_health_destroy(steal_ptr(&program->provider_health));
    provider_registry_destroy(steal_ptr(&program->providers));
    metrics_add_byte_budget(program->metrics, NULL);
    byte_budget_destroy(steal_ptr(&program->budget));
    class_cache_destroy(steal_ptr(&program->class_cache));
    class_source_destroy(&program->classes);
    kube_client_destroy(steal_ptr(&program->kube));
    http_client_destroy(steal_ptr(&program->http));
    admin_server_destroy(steal_ptr(&program->metrics_web));
    admin_server_destroy(steal_ptr(&program->health_web));
    sandbox_stop_watching();
    lifecycle_destroy(steal_ptr(&program->lifecycle));
}

/* No operation is left, but its status may still be on its way to the API server. */
static void on_idle(void *arg)
{
    struct program *program = arg;

    if (program->pod_status != NULL)
        pod_status_drain(program->pod_status, DRAIN_RECORDS_MS, on_drained, program);
    else
        on_drained(program);
}

/* No call is left, but an operation whose caller has gone may still wait for its worker. */
static void on_server_stopped(void *arg)
{
    struct program *program = arg;

    volume_locks_on_idle(program->locks, on_idle, program);
}

static void on_stop(void *arg)
{
    struct program *program = arg;

    log_info(program->log, "terminating");
    program->endpoints.stopping = true;
    program->endpoints.registration = NULL;
    program->endpoints.pods = NULL;
    program->node.pods = NULL;
    pods_mounts_destroy(steal_ptr(&program->pods));
    registration_destroy(steal_ptr(&program->registration));
    node_taint_destroy(steal_ptr(&program->taint));
    grpc_server_stop(program->server, DRAIN_MS, on_server_stopped, program);
}

/* With several operations at a time the workers and the loop do better side by side. */
static bool has_one_operation_at_most(const void *locks)
{
    return volume_locks_count(locks) <= 1;
}

void program_run(struct program *program)
{
    worker_pool_run(&program->loop, has_one_operation_at_most, program->locks);
}

void program_finish(struct program *program)
{
    worker_pool_stop(&program->loop);
    lifecycle_close_loop(&program->loop, program->log);
    grpc_server_destroy(program->server);
    volume_states_destroy(program->volumes);
    volume_names_pool_finish(&program->names);
    version_sets_finish(&program->versions);
    volume_locks_destroy(program->locks);
    driver_metrics_destroy(program->driver_metrics);
    metrics_destroy(program->metrics);
    memory_limit_destroy(program->memory);
    inherited_volumes_destroy(program->inherited);
    endpoint_finish(&program->endpoint);
}
