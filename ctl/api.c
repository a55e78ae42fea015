/*
 * api.c - objects of the Kubernetes API, read one after the other.
 */
#include "ctl/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "common/base/alloc.h"
#include "common/http/client.h"
#include "common/kube/kube_client.h"
#include "common/kube/kube_config_load.h"
#include "common/process/lifecycle.h"

enum { NS_PER_MS = 1000000 };

struct api {
    uv_loop_t loop;
    struct http_client *http;
    struct kube_client *kube;
    uint64_t timeout_ms; /* of one request */
};

struct outcome {
    bool done;
    cJSON *json;         /* owned */
    struct error *error; /* owned */
};

static int connect_to(struct api *api, struct kube_rest_config *config, struct error **err)
{
    cleanup_free char *agent = NULL;

    if (asprintf(&agent, "secrets-store-ctl/%s (linux) %s", build_version(), build_commit()) < 0) {
        agent = NULL;
        return error_no_memory(err, NULL);
    }
    if (http_library_init(err) < 0)
        return -1;
    api->http = http_client_create(&api->loop, &(struct http_client_config){.user_agent = agent}, err);
    if (api->http == NULL)
        return -1;
    api->kube = kube_client_create(&api->loop, api->http, config, /* log= */ NULL, err);
    return api->kube != NULL ? 0 : -1;
}

struct api *api_open(const struct ctl_options *options, struct error **err)
{
    const struct kube_environment environment = {
        .kubeconfig = options->kubeconfig,
        .kubeconfig_env = getenv("KUBECONFIG"),
        .service_host = getenv("KUBERNETES_SERVICE_HOST"),
        .service_port = getenv("KUBERNETES_SERVICE_PORT"),
        .home = getenv("HOME"),
    };
    cleanup_kube_rest_config struct kube_rest_config config = {0};

    if (kube_config_load(&environment, &config, err) < 0)
        return NULL;

    struct api *api = alloc_zeroed(sizeof(*api), err);
    if (api == NULL)
        return NULL;
    api->timeout_ms = (uint64_t)options->timeout_ns / NS_PER_MS;
    if (uv_loop_init(&api->loop) != 0) {
        free(api);
        (void)error_set(err, GRPC_STATUS_INTERNAL, "cannot create an event loop");
        return NULL;
    }
    if (connect_to(api, &config, err) < 0) {
        api_close(api);
        return NULL;
    }
    return api;
}

static void on_response(struct kube_response *response, const struct error *error, void *arg)
{
    struct outcome *outcome = arg;

    outcome->done = true;
    outcome->error = error_copy(error);
    if (error == NULL) {
        outcome->json = response->json;
        response->json = NULL;
    }
}

int api_get(struct api *api, const char *path, bool metadata_only, cJSON **ret, struct error **err)
{
    const struct kube_request request = {
        .method = "GET", .path = path, .metadata_only = metadata_only, .timeout_ms = api->timeout_ms};
    struct outcome outcome = {0};

    if (kube_call_start(api->kube, &request, on_response, &outcome, err) == NULL)
        return -1;
    while (!outcome.done)
        (void)uv_run(&api->loop, UV_RUN_ONCE);
    if (outcome.error != NULL)
        return error_move(err, &outcome.error);
    *ret = outcome.json;
    return 0;
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    kube_client_destroy(api->kube);
    http_client_destroy(api->http);
    lifecycle_close_loop(&api->loop, /* log= */ NULL);
    free(api);
}
