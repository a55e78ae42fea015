/*
 * health_endpoints.c - /healthz, /readyz and /metrics.
 */
#include "driver/health_endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/metrics_page.h"
#include "driver/base/health.h"
#include "driver/csi/csi_probe.h"

static void reply_text(struct admin_request *request, int status, const char *text)
{
    admin_request_reply(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* 1 or 0; -1 in standalone mode. */
static int kube_reachable(const struct health_endpoints *endpoints)
{
    if (endpoints->kube == NULL)
        return -1;
    return kube_client_reachable(endpoints->kube) ? 1 : 0;
}

/* --- /healthz --- */

/* Requests that come while a check runs share it: a crowd of them costs one. */
struct health_request {
    struct health_request *next;
    struct admin_request *request;
};

static void reply_health(const struct health_endpoints *endpoints, struct admin_request *request,
                         const struct error *error)
{
    if (error != NULL)
        reply_text(request, 503, error_message(error));
    else if (kube_reachable(endpoints) == 0)
        reply_text(request, 200, "ok\ndegraded: the Kubernetes API does not respond\n");
    else
        reply_text(request, 200, "ok\n");
}

static void health_checked(const struct error *error, void *arg)
{
    struct health_endpoints *endpoints = arg;
    struct health_request *waiting = steal_ptr(&endpoints->waiting);

    while (waiting != NULL) {
        struct health_request *next = waiting->next;

        reply_health(endpoints, waiting->request, error);
        free(waiting);
        waiting = next;
    }
}

/* Do the paths of all sockets lead to this process? */
static int check_sockets(const struct health_endpoints *endpoints, struct error **err)
{
    if (endpoints->csi != NULL && grpc_server_check_sockets(endpoints->csi, err) < 0)
        return -1;
    return endpoints->registration != NULL ? registration_check_socket(endpoints->registration, err) : 0;
}

/* A driver that stops has no socket any more, but its calls may need workers. */
static int start_check(struct health_endpoints *endpoints, struct error **err)
{
    if (!endpoints->stopping && check_sockets(endpoints, err) < 0)
        return -1;
    if (endpoints->waiting != NULL)
        return 0; /* a check runs */
    if (endpoints->stopping)
        return health_check_start(endpoints->loop, health_checked, endpoints, err) == NULL ? -1 : 0;
    return csi_probe_start(endpoints->loop, endpoints->endpoint, health_checked, endpoints, err);
}

void health_endpoints_healthz(struct admin_request *request, void *arg)
{
    struct health_endpoints *endpoints = arg;
    struct health_request *health = malloc(sizeof(*health));
    cleanup_error struct error *error = NULL;

    if (health == NULL) {
        reply_text(request, 503, "out of memory");
        return;
    }
    if (start_check(endpoints, &error) < 0) {
        free(health);
        reply_text(request, 503, error_message(error));
        return;
    }
    *health = (struct health_request){.next = endpoints->waiting, .request = request};
    endpoints->waiting = health;
}

/* --- /readyz --- */

void health_endpoints_readyz(struct admin_request *request, void *arg)
{
    const struct health_endpoints *endpoints = arg;
    cleanup_error struct error *error = NULL;

    if (endpoints->stopping)
        reply_text(request, 503, "the driver is stopping\n");
    else if (check_sockets(endpoints, &error) < 0 || pods_mounts_check(endpoints->pods, &error) < 0)
        reply_text(request, 503, error_message(error));
    else if (endpoints->registration != NULL && !registration_is_registered(endpoints->registration))
        reply_text(request, 503, "the kubelet has not registered the driver yet\n");
    else
        reply_text(request, 200, "ok\n");
}

/* --- /metrics --- */

void health_endpoints_metrics(struct admin_request *request, void *arg)
{
    const struct health_endpoints *endpoints = arg;

    driver_metrics_state(endpoints->driver_metrics, kube_reachable(endpoints),
                         volume_states_count(endpoints->volumes));
    if (memory_limit_left(endpoints->memory) != MEMORY_LIMIT_NONE)
        driver_metrics_memory_left(endpoints->driver_metrics, memory_limit_left(endpoints->memory));
    if (endpoints->registration != NULL)
        driver_metrics_registered(endpoints->driver_metrics,
                                  registration_is_registered(endpoints->registration));
    metrics_page_respond(request, (void *)(uintptr_t)endpoints->metrics); /* only read */
}
