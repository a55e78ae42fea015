/*
 * kube_health.c - does the Kubernetes API server respond? See the drawing in the header.
 */
#include "common/kube/kube_health.h"

#include <stdlib.h>

#include "common/base/backoff.h"
#include "common/process/loop_timer.h"

#define NEVER UINT64_MAX

static const struct backoff probe_pauses = {.first = KUBE_PROBE_FIRST_MS,
                                            .growth_percent = 200,
                                            .cap = KUBE_PROBE_CAP_MS,
                                            .jitter_min_percent = 100,
                                            .jitter_max_percent = 125};

struct kube_health {
    struct kube_health_config config;
    enum kube_health_state state;
    struct list listeners;
    struct loop_timer *timer; /* the next probe, or the end of a silence */
    unsigned in_flight;
    uint64_t silent_ms; /* since then a request is in flight, and none has got a response; NEVER = none is */

    /* while it is not reachable */
    uint64_t suspect_ms; /* since when */
    struct error *cause; /* the last failure; NULL without memory */
    bool probing;
    unsigned failed_probes;
    uint64_t next_probe_ms;
};

static uint64_t now_of(const struct kube_health *health)
{
    return uv_now(health->config.loop);
}

/* One of the times in the header. */
static uint64_t scaled(const struct kube_health *health, uint64_t ms)
{
    return health->config.speedup != 0 ? ms / health->config.speedup : ms;
}

static bool is_silent(const struct kube_health *health)
{
    uint64_t now = now_of(health);

    return health->silent_ms <= now && now - health->silent_ms >= scaled(health, KUBE_SILENCE_MS);
}

static void set_timer(struct kube_health *health)
{
    uint64_t now = now_of(health);
    uint64_t next = NEVER;

    if (health->state != KUBE_REACHABLE)
        next = health->probing ? NEVER : health->next_probe_ms;
    else if (health->silent_ms != NEVER)
        next = health->silent_ms + scaled(health, KUBE_SILENCE_MS);
    if (next == NEVER)
        loop_timer_stop(health->timer);
    else
        loop_timer_start(health->timer, next > now ? next - now : 0);
}

/* --- states --- */

static void enter(struct kube_health *health, enum kube_health_state state)
{
    bool recovered = health->state == KUBE_UNREACHABLE && state == KUBE_REACHABLE;

    health->state = state;
    for (struct list *link = health->listeners.next; link != &health->listeners; link = link->next) {
        const struct kube_health_listener *listener = container_of(link, struct kube_health_listener, link);

        if (listener->on_change != NULL)
            listener->on_change(listener->arg);
        if (recovered && listener->on_recovered != NULL)
            listener->on_recovered(listener->arg);
    }
}

static void keep_cause(struct kube_health *health, const struct error *error)
{
    error_free(health->cause);
    health->cause = error_copy(error);
}

static void probe_failed(struct kube_health *health, const struct error *error);

static void probe(struct kube_health *health)
{
    cleanup_error struct error *error = NULL;

    health->probing = true;
    if (health->config.probe(health->config.arg, &error) < 0)
        probe_failed(health, error);
}

static void become_suspect(struct kube_health *health, uint64_t since_ms, const struct error *error)
{
    health->suspect_ms = since_ms;
    health->failed_probes = 0;
    keep_cause(health, error);
    log_warning(health->config.log, "the Kubernetes API does not respond",
                LOG_STR("server", health->config.server), LOG_ERR(error));
    enter(health, KUBE_SUSPECT);
    if (!health->probing)
        probe(health);
}

static void become_unreachable(struct kube_health *health)
{
    log_warning(health->config.log, "the Kubernetes API is unreachable, requests fail until it responds",
                LOG_STR("server", health->config.server), LOG_ERR(health->cause));
    enter(health, KUBE_UNREACHABLE);
}

/* Any response. */
static void become_reachable(struct kube_health *health)
{
    health->silent_ms = health->in_flight > 0 ? now_of(health) : NEVER;
    if (health->state != KUBE_REACHABLE) {
        log_info(health->config.log, "the Kubernetes API responds again",
                 LOG_STR("server", health->config.server));
        enter(health, KUBE_REACHABLE);
    }
    set_timer(health);
}

static void timer_fired(void *arg)
{
    struct kube_health *health = arg;
    cleanup_error struct error *error = NULL;

    if (health->state != KUBE_REACHABLE) {
        if (!health->probing && now_of(health) >= health->next_probe_ms)
            probe(health);
    } else if (is_silent(health)) {
        (void)error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED, "no response within %d ms", KUBE_SILENCE_MS);
        become_suspect(health, health->silent_ms, error);
    }
    set_timer(health);
}

/* --- probes --- */

static void probe_failed(struct kube_health *health, const struct error *error)
{
    uint64_t now = now_of(health);

    health->probing = false;
    if (health->state == KUBE_REACHABLE) /* a request got a response meanwhile */
        return;
    health->failed_probes++;
    health->next_probe_ms =
        now + scaled(health, backoff_pause(&probe_pauses, health->failed_probes, backoff_random()));
    keep_cause(health, error);
    if (health->state == KUBE_SUSPECT && now - health->suspect_ms >= scaled(health, KUBE_SUSPECT_MS))
        become_unreachable(health);
    set_timer(health);
}

void kube_health_probed(struct kube_health *health, const struct error *error)
{
    if (error != NULL) {
        probe_failed(health, error);
        return;
    }
    health->probing = false;
    become_reachable(health);
}

/* --- requests --- */

void kube_health_sent(struct kube_health *health)
{
    health->in_flight++;
    if (health->silent_ms == NEVER)
        health->silent_ms = now_of(health);
    set_timer(health);
}

void kube_health_responded(struct kube_health *health)
{
    health->in_flight--;
    become_reachable(health);
}

void kube_health_no_response(struct kube_health *health, const struct error *error)
{
    uint64_t now = now_of(health);
    /* A request that timed out has been silent from the beginning; one whose connection broke has not. */
    bool silent = error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED && health->silent_ms < now;
    uint64_t since_ms = silent ? health->silent_ms : now;

    kube_health_abandoned(health);
    if (health->state == KUBE_REACHABLE)
        become_suspect(health, since_ms, error);
    set_timer(health);
}

void kube_health_abandoned(struct kube_health *health)
{
    if (--health->in_flight == 0)
        health->silent_ms = NEVER;
    set_timer(health);
}

int kube_health_error(const struct kube_health *health, struct error **err)
{
    return error_set(err, GRPC_STATUS_UNAVAILABLE,
                     "the API server has not responded for %llu s; it is probed every few seconds: %s",
                     (unsigned long long)(now_of(health) - health->suspect_ms) / 1000,
                     error_message(health->cause));
}

enum kube_health_state kube_health_state(const struct kube_health *health)
{
    return health->state;
}

/* --- listeners --- */

void kube_health_listen(struct kube_health *health, struct kube_health_listener *listener)
{
    list_init(&listener->link);
    list_insert_before(&health->listeners, &listener->link);
}

void kube_health_unlisten(struct kube_health_listener *listener)
{
    list_remove(&listener->link);
}

/* --- create, destroy --- */

struct kube_health *kube_health_create(const struct kube_health_config *config, struct error **err)
{
    struct kube_health *health = calloc(1, sizeof(*health));

    if (health == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *health = (struct kube_health){.config = *config, .silent_ms = NEVER};
    list_init(&health->listeners);
    health->timer = loop_timer_create(config->loop, timer_fired, health, err);
    if (health->timer == NULL) {
        free(health);
        return NULL;
    }
    return health;
}

void kube_health_destroy(struct kube_health *health)
{
    if (health == NULL)
        return;
    loop_timer_destroy(health->timer);
    error_free(health->cause);
    free(health);
}
