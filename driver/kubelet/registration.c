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
    struct grpc_server *server; /* owned; NULL only in a half-built object */
    struct grpc_service service;
    registration_callback *registered;
    grpc_socket_observer *socket_observer;
    void *arg;
    bool is_registered;
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
                  LOG_UINT("afterMs", pause_ms));
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

/* The kubelet follows the file: it has deregistered the driver, or is about to register it. */
static void on_socket(enum grpc_socket_event event, void *arg)
{
    struct registration *registration = arg;

    registration->is_registered = false;
    if (registration->socket_observer != NULL)
        registration->socket_observer(event, registration->arg);
}

static int listen_on_socket(struct registration *registration, struct error **err)
{
    struct grpc_server *server = grpc_server_create(
        registration->loop,
        &(struct grpc_server_config){
            .log = registration->log, .socket_observer = on_socket, .socket_observer_arg = registration},
        err);

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

void registration_renew(struct registration *registration)
{
    cleanup_error struct error *error = NULL;
    uint64_t pause_ms;

    registration->is_registered = false;
    if (grpc_server_renew_sockets(registration->server, &error) == 0)
        return;
    pause_ms = retry_later(registration);
    log_error(registration->log, "the registration socket cannot be created, retrying", LOG_ERR(error),
              LOG_UINT("afterMs", pause_ms));
}

int registration_check_socket(struct registration *registration, struct error **err)
{
    return grpc_server_check_sockets(registration->server, err);
}

/* The kubelet registers a driver again when its socket is created again. */
static void retry_now(void *arg)
{
    registration_renew(arg);
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
                                          .socket_observer = config->socket_observer,
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

static void server_stopped(void *arg)
{
    struct registration *registration = arg;

    grpc_server_destroy(registration->server);
    release(registration);
}

void registration_destroy(struct registration *registration)
{
    if (registration == NULL)
        return;
    loop_timer_destroy(steal_ptr(&registration->retry));
    if (registration->server != NULL)
        grpc_server_stop(registration->server, DRAIN_MS, server_stopped, registration);
    else
        release(registration);
}
