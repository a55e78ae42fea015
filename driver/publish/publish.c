/*
 * publish.c - one NodePublishVolume, as a state machine: the states up to CLASS, start and cancel. See the
 * drawing in the header; publish_fetch.c and publish_record.c have the other states.
 */
#include "driver/publish/publish.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/publish/publish_fetch.h"
#include "driver/publish/publish_record.h"
#include "driver/publish/publish_report.h"
#include "driver/publish/publish_state.h"
#include "driver/rotation/volume_metadata.h"

/* One function enters each state, in the order of the drawing. */
static int enter_inspect(struct publish *publish, struct error **err);
static void enter_due(struct publish *publish);
static void enter_class(struct publish *publish);

static int check_class_name(struct publish *publish, struct error **err);
static int start_class(struct publish *publish, struct error **err);

/* --- modes --- */

static const struct publish_mode first_mount = {
    .event = VOLUME_EVENT_MOUNTED,
    .rolls_back = true,
    .write = publish_write_new,
    .report_success = publish_report_mounted,
    .report_failure = publish_report_failed_mount,
};

/* Of an incomplete volume that containers may use: it cannot be rolled back, so no observer is required. */
static const struct publish_mode completion = {
    .event = VOLUME_EVENT_CHECKED,
    .write = publish_write_new,
    .report_success = publish_report_mounted,
    .report_failure = publish_report_failed_mount,
};

static const struct publish_mode rotation_check = {
    .event = VOLUME_EVENT_CHECKED,
    .is_republish = true,
    .write = publish_write_again,
    .report_success = publish_report_checked,
    .report_failure = publish_report_failed_check,
};

/* --- QUEUE --- */

static struct publish *of_lock(struct volume_lock *lock)
{
    return container_of(lock, struct publish, lock);
}

static void lock_granted(struct volume_lock *lock)
{
    struct publish *publish = of_lock(lock);
    cleanup_error struct error *error = NULL;

    if (enter_inspect(publish, &error) < 0)
        publish_fail(publish, error, /* type= */ NULL);
}

/* --- INSPECT --- */

static void run_inspect(void *job)
{
    struct publish_job *inspect = &((struct publish *)job)->job;

    if (volume_inspect(inspect->target_path, &inspect->volume, &inspect->error) < 0)
        return;
    if (inspect->volume == VOLUME_CORRUPT) {
        /* Nothing in it can be read any more: a new one takes its place. */
        if (volume_unpublish(inspect->target_path, &inspect->error) < 0 ||
            volume_inspect(inspect->target_path, &inspect->volume, &inspect->error) < 0)
            return;
    }
    inspect->may_be_in_use =
        inspect->volume == VOLUME_INCOMPLETE && volume_may_be_in_use(inspect->target_path);
    if (inspect->volume != VOLUME_PUBLISHED && inspect->volume != VOLUME_WRITTEN)
        return;
    /* On failure they are unknown, as on a volume that has none. */
    if ((inspect->read_checked) &&
        volume_last_checked(inspect->target_path, &inspect->last_checked, /* err= */ NULL) < 0)
        inspect->last_checked = 0;
    if (inspect->read_metadata)
        (void)volume_read_metadata(inspect->target_path, &inspect->metadata, /* err= */ NULL);
}

/* A check that is due unless the last one has failed a short time ago. False: the publish has ended. */
static bool enter_check(struct publish *publish)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);

    publish->mode = &rotation_check;
    publish->spec = (struct rotation_spec){.interval_s = publish->publisher->rotation_interval_s};
    if (volume == NULL || !volume_state_waits(volume, clock_steady_s()))
        return true;
    publish_enter_unchanged(publish);
    return false;
}

/* Containers may use it: its provider's next files take the place of those that are there, and a failure
 * harms nothing. */
static void adopt(struct publish *publish)
{
    if (enter_check(publish))
        enter_class(publish);
}

/* Containers use the volume below, and see nothing of the mount above it: nothing to fail for. */
static void covered(struct publish *publish)
{
    cleanup_error struct error *error = NULL;

    if (!enter_check(publish))
        return;
    (void)error_set(
        &error, GRPC_STATUS_FAILED_PRECONDITION,
        "another mount covers the volume on target path %s: containers that start now see that one, and the volume below cannot be rotated",
        publish->request.target_path);
    publish_fail(publish, error, ERROR_TYPE_INSPECT);
}

/* The condition of the volume decides on the mode. */
static void inspected(struct publish *publish)
{
    const struct volume_names names = publish_request_names(&publish->request);
    cleanup_error struct error *error = NULL;

    switch (publish->job.volume) {
    case VOLUME_PUBLISHED:
    case VOLUME_WRITTEN:
        if (publish->job.read_metadata)
            (void)volume_states_restore(publish->publisher->volumes, &names, publish->job.metadata,
                                        clock_unix_s());
        if (publish->publisher->rotation)
            enter_due(publish);
        else
            publish_enter_unchanged(publish);
        return;
    case VOLUME_FOREIGN:
        (void)error_set(&error, GRPC_STATUS_FAILED_PRECONDITION,
                        "target path %s is taken: it is a mount of another kind, or not a directory",
                        publish->request.target_path);
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
        return;
    case VOLUME_COVERED:
        covered(publish);
        return;
    case VOLUME_ADOPTABLE:
        adopt(publish);
        return;
    case VOLUME_CORRUPT:
        (void)error_set(&error, GRPC_STATUS_INTERNAL,
                        "the mount on target path %s can neither be read nor removed",
                        publish->request.target_path);
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
        return;
    case VOLUME_INCOMPLETE:
        if (publish->job.may_be_in_use)
            publish->mode = &completion;
        break;
    case VOLUME_ABSENT:
    case VOLUME_UNMOUNTED:
        break;
    }
    enter_class(publish);
}

static void inspect_done(void *job)
{
    struct publish *publish = job;
    cleanup_error struct error *error = steal_ptr(&publish->job.error);

    if (publish->caller != PUBLISH_CALLER_WAITS)
        publish_dispose(publish); /* the inspection changes nothing */
    else if (error != NULL)
        publish_fail(publish, error, ERROR_TYPE_INSPECT);
    else
        inspected(publish);
}

static int enter_inspect(struct publish *publish, struct error **err)
{
    bool is_known = volume_states_find(publish->publisher->volumes, publish->request.target_path) != NULL;

    publish->job = (struct publish_job){.target_path = publish->request.target_path,
                                        .read_checked = publish->publisher->rotation || !is_known,
                                        .read_metadata = !is_known};
    /* The usual first mount: there is nothing to inspect. */
    if (!is_known && volume_is_surely_absent(publish->request.target_path) &&
        check_class_name(publish, /* err= */ NULL) == 0 && start_class(publish, /* err= */ NULL) == 0)
        return 0;
    publish->state = PUBLISH_INSPECT;
    return worker_start(publish->publisher->loop, run_inspect, inspect_done, publish, err);
}

/* --- DUE: a complete volume, is a rotation check due? --- */

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

/* `error`: the annotation of the class is invalid, or NULL. One Event on the pod per text. */
static void report_annotation(const struct publish *publish, const struct secret_provider_class *class,
                              struct volume_state *volume, const struct error *error)
{
    uint32_t hash = error != NULL ? hash_text(HASH_START, class->rotation_interval) | 1 : 0;

    if (hash != 0 && hash != volume->reported_annotation_hash)
        publish_report_annotation(publish, error);
    volume->reported_annotation_hash = hash;
}

static void class_failed(struct publish *publish, const struct error *cause)
{
    cleanup_error struct error *error = error_copy(cause);

    (void)error_wrap(&error, "failed to get secretproviderclass %s/%s", publish->request.pod_namespace,
                     publish->request.class_name);
    publish_fail(publish, error, ERROR_TYPE_CLASS);
}

/* `class` is borrowed; NULL when it could not be read: its last interval applies then. */
static void decide_due(struct publish *publish, struct secret_provider_class *class,
                       const struct error *failure)
{
    const struct publisher *publisher = publish->publisher;
    struct volume_state *volume = volume_states_find(publisher->volumes, publish->request.target_path);
    cleanup_error struct error *annotation = NULL;

    if (class != NULL)
        (void)class_rotation_spec(class, publisher->rotation_interval_s, &publish->spec, &annotation);
    else if (volume != NULL && volume->interval_s > 0)
        publish->spec.interval_s = volume->interval_s;
    if (volume != NULL && class != NULL)
        report_annotation(publish, class, volume, annotation);
    if (volume != NULL) {
        volume->interval_s = (int32_t)publish->spec.interval_s;
        if (!volume_state_due(volume, &publish->spec, publish->job.last_checked, clock_unix_s(),
                              clock_steady_s())) {
            publish_enter_unchanged(publish);
            return;
        }
    }
    if (class != NULL)
        publish_enter_fetch(publish, secret_provider_class_ref(class));
    else
        class_failed(publish, failure);
}

static void cached_class_done(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct publish *publish = arg;

    publish->cached_class = NULL;
    decide_due(publish, class, error);
}

static void enter_due(struct publish *publish)
{
    struct class_cache *cache = publish->publisher->class_cache;
    struct secret_provider_class *class = NULL;
    const struct error *failure = NULL;
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_DUE;
    publish->mode = &rotation_check;
    publish->spec = (struct rotation_spec){.interval_s = publish->publisher->rotation_interval_s};
    if (check_class_name(publish, &error) == 0) {
        class = class_cache_get(cache, publish->request.pod_namespace, publish->request.class_name, &failure);
        if (class == NULL && failure == NULL) {
            publish->cached_class =
                class_cache_start(cache, publish->request.pod_namespace, publish->request.class_name,
                                  cached_class_done, publish, &error);
            if (publish->cached_class != NULL)
                return;
        }
    }
    decide_due(publish, class, failure != NULL ? failure : error);
}

/* --- CLASS --- */

/* Kubelets retry: the provider is not to be called early for a class that is gone, malformed, or not to be
 * read any more. An API server that is away says nothing about it. */
static void forget_class(const struct publish *publish, const struct error *error)
{
    struct class_cache *cache = publish->publisher->class_cache;
    enum grpc_status code = error_code(error);

    if (cache != NULL && code != GRPC_STATUS_UNAVAILABLE && code != GRPC_STATUS_DEADLINE_EXCEEDED)
        class_cache_remove(cache, publish->request.pod_namespace, publish->request.class_name);
}

static void class_done(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct publish *publish = arg;

    publish->lookup = NULL;
    if (class == NULL) {
        publish_end_early_fetch(publish);
        forget_class(publish, error);
        class_failed(publish, error);
        return;
    }
    if (publish->publisher->class_cache != NULL)
        class_cache_put(publish->publisher->class_cache, class);
    if (publish->class != NULL && secret_provider_class_is_same(publish->class, class)) {
        secret_provider_class_free(class);
        publish_confirm_early_fetch(publish);
        return;
    }
    publish_end_early_fetch(publish);
    publish_enter_fetch(publish, class);
}

/* A first mount calls the provider while the class is being read, with the class as it was read last. */
static void fetch_early(struct publish *publish)
{
    struct class_cache *cache = publish->publisher->class_cache;
    struct secret_provider_class *last = NULL;

    if (cache != NULL && publish->mode == &first_mount)
        last = class_cache_last(cache, publish->request.pod_namespace, publish->request.class_name);
    if (last != NULL)
        publish_start_early_fetch(publish, secret_provider_class_ref(last));
}

/* The class's name has been checked. */
static int start_class(struct publish *publish, struct error **err)
{
    publish->state = PUBLISH_CLASS;
    publish->lookup = class_source_start(
        publish->publisher->classes, publish->request.pod_namespace, publish->request.class_name,
        publish_child_timeout(publish_time_left(publish)), class_done, publish, err);
    if (publish->lookup == NULL)
        return -1;
    fetch_early(publish);
    return 0;
}

static void enter_class(struct publish *publish)
{
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_CLASS;
    if (check_class_name(publish, &error) < 0)
        publish_fail(publish, error, /* type= */ NULL);
    else if (start_class(publish, &error) < 0)
        publish_fail(publish, error, ERROR_TYPE_CLASS);
}

/* --- start, interrupt, cancel --- */

/* The one way out before the end. The caller is gone or interrupted. */
static void publish_abandon(struct publish *publish)
{
    struct error *no_cause = NULL;

    switch (publish->state) {
    case PUBLISH_INSPECT:
    case PUBLISH_PREPARE:
    case PUBLISH_WRITE:
    case PUBLISH_ROLLBACK:
    case PUBLISH_CLOSE:
        return; /* the worker is awaited */
    case PUBLISH_RECORD:
    case PUBLISH_RECORD_FAILURE:
        if (publish_requires_record(publish)) {
            publish_cancel_children(publish);
            publish_enter_rollback(publish, &no_cause);
        } else if (publish->caller == PUBLISH_CALLER_INTERRUPTED) {
            publish_cancel_children(publish);
            publish_dispose(publish);
        }
        return; /* otherwise it is recorded without its caller */
    case PUBLISH_QUEUE:
    case PUBLISH_DUE:
    case PUBLISH_CLASS:
    case PUBLISH_PROVIDER:
        break;
    }
    publish_cancel_children(publish);
    if (publish->caller == PUBLISH_CALLER_INTERRUPTED)
        publish_dispose(publish);
    else
        publish_end_failed(publish);
}

static void lock_interrupted(struct volume_lock *lock)
{
    struct publish *publish = of_lock(lock);
    cleanup_error struct error *error = NULL;
    bool waits = publish->caller == PUBLISH_CALLER_WAITS;

    publish->caller = PUBLISH_CALLER_INTERRUPTED;
    if (waits) {
        (void)error_set(&error, GRPC_STATUS_ABORTED, "the volume is being unpublished");
        if (publish->state != PUBLISH_ROLLBACK) /* that failure is reported */
            publish_note_failure(publish, error, "Aborted");
        publish->callback(error, publish->arg);
    }
    publish_abandon(publish);
}

struct publish *publish_start(const struct publisher *publisher, struct publish_request *request,
                              uint64_t timeout_ms, publish_callback *callback, void *arg, struct error **err)
{
    struct publish *publish = alloc_zeroed(sizeof(*publish), err);

    if (publish == NULL) {
        publish_request_finish(request);
        return NULL;
    }
    if (timeout_ms > PUBLISH_TIMEOUT_MS)
        timeout_ms = PUBLISH_TIMEOUT_MS;
    *publish = (struct publish){.publisher = publisher,
                                .state = PUBLISH_QUEUE,
                                .mode = &first_mount,
                                .caller = PUBLISH_CALLER_WAITS,
                                .callback = callback,
                                .arg = arg,
                                .request = *request,
                                .started_ns = clock_monotonic_ns(),
                                .deadline_ms = uv_now(publisher->loop) + timeout_ms};
    byte_reservation_init(&publish->bytes);
    *request = (struct publish_request){.gid = (gid_t)-1};
    if (volume_lock_take(publisher->locks, &publish->lock, publish->request.target_path, lock_granted,
                         lock_interrupted) &&
        enter_inspect(publish, err) < 0) {
        publish_dispose(publish);
        return NULL;
    }
    return publish;
}

uint64_t publish_response_margin(uint64_t timeout_ms)
{
    return (timeout_ms - publish_child_timeout(timeout_ms)) / 2;
}

static const char *awaited(const struct publish *publish)
{
    static const char *const awaited_in[] = {
        [PUBLISH_QUEUE] = "another call for the same volume",
        [PUBLISH_INSPECT] = "the inspection of the target path",
        [PUBLISH_DUE] = "the SecretProviderClass",
        [PUBLISH_CLASS] = "the SecretProviderClass",
        [PUBLISH_PREPARE] = "the volume to be prepared",
        [PUBLISH_PROVIDER] = "the provider",
        [PUBLISH_WRITE] = "the files to be written",
        [PUBLISH_RECORD] = "the status to be recorded",
        [PUBLISH_RECORD_FAILURE] = "the status to be recorded",
        [PUBLISH_ROLLBACK] = "the rollback of the volume",
        [PUBLISH_CLOSE] = "the volume to be closed",
    };

    return awaited_in[publish->state];
}

/* Of the provider that the driver was about to call again, or has called again; or NULL. */
static const struct error *provider_failure(const struct publish *publish)
{
    return publish->state == PUBLISH_PROVIDER && publish->provider != NULL
               ? provider_call_last_failure(publish->provider)
               : NULL;
}

void publish_pending_error(const struct publish *publish, struct error **err)
{
    const struct error *failure = provider_failure(publish);

    if (publish->state == PUBLISH_ROLLBACK && publish->rollback_cause != NULL)
        (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "%s", error_message(publish->rollback_cause));
    else
        (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "the time of the call is over, and the driver still waits for %s%s%s",
                        awaited(publish), failure != NULL ? ", which failed before: " : "",
                        error_message(failure));
}

void publish_cancel(struct publish **publish, enum grpc_status reason)
{
    const struct error *failure = provider_failure(*publish);
    cleanup_error struct error *error = NULL;

    if (reason == GRPC_STATUS_DEADLINE_EXCEEDED)
        publish_pending_error(*publish, &error);
    else
        (void)error_set(&error, reason, "the caller did not wait for %s%s%s", awaited(*publish),
                        failure != NULL ? ", which failed before: " : "", error_message(failure));
    if ((*publish)->state != PUBLISH_ROLLBACK) /* that failure is reported */
        publish_note_failure(*publish, error,
                             failure != NULL ? ERROR_TYPE_PROVIDER : grpc_status_go_name(reason));
    (*publish)->caller = PUBLISH_CALLER_GONE;
    publish_abandon(*publish);
    *publish = NULL;
}
