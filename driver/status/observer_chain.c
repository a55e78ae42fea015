/*
 * recording.c - shows one outcome of a publish to all recorders.
 */
#include "driver/status/observer_chain.h"

#include <stdlib.h>

struct recording {
    struct recording_config config;
    struct status_record record;
    size_t at;                    /* the recorder that is running, or comes next */
    struct status_call *call;     /* of that recorder; NULL when none runs */
    uv_timer_t timer;             /* embedded: the next turn; the struct lives until it is closed */
    recording_callback *callback; /* NULL once called or cancelled */
    void *arg;
    uint64_t deadline_ms; /* on uv_now()'s clock */
};

static bool wants(const struct status_recorder *recorder, const struct status_record *record)
{
    return record->event != STATUS_FAILED || recorder->failures;
}

static bool needs(const struct status_recorder *recorder, const struct status_record *record)
{
    return record->event == STATUS_MOUNTED && recorder->needed != NULL &&
           recorder->needed(recorder->state, record);
}

bool recording_wanted(const struct status_recorders *recorders, const struct status_record *record)
{
    for (size_t i = 0; recorders != NULL && i < recorders->n; i++)
        if (wants(&recorders->list[i], record))
            return true;
    return false;
}

bool recording_needed(const struct status_recorders *recorders, const struct status_record *record)
{
    for (size_t i = 0; recorders != NULL && i < recorders->n; i++)
        if (needs(&recorders->list[i], record))
            return true;
    return false;
}

void recording_forget(const struct status_recorders *recorders, const char *target_path)
{
    for (size_t i = 0; recorders != NULL && i < recorders->n; i++)
        if (recorders->list[i].forget != NULL)
            recorders->list[i].forget(recorders->list[i].state, target_path);
}

void recording_seen(const struct status_recorders *recorders, const struct status_record *record)
{
    for (size_t i = 0; recorders != NULL && i < recorders->n; i++)
        if (recorders->list[i].seen != NULL)
            recorders->list[i].seen(recorders->list[i].state, record);
}

/* --- end of life --- */

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void dispose(struct recording *recording)
{
    recording->callback = NULL;
    uv_close((uv_handle_t *)&recording->timer, timer_closed);
}

static void conclude(struct recording *recording, const struct error *error)
{
    recording_callback *callback = recording->callback;
    void *arg = recording->arg;

    dispose(recording);
    callback(error, arg);
}

/* --- one recorder after the other --- */

static void next(struct recording *recording);

/* The recorder at `at` could not do its work. */
static void failed(struct recording *recording, const struct error *cause)
{
    const struct status_recorder *recorder = &recording->config.recorders->list[recording->at];
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "%s", recorder->action);
    telemetry_record_error(recording->config.telemetry, recorder->name);
    if (needs(recorder, &recording->record)) {
        conclude(recording, error != NULL ? error : cause);
        return;
    }
    log_warning(recording->config.log, "the volume is there, but not everything about it is",
                LOG_OBJECT("pod", recording->record.pod_namespace, recording->record.pod_name),
                LOG_STR("spc", recording->record.class_name),
                LOG_STR("targetPath", recording->record.target_path), LOG_ERR(error != NULL ? error : cause));
    recording->at++;
    next(recording);
}

static void recorded(const struct error *error, void *arg)
{
    struct recording *recording = arg;

    recording->call = NULL;
    if (error != NULL) {
        failed(recording, error);
        return;
    }
    recording->at++;
    next(recording);
}

static uint64_t time_for(const struct recording *recording, const struct status_recorder *recorder)
{
    uint64_t now = uv_now(recording->config.loop);
    uint64_t left = now < recording->deadline_ms ? recording->deadline_ms - now : 1; /* 0 means "any" below */

    return left > RECORDING_TIMEOUT_MS && !needs(recorder, &recording->record) ? RECORDING_TIMEOUT_MS : left;
}

static void next(struct recording *recording)
{
    const struct status_recorders *recorders = recording->config.recorders;
    cleanup_error struct error *error = NULL;
    const struct status_recorder *recorder;

    while (recorders != NULL && recording->at < recorders->n &&
           !wants(&recorders->list[recording->at], &recording->record))
        recording->at++;
    if (recorders == NULL || recording->at >= recorders->n) {
        conclude(recording, NULL);
        return;
    }
    recorder = &recorders->list[recording->at];
    recording->call = recorder->start(recorder->state, &recording->record, time_for(recording, recorder),
                                      recorded, recording, &error);
    if (recording->call == NULL)
        failed(recording, error);
}

static void begin(uv_timer_t *timer)
{
    next(timer->data);
}

struct recording *recording_start(const struct recording_config *config, const struct status_record *record,
                                  uint64_t timeout_ms, recording_callback *callback, void *arg,
                                  struct error **err)
{
    struct recording *recording = calloc(1, sizeof(*recording));

    if (recording == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *recording = (struct recording){.config = *config,
                                    .record = *record,
                                    .callback = callback,
                                    .arg = arg,
                                    .deadline_ms = uv_now(config->loop) + timeout_ms};
    (void)uv_timer_init(config->loop, &recording->timer); /* can not fail */
    recording->timer.data = recording;
    (void)uv_timer_start(&recording->timer, begin, 0, 0); /* no callback inside start, whatever they do */
    return recording;
}

void recording_cancel(struct recording **recording)
{
    if ((*recording)->call != NULL) {
        const struct status_recorder *recorder = &(*recording)->config.recorders->list[(*recording)->at];

        recorder->cancel(recorder->state, (*recording)->call);
    }
    dispose(*recording);
    *recording = NULL;
}
