/*
 * main.c - secrets-store-provider-azure: builds the objects, runs the loop, destroys everything in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/secret_cache.h"
#include "common/http/admin_server.h"
#include "common/http/client.h"
#include "common/http/metrics_page.h"
#include "common/process/lifecycle.h"
#include "common/process/memory_lock.h"
#include "common/process/metrics.h"
#include "common/process/start_pages.h"
#include "common/provider_server.h"
#include "provider-azure/endpoint/endpoint_health.h"
#include "provider-azure/endpoint/handover.h"
#include "provider-azure/endpoint/socket_directory.h"
#include "provider-azure/lint.h"
#include "provider-azure/sandbox_needs.h"
#include "provider-azure/service.h"
#include "provider-azure/settings.h"

#define PROGRAM      "secrets-store-provider-azure"
#define RUNTIME_NAME "secrets-store-csi-driver-provider-azure"

/* Mounts in progress when SIGTERM comes get this long to finish. */
enum { DRAIN_MS = 10 * 1000 };
/* The last line of a start that fails gets so long to be read. */
enum { LOG_FLUSH_MS = 1000 };
/* Of small blocks that wait for the next requests: what the 50 reads of a mount use at a time. */
enum { BLOCKS_KEPT_BYTES = 512 * 1024 };

struct program {
    struct settings settings;
    enum sandbox_mode sandbox;
    struct log *log;
    uv_loop_t loop;
    struct lifecycle *lifecycle;
    struct endpoint endpoint;
    struct cloud cloud;
    struct metrics *metrics;
    struct azure_metrics *azure_metrics;
    struct http_client *http;
    struct work_pool *work;
    struct transport *transport;
    struct throttle_table throttles;
    struct network network;
    struct token_proxy *token_proxy;
    struct token_cache *tokens;
    struct stale_store *stale; /* NULL: outage mode is off */
    struct vault_cache *cache;
    struct pem_cache *pems;
    struct served_volumes *volumes;
    struct served_volumes *throttled;
    struct byte_budget *budget;
    struct proxy_allowlist *proxies;
    struct request_defaults defaults;
    struct parsed_objects_cache *parsed;
    struct class_reports reports;
    struct class_reports warned;
    struct content_options content;
    struct mount_shared shared;
    struct service service;
    struct handover_service handover; /* with outage mode */
    struct provider provider;
    struct provider_server *server;
    struct endpoint_health health;
    struct admin_server *health_server;  /* and metrics, when they share the port; NULL when off */
    struct admin_server *metrics_server; /* NULL when shared or off */
};

static void on_call_served(const char *method, enum grpc_status status, uint64_t duration_ns, void *arg)
{
    const struct program *program = arg;
    log_debug(program->log, 5, "call served", LOG_STR("method", method),
              LOG_STR("code", grpc_status_go_name(status)), LOG_UINT("durationUs", duration_ns / 1000));
    azure_metrics_grpc(program->azure_metrics, method, status, (double)duration_ns / 1e9);
}

static void on_socket(enum grpc_socket_event event, void *arg)
{
    const struct program *program = arg;

    azure_metrics_socket(program->azure_metrics, event == GRPC_SOCKET_CREATED_AGAIN);
}

static void destroy_rest(void *arg)
{
    struct program *program = arg;
    admin_server_destroy(steal_ptr(&program->health_server));
    admin_server_destroy(steal_ptr(&program->metrics_server));
    sandbox_stop_watching();
    lifecycle_destroy(steal_ptr(&program->lifecycle));
    pem_cache_destroy(steal_ptr(&program->pems));
    parsed_objects_cache_destroy(steal_ptr(&program->parsed));
    stale_store_destroy(steal_ptr(&program->stale));
    vault_cache_destroy(steal_ptr(&program->cache));
    served_volumes_destroy(steal_ptr(&program->volumes));
    served_volumes_destroy(steal_ptr(&program->throttled));
    metrics_add_byte_budget(program->metrics, NULL);
    byte_budget_destroy(steal_ptr(&program->budget));
    token_cache_destroy(steal_ptr(&program->tokens));
    token_proxy_destroy(steal_ptr(&program->token_proxy));
    work_pool_destroy(steal_ptr(&program->work));
    http_client_destroy(steal_ptr(&program->http));
}

/* No mount is in progress any more, and no read. */
static void on_server_stopped(void *arg)
{
    struct program *program = arg;
    const struct handover_config config = {.loop = &program->loop,
                                           .endpoint = &program->endpoint,
                                           .store = program->stale,
                                           .network = &program->network};

    if (!handover_start(&config, destroy_rest, program))
        destroy_rest(program);
}

static void on_stop(void *arg)
{
    struct program *program = arg;
    log_info(program->log, "terminating");
    program->health.server = NULL;
    provider_server_stop(program->server, DRAIN_MS, on_server_stopped, program);
}

static int listen_on(struct admin_server *server, int64_t port, struct error **err)
{
    char address[16];
    (void)snprintf(address, sizeof(address), ":%u", (unsigned)port);
    return admin_server_listen(server, address, err);
}

static int start_admin_servers(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;
    bool shared = settings->healthz_port == settings->prometheus_port;

    program->health = (struct endpoint_health){
        .loop = &program->loop,
        .endpoint = &program->endpoint,
        .timeout_ms = (uint64_t)(settings->healthz_timeout_ns / 1000000),
    };
    if (settings->healthz_port != 0) {
        program->health_server = admin_server_create(&program->loop, program->log, err);
        if (program->health_server == NULL)
            return -1;
        admin_server_add_route(program->health_server, settings->healthz_path, endpoint_health_respond,
                               &program->health);
        if (shared)
            admin_server_add_route(program->health_server, "/metrics", metrics_page_respond,
                                   program->metrics);
        if (listen_on(program->health_server, settings->healthz_port, err) < 0)
            return error_wrap(err, "health server");
    }
    if (settings->prometheus_port != 0 && !shared) {
        program->metrics_server = admin_server_create(&program->loop, program->log, err);
        if (program->metrics_server == NULL)
            return -1;
        admin_server_add_route(program->metrics_server, "/metrics", metrics_page_respond, program->metrics);
        if (listen_on(program->metrics_server, settings->prometheus_port, err) < 0)
            return error_wrap(err, "metrics server");
    }
    return 0;
}

static uint64_t stale_max_age_ms(const struct program *program)
{
    return (uint64_t)(program->settings.serve_stale_max_age_ns / 1000000);
}

static int start_network(struct program *program, struct error **err)
{
    cleanup_free char *agent = settings_user_agent(build_version(), build_commit(), build_date(),
                                                   program->settings.custom_user_agent);
    const struct http_client_config config = {
        .log = program->log, .user_agent = agent, .metrics = program->metrics};

    program->http = http_client_create(&program->loop, &config, err);
    if (program->http == NULL)
        return -1;
    program->work = work_pool_create(&program->loop, err);
    if (program->work == NULL)
        return -1;
    program->transport = transport_create(&program->loop, program->http, program->work, err);
    if (program->transport == NULL)
        return -1;
    program->network = (struct network){
        .transport = program->transport,
        .throttles = &program->throttles,
        .metrics = program->azure_metrics,
        .log = program->log,
    };
    const struct token_proxy_config proxy = {
        .url = program->settings.token_proxy_url,
        .sni_name = program->settings.sni_name,
        .ca_file = program->settings.token_proxy_ca_file,
        .api_server = program->settings.api_server,
    };
    program->token_proxy = token_proxy_create(program->transport, &proxy, err);
    if (program->token_proxy == NULL)
        return -1;
    if (token_proxy_config_error(program->token_proxy) != NULL)
        log_error(program->log, "identity bindings will fail",
                  LOG_ERR(token_proxy_config_error(program->token_proxy)));
    program->tokens = token_cache_create(&program->network, err);
    if (program->tokens == NULL)
        return -1;
    uint64_t ttl_ms = (uint64_t)(program->settings.republish_cache_ttl_ns / 1000000);
    if (stale_max_age_ms(program) > 0) {
        program->stale = stale_store_create(&program->network, stale_max_age_ms(program), err);
        if (program->stale == NULL)
            return -1;
    }
    program->cache = vault_cache_create(&program->network, program->tokens, ttl_ms, program->stale, err);
    if (program->cache == NULL)
        return -1;
    program->volumes = served_volumes_create(ttl_ms, err);
    if (program->volumes == NULL)
        return -1;
    program->throttled = served_volumes_create(ttl_ms > 0 ? MOUNT_THROTTLED_MS : 0, err);
    return program->throttled == NULL ? -1 : 0;
}

static int start_service(struct program *program, struct error **err)
{
    program->parsed = parsed_objects_cache_create(err);
    if (program->parsed == NULL)
        return -1;
    program->defaults = (struct request_defaults){
        .cloud = &program->cloud,
        .egress = {.ca_dir = program->settings.class_ca_dir, .proxies = program->proxies},
        .custom_cloud_path = getenv("AZURE_ENVIRONMENT_FILEPATH"),
        .endpoints = {.imds = program->settings.imds_endpoint,
                      .nmi = program->settings.nmi_endpoint,
                      .token_proxy = program->token_proxy},
        .serve_stale_max_age_ms = stale_max_age_ms(program),
        .log = program->log,
        .reports = &program->reports,
        .parsed = program->parsed,
    };
    program->content = (struct content_options){
        .order =
            program->settings.construct_pem_chain ? CERTIFICATE_ORDER_CHAIN : CERTIFICATE_ORDER_AS_STORED,
        .separate_files = program->settings.separate_files,
        .log = program->log,
    };
    program->pems =
        pem_cache_create(program->transport, (uint64_t)(program->settings.republish_cache_ttl_ns / 1000000),
                         PEM_CACHE_MOUNT_BUDGET, program->content.order, err);
    if (program->pems == NULL)
        return -1;
    program->budget = byte_budget_create(&program->loop, (uint64_t)program->settings.max_bytes_in_flight,
                                         BYTE_BUDGET_PATIENCE_MS, err);
    if (program->budget == NULL)
        return -1;
    metrics_add_byte_budget(program->metrics, program->budget);
    program->shared = (struct mount_shared){
        .network = &program->network,
        .tokens = program->tokens,
        .cache = program->cache,
        .volumes = program->volumes,
        .throttled = program->throttled,
        .defaults = &program->defaults,
        .content = &program->content,
        .pems = program->pems,
        .budget = program->budget,
        .warned = &program->warned,
    };
    program->service = (struct service){.shared = &program->shared, .log = program->log};
    program->provider = (struct provider){
        .name = RUNTIME_NAME, .version = build_version(), .mount = service_mount, .arg = &program->service};
    handover_service_init(&program->handover, program->stale, &program->network);
    const struct provider_server_config config = {
        .log = program->log,
        .endpoint = program->endpoint,
        .service = program->stale != NULL ? &program->handover.service : NULL,
        .socket_mode = 0700,
        .observer = on_call_served,
        .observer_arg = program,
        .socket_observer = on_socket,
        .socket_observer_arg = program,
    };
    program->server = provider_server_create(&program->loop, &program->provider, &config, err);
    program->health.server = program->server;
    return program->server == NULL ? error_wrap(err, "--endpoint %s", program->settings.endpoint) : 0;
}

static int check_settings(struct program *program, struct error **err)
{
    const struct settings *settings = &program->settings;

    if (strcasecmp(settings->metrics_backend, "prometheus") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "unknown --metrics-backend %s",
                         settings->metrics_backend);
    if (settings->healthz_path[0] != '/')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--healthz-path %s does not begin with /",
                         settings->healthz_path);
    if (settings->healthz_port == settings->prometheus_port &&
        strcmp(settings->healthz_path, "/metrics") == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--healthz-path /metrics on the port of the metrics");
    const char *file = getenv("AZURE_ENVIRONMENT_FILEPATH");
    if (cloud_resolve(settings->cloud_name, file, &program->cloud, err) < 0)
        return error_wrap(err, "--cloud-name (AZURE_ENVIRONMENT_FILEPATH %s)",
                          file != NULL ? file : "is not set");
    return endpoint_parse(settings->endpoint, &program->endpoint, err);
}

static struct proxy_allowlist *allow_proxies(const struct settings *settings, struct error **err)
{
    const char *const environment[] = {getenv("HTTPS_PROXY"), getenv("https_proxy"), getenv("HTTP_PROXY"),
                                       getenv("http_proxy")};

    return proxy_allowlist_create(settings->class_proxies, environment, ARRAY_SIZE(environment), err);
}

/* Before there is another thread. */
static int enter_sandbox(struct program *program, struct error **err)
{
    const struct azure_sandbox_input input = {.settings = &program->settings,
                                              .endpoint = &program->endpoint,
                                              .cloud = &program->cloud,
                                              .proxies = program->proxies};
    struct azure_sandbox sandbox;
    int ret;

    if (azure_sandbox_init(&sandbox, &input, err) < 0)
        return -1;
    (void)memory_lock_enter(program->sandbox == SANDBOX_OFF ? MEMORY_LOCK_RIGHTS_KEPT
                                                            : MEMORY_LOCK_RIGHTS_DROPPED,
                            program->log, program->metrics);
    ret =
        sandbox_enter(&sandbox.needs, program->sandbox, &program->loop, program->log, program->metrics, err);
    azure_sandbox_finish(&sandbox);
    return ret;
}

static int start(struct program *program, struct error **err)
{
    if (check_settings(program, err) < 0)
        return -1;
    program->proxies = allow_proxies(&program->settings, err);
    if (program->proxies == NULL)
        return -1;
    program->metrics = metrics_create();
    metrics_add_process(program->metrics);
    metrics_add_log(program->metrics, program->log);
    program->azure_metrics = azure_metrics_create(program->metrics);
    /* The socket last: a driver that sees it may call at once, and a start that fails leaves none behind. */
    if (enter_sandbox(program, err) < 0 || start_network(program, err) < 0 ||
        start_admin_servers(program, err) < 0 || start_service(program, err) < 0)
        return -1;
    program->lifecycle = lifecycle_create(&program->loop, program->log, on_stop, program, err);
    return program->lifecycle == NULL ? -1 : 0;
}

static void warn_about_old_flags(const struct program *program)
{
    const struct settings *settings = &program->settings;
    if (!settings->driver_write_secrets)
        log_warning(program->log,
                    "--driver-write-secrets=false is ignored, the driver always writes the files");
    if (settings->enable_pprof)
        log_warning(program->log, "--enable-pprof is ignored, there is no profiling server");
}

static void finish(struct program *program)
{
    lifecycle_close_loop(&program->loop, program->log);
    provider_server_destroy(program->server);
    transport_destroy(program->transport);
    proxy_allowlist_destroy(program->proxies);
    azure_metrics_destroy(program->azure_metrics);
    metrics_destroy(program->metrics);
    cloud_finish(&program->cloud);
    endpoint_finish(&program->endpoint);
    log_destroy(program->log);
}

static int prepare_socket_directory(const struct settings *settings, struct error **err)
{
    struct endpoint endpoint = {0};
    int ret = endpoint_parse(settings->endpoint, &endpoint, err);

    if (ret == 0 && endpoint.kind != ENDPOINT_UNIX)
        ret = error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--endpoint has no directory");
    if (ret == 0)
        ret = socket_directory_give(endpoint.address, settings->prepare_socket_dir, err);
    endpoint_finish(&endpoint);
    return ret;
}

static int print_version(const struct settings *settings)
{
    cleanup_error struct error *error = NULL;
    cleanup_free char *sandbox = sandbox_describe(settings->sandbox, /* with_landlock= */ true, &error);

    if (sandbox == NULL) {
        (void)fprintf(stderr, PROGRAM ": %s\n", error_message(error));
        return 2;
    }
    (void)printf("{\"version\":\"%s\",\"buildDate\":\"%s\",\"sandbox\":\"%s\"}\n", build_version(),
                 build_date(), sandbox);
    return 0;
}

/* Nothing is mounted: see lint.h. */
static int run_lint(int argc)
{
    cleanup_error struct error *error = NULL;

    if (argc > 2)
        (void)error_set(&error, GRPC_STATUS_INVALID_ARGUMENT,
                        "lint takes no words: it reads a request from standard input");
    else if (lint_run(stdin, stdout, &error) == 0)
        return 0;
    (void)fprintf(stderr, PROGRAM " lint: %s\n", error_message(error));
    return argc > 2 ? 2 : 1;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct error *error = NULL;
    int rest = 0;

    /* Requests to an io_uring pass no filter of system calls. */
    (void)setenv("UV_USE_IO_URING", "0", /* overwrite= */ 1);
    secret_install_json_hooks();
    secret_cache_enable(BLOCKS_KEPT_BYTES);
    if (secret_forbid_core_dumps(&error) < 0 || http_library_init(&error) < 0) {
        (void)fprintf(stderr, PROGRAM ": %s\n", error_message(error));
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "lint") == 0)
        return run_lint(argc);
    switch (options_parse(settings_rows, settings_n_rows, argc, argv, &program.settings, &rest, &error)) {
    case OPTIONS_HELP:
        options_usage(settings_rows, settings_n_rows, PROGRAM, stdout);
        (void)puts("'" PROGRAM " lint' checks the parameters of a class; secrets-store-ctl lint calls it.");
        return 0;
    case OPTIONS_ERROR:
        (void)fprintf(stderr, PROGRAM ": %s\nTry '" PROGRAM " --help'.\n", error_message(error));
        error_free(error);
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (program.settings.version)
        return print_version(&program.settings);
    if (*program.settings.prepare_socket_dir != '\0') {
        if (prepare_socket_directory(&program.settings, &error) == 0)
            return 0;
        (void)fprintf(stderr, PROGRAM ": %s\n", error_message(error));
        error_free(error);
        return 1;
    }
    program.log =
        log_create(STDERR_FILENO, program.settings.log_format_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
                   (int)program.settings.verbosity);
    if (program.settings.log_format_json)
        log_split(program.log, STDOUT_FILENO);
    warn_about_old_flags(&program);
    if (rest < argc) /* `--flag false`: a boolean takes its value behind a '=' */
        log_warning(program.log, "not a flag: ignored with everything after it", LOG_STR("word", argv[rest]));
    if (sandbox_create_loop(program.settings.sandbox, &program.loop, &program.sandbox, &error) < 0 ||
        start(&program, &error) < 0) {
        log_error(program.log, "start failed", LOG_ERR(error));
        log_flush(program.log, LOG_FLUSH_MS);
        error_free(error);
        return 1; /* the process ends: nothing half-built is taken down piece by piece */
    }
    log_info(program.log, "listening", LOG_STR("version", build_version()),
             LOG_STR("endpoint", program.settings.endpoint), LOG_STR("cloud", program.cloud.name));
    (void)start_pages_give_back();
    (void)uv_run(&program.loop, UV_RUN_DEFAULT);
    finish(&program);
    return 0;
}
