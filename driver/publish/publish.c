/*
 * publish.c - one NodePublishVolume, as a state machine. See the drawing in the header.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/publish/publish_private.h"
#include "driver/rotation/volume_metadata.h"

/* --- end of life --- */

bool publish_worker_runs(const struct publish *publish)
{
    return publish->state == PUBLISH_INSPECT || publish->state == PUBLISH_WRITE ||
           publish->state == PUBLISH_ROLLBACK;
}

void publish_dispose(struct publish *publish)
{
    secret_provider_class_free(publish->class);
    provider_answer_finish(&publish->answer);
    error_free(publish->rollback_cause);
    error_free(publish->failure);
    error_free(publish->job.error);
    free(publish->job.metadata);
    secret_free(publish->metadata);
    volume_lock_release(&publish->lock); /* may start the next in line, which knows nothing of us */
    publish_request_finish(&publish->request);
    free(publish);
}

void publish_cancel_children(struct publish *publish)
{
    if (publish->recent != NULL)
        class_cache_cancel(&publish->recent);
    if (publish->lookup != NULL)
        class_source_cancel(publish->publisher->classes, &publish->lookup);
    if (publish->provider != NULL)
        provider_call_cancel(&publish->provider);
    if (publish->observer_chain != NULL)
        observer_chain_cancel(&publish->observer_chain);
}

void publish_answer(struct publish *publish, const struct error *error)
{
    publish_callback *callback = publish->callback;

    publish->callback = NULL;
    if (callback != NULL)
        callback(error, publish->arg);
}

uint64_t publish_time_left(const struct publish *publish)
{
    uint64_t now = uv_now(publish->publisher->loop);

    return now < publish->deadline_ms ? publish->deadline_ms - now : 0;
}

uint64_t publish_answer_margin(uint64_t left)
{
    return left / 10 < PUBLISH_ANSWER_MARGIN_MS ? left / 10 : PUBLISH_ANSWER_MARGIN_MS;
}

/* A complete volume with nothing due. */
static void publish_skip(struct publish *publish)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);
    const struct volume_event event = {
        .type = VOLUME_EVENT_CHECKED,
        .pod_name = publish->request.pod_name,
        .pod_namespace = publish->request.pod_namespace,
        .pod_uid = publish->request.pod_uid,
        .target_path = publish->request.target_path,
        .class_name = publish->request.class_name,
        .versions = volume != NULL && volume->versions.n > 0 ? &volume->versions : NULL,
        .checked_unix = (int64_t)publish->job.last_checked};

    observer_chain_on_unchanged(publish->publisher->observers, &event);
    log_debug(publish->publisher->log, 4, "volume is published already, nothing is due",
              LOG_STR("targetPath", publish->request.target_path));
    driver_metrics_publish_ok(publish->publisher->metrics, publish_provider_label(publish));
    publish_answer(publish, NULL);
    publish_dispose(publish);
}

/* Ends the operation with an error, when no child and no worker runs and nothing has to be undone. `type`
 * NULL: from the error. */
static void publish_fail(struct publish *publish, const struct error *error, const char *type)
{
    publish_report_failure(publish, error, type);
    publish_answer(publish, publish->look ? NULL : error);
    if (publish->look)
        publish_enter_failed_status(publish);
    else
        publish_dispose(publish);
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
        (void)volume_write_metadata(publish->job.target_path, &publish->job.options, &publish->job.error);
    else
        (void)volume_update(publish->job.target_path, publish->job.payload, &publish->job.options,
                            &publish->job.changed, &publish->job.error);
}

/* Nobody waits any more. What has been written stays and is recorded, unless the pod needs a record before it
 * may start. */
static void cancelled_in_write(struct publish *publish, bool written)
{
    struct error *none = NULL;

    if (written && publish_may_be_taken_back(publish))
        publish_enter_rollback(publish, &none);
    else if (written)
        publish_enter_status(publish);
    else if (publish->look)
        publish_enter_failed_status(publish);
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
        publish_enter_status(publish);
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
    publish->metadata = volume_metadata_print(publish->class->provider, publish->spec.hash,
                                              &publish->answer.versions, /* err= */ NULL);
    publish->job.options = (struct volume_options){.gid = publish->request.gid,
                                                   .last_checked_unix = (uint64_t)clock_unix_s(),
                                                   .metadata = publish->metadata};
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
    driver_metrics_provider_call(publish->publisher->metrics, publish->class->provider, error_code(error),
                                 publish_seconds_since(publish->provider_started_ns));
    if (error != NULL) {
        provider_failed(publish, error, type);
        return;
    }
    publish->answer = *answer;
    *answer = (struct provider_answer){0};
    enter_write(publish);
}

/* A provider may answer a look from memory. Not one that the author of the class asked for: who has just
 * changed a secret and asks for a look wants that one. Without versions it is a first mount to it. */
static bool asked_for(const struct publish *publish, const struct volume_state *volume)
{
    return volume->spec_hash[0] != '\0' && strcmp(volume->spec_hash, publish->spec.hash) != 0;
}

static void enter_provider(struct publish *publish)
{
    const struct publisher *publisher = publish->publisher;
    const struct volume_state *volume = volume_states_find(publisher->volumes, publish->request.target_path);
    cleanup_string_map struct string_map attributes = {0};
    cleanup_error struct error *error = NULL;
    uint64_t left = publish_time_left(publish);

    publish->state = PUBLISH_PROVIDER;
    if (publish_request_attributes(&publish->request, &publish->class->parameters,
                                   publisher->pod_overrides_class, &attributes, &error) < 0) {
        publish_fail(publish, error, NULL);
        return;
    }
    publish->provider_started_ns = clock_monotonic_ns();
    publish->provider = provider_call_start(
        publisher->providers, publish->class->provider,
        &(struct provider_mount_request){
            .attributes = &attributes,
            .secrets = &publish->request.secrets,
            .target_path = publish->request.target_path,
            .current_versions =
                publish->look && volume != NULL && !asked_for(publish, volume) ? &volume->versions : NULL,
            .timeout_ms = left - publish_answer_margin(left)},
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
    /* A bad annotation is complained about elsewhere: at the next call for the volume, and in
     * class_cache.h. */
    (void)class_rotation_spec(class, publish->publisher->rotation_interval_s, &publish->spec,
                              /* err= */ NULL);
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
    if (publish->publisher->class_cache != NULL)
        class_cache_put(publish->publisher->class_cache, class);
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
    uint64_t left = publish_time_left(publish);

    publish->state = PUBLISH_CLASS;
    if (check_class_name(publish, &error) < 0) {
        publish_fail(publish, error, NULL);
        return;
    }
    publish->lookup = class_source_start(publish->publisher->classes, publish->request.pod_namespace,
                                         publish->request.class_name, left - publish_answer_margin(left),
                                         class_done, publish, &error);
    if (publish->lookup == NULL)
        publish_fail(publish, error, ERROR_TYPE_CLASS);
}

/* --- DUE: a complete volume, is a look due? --- */

/* `class` is borrowed; NULL when it could not be read: what it said last time holds then. */
static void due_decide(struct publish *publish, struct secret_provider_class *class,
                       const struct error *error)
{
    const struct publisher *publisher = publish->publisher;
    struct volume_state *volume = volume_states_find(publisher->volumes, publish->request.target_path);

    cleanup_error struct error *annotation = NULL;

    if (class != NULL)
        (void)class_rotation_spec(class, publisher->rotation_interval_s, &publish->spec, &annotation);
    else if (volume != NULL && volume->interval_s > 0)
        publish->spec.interval_s = volume->interval_s;
    if (volume != NULL && class != NULL)
        publish_report_annotation(publish, class, volume, annotation);
    if (volume != NULL) {
        volume->interval_s = publish->spec.interval_s;
        if (!volume_state_due(volume, &publish->spec, publish->job.last_checked, clock_unix_s())) {
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
    struct class_cache *memo = publish->publisher->class_cache;
    struct secret_provider_class *class = NULL;
    const struct error *failure = NULL;
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_DUE;
    publish->look = true;
    publish->spec = (struct rotation_spec){.interval_s = publish->publisher->rotation_interval_s};
    if (check_class_name(publish, &error) == 0) {
        class = class_cache_get(memo, publish->request.pod_namespace, publish->request.class_name, &failure);
        if (class == NULL && failure == NULL) {
            publish->recent = class_cache_start(memo, publish->request.pod_namespace,
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
    if ((publish->job.rotation || publish->job.recall) &&
        volume_last_checked(publish->job.target_path, &publish->job.last_checked, /* err= */ NULL) < 0)
        publish->job.last_checked = 0;
    if (publish->job.recall)
        (void)volume_read_metadata(publish->job.target_path, &publish->job.metadata, /* err= */ NULL);
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
            (void)volume_states_restore(publish->publisher->volumes, publish->request.target_path,
                                        publish->job.metadata, clock_unix_s());
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
        volume_states_find(publish->publisher->volumes, publish->request.target_path) == NULL;
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
    if (publish_worker_runs(publish))
        return; /* its callback finds that nobody waits */
    if (publish->state == PUBLISH_STATUS && publish_may_be_taken_back(publish)) {
        publish_cancel_children(publish);
        publish_enter_rollback(publish, &none);
    } else if (publish->state == PUBLISH_STATUS && !publish->interrupted) {
        return; /* it is recorded all the same */
    } else {
        publish_cancel_children(publish);
        if (publish->look && publish->state != PUBLISH_STATUS && !publish->interrupted)
            publish_enter_failed_status(publish);
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
        publish_report_failure(publish, error, "Aborted");
    publish_answer(publish, error);
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
        publish_report_failure(*publish, error, grpc_status_go_name(reason));
    publish_abandon(*publish);
    *publish = NULL;
}
