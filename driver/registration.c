/*
 * registration.c - telling the kubelet that the driver is there.
 */
#include "driver/registration.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/grpc/server.h"
#include "proto/pluginregistration.pb-c.h"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    DRAIN_MS = 1000,
    SOCKET_MODE = 0700, /* what the kubelet's own helpers use */
};

struct registration {
    uv_loop_t *loop;
    struct registration_config config;
    struct grpc_server *server; /* NULL between taking the socket away and making it again */
    struct grpc_service service;
    uv_timer_t retry;
    uint64_t backoff_ms;
    bool going; /* the server is being stopped */
    bool stopping;
    void (*done)(void *arg);
    void *done_arg;
};

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant; /* packing only reads */
}

static void get_info(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct registration *registration = arg;
    char *versions[] = {text("1.0.0")};
    Pluginregistration__PluginInfo response = PLUGINREGISTRATION__PLUGIN_INFO__INIT;

    (void)request;
    response.type = text("CSIPlugin");
    response.name = text(registration->config.driver_name);
    response.endpoint = text(registration->config.endpoint);
    response.n_supported_versions = ARRAY_SIZE(versions);
    response.supported_versions = versions;
    grpc_call_reply(call, &response.base);
}

static void on_retry(uv_timer_t *timer);

static void retry_later(struct registration *registration)
{
    (void)uv_timer_start(&registration->retry, on_retry, registration->backoff_ms, 0);
    registration->backoff_ms =
        registration->backoff_ms * 2 < BACKOFF_MAX_MS ? registration->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void notify_registration_status(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    struct registration *registration = arg;
    const Pluginregistration__RegistrationStatus *status =
        (const Pluginregistration__RegistrationStatus *)request;
    Pluginregistration__RegistrationStatusResponse response =
        PLUGINREGISTRATION__REGISTRATION_STATUS_RESPONSE__INIT;

    if (status->plugin_registered) {
        registration->backoff_ms = BACKOFF_FIRST_MS;
        log_info(registration->config.log, "registered with the kubelet",
                 LOG_STR("driver", registration->config.driver_name));
    } else {
        log_error(registration->config.log, "the kubelet refused the registration, trying again",
                  LOG_STR("reason", status->error), LOG_UINT("retryInMs", registration->backoff_ms));
        if (!registration->stopping)
            retry_later(registration);
    }
    grpc_call_reply(call, &response.base);
}

static int serve(struct registration *registration, struct error **err)
{
    static const struct grpc_method methods[] = {
        {"GetInfo", &pluginregistration__info_request__descriptor, get_info},
        {"NotifyRegistrationStatus", &pluginregistration__registration_status__descriptor,
         notify_registration_status},
    };
    cleanup_free char *path = NULL;

    registration->service = (struct grpc_service){
        .name = "pluginregistration.Registration",
        .methods = methods,
        .n_methods = ARRAY_SIZE(methods),
        .arg = registration,
    };
    if (asprintf(&path, "%s/%s-reg.sock", registration->config.directory, registration->config.driver_name) <
        0) {
        path = NULL;
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    registration->server = grpc_server_create(
        registration->loop, &(struct grpc_server_config){.log = registration->config.log}, err);
    if (registration->server == NULL)
        return -1;
    grpc_server_add_service(registration->server, &registration->service);
    if (grpc_server_listen_unix(registration->server, path, SOCKET_MODE, err) < 0) {
        grpc_server_destroy(steal_ptr(&registration->server));
        return -1;
    }
    return 0;
}

static void serve_again(struct registration *registration)
{
    cleanup_error struct error *error = NULL;

    if (serve(registration, &error) < 0) {
        log_error(registration->config.log, "the registration socket can not be made, trying again",
                  LOG_ERR(error));
        retry_later(registration);
    }
}

/* --- the end
 * -------------------------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct registration *registration = handle->data;
    void (*done)(void *arg) = registration->done;
    void *arg = registration->done_arg;

    free(registration);
    done(arg);
}

static void on_server_stopped(void *arg)
{
    struct registration *registration = arg;

    grpc_server_destroy(steal_ptr(&registration->server));
    registration->going = false;
    if (registration->stopping)
        uv_close((uv_handle_t *)&registration->retry, on_timer_closed);
    else
        serve_again(registration);
}

static void take_away(struct registration *registration)
{
    if (registration->going)
        return;
    registration->going = true;
    grpc_server_stop(registration->server, DRAIN_MS, on_server_stopped, registration);
}

/* Time to show the socket anew: the old one has to go first. */
static void on_retry(uv_timer_t *timer)
{
    struct registration *registration = timer->data;

    if (registration->server != NULL)
        take_away(registration);
    else
        serve_again(registration);
}

struct registration *registration_start(uv_loop_t *loop, const struct registration_config *config,
                                        struct error **err)
{
    struct registration *registration = calloc(1, sizeof(*registration));

    if (registration == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *registration = (struct registration){.loop = loop, .config = *config, .backoff_ms = BACKOFF_FIRST_MS};
    if (serve(registration, err) < 0) {
        (void)error_wrap(err, "kubelet registration");
        free(registration);
        return NULL;
    }
    (void)uv_timer_init(loop, &registration->retry);
    registration->retry.data = registration;
    return registration;
}

void registration_stop(struct registration *registration, void (*done)(void *arg), void *arg)
{
    registration->done = done;
    registration->done_arg = arg;
    registration->stopping = true;
    (void)uv_timer_stop(&registration->retry);
    if (registration->server == NULL)
        uv_close((uv_handle_t *)&registration->retry, on_timer_closed);
    else
        take_away(registration);
}
