/*
 * test_azure_fake.h - a transport without network, loop or waiting: responses come from a function of the
 * test, time moves when the test says so. After <cmocka.h>.
 */
#ifndef TEST_UNIT_TEST_AZURE_FAKE_H
#define TEST_UNIT_TEST_AZURE_FAKE_H

#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"
#include "provider-azure/network/transport.h"

struct fake_response {
    bool silent; /* no response ever */
    int status;  /* 0: no response, the call fails with `failure` */
    const char *body;
    int64_t retry_after_ms; /* 0 = none */
    const char *challenge;
    enum grpc_status failure;
    enum http_hop hop;
    uint64_t delay_ms; /* until it arrives; its body must last until then */
};

struct fake;
typedef struct fake_response fake_responder(struct fake *fake, const char *url, const char *bearer,
                                            const char *body);

struct transport_call {
    struct transport_call *next;
    transport_callback *callback;
    void *arg;
    char *url;
    char *bearer;
    char *body;
    struct fake *fake;
    struct transport_timer *timer; /* until a delay is over */
    struct fake_response late;
};

struct transport_timer {
    struct transport_timer *next;
    transport_fired *fired;
    void *arg;
    uint64_t at_ms;
};

struct fake {
    struct transport base;
    struct transport_call *calls;  /* oldest first */
    struct transport_call *silent; /* nothing comes for these, or not yet */
    struct transport_timer *timers;
    uint64_t now_ms;
    int64_t slept_s; /* the wall clock ran, and the monotonic one did not */
    unsigned sent;
    unsigned token_requests;
    unsigned fresh;      /* requests over a new connection */
    unsigned repeatable; /* requests that the server may get twice */
    uint64_t flow;       /* of the last request */
    unsigned jobs;       /* of threads: all, and those that ran */
    unsigned jobs_run;
    uint64_t job_ms; /* how long each takes */
    fake_responder *respond;
    void *arg;
};

/* At most `max` bytes, which need not end with a NUL. */
static inline char *fake_copy(const char *text, size_t max)
{
    size_t len = text != NULL ? strnlen(text, max) : 0;
    char *copy = text != NULL ? calloc(len + 1, 1) : NULL;
    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

static inline struct transport_call *fake_send(void *state, const struct http_request *request,
                                               transport_callback *callback, void *arg, struct error **err)
{
    struct fake *fake = state;
    struct transport_call *call = calloc(1, sizeof(*call));
    struct transport_call **end = &fake->calls;
    (void)err;
    call->fake = fake;
    call->callback = callback;
    call->arg = arg;
    call->url = strdup(request->url);
    call->bearer = fake_copy(request->bearer_token, 4096);
    call->body = fake_copy(request->body, request->body_len);
    while (*end != NULL)
        end = &(*end)->next;
    *end = call;
    fake->sent++;
    fake->fresh += request->fresh_connection;
    fake->repeatable += request->repeatable;
    fake->flow = request->flow;
    return call;
}

static inline void fake_call_free(struct transport_call *call)
{
    free(call->url);
    free(call->bearer);
    free(call->body);
    free(call);
}

static inline struct transport_timer *fake_after(void *state, uint64_t delay_ms, transport_fired *fired,
                                                 void *arg, struct error **err)
{
    struct fake *fake = state;
    struct transport_timer *timer = calloc(1, sizeof(*timer));
    struct transport_timer **end = &fake->timers;
    (void)err;
    *timer = (struct transport_timer){.fired = fired, .arg = arg, .at_ms = fake->now_ms + delay_ms};
    while (*end != NULL && (*end)->at_ms <= timer->at_ms)
        end = &(*end)->next;
    timer->next = *end;
    *end = timer;
    return timer;
}

static inline void fake_stop(void *state, struct transport_timer **timer)
{
    struct fake *fake = state;
    struct transport_timer **at = &fake->timers;
    while (*at != *timer)
        at = &(*at)->next;
    *at = (*timer)->next;
    free(*timer);
    *timer = NULL;
}

static inline void fake_cancel(void *state, struct transport_call **call)
{
    struct fake *fake = state;
    struct transport_call **at = &fake->calls;
    while (*at != NULL && *at != *call)
        at = &(*at)->next;
    if (*at == NULL)
        at = &fake->silent;
    while (*at != *call)
        at = &(*at)->next;
    *at = (*call)->next;
    if ((*call)->timer != NULL)
        fake_stop(fake, &(*call)->timer);
    fake_call_free(*call);
    *call = NULL;
}

static inline uint64_t fake_now(void *state)
{
    return ((struct fake *)state)->now_ms;
}

static inline int64_t fake_unix(void *state)
{
    const struct fake *fake = state;
    return 1700000000 + (int64_t)(fake->now_ms / 1000) + fake->slept_s;
}

static inline uint32_t fake_random(void *state)
{
    (void)state;
    return 200;
}

struct work_job {
    struct fake *fake;
    struct work work;
    bool cancelled;
};

static inline void fake_work_fired(void *arg)
{
    struct work_job job = *(struct work_job *)arg;
    free(arg);
    if (!job.cancelled) {
        job.fake->jobs_run++;
        struct pkcs12_run run = {.cost_now = UINT64_MAX};
        job.work.run(job.work.arg, &run);
    }
    job.work.done(job.work.arg);
}

/* Work of a thread runs when its time is over. */
static inline struct work_job *fake_work(void *state, const struct work *work, struct error **err)
{
    struct work_job *job = calloc(1, sizeof(*job));
    *job = (struct work_job){.fake = state, .work = *work};
    job->fake->jobs++;
    (void)fake_after(state, job->fake->job_ms, fake_work_fired, job, err);
    return job;
}

static inline void fake_work_cancel(void *state, struct work_job **job)
{
    (void)state;
    (*job)->cancelled = true;
    *job = NULL;
}

static const struct transport_ops fake_ops = {.send = fake_send,
                                              .cancel = fake_cancel,
                                              .after = fake_after,
                                              .stop = fake_stop,
                                              .now_ms = fake_now,
                                              .unix_s = fake_unix,
                                              .random = fake_random,
                                              .work = fake_work,
                                              .work_cancel = fake_work_cancel};

static inline void fake_init(struct fake *fake, fake_responder *respond, void *arg)
{
    *fake = (struct fake){.now_ms = 1000, .respond = respond, .arg = arg};
    fake->base = (struct transport){.ops = &fake_ops, .state = fake};
}

/* Nothing is on its way, and no timer runs. */
static inline void fake_assert_idle(const struct fake *fake)
{
    assert_null(fake->calls);
    assert_null(fake->silent);
    assert_null(fake->timers);
}

static inline void fake_arrive(struct transport_call *call, struct fake_response response)
{
    if (response.status == 0) {
        struct error *error = NULL;
        error_set(&error, response.failure, "fake failure");
        call->callback(NULL, response.hop, error, call->arg);
        error_free(error);
    } else {
        struct http_reply reply = {.status = response.status,
                                   .retry_after_ms =
                                       response.retry_after_ms > 0 ? response.retry_after_ms : -1,
                                   .challenge = response.challenge,
                                   .request_id = "rid-1"};
        buffer_init(&reply.body, 1 << 20);
        if (response.body != NULL)
            (void)buffer_append_str(&reply.body, response.body, NULL);
        call->callback(&reply, HTTP_HOP_NONE, NULL, call->arg);
        buffer_finish(&reply.body);
    }
    fake_call_free(call);
}

static inline void fake_delay_over(void *arg)
{
    struct transport_call *call = arg;
    struct transport_call **at = &call->fake->silent;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->timer = NULL;
    fake_arrive(call, call->late);
}

static inline void fake_deliver(struct fake *fake)
{
    struct transport_call *call = fake->calls;
    fake->calls = call->next;
    call->late = fake->respond(fake, call->url, call->bearer, call->body);
    if (!call->late.silent && call->late.delay_ms == 0) {
        fake_arrive(call, call->late);
        return;
    }
    call->next = fake->silent;
    fake->silent = call;
    if (!call->late.silent)
        call->timer = fake_after(fake, call->late.delay_ms, fake_delay_over, call, NULL);
}

/* Delivers responses and fires timers until nothing is left to happen at or before `until_ms`. */
static inline void fake_run(struct fake *fake, uint64_t until_ms)
{
    for (;;) {
        if (fake->calls != NULL) {
            fake_deliver(fake);
        } else if (fake->timers != NULL && fake->timers->at_ms <= until_ms) {
            struct transport_timer *timer = fake->timers;
            fake->timers = timer->next;
            if (timer->at_ms > fake->now_ms)
                fake->now_ms = timer->at_ms;
            timer->fired(timer->arg);
            free(timer);
        } else {
            return;
        }
    }
}

#endif
