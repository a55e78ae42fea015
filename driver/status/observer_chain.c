/*
 * observer_chain.c - passes one event of a volume to all observers.
 */
#include "driver/status/observer_chain.h"

#include <stdlib.h>

#include "common/process/loop_timer.h"

struct observer_chain {
    struct observer_chain_config config;
    struct volume_event event;
    size_t at;                  /* the observer that is running, or comes next */
    struct observer_call *call; /* of that observer; NULL when none runs */
    struct loop_timer *timer;   /* the first turn */
    observer_chain_callback *callback;
    void *arg;
    uint64_t deadline_ms; /* on uv_now()'s clock */
};

static bool wants(const struct volume_observer *observer, const struct volume_event *event)
{
    return event->type != VOLUME_EVENT_FAILED || observer->wants_failures;
}

static bool requires(const struct volume_observer *observer, const struct volume_event *event)
{
    return event->type == VOLUME_EVENT_MOUNTED && observer->is_required != NULL &&
           observer->is_required(observer->state, event);
}

bool observer_chain_wants(const struct volume_observers *observers, const struct volume_event *event)
{
    for (size_t i = 0; observers != NULL && i < observers->n; i++)
        if (wants(&observers->list[i], event))
            return true;
    return false;
}

bool observer_chain_requires(const struct volume_observers *observers, const struct volume_event *event)
{
    for (size_t i = 0; observers != NULL && i < observers->n; i++)
        if (requires(&observers->list[i], event))
            return true;
    return false;
}

void observer_chain_on_removed(const struct volume_observers *observers, const char *target_path)
{
    for (size_t i = 0; observers != NULL && i < observers->n; i++)
        if (observers->list[i].on_removed != NULL)
            observers->list[i].on_removed(observers->list[i].state, target_path);
}

void observer_chain_on_unchanged(const struct volume_observers *observers, const struct volume_event *event)
{
    for (size_t i = 0; observers != NULL && i < observers->n; i++)
        if (observers->list[i].on_unchanged != NULL)
            observers->list[i].on_unchanged(observers->list[i].state, event);
}

/* --- end of life --- */

static void chain_free(struct observer_chain *chain)
{
    loop_timer_destroy(chain->timer);
    free(chain);
}

static void conclude(struct observer_chain *chain, const struct error *error)
{
    observer_chain_callback *callback = chain->callback;
    void *arg = chain->arg;

    chain_free(chain);
    callback(error, arg);
}

/* --- one observer after the other --- */

static void next(struct observer_chain *chain);

/* The observer at `at` could not do its work. */
static void failed(struct observer_chain *chain, const struct error *cause)
{
    const struct volume_observer *observer = &chain->config.observers->list[chain->at];
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "%s", observer->action);
    driver_metrics_record_error(chain->config.metrics, observer->name);
    if (requires(observer, &chain->event)) {
        conclude(chain, error != NULL ? error : cause);
        return;
    }
    log_warning(chain->config.log, "the volume is mounted, but its status or Secrets are not up to date",
                LOG_OBJECT("pod", chain->event.pod_namespace, chain->event.pod_name),
                LOG_STR("spc", chain->event.class_name), LOG_STR("targetPath", chain->event.target_path),
                LOG_ERR(error != NULL ? error : cause));
    chain->at++;
    next(chain);
}

static void observer_done(const struct error *error, void *arg)
{
    struct observer_chain *chain = arg;

    chain->call = NULL;
    if (error != NULL) {
        failed(chain, error);
        return;
    }
    chain->at++;
    next(chain);
}

static uint64_t time_for(const struct observer_chain *chain, const struct volume_observer *observer)
{
    uint64_t now = uv_now(chain->config.loop);
    uint64_t left = now < chain->deadline_ms ? chain->deadline_ms - now : 1; /* 0 means "any" below */

    return left > OBSERVER_TIMEOUT_MS && !requires(observer, &chain->event) ? OBSERVER_TIMEOUT_MS : left;
}

static void next(struct observer_chain *chain)
{
    const struct volume_observers *observers = chain->config.observers;
    cleanup_error struct error *error = NULL;
    const struct volume_observer *observer;

    while (observers != NULL && chain->at < observers->n &&
           !wants(&observers->list[chain->at], &chain->event))
        chain->at++;
    if (observers == NULL || chain->at >= observers->n) {
        conclude(chain, NULL);
        return;
    }
    observer = &observers->list[chain->at];
    chain->call = observer->start(observer->state, &chain->event, time_for(chain, observer), observer_done,
                                  chain, &error);
    if (chain->call == NULL)
        failed(chain, error);
}

static void begin(void *arg)
{
    next(arg);
}

struct observer_chain *observer_chain_start(const struct observer_chain_config *config,
                                            const struct volume_event *event, uint64_t timeout_ms,
                                            observer_chain_callback *callback, void *arg, struct error **err)
{
    struct observer_chain *chain = calloc(1, sizeof(*chain));

    if (chain == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *chain = (struct observer_chain){.config = *config,
                                     .event = *event,
                                     .callback = callback,
                                     .arg = arg,
                                     .deadline_ms = uv_now(config->loop) + timeout_ms};
    chain->timer = loop_timer_create(config->loop, begin, chain, err);
    if (chain->timer == NULL) {
        free(chain);
        return NULL;
    }
    loop_timer_start(chain->timer, 0); /* no callback inside start, whatever the observers do */
    return chain;
}

void observer_chain_cancel(struct observer_chain **chain)
{
    if ((*chain)->call != NULL) {
        const struct volume_observer *observer = &(*chain)->config.observers->list[(*chain)->at];

        observer->cancel(observer->state, (*chain)->call);
    }
    chain_free(*chain);
    *chain = NULL;
}
