/*
 * publish_record.c - the end of a publish: the volume is recorded, rolled back, or left as it is.
 */
#include "driver/publish/publish_record.h"

#include <stdlib.h>

#include "common/base/backoff.h"
#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/publish/publish_report.h"

/* --- events of the volume --- */

static struct volume_event event_of(const struct publish *publish, enum volume_event_type type)
{
    return (struct volume_event){
        .type = type,
        .pod_name = publish->request.pod_name,
        .pod_namespace = publish->request.pod_namespace,
        .pod_uid = publish->request.pod_uid,
        .target_path = publish->request.target_path,
        .class_name = publish->request.class_name,
        .class = publish->class,
        .changed = publish->job.changed,
        .failure = publish->failure,
    };
}

/* The volume as this publish has left it. */
static struct volume_event event_of_success(const struct publish *publish)
{
    struct volume_event event = event_of(publish, publish->mode->event);

    event.versions = &publish->response.versions;
    event.files = publish->response.no_files ? NULL : &publish->response.payload;
    event.checked_unix = (int64_t)publish->job.options.last_checked_unix;
    return event;
}

/* The volume as this publish has found it. */
static struct volume_event event_of_known(const struct publish *publish, enum volume_event_type type)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);
    struct volume_event event = event_of(publish, type);

    event.versions = volume != NULL && volume->versions != NULL ? version_set_map(volume->versions) : NULL;
    event.checked_unix = (int64_t)publish->job.last_checked;
    return event;
}

/* --- OK without anything done --- */

void publish_enter_unchanged(struct publish *publish)
{
    const struct volume_event event = event_of_known(publish, VOLUME_EVENT_CHECKED);

    observer_chain_on_unchanged(publish->publisher->observers, &event);
    publish_report_unchanged(publish);
    publish_respond(publish, /* error= */ NULL);
    publish_dispose(publish);
}

/* --- ROLLBACK --- */

static void run_rollback(void *job)
{
    struct publish *publish = job;

    (void)volume_unpublish(publish->job.target_path, &publish->job.error);
}

static void rollback_done(void *job)
{
    struct publish *publish = job;

    if (publish->job.error != NULL) {
        log_warning(publish->publisher->log, "rollback failed, the next unpublish removes the volume",
                    LOG_STR("targetPath", publish->request.target_path), LOG_ERR(publish->job.error));
        /* Something is left behind: the kubelet must call unpublish. */
        if (publish->rollback_cause != NULL)
            (void)error_recode(&publish->rollback_cause, GRPC_STATUS_ABORTED);
    }
    publish_respond(publish, publish->rollback_cause);
    publish_dispose(publish);
}

void publish_enter_rollback(struct publish *publish, struct error **cause)
{
    publish->state = PUBLISH_ROLLBACK;
    publish->rollback_cause = steal_ptr(cause);
    observer_chain_on_removed(publish->publisher->observers, publish->request.target_path);
    if (worker_start(publish->publisher->loop, run_rollback, rollback_done, publish, &publish->job.error) < 0)
        rollback_done(publish);
}

/* --- RECORD, RECORD_FAILURE --- */

static void run_observers(struct publish *publish, const struct volume_event *event,
                          observer_chain_callback *done)
{
    const struct publisher *publisher = publish->publisher;
    const struct observer_chain_config config = {.loop = publisher->loop,
                                                 .log = publisher->log,
                                                 .metrics = publisher->metrics,
                                                 .observers = publisher->observers};
    cleanup_error struct error *error = NULL;
    uint64_t left =
        publish->caller == PUBLISH_CALLER_WAITS ? publish_time_left(publish) : OBSERVER_TIMEOUT_MS;

    if (!observer_chain_wants(publisher->observers, event)) {
        done(/* error= */ NULL, publish);
        return;
    }
    publish->observers =
        observer_chain_start(&config, event, publish_child_timeout(left), done, publish, &error);
    if (publish->observers == NULL)
        done(publish_requires_record(publish) ? error : NULL, publish);
}

bool publish_requires_record(const struct publish *publish)
{
    const struct volume_event event = event_of_success(publish);

    return publish->mode->rolls_back && observer_chain_requires(publish->publisher->observers, &event);
}

/* A caller that has gone was reported as a failure, and that stays. */
static void succeed(struct publish *publish)
{
    if (publish->caller == PUBLISH_CALLER_WAITS)
        publish_report_success(publish);
    publish_respond(publish, /* error= */ NULL);
}

static void record_done(const struct error *error, void *arg)
{
    struct publish *publish = arg;
    const struct volume_names names = publish_request_names(&publish->request);
    struct error *cause = NULL;

    publish->observers = NULL;
    if (error != NULL) {
        publish_note_failure(publish, error, /* type= */ NULL);
        cause = error_copy(error);
        publish_enter_rollback(publish, &cause);
        return;
    }
    succeed(publish);
    volume_states_succeeded(publish->publisher->volumes, &names, publish->class->provider, &publish->spec,
                            &publish->response.versions, clock_unix_s());
    publish_dispose(publish);
}

void publish_enter_record(struct publish *publish)
{
    struct volume_event event;

    publish->state = PUBLISH_RECORD;
    error_free(steal_ptr(&publish->failure)); /* of a caller that has gone: the work is done all the same */
    if (publish->mode->is_republish)
        succeed(publish);
    event = event_of_success(publish);
    run_observers(publish, &event, record_done);
}

static void failure_recorded(const struct error *error, void *arg)
{
    struct publish *publish = arg;

    (void)error; /* no observer is required */
    publish->observers = NULL;
    publish_dispose(publish);
}

static void enter_record_failure(struct publish *publish)
{
    const struct volume_event event = event_of_known(publish, VOLUME_EVENT_FAILED);

    publish->state = PUBLISH_RECORD_FAILURE;
    run_observers(publish, &event, failure_recorded);
}

/* --- failures --- */

static void delay_next_check(struct publish *publish)
{
    const struct volume_names names = publish_request_names(&publish->request);

    volume_states_failed(publish->publisher->volumes, &names, &publish->spec, backoff_random(),
                         clock_steady_s());
}

void publish_note_failure(struct publish *publish, const struct error *error, const char *type)
{
    publish_report_failure(publish, error, type);
    if (!publish->mode->is_republish)
        return;
    delay_next_check(publish);
    error_free(publish->failure);
    publish->failure = error_copy(error);
}

static void run_close(void *job)
{
    struct publish *publish = job;

    volume_close(publish->job.target_path);
}

static void close_done(void *job)
{
    publish_end_failed(job);
}

/* The volume was there before, and is writable since PREPARE. */
static void enter_close(struct publish *publish)
{
    publish->state = PUBLISH_CLOSE;
    publish->job.prepared = VOLUME_PREPARED_NOT;
    if (worker_start(publish->publisher->loop, run_close, close_done, publish, /* err= */ NULL) < 0)
        publish_end_failed(publish);
}

void publish_end_failed(struct publish *publish)
{
    struct error *no_cause = NULL;

    if (publish->job.prepared == VOLUME_PREPARED_NEW)
        publish_enter_rollback(publish, &no_cause);
    else if (publish->job.prepared == VOLUME_PREPARED_AGAIN)
        enter_close(publish);
    else if (publish->mode->is_republish)
        enter_record_failure(publish);
    else
        publish_dispose(publish);
}

void publish_fail(struct publish *publish, const struct error *error, const char *type)
{
    struct error *cause = NULL;

    publish_note_failure(publish, error, type);
    if (publish->job.prepared == VOLUME_PREPARED_NEW && !publish->mode->is_republish) {
        cause = error_copy(error);
        publish_enter_rollback(publish, &cause); /* which has the caller's response */
        return;
    }
    publish_respond(publish, publish->mode->is_republish ? NULL : error);
    publish_end_failed(publish);
}
