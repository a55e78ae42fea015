/*
 * publish_record.c - a publish whose volume is there: recorded, or taken back.
 */
#include <stdlib.h>

#include "driver/base/worker.h"
#include "driver/publish/publish_private.h"

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
        log_warning(publish->publisher->log, "a volume could not be taken back after a failure",
                    LOG_STR("targetPath", publish->request.target_path), LOG_ERR(publish->job.error));
        /* Something is left behind: the kubelet must call unpublish. */
        if (publish->rollback_cause != NULL)
            (void)error_recode(&publish->rollback_cause, GRPC_STATUS_ABORTED);
    }
    publish_answer(publish, publish->rollback_cause);
    publish_dispose(publish);
}

void publish_enter_rollback(struct publish *publish, struct error **cause)
{
    struct error *error = NULL;

    observer_chain_on_removed(publish->publisher->observers, publish->request.target_path);
    publish->rollback_cause = *cause;
    *cause = NULL;
    publish->state = PUBLISH_ROLLBACK;
    if (worker_start(publish->publisher->loop, run_rollback, rollback_done, publish, &error) < 0) {
        publish->job.error = error;
        rollback_done(publish);
    }
}

/* --- STATUS --- */

static struct volume_event event_of(const struct publish *publish, enum volume_event_type type)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);
    struct volume_event event = {
        .type = type,
        .pod_name = publish->request.pod_name,
        .pod_namespace = publish->request.pod_namespace,
        .pod_uid = publish->request.pod_uid,
        .target_path = publish->request.target_path,
        .class_name = publish->request.class_name,
        .class = publish->class,
        .changed = publish->job.changed,
    };

    if (type == VOLUME_EVENT_FAILED) {
        event.versions = volume != NULL && volume->versions.n > 0 ? &volume->versions : NULL;
        event.checked_unix = (int64_t)publish->job.last_checked;
        event.failure = publish->failure;
    } else {
        event.versions = &publish->answer.versions;
        event.files = publish->answer.no_files ? NULL : &publish->answer.payload;
        event.checked_unix = (int64_t)publish->job.options.last_checked_unix;
    }
    return event;
}

bool publish_may_be_taken_back(const struct publish *publish)
{
    const struct volume_event event = event_of(publish, VOLUME_EVENT_MOUNTED);

    return !publish->look && !publish->job.may_be_in_use &&
           observer_chain_requires(publish->publisher->observers, &event);
}

static void status_done(const struct error *error, void *arg)
{
    struct publish *publish = arg;
    struct error *cause = NULL;

    publish->observer_chain = NULL;
    if (publish->failure != NULL) {
        publish_dispose(publish);
        return;
    }
    if (error == NULL) {
        publish_report_success(publish);
        publish_remember_success(publish);
        publish_dispose(publish);
        return;
    }
    publish_report_failure(publish, error, "");
    cause = error_copy(error);
    publish_enter_rollback(publish, &cause);
}

static void enter_observers(struct publish *publish, enum volume_event_type type)
{
    const struct publisher *publisher = publish->publisher;
    const struct observer_chain_config config = {.loop = publisher->loop,
                                                 .log = publisher->log,
                                                 .metrics = publisher->metrics,
                                                 .observers = publisher->observers};
    const struct volume_event event = event_of(publish, type);
    cleanup_error struct error *error = NULL;
    uint64_t left = publish->callback != NULL ? publish_time_left(publish) : OBSERVER_TIMEOUT_MS;

    publish->state = PUBLISH_STATUS;
    if (!observer_chain_wants(publisher->observers, &event)) {
        status_done(NULL, publish);
        return;
    }
    publish->observer_chain = observer_chain_start(&config, &event, left - publish_answer_margin(left),
                                                   status_done, publish, &error);
    if (publish->observer_chain == NULL)
        status_done(publish_may_be_taken_back(publish) ? error : NULL, publish);
}

void publish_enter_status(struct publish *publish)
{
    error_free(publish->failure); /* of a caller that has gone; the work was done all the same */
    publish->failure = NULL;
    if (publish->look)
        publish_report_success(publish);
    /* What may be in use can not be taken back, so nothing may be needed: it counts as looked at. */
    enter_observers(publish, publish->look || publish->job.may_be_in_use ? VOLUME_EVENT_CHECKED
                                                                         : VOLUME_EVENT_MOUNTED);
}

void publish_enter_failed_status(struct publish *publish)
{
    if (publish->failure == NULL) /* no memory for a copy: it has been logged */
        publish_dispose(publish);
    else
        enter_observers(publish, VOLUME_EVENT_FAILED);
}
