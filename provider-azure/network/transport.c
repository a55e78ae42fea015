/*
 * transport.c - the real transport: libcurl calls, libuv timers, the system's clocks.
 */
#include "provider-azure/network/transport.h"

#include <stdlib.h>

#include "common/base/backoff.h"
#include "common/process/lifecycle.h"
#include "common/process/loop_timer.h"

struct transport_call *transport_send(const struct transport *transport, const struct http_request *request,
                                      transport_callback *callback, void *arg, struct error **err)
{
    return transport->ops->send(transport->state, request, callback, arg, err);
}

void transport_cancel(const struct transport *transport, struct transport_call **call)
{
    if (*call != NULL)
        transport->ops->cancel(transport->state, call);
}

struct transport_timer *transport_after(const struct transport *transport, uint64_t delay_ms,
                                        transport_fired *fired, void *arg, struct error **err)
{
    return transport->ops->after(transport->state, delay_ms, fired, arg, err);
}

void transport_stop(const struct transport *transport, struct transport_timer **timer)
{
    if (*timer != NULL)
        transport->ops->stop(transport->state, timer);
}

uint64_t transport_now_ms(const struct transport *transport)
{
    return transport->ops->now_ms(transport->state);
}

int64_t transport_unix_s(const struct transport *transport)
{
    return transport->ops->unix_s(transport->state);
}

uint32_t transport_random(const struct transport *transport)
{
    return transport->ops->random(transport->state);
}

struct tls_probe *transport_probe(const struct transport *transport, const struct tls_probe_request *request,
                                  tls_probe_callback *callback, void *arg, struct error **err)
{
    return transport->ops->probe(transport->state, request, callback, arg, err);
}

void transport_probe_cancel(const struct transport *transport, struct tls_probe **probe)
{
    if (*probe != NULL)
        transport->ops->probe_cancel(transport->state, probe);
}

struct work_job *transport_work(const struct transport *transport, const struct work *work,
                                struct error **err)
{
    return transport->ops->work(transport->state, work, err);
}

void transport_work_cancel(const struct transport *transport, struct work_job **job)
{
    if (*job != NULL)
        transport->ops->work_cancel(transport->state, job);
}

struct real_transport {
    struct transport base;
    uv_loop_t *loop;
    struct http_client *client;
    struct work_pool *pool;
};

struct transport_call {
    struct http_call *http;
    transport_callback *callback;
    void *arg;
};

static void on_http(struct http_response *response, enum http_hop hop, const struct error *error, void *arg)
{
    struct transport_call *call = arg;
    transport_callback *callback = call->callback;
    void *callback_arg = call->arg;

    free(call);
    if (response == NULL) {
        callback(NULL, hop, error, callback_arg);
        return;
    }
    struct http_reply reply = {.status = response->status, .body = response->body, .retry_after_ms = -1};
    if (reply.status != 200) {
        reply.retry_after_ms = http_retry_after_ms(response, clock_unix_s());
        reply.challenge = http_response_header(response, "WWW-Authenticate");
        reply.request_id = http_response_header(response, "x-ms-request-id");
    }
    callback(&reply, HTTP_HOP_NONE, NULL, callback_arg);
    response->body = reply.body; /* back to its owner, unless the callee took it */
}

static struct transport_call *real_send(void *state, const struct http_request *request,
                                        transport_callback *callback, void *arg, struct error **err)
{
    struct real_transport *real = state;
    struct transport_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *call = (struct transport_call){.callback = callback, .arg = arg};
    call->http = http_call_start(real->client, request, on_http, call, err);
    if (call->http == NULL) {
        free(call);
        return NULL;
    }
    return call;
}

static void real_cancel(void *state, struct transport_call **call)
{
    (void)state;
    http_call_cancel(&(*call)->http);
    free(*call);
    *call = NULL;
}

struct transport_timer {
    struct loop_timer *timer;
    transport_fired *fired;
    void *arg;
};

static void timer_free(struct transport_timer *timer)
{
    loop_timer_destroy(timer->timer);
    free(timer);
}

static void on_timer(void *arg)
{
    struct transport_timer *timer = arg;
    transport_fired *fired = timer->fired;
    void *fired_arg = timer->arg;

    timer_free(timer);
    fired(fired_arg);
}

static struct transport_timer *real_after(void *state, uint64_t delay_ms, transport_fired *fired, void *arg,
                                          struct error **err)
{
    const struct real_transport *real = state;
    struct transport_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *timer = (struct transport_timer){.fired = fired, .arg = arg};
    timer->timer = loop_timer_create(real->loop, on_timer, timer, err);
    if (timer->timer == NULL) {
        free(timer);
        return NULL;
    }
    loop_timer_start(timer->timer, delay_ms);
    return timer;
}

static void real_stop(void *state, struct transport_timer **timer)
{
    (void)state;
    timer_free(*timer);
    *timer = NULL;
}

static uint64_t real_now_ms(void *state)
{
    (void)state;
    return clock_monotonic_ns() / 1000000;
}

static int64_t real_unix_s(void *state)
{
    (void)state;
    return clock_unix_s();
}

static uint32_t real_random(void *state)
{
    (void)state;
    return backoff_random();
}

static struct tls_probe *real_probe(void *state, const struct tls_probe_request *request,
                                    tls_probe_callback *callback, void *arg, struct error **err)
{
    const struct real_transport *real = state;
    struct tls_probe_request with_trust = *request;
    with_trust.ca_file = http_client_ca_file(real->client);
    return tls_probe_start(real->loop, &with_trust, callback, arg, err);
}

static void real_probe_cancel(void *state, struct tls_probe **probe)
{
    (void)state;
    tls_probe_cancel(probe);
}

static struct work_job *real_work(void *state, const struct work *work, struct error **err)
{
    const struct real_transport *real = state;
    return work_pool_add(real->pool, work, err);
}

static void real_work_cancel(void *state, struct work_job **job)
{
    (void)state;
    work_job_cancel(job);
}

static const struct transport_ops real_ops = {
    .send = real_send,
    .cancel = real_cancel,
    .after = real_after,
    .stop = real_stop,
    .now_ms = real_now_ms,
    .unix_s = real_unix_s,
    .random = real_random,
    .probe = real_probe,
    .probe_cancel = real_probe_cancel,
    .work = real_work,
    .work_cancel = real_work_cancel,
};

struct transport *transport_create(uv_loop_t *loop, struct http_client *client, struct work_pool *pool,
                                   struct error **err)
{
    struct real_transport *real = calloc(1, sizeof(*real));
    if (real == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *real = (struct real_transport){
        .base = {.ops = &real_ops, .state = real}, .loop = loop, .client = client, .pool = pool};
    return &real->base;
}

void transport_destroy(struct transport *transport)
{
    if (transport != NULL)
        free(transport->state);
}
