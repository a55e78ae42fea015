/*
 * health_endpoints.c - what the driver tells over HTTP.
 */
#include "driver/health_endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/metrics_page.h"
#include "driver/base/health.h"

static void reply_text(struct admin_request *request, int status, const char *text)
{
    admin_request_reply(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* 1 or 0; -1 in standalone mode. */
static int kube_reachable(const struct health_endpoints *pages)
{
    if (pages->kube == NULL)
        return -1;
    return kube_client_reachable(pages->kube) ? 1 : 0;
}

/* --- /healthz --- */

struct health_request {
    const struct health_endpoints *pages;
    struct admin_request *request;
};

static void health_checked(const struct error *error, void *arg)
{
    cleanup_free struct health_request *health = arg;

    if (error != NULL)
        reply_text(health->request, 503, error_message(error));
    else if (kube_reachable(health->pages) == 0)
        reply_text(health->request, 200, "ok\ndegraded: the Kubernetes API does not respond\n");
    else
        reply_text(health->request, 200, "ok\n");
}

void health_endpoints_healthz(struct admin_request *request, void *arg)
{
    const struct health_endpoints *pages = arg;
    cleanup_free struct health_request *health = malloc(sizeof(*health));
    cleanup_error struct error *error = NULL;

    if (health == NULL) {
        reply_text(request, 503, "out of memory");
        return;
    }
    *health = (struct health_request){.pages = pages, .request = request};
    if (health_check_start(pages->loop, health_checked, health, &error) == NULL)
        reply_text(request, 503, error_message(error));
    else
        (void)steal_ptr(&health);
}

/* --- /readyz --- */

void health_endpoints_readyz(struct admin_request *request, void *arg)
{
    const struct health_endpoints *pages = arg;

    if (pages->stopping)
        reply_text(request, 503, "the driver is stopping\n");
    else if (pages->registration != NULL && !registration_is_registered(pages->registration))
        reply_text(request, 503, "the kubelet has not registered the driver yet\n");
    else
        reply_text(request, 200, "ok\n");
}

/* --- /metrics --- */

void health_endpoints_metrics(struct admin_request *request, void *arg)
{
    const struct health_endpoints *pages = arg;

    driver_metrics_state(pages->driver_metrics, kube_reachable(pages), volume_states_count(pages->volumes));
    metrics_page_answer(request, (void *)(uintptr_t)pages->metrics); /* only read */
}
