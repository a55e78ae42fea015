/*
 * publish.c - one NodePublishVolume, as a state machine. See the drawing in the header.
 */
#include "driver/publish.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/lifecycle.h"
#include "common/secret.h"
#include "driver/provider_client.h"
#include "driver/rotation.h"
#include "driver/volume.h"
#include "driver/volume_record.h"
#include "driver/worker.h"

enum {
    OUT_OF_TIME_MS = 100
}; /* with so little left the caller has given up, or will before it hears of it */

enum publish_state {
    PUBLISH_QUEUE,
    PUBLISH_INSPECT,
    PUBLISH_DUE,
    PUBLISH_CLASS,
    PUBLISH_PROVIDER,
    PUBLISH_WRITE,
    PUBLISH_STATUS,
    PUBLISH_ROLLBACK,
};

struct publish {
    const struct publisher *publisher;
    struct volume_lock lock;
    enum publish_state state;
    publish_callback *callback; /* NULL once the caller has its answer or does not want one */
    void *arg;
    struct publish_request request;
    uint64_t started_ns;
    uint64_t deadline_ms; /* on uv_now()'s clock */
    bool look; /* a complete volume was found: nothing may be unmounted, failures are kept from the caller */
    bool interrupted; /* an unpublish waits for the lock */

    /* children: at most one is not NULL; workers are not children, see worker_runs() */
    struct class_memo_call *recent;
    struct class_lookup *lookup;
    struct provider_call *provider;
    struct recording *recording;
    uint64_t provider_started_ns;

    struct secret_provider_class *class; /* an owner among others */
    struct rotation_wish wish;
    struct provider_answer answer;
    char *record;                 /* for the volume; secret_free() */
    struct error *rollback_cause; /* ROLLBACK: what is answered when it is done */
    struct error *failure;        /* of a look, for the recorders */

    /* in and out of the workers */
    struct {
        const char *target_path;
        const struct payload *payload;
        struct volume_options options;
        bool look;
        bool no_files;
        bool rotation; /* inspect: is last_checked of interest? */
        bool recall;   /* inspect: and the record? */
        enum volume_state volume;
        uint64_t last_checked;
        char *record;
        bool may_be_in_use; /* inspect: incomplete, but containers may see it */
        bool changed;
        struct error *error;
    } job;
};

/* --- end of life --- */

static bool worker_runs(const struct publish *publish)
{
    return publish->state == PUBLISH_INSPECT || publish->state == PUBLISH_WRITE ||
           publish->state == PUBLISH_ROLLBACK;
}

static void publish_dispose(struct publish *publish)
{
    secret_provider_class_free(publish->class);
    provider_answer_finish(&publish->answer);
    error_free(publish->rollback_cause);
    error_free(publish->failure);
    error_free(publish->job.error);
    free(publish->job.record);
    secret_free(publish->record);
    volume_lock_release(&publish->lock); /* may start the next in line, which knows nothing of us */
    publish_request_finish(&publish->request);
    free(publish);
}

static void cancel_children(struct publish *publish)
{
    if (publish->recent != NULL)
        class_memo_cancel(&publish->recent);
    if (publish->lookup != NULL)
        class_source_cancel(publish->publisher->classes, &publish->lookup);
    if (publish->provider != NULL)
        provider_call_cancel(&publish->provider);
    if (publish->recording != NULL)
        recording_cancel(&publish->recording);
}

static const char *provider_label(const struct publish *publish)
{
    const struct published_volume *volume;

    if (publish->class != NULL)
        return publish->class->provider;
    volume = published_volumes_find(publish->publisher->published, publish->request.target_path);
    return volume != NULL && volume->provider != NULL ? volume->provider : publish->request.provider_hint;
}

static void pod_of(const struct publish *publish, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s", publish->request.pod_namespace, publish->request.pod_name);
}

/* Gives the caller its answer. The operation may live on. */
static void answer_caller(struct publish *publish, const struct error *error)
{
    publish_callback *callback = publish->callback;

    publish->callback = NULL;
    if (callback != NULL)
        callback(error, publish->arg);
}

static uint64_t time_left(const struct publish *publish)
{
    uint64_t now = uv_now(publish->publisher->loop);

    return now < publish->deadline_ms ? publish->deadline_ms - now : 0;
}

/* What is kept of it, so that an answer reaches the caller before it gives up. */
static uint64_t answer_margin(uint64_t left)
{
    return left / 10 < PUBLISH_ANSWER_MARGIN_MS ? left / 10 : PUBLISH_ANSWER_MARGIN_MS;
}

/* --- remembering --- */

static void remember_success(struct publish *publish)
{
    published_volumes_succeeded(publish->publisher->published, publish->request.target_path,
                                publish->class->provider, &publish->wish, &publish->answer.versions,
                                clock_unix_s());
}

static void remember_failure(struct publish *publish)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint32_t)clock_monotonic_ns(); /* it only spreads retries */
    published_volumes_failed(publish->publisher->published, publish->request.target_path, &publish->wish,
                             random, clock_unix_s());
}

/* --- outcomes --- */

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* Tells those who look at the pod. */
static void tell_pod(const struct publish *publish, const struct event *what, const struct error *error)
{
    struct event event = *what;
    cleanup_free char *message = NULL;

    if (asprintf(&message, "%s: SecretProviderClass %s%s%s", what->message, publish->request.class_name,
                 error != NULL ? ": " : "", error_message(error)) < 0)
        message = NULL;
    event.pod_name = publish->request.pod_name;
    event.pod_namespace = publish->request.pod_namespace;
    event.pod_uid = publish->request.pod_uid;
    event.message = message != NULL ? message : what->message;
    events_emit(publish->publisher->events, &event);
}

static void report_look(const struct publish *publish, const char *pod)
{
    const struct publisher *publisher = publish->publisher;

    telemetry_rotation_ok(publisher->telemetry, publish->class->provider, publish->job.changed,
                          seconds_since(publish->started_ns));
    if (!publish->job.changed)
        return;
    tell_pod(publish,
             &(struct event){.type = EVENT_NORMAL,
                             .component = EVENT_ROTATION,
                             .reason = EVENT_ROTATED,
                             .message = "the contents of the volume have been updated"},
             NULL);
    log_info(publisher->log, "volume content updated", LOG_STR("pod", pod),
             LOG_STR("spc", publish->class->name), LOG_STR("provider", publish->class->provider),
             LOG_STR("targetPath", publish->request.target_path),
             LOG_UINT("files", publish->answer.payload.n));
}

static void report_mount(const struct publish *publish, const char *pod)
{
    const struct publisher *publisher = publish->publisher;

    log_info(publisher->log, "volume published", LOG_STR("pod", pod), LOG_STR("spc", publish->class->name),
             LOG_STR("provider", publish->class->provider),
             LOG_STR("targetPath", publish->request.target_path),
             LOG_UINT("files", publish->answer.payload.n));
}

/* The volume shows what it should: tells everybody but the recorders. When the caller has gone before, that is
 * on record as a failure, and stays one. */
static void report_success(struct publish *publish)
{
    char pod[600];

    if (publish->callback == NULL)
        return;
    pod_of(publish, pod, sizeof(pod));
    if (publish->look)
        report_look(publish, pod);
    else
        report_mount(publish, pod);
    if (!publish->look || publish->job.changed)
        telemetry_files_written(publish->publisher->telemetry, publish->class->provider,
                                payload_size(&publish->answer.payload));
    telemetry_publish_ok(publish->publisher->telemetry, publish->class->provider);
    answer_caller(publish, NULL);
}

/* A complete volume with nothing due. */
static void publish_skip(struct publish *publish)
{
    const struct status_record seen = {.pod_name = publish->request.pod_name,
                                       .pod_namespace = publish->request.pod_namespace,
                                       .pod_uid = publish->request.pod_uid,
                                       .target_path = publish->request.target_path,
                                       .class_name = publish->request.class_name};

    recording_seen(publish->publisher->recorders, &seen);
    log_debug(publish->publisher->log, 4, "volume is published already, nothing is due",
              LOG_STR("targetPath", publish->request.target_path));
    telemetry_publish_ok(publish->publisher->telemetry, provider_label(publish));
    answer_caller(publish, NULL);
    publish_dispose(publish);
}

/* One line and one count per failure, wherever it came from. */
static void record_failure(struct publish *publish, const struct error *error, const char *type)
{
    const struct publisher *publisher = publish->publisher;
    const char *provider = provider_label(publish);
    char pod[600];

    pod_of(publish, pod, sizeof(pod));
    if (type == NULL || type[0] == '\0')
        type = error_type(error)[0] != '\0' ? error_type(error) : ERROR_TYPE_MOUNT;
    telemetry_publish_error(publisher->telemetry, provider, type);
    if (publish->look) {
        telemetry_rotation_error(publisher->telemetry, provider, type);
        log_error(publisher->log, "volume content could not be checked for changes, the old content stays",
                  LOG_STR("pod", pod), LOG_STR("spc", publish->request.class_name),
                  LOG_STR("provider", provider), LOG_STR("targetPath", publish->request.target_path),
                  LOG_ERR(error));
        if (!publish->interrupted)
            tell_pod(publish,
                     &(struct event){
                         .type = EVENT_WARNING,
                         .component = EVENT_ROTATION,
                         .reason = EVENT_ROTATE_FAILED,
                         .message = "the contents of the volume could not be checked, the old ones stay"},
                     error);
        remember_failure(publish);
        error_free(publish->failure);
        publish->failure = error_copy(error);
    } else {
        /* All that the kubelet's own event says then is that a deadline has passed. */
        if (time_left(publish) < OUT_OF_TIME_MS && !publish->interrupted)
            tell_pod(publish,
                     &(struct event){.type = EVENT_WARNING,
                                     .component = EVENT_CONTROLLER,
                                     .reason = EVENT_MOUNT_TIMEOUT,
                                     .message = "the volume could not be mounted in time"},
                     error);
        log_error(publisher->log, "volume could not be published", LOG_STR("pod", pod),
                  LOG_STR("spc", publish->request.class_name), LOG_STR("provider", provider),
                  LOG_STR("targetPath", publish->request.target_path), LOG_ERR(error));
    }
}

static void enter_failed_status(struct publish *publish);

/* Ends the operation with an error, when no child and no worker runs and nothing has to be undone. `type`
 * NULL: from the error. */
static void publish_fail(struct publish *publish, const struct error *error, const char *type)
{
    record_failure(publish, error, type);
    answer_caller(publish, publish->look ? NULL : error);
    if (publish->look)
        enter_failed_status(publish);
    else
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
        log_warning(publish->publisher->log, "a volume could not be taken back after a failure",
                    LOG_STR("targetPath", publish->request.target_path), LOG_ERR(publish->job.error));
        /* Something is left behind: the kubelet must call unpublish. */
        if (publish->rollback_cause != NULL)
            (void)error_recode(&publish->rollback_cause, GRPC_STATUS_ABORTED);
    }
    answer_caller(publish, publish->rollback_cause);
    publish_dispose(publish);
}

/* The volume is there, but it must not count. Takes over *cause. */
static void enter_rollback(struct publish *publish, struct error **cause)
{
    struct error *error = NULL;

    recording_forget(publish->publisher->recorders, publish->request.target_path);
    publish->rollback_cause = *cause;
    *cause = NULL;
    publish->state = PUBLISH_ROLLBACK;
    if (worker_start(publish->publisher->loop, run_rollback, rollback_done, publish, &error) < 0) {
        publish->job.error = error;
        rollback_done(publish);
    }
}

/* --- STATUS --- */

static struct status_record record_of(const struct publish *publish, enum status_event event)
{
    const struct published_volume *volume =
        published_volumes_find(publish->publisher->published, publish->request.target_path);
    struct status_record record = {
        .event = event,
        .pod_name = publish->request.pod_name,
        .pod_namespace = publish->request.pod_namespace,
        .pod_uid = publish->request.pod_uid,
        .target_path = publish->request.target_path,
        .class_name = publish->request.class_name,
        .class = publish->class,
        .changed = publish->job.changed,
    };

    if (event == STATUS_FAILED) {
        record.versions = volume != NULL && volume->versions.n > 0 ? &volume->versions : NULL;
        record.checked_unix = (int64_t)publish->job.last_checked;
        record.failure = publish->failure;
    } else {
        record.versions = &publish->answer.versions;
        record.files = publish->answer.no_files ? NULL : &publish->answer.payload;
        record.checked_unix = (int64_t)publish->job.options.last_checked_unix;
    }
    return record;
}

/* Of a volume that is there by now: must it be taken back without a record? */
static bool may_be_taken_back(const struct publish *publish)
{
    const struct status_record record = record_of(publish, STATUS_MOUNTED);

    return !publish->look && !publish->job.may_be_in_use &&
           recording_needed(publish->publisher->recorders, &record);
}

static void status_done(const struct error *error, void *arg)
{
    struct publish *publish = arg;
    struct error *cause = NULL;

    publish->recording = NULL;
    if (publish->failure != NULL) {
        publish_dispose(publish);
        return;
    }
    if (error == NULL) {
        report_success(publish);
        remember_success(publish);
        publish_dispose(publish);
        return;
    }
    record_failure(publish, error, "");
    cause = error_copy(error);
    enter_rollback(publish, &cause);
}

static void enter_recording(struct publish *publish, enum status_event event)
{
    const struct publisher *publisher = publish->publisher;
    const struct recording_config config = {.loop = publisher->loop,
                                            .log = publisher->log,
                                            .telemetry = publisher->telemetry,
                                            .recorders = publisher->recorders};
    const struct status_record record = record_of(publish, event);
    cleanup_error struct error *error = NULL;
    uint64_t left = publish->callback != NULL ? time_left(publish) : RECORDING_TIMEOUT_MS;

    publish->state = PUBLISH_STATUS;
    if (!recording_wanted(publisher->recorders, &record)) {
        status_done(NULL, publish);
        return;
    }
    publish->recording =
        recording_start(&config, &record, left - answer_margin(left), status_done, publish, &error);
    if (publish->recording == NULL)
        status_done(may_be_taken_back(publish) ? error : NULL, publish);
}

/* The volume shows what it should. The caller of a look need not wait for it to be recorded. */
static void enter_status(struct publish *publish)
{
    error_free(publish->failure); /* of a caller that has gone; the work was done all the same */
    publish->failure = NULL;
    if (publish->look)
        report_success(publish);
    /* What may be in use can not be taken back, so nothing may be needed: it counts as looked at. */
    enter_recording(publish, publish->look || publish->job.may_be_in_use ? STATUS_LOOKED : STATUS_MOUNTED);
}

static void enter_failed_status(struct publish *publish)
{
    if (publish->failure == NULL) /* no memory for a copy: it has been logged */
        publish_dispose(publish);
    else
        enter_recording(publish, STATUS_FAILED);
}

/* --- WRITE --- */

static void run_write(void *job)
{
    struct publish *publish = job;

    if (!publish->job.look) {
        (void)volume_publish(publish->job.target_path, publish->job.payload, &publish->job.options,
                             &publish->job.error);
        return;
    }
    if (publish->job.no_files)
        (void)volume_remember(publish->job.target_path, &publish->job.options, &publish->job.error);
    else
        (void)volume_update(publish->job.target_path, publish->job.payload, &publish->job.options,
                            &publish->job.changed, &publish->job.error);
}

/* Nobody waits any more. What has been written stays and is recorded, unless the pod needs a record before it
 * may start. */
static void cancelled_in_write(struct publish *publish, bool written)
{
    struct error *none = NULL;

    if (written && may_be_taken_back(publish))
        enter_rollback(publish, &none);
    else if (written)
        enter_status(publish);
    else if (publish->look)
        enter_failed_status(publish);
    else
        publish_dispose(publish);
}

static void write_done(void *job)
{
    struct publish *publish = job;
    cleanup_error struct error *error = steal_ptr(&publish->job.error);

    if (publish->callback == NULL) {
        if (publish->interrupted) /* an unpublish takes it away, whatever it is now */
            publish_dispose(publish);
        else
            cancelled_in_write(publish, error == NULL);
    } else if (error != NULL) {
        publish_fail(publish, error, ERROR_TYPE_FILES);
    } else {
        enter_status(publish);
    }
}

static void enter_write(struct publish *publish)
{
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_WRITE;
    publish->job.look = publish->look;
    publish->job.no_files = publish->answer.no_files;
    publish->job.payload = &publish->answer.payload;
    /* Without a record (no memory) the volume only knows less about itself. */
    publish->record = volume_record_print(publish->class->provider, publish->wish.mark,
                                          &publish->answer.versions, /* err= */ NULL);
    publish->job.options = (struct volume_options){.gid = publish->request.gid,
                                                   .last_checked_unix = (uint64_t)clock_unix_s(),
                                                   .record = publish->record};
    if (worker_start(publish->publisher->loop, run_write, write_done, publish, &error) < 0)
        publish_fail(publish, error, NULL);
}

/* --- PROVIDER --- */

static void provider_failed(struct publish *publish, const struct error *cause, const char *type)
{
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "failed to mount secrets store objects for pod %s/%s",
                         publish->request.pod_namespace, publish->request.pod_name);
    publish_fail(publish, error != NULL ? error : cause, type);
}

static void provider_done(struct provider_answer *answer, const struct error *error, const char *type,
                          void *arg)
{
    struct publish *publish = arg;

    publish->provider = NULL;
    telemetry_provider_call(publish->publisher->telemetry, publish->class->provider, error_code(error),
                            seconds_since(publish->provider_started_ns));
    if (error != NULL) {
        provider_failed(publish, error, type);
        return;
    }
    publish->answer = *answer;
    *answer = (struct provider_answer){0};
    enter_write(publish);
}

static void enter_provider(struct publish *publish)
{
    const struct publisher *publisher = publish->publisher;
    const struct published_volume *volume =
        published_volumes_find(publisher->published, publish->request.target_path);
    cleanup_string_map struct string_map attributes = {0};
    cleanup_error struct error *error = NULL;
    uint64_t left = time_left(publish);

    publish->state = PUBLISH_PROVIDER;
    if (publish_request_attributes(&publish->request, &publish->class->parameters,
                                   publisher->pod_overrides_class, &attributes, &error) < 0) {
        publish_fail(publish, error, NULL);
        return;
    }
    publish->provider_started_ns = clock_monotonic_ns();
    publish->provider = provider_call_start(
        publisher->providers, publish->class->provider,
        &(struct provider_mount_request){.attributes = &attributes,
                                         .secrets = &publish->request.secrets,
                                         .target_path = publish->request.target_path,
                                         .current_versions =
                                             publish->look && volume != NULL ? &volume->versions : NULL,
                                         .timeout_ms = left - answer_margin(left)},
        provider_done, publish, &error);
    if (publish->provider == NULL)
        provider_failed(publish, error, ERROR_TYPE_NO_PROVIDER);
}

/* --- CLASS --- */

static int judge_class(const struct publish *publish, struct error **err)
{
    const struct secret_provider_class *class = publish->class;

    if (class->provider[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "provider is not set in secretproviderclass %s/%s", class->ns, class->name);
    if (class->parameters.n == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "parameters are not set in secretproviderclass %s/%s", class->ns, class->name);
    if (!publish->request.readonly)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "readOnly is not true in the volume: secrets can only be mounted read-only");
    return 0;
}

static void class_failed(struct publish *publish, const struct error *cause)
{
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "failed to get secretproviderclass %s/%s", publish->request.pod_namespace,
                         publish->request.class_name);
    publish_fail(publish, error != NULL ? error : cause, ERROR_TYPE_CLASS);
}

/* Takes the class over. */
static void class_known(struct publish *publish, struct secret_provider_class *class)
{
    cleanup_error struct error *error = NULL;

    publish->class = class;
    /* A bad annotation is complained about elsewhere (class_memo.h). */
    (void)rotation_wish_of(class, publish->publisher->rotation_interval_s, &publish->wish, /* err= */ NULL);
    if (judge_class(publish, &error) < 0)
        publish_fail(publish, error, NULL);
    else
        enter_provider(publish);
}

static void class_done(struct secret_provider_class *class, const struct error *cause, void *arg)
{
    struct publish *publish = arg;

    publish->lookup = NULL;
    if (class == NULL) {
        class_failed(publish, cause);
        return;
    }
    if (publish->publisher->class_memo != NULL)
        class_memo_note(publish->publisher->class_memo, class);
    class_known(publish, class);
}

static int check_class_name(struct publish *publish, struct error **err)
{
    const char *fallback = publish->publisher->classes->default_namespace;

    if (publish->request.class_name[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "secretProviderClass is not set in the volume attributes");
    if (!class_name_valid(publish->request.class_name))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "secretProviderClass '%.300s' is not a Kubernetes object name",
                         publish->request.class_name);
    if (publish->request.pod_namespace[0] == '\0' && fallback != NULL)
        publish->request.pod_namespace = fallback;
    if (publish->request.pod_namespace[0] == '\0')
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            CONTEXT_POD_NAMESPACE
            " is missing in the volume context: podInfoOnMount must be true in the CSIDriver object");
    if (!class_name_valid(publish->request.pod_namespace))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         CONTEXT_POD_NAMESPACE " '%.300s' is not a namespace",
                         publish->request.pod_namespace);
    return 0;
}

static void enter_class(struct publish *publish)
{
    cleanup_error struct error *error = NULL;
    uint64_t left = time_left(publish);

    publish->state = PUBLISH_CLASS;
    if (check_class_name(publish, &error) < 0) {
        publish_fail(publish, error, NULL);
        return;
    }
    publish->lookup = class_source_start(publish->publisher->classes, publish->request.pod_namespace,
                                         publish->request.class_name, left - answer_margin(left), class_done,
                                         publish, &error);
    if (publish->lookup == NULL)
        publish_fail(publish, error, ERROR_TYPE_CLASS);
}

/* --- DUE: a complete volume, is a look due? --- */

/* `class` is borrowed; NULL when it could not be read: what it said last time holds then. */
static void due_decide(struct publish *publish, struct secret_provider_class *class,
                       const struct error *error)
{
    const struct publisher *publisher = publish->publisher;
    struct published_volume *volume =
        published_volumes_find(publisher->published, publish->request.target_path);

    if (class != NULL)
        (void)rotation_wish_of(class, publisher->rotation_interval_s, &publish->wish, /* err= */ NULL);
    else if (volume != NULL && volume->interval_s > 0)
        publish->wish.interval_s = volume->interval_s;
    if (volume != NULL) {
        volume->interval_s = publish->wish.interval_s;
        if (!published_volume_due(volume, &publish->wish, publish->job.last_checked, clock_unix_s())) {
            publish_skip(publish);
            return;
        }
    }
    if (class != NULL)
        class_known(publish, secret_provider_class_ref(class));
    else
        class_failed(publish, error);
}

static void recent_done(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct publish *publish = arg;

    publish->recent = NULL;
    due_decide(publish, class, error);
}

static void enter_due(struct publish *publish)
{
    struct class_memo *memo = publish->publisher->class_memo;
    struct secret_provider_class *class = NULL;
    const struct error *failure = NULL;
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_DUE;
    publish->look = true;
    publish->wish = (struct rotation_wish){.interval_s = publish->publisher->rotation_interval_s};
    if (check_class_name(publish, &error) == 0) {
        class =
            class_memo_recent(memo, publish->request.pod_namespace, publish->request.class_name, &failure);
        if (class == NULL && failure == NULL) {
            publish->recent = class_memo_start(memo, publish->request.pod_namespace,
                                               publish->request.class_name, recent_done, publish, &error);
            if (publish->recent != NULL)
                return;
        }
    }
    due_decide(publish, class, failure != NULL ? failure : error);
}

/* --- INSPECT --- */

static void run_inspect(void *job)
{
    struct publish *publish = job;

    if (volume_inspect(publish->job.target_path, &publish->job.volume, &publish->job.error) < 0)
        return;
    if (publish->job.volume == VOLUME_CORRUPT) {
        /* Nothing in it can be read any more: make room for a new one. */
        if (volume_unpublish(publish->job.target_path, &publish->job.error) < 0 ||
            volume_inspect(publish->job.target_path, &publish->job.volume, &publish->job.error) < 0)
            return;
    }
    publish->job.may_be_in_use =
        publish->job.volume == VOLUME_INCOMPLETE && volume_may_be_in_use(publish->job.target_path);
    if (publish->job.volume != VOLUME_PUBLISHED)
        return;
    /* What can not be found out is not known, which is an answer, too. */
    if (publish->job.rotation &&
        volume_last_checked(publish->job.target_path, &publish->job.last_checked, /* err= */ NULL) < 0)
        publish->job.last_checked = 0;
    if (publish->job.recall)
        (void)volume_read_record(publish->job.target_path, &publish->job.record, /* err= */ NULL);
}

static void inspect_done(void *job)
{
    struct publish *publish = job;
    cleanup_error struct error *error = steal_ptr(&publish->job.error);

    if (publish->callback == NULL) {
        publish_dispose(publish); /* cancelled meanwhile; looking changes nothing */
        return;
    }
    if (error != NULL) {
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
        return;
    }
    switch (publish->job.volume) {
    case VOLUME_PUBLISHED:
        if (publish->job.recall)
            (void)published_volumes_recall(publish->publisher->published, publish->request.target_path,
                                           publish->job.record, clock_unix_s());
        if (publish->publisher->rotation)
            enter_due(publish);
        else
            publish_skip(publish);
        return;
    case VOLUME_FOREIGN:
        (void)error_set(&error, GRPC_STATUS_FAILED_PRECONDITION,
                        "target path %s is taken: it is a mount of another kind, or not a directory",
                        publish->request.target_path);
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
        return;
    case VOLUME_ABSENT:
    case VOLUME_UNMOUNTED:
    case VOLUME_INCOMPLETE:
        break;
    case VOLUME_CORRUPT:
        (void)error_set(&error, GRPC_STATUS_INTERNAL,
                        "the mount on target path %s can not be read and not be removed",
                        publish->request.target_path);
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
        return;
    }
    enter_class(publish);
}

static int enter_inspect(struct publish *publish, struct error **err)
{
    publish->state = PUBLISH_INSPECT;
    publish->job.target_path = publish->request.target_path;
    publish->job.rotation = publish->publisher->rotation;
    publish->job.recall =
        published_volumes_find(publish->publisher->published, publish->request.target_path) == NULL;
    return worker_start(publish->publisher->loop, run_inspect, inspect_done, publish, err);
}

/* --- QUEUE, start, cancel --- */

static struct publish *of_lock(struct volume_lock *lock)
{
    return container_of(lock, struct publish, lock);
}

static void lock_granted(struct volume_lock *lock)
{
    struct publish *publish = of_lock(lock);
    cleanup_error struct error *error = NULL;

    if (enter_inspect(publish, &error) < 0)
        publish_fail(publish, error, NULL);
}

/* The one way out before the end. The caller has been told, or knows. */
static void publish_abandon(struct publish *publish)
{
    struct error *none = NULL;

    publish->callback = NULL;
    if (worker_runs(publish))
        return; /* its callback finds that nobody waits */
    if (publish->state == PUBLISH_STATUS && may_be_taken_back(publish)) {
        cancel_children(publish);
        enter_rollback(publish, &none);
    } else if (publish->state == PUBLISH_STATUS && !publish->interrupted) {
        return; /* it is recorded all the same */
    } else {
        cancel_children(publish);
        if (publish->look && publish->state != PUBLISH_STATUS && !publish->interrupted)
            enter_failed_status(publish);
        else
            publish_dispose(publish);
    }
}

static void lock_interrupted(struct volume_lock *lock)
{
    struct publish *publish = of_lock(lock);
    cleanup_error struct error *error = NULL;

    publish->interrupted = true;
    if (publish->callback == NULL) { /* on its way out already */
        publish_abandon(publish);
        return;
    }
    (void)error_set(&error, GRPC_STATUS_ABORTED, "the volume is being unpublished");
    if (publish->state != PUBLISH_ROLLBACK) /* that failure is recorded */
        record_failure(publish, error, "Aborted");
    answer_caller(publish, error);
    publish_abandon(publish);
}

struct publish *publish_start(const struct publisher *publisher, struct publish_request *request,
                              uint64_t timeout_ms, publish_callback *callback, void *arg, struct error **err)
{
    struct publish *publish = calloc(1, sizeof(*publish));

    if (publish == NULL) {
        publish_request_finish(request);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    if (timeout_ms > PUBLISH_TIMEOUT_MS)
        timeout_ms = PUBLISH_TIMEOUT_MS;
    *publish = (struct publish){.publisher = publisher,
                                .callback = callback,
                                .arg = arg,
                                .request = *request,
                                .started_ns = clock_monotonic_ns(),
                                .deadline_ms = uv_now(publisher->loop) + timeout_ms};
    *request = (struct publish_request){.gid = (gid_t)-1};
    publish->state = PUBLISH_QUEUE;
    if (volume_lock_take(publisher->locks, &publish->lock, publish->request.target_path, lock_granted,
                         lock_interrupted) &&
        enter_inspect(publish, err) < 0) {
        publish_dispose(publish);
        return NULL;
    }
    return publish;
}

void publish_cancel(struct publish **publish, enum grpc_status reason)
{
    cleanup_error struct error *error = NULL;
    static const char *const waiting_for[] = {
        [PUBLISH_QUEUE] = "another call for the same volume",
        [PUBLISH_INSPECT] = "the look at the target path",
        [PUBLISH_DUE] = "the SecretProviderClass",
        [PUBLISH_CLASS] = "the SecretProviderClass",
        [PUBLISH_PROVIDER] = "the provider",
        [PUBLISH_WRITE] = "the files to be written",
        [PUBLISH_STATUS] = "the status to be recorded",
        [PUBLISH_ROLLBACK] = "the volume to be taken back",
    };

    (void)error_set(&error, reason, "the caller did not wait for %s", waiting_for[(*publish)->state]);
    if ((*publish)->state != PUBLISH_ROLLBACK) /* that failure is recorded */
        record_failure(*publish, error, grpc_status_go_name(reason));
    publish_abandon(*publish);
    *publish = NULL;
}
