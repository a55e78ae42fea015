/*
 * registration.c - announcing the driver to the kubelet.
 */
#include "driver/kubelet/registration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/cleanup.h"
#include "common/grpc/server.h"
#include "common/process/loop_timer.h"
#include "proto/pluginregistration.pb-c.h"

enum { DRAIN_MS = 100, SOCKET_MODE = 0700 };

struct registration { /* lives until its server has stopped */
    uv_loop_t *loop;
    struct loop_timer *retry; /* NULL once destroyed */
    struct backoff law;       /* of the pauses before a retry */
    unsigned failures;        /* in a row */
    struct log *log;
    char *path;
    char *driver_name;
    char *csi_path;
    struct grpc_server *server; /* owned; NULL when it could not be created */
    struct grpc_service service;
    registration_callback *registered;
    void *arg;
    bool is_registered;
    bool stopping; /* the server is on its way out */
};

static uint64_t retry_later(struct registration *registration);

static void release(struct registration *registration)
{
    free(registration->path);
    free(registration->driver_name);
    free(registration->csi_path);
    free(registration);
}

/* --- the service --- */

static void get_info(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    struct registration *registration = arg;
    Pluginregistration__PluginInfo info = PLUGINREGISTRATION__PLUGIN_INFO__INIT;
    char type[] = "CSIPlugin";
    char version[] = "1.0.0"; /* of the registration contract, not of CSI: the only one the kubelet knows */
    char *versions[] = {version};

    (void)request;
    info.type = type;
    info.name = registration->driver_name;
    info.endpoint = registration->csi_path;
    info.supported_versions = versions;
    info.n_supported_versions = ARRAY_SIZE(versions);
    grpc_call_reply(call, &info.base);
}

static void notify_registration_status(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const Pluginregistration__RegistrationStatus *status =
        (const Pluginregistration__RegistrationStatus *)request;
    struct registration *registration = arg;
    Pluginregistration__RegistrationStatusResponse response =
        PLUGINREGISTRATION__REGISTRATION_STATUS_RESPONSE__INIT;

    if (status->plugin_registered) {
        log_info(registration->log, "registered with the kubelet",
                 LOG_STR("driver", registration->driver_name));
        registration->failures = 0;
        if (registration->retry != NULL)
            loop_timer_stop(registration->retry);
        registration->is_registered = true;
        if (registration->registered != NULL)
            registration->registered(registration->arg);
    } else {
        uint64_t pause_ms = retry_later(registration);

        registration->is_registered = false;
        log_error(registration->log, "the kubelet refused the registration, creating the socket again",
                  LOG_STR("driver", registration->driver_name), LOG_STR("reason", status->error),
                  LOG_UINT("after_ms", pause_ms));
    }
    grpc_call_reply(call, &response.base);
}

bool registration_is_registered(const struct registration *registration)
{
    return registration->is_registered;
}

static const struct grpc_method methods[] = {
    {"GetInfo", &pluginregistration__info_request__descriptor, get_info},
    {"NotifyRegistrationStatus", &pluginregistration__registration_status__descriptor,
     notify_registration_status},
};

/* --- the socket --- */

static int listen_on_socket(struct registration *registration, struct error **err)
{
    struct grpc_server *server =
        grpc_server_create(registration->loop, &(struct grpc_server_config){.log = registration->log}, err);

    if (server == NULL)
        return -1;
    grpc_server_add_service(server, &registration->service);
    if (grpc_server_listen_unix(server, registration->path, SOCKET_MODE, err) < 0) {
        grpc_server_destroy(server);
        return error_wrap(err, "plugin registration");
    }
    registration->server = server;
    return 0;
}

static void listen_again(struct registration *registration)
{
    cleanup_error struct error *error = NULL;
    uint64_t pause_ms;

    if (listen_on_socket(registration, &error) == 0)
        return;
    pause_ms = retry_later(registration);
    log_error(registration->log, "the registration socket cannot be created, retrying", LOG_ERR(error),
              LOG_UINT("after_ms", pause_ms));
}

static void server_stopped(void *arg)
{
    struct registration *registration = arg;

    grpc_server_destroy(registration->server);
    registration->server = NULL;
    registration->stopping = false;
    if (registration->retry == NULL)
        release(registration);
    else
        listen_again(registration);
}

static void stop_server(struct registration *registration)
{
    if (registration->stopping)
        return;
    registration->stopping = true;
    grpc_server_stop(registration->server, DRAIN_MS, server_stopped, registration);
}

/* The kubelet registers a driver again when its socket is created again. */
static void retry_now(void *arg)
{
    struct registration *registration = arg;

    if (registration->server != NULL)
        stop_server(registration);
    else
        listen_again(registration);
}

/* Returns the pause, in milliseconds. */
static uint64_t retry_later(struct registration *registration)
{
    uint64_t pause_ms = backoff_pause(&registration->law, ++registration->failures, backoff_random());

    if (registration->retry != NULL)
        loop_timer_start(registration->retry, pause_ms);
    return pause_ms;
}

struct registration *registration_create(uv_loop_t *loop, const struct registration_config *config,
                                         struct error **err)
{
    struct registration *registration = alloc_zeroed(sizeof(*registration), err);

    if (registration == NULL)
        return NULL;
    *registration = (struct registration){.loop = loop,
                                          .retry = loop_timer_create(loop, retry_now, registration, err),
                                          .law = {.first = config->retry_first_ms != 0
                                                               ? config->retry_first_ms
                                                               : (uint64_t)REGISTRATION_RETRY_FIRST_MS,
                                                  .growth_percent = 200,
                                                  .cap = REGISTRATION_RETRY_CAP_MS},
                                          .log = config->log,
                                          .registered = config->registered,
                                          .arg = config->arg};
    registration->service = (struct grpc_service){.name = "pluginregistration.Registration",
                                                  .methods = methods,
                                                  .n_methods = ARRAY_SIZE(methods),
                                                  .arg = registration};
    registration->driver_name = strdup(config->driver_name);
    registration->csi_path = strdup(config->csi_path);
    if (asprintf(&registration->path, "%s/%s-reg.sock", config->directory, config->driver_name) < 0)
        registration->path = NULL;
    if (registration->retry == NULL) {
        /* err is set */
    } else if (registration->driver_name == NULL || registration->csi_path == NULL ||
               registration->path == NULL) {
        (void)error_no_memory(err, NULL);
    } else if (listen_on_socket(registration, err) == 0) {
        return registration;
    }
    registration_destroy(registration);
    return NULL;
}

void registration_destroy(struct registration *registration)
{
    if (registration == NULL)
        return;
    loop_timer_destroy(steal_ptr(&registration->retry));
    if (registration->server != NULL)
        stop_server(registration);
    else
        release(registration);
}
