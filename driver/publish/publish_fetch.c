/*
 * publish_fetch.c - the middle of a publish: PREPARE, PROVIDER and WRITE.
 */
#include "driver/publish/publish_fetch.h"

#include <inttypes.h>
#include <string.h>

#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/publish/publish_record.h"
#include "driver/publish/publish_report.h"
#include "driver/rotation/volume_metadata.h"

static void call_provider(struct publish *publish);
static void enter_write(struct publish *publish);

/* --- modes --- */

/* Neither files nor a tmpfs that the provider could have written to. */
static bool take_or_metadata(struct publish_job *job)
{
    if (job->payload != NULL)
        return false;
    if (job->prepared == VOLUME_PREPARED_NOT)
        (void)volume_write_metadata(job->target_path, &job->options, &job->error);
    else
        job->taken = volume_take(job->target_path, &job->options, &job->plain, &job->error) == 0;
    return true;
}

/* The provider has returned files, though it might have written them. */
static void close_prepared(const struct publish_job *job)
{
    if (job->prepared != VOLUME_PREPARED_NOT)
        volume_close(job->target_path);
}

void publish_write_new(struct publish_job *job)
{
    if (take_or_metadata(job))
        return;
    (void)volume_publish(job->target_path, job->payload, &job->options, &job->error);
    close_prepared(job);
}

void publish_write_again(struct publish_job *job)
{
    if (take_or_metadata(job))
        return;
    (void)volume_update(job->target_path, job->payload, &job->options, &job->changed, &job->error);
    close_prepared(job);
}

/* --- PREPARE: only where the provider may write files itself --- */

static int needs_prepare(const struct publish *publish, bool *ret, struct error **err)
{
    bool returns_files = false;

    *ret = false;
    if (publish->job.volume == VOLUME_PUBLISHED)
        return 0;
    if (provider_returns_files(publish->publisher->providers, publish->class->provider, &returns_files, err) <
        0)
        return -1;
    /* In a directory without a mount a provider could write to the disk: one that is known to return files,
     * too, if it changes its ways. It makes no directory. */
    *ret = !returns_files || publish->job.volume == VOLUME_WRITTEN || publish->job.volume == VOLUME_UNMOUNTED;
    return 0;
}

/* The directory was absent: what is in it now was written by the provider. A mount is another's. */
static int remove_from_disk(struct publish_job *job)
{
    enum volume_condition condition = VOLUME_ABSENT;

    if (volume_inspect(job->target_path, &condition, &job->error) < 0)
        return -1;
    return condition == VOLUME_UNMOUNTED ? volume_unpublish(job->target_path, &job->error) : 0;
}

static void run_prepare(void *job)
{
    struct publish_job *prepare = &((struct publish *)job)->job;

    if (prepare->may_be_on_disk && remove_from_disk(prepare) < 0)
        return;
    prepare->may_be_on_disk = false;
    if (volume_prepare(prepare->target_path, &prepare->options, &prepare->prepared, &prepare->error) < 0)
        prepare->prepared = VOLUME_PREPARED_NOT;
}

static void prepare_done(void *job)
{
    struct publish *publish = job;
    cleanup_error struct error *error = steal_ptr(&publish->job.error);

    if (publish->caller == PUBLISH_CALLER_INTERRUPTED) /* the unpublish removes it */
        publish_dispose(publish);
    else if (publish->caller == PUBLISH_CALLER_GONE)
        publish_end_failed(publish);
    else if (error != NULL)
        publish_fail(publish, error, ERROR_TYPE_FILES);
    else
        call_provider(publish);
}

static void enter_prepare(struct publish *publish)
{
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_PREPARE;
    publish->job.options = (struct volume_options){.gid = publish->request.gid};
    if (worker_start(publish->publisher->loop, run_prepare, prepare_done, publish, &error) < 0)
        publish_fail(publish, error, /* type= */ NULL);
}

/* --- PROVIDER --- */

static int check_class(struct publish *publish, struct error **err)
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
    return class_updates_in_place(class, &publish->in_place, err);
}

/* The volume has returned files and stays read-only: making it writable would show running containers a
 * mixture of both ways, and a mount that is never writable is a promise (volume.h). */
static bool is_refused_to_write(const struct publish *publish, const struct error *error)
{
    return publish->job.volume == VOLUME_PUBLISHED &&
           strcasestr(error_message(error), "read-only file system") != NULL;
}

static void provider_failed(struct publish *publish, const struct error *cause, const char *type)
{
    cleanup_error struct error *error = error_copy(cause);

    if (is_refused_to_write(publish, cause))
        (void)error_wrap(
            &error,
            "the provider writes files itself now, and the pod keeps the files that the provider returned before: replace the pod to get new ones");
    (void)error_wrap(&error, "failed to mount secrets store objects for pod %s/%s",
                     publish->request.pod_namespace, publish->request.pod_name);
    publish_fail(publish, error, type);
}

/* Is a tmpfs at the target path? */
static bool is_mounted(const struct publish *publish)
{
    return publish->job.prepared != VOLUME_PREPARED_NOT ||
           (publish->job.volume != VOLUME_ABSENT && publish->job.volume != VOLUME_UNMOUNTED);
}

static void provider_done(struct provider_response *response, const struct error *error, const char *type,
                          void *arg)
{
    struct publish *publish = arg;

    publish->provider = NULL;
    if (publish->lookup != NULL && error != NULL) { /* perhaps of an outdated class */
        if (strcmp(type, PROVIDER_MAY_WRITE) != 0)
            publish_report_provider_call(publish, error_code(error));
        publish_end_early_fetch(publish);
        return;
    }
    if (strcmp(type, PROVIDER_MAY_WRITE) == 0) { /* it was replaced between two tries */
        enter_prepare(publish);
        return;
    }
    publish_report_provider_call(publish, error_code(error));
    if (error != NULL) {
        provider_failed(publish, error, type);
        return;
    }
    publish->response = *response;
    *response = (struct provider_response){0};
    if (publish->lookup == NULL) /* otherwise it is confirmed first */
        enter_write(publish);
}

/* The versions that the volume shows, for a rotation check: the provider may then respond from its cache. Not
 * when the class has changed: its author expects the contents of now. NULL makes the provider fetch. */
static const struct string_map *current_versions(const struct publish *publish)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);

    if (!publish->mode->is_republish || volume == NULL || volume_state_spec_changed(volume, &publish->spec))
        return NULL;
    return version_set_map(volume->versions);
}

/* Near the memory limit responses share what is left: each needs it twice, as bytes and as files. */
static void limit_responses(const struct publisher *publisher)
{
    uint64_t max = publisher->max_bytes_in_flight, left;

    if (publisher->memory == NULL || publisher->budget == NULL)
        return;
    left = memory_limit_left(publisher->memory);
    left = left > MEMORY_LIMIT_RESERVE ? left - MEMORY_LIMIT_RESERVE : 0;
    left = byte_budget_state(publisher->budget).bytes + left / 2;
    left = left > BYTE_BUDGET_MIN ? left : BYTE_BUDGET_MIN;
    byte_budget_set_max(publisher->budget, left < max ? left : max);
}

static int attributes_of(const struct publish *publish, struct string_map *ret, struct error **err)
{
    return publish_request_attributes(&publish->request, &publish->class->parameters,
                                      publish->publisher->pod_overrides_class, ret, err);
}

static int start_provider(struct publish *publish, const struct string_map *attributes, struct error **err)
{
    const struct publisher *publisher = publish->publisher;

    limit_responses(publisher);
    publish->provider_started_ns = clock_monotonic_ns();
    publish->job.may_be_on_disk = publish->job.may_be_on_disk || !is_mounted(publish);
    publish->provider = provider_call_start(
        publisher->providers, publish->class->provider,
        &(struct provider_mount_request){.attributes = attributes,
                                         .secrets = &publish->request.secrets,
                                         .target_path = publish->request.target_path,
                                         .may_write = is_mounted(publish),
                                         .current_versions = current_versions(publish),
                                         .timeout_ms = publish_child_timeout(publish_time_left(publish)),
                                         .budget = publisher->budget,
                                         .bytes = &publish->bytes},
        provider_done, publish, err);
    return publish->provider != NULL ? 0 : -1;
}

static void call_provider(struct publish *publish)
{
    cleanup_string_map struct string_map attributes = {0};
    cleanup_error struct error *error = NULL;

    publish->state = PUBLISH_PROVIDER;
    if (attributes_of(publish, &attributes, &error) < 0) {
        publish_fail(publish, error, /* type= */ NULL);
        return;
    }
    if (start_provider(publish, &attributes, &error) == 0)
        return;
    if (strcmp(error_type(error), PROVIDER_MAY_WRITE) == 0)
        enter_prepare(publish);
    else
        provider_failed(publish, error, ERROR_TYPE_NO_PROVIDER);
}

/* --- WRITE --- */

static void run_write(void *job)
{
    struct publish *publish = job;

    publish->mode->write(&publish->job);
}

/* A volume that has been written stays and is recorded, unless the pod needs the record before it may
 * start. */
static void written_for_nobody(struct publish *publish, bool written)
{
    struct error *no_cause = NULL;

    if (!written)
        publish_end_failed(publish);
    else if (publish_requires_record(publish))
        publish_enter_rollback(publish, &no_cause);
    else
        publish_enter_record(publish);
}

static void write_done(void *job)
{
    struct publish *publish = job;
    cleanup_error struct error *error = steal_ptr(&publish->job.error);

    if (error == NULL)
        publish->job.prepared = VOLUME_PREPARED_NOT;   /* nothing is to be undone */
    if (publish->caller == PUBLISH_CALLER_INTERRUPTED) /* the unpublish removes it, whatever it is now */
        publish_dispose(publish);
    else if (publish->caller == PUBLISH_CALLER_GONE)
        written_for_nobody(publish, error == NULL);
    else if (error != NULL)
        publish_fail(publish, error, ERROR_TYPE_FILES);
    else
        publish_enter_record(publish);
}

/* A new volume must leave the driver the memory to go on, and to start again. What replaces the contents of a
 * volume is not checked: they are rarely larger, and the old ones go. */
static int check_memory(const struct publish *publish, struct error **err)
{
    struct memory_limit *memory = publish->publisher->memory;
    size_t need = payload_footprint(&publish->response.payload).memory;

    if (memory == NULL || publish->mode->is_republish || memory_limit_take(memory, need))
        return 0;
    return error_set(
        err, GRPC_STATUS_RESOURCE_EXHAUSTED,
        "no memory for the volume, which needs %zu KiB: the memory limit of the driver leaves %" PRIu64
        " KiB, of which %d are kept for the driver itself",
        need / 1024, memory_limit_left(memory) / 1024, MEMORY_LIMIT_RESERVE / 1024);
}

/* Files that a provider writes are not compared: their versions tell whether they have changed. */
static bool has_known_versions(const struct publish *publish)
{
    const struct volume_state *volume =
        volume_states_find(publish->publisher->volumes, publish->request.target_path);

    return volume != NULL && string_map_equal(version_set_map(volume->versions), &publish->response.versions);
}

/* A provider that is known to return files has returned versions only: did it write the files itself? */
static bool wrote_to_disk(const struct publish *publish)
{
    const struct provider_response *response = &publish->response;

    return response->no_files && !response->may_be_empty && publish->job.may_be_on_disk;
}

static void drop_response(struct publish *publish)
{
    provider_response_finish(&publish->response);
    byte_reservation_release(&publish->bytes);
}

static void enter_write(struct publish *publish)
{
    bool is_prepared = publish->job.prepared != VOLUME_PREPARED_NOT;
    cleanup_error struct error *error = NULL;

    if (wrote_to_disk(publish)) {
        drop_response(publish);
        enter_prepare(publish);
        return;
    }
    publish->state = PUBLISH_WRITE;
    if (check_memory(publish, &error) < 0) {
        provider_failed(publish, error, ERROR_TYPE_FILES);
        return;
    }
    /* Without metadata (no memory) the volume only knows less about itself. */
    publish->metadata = volume_metadata_print(publish->class->provider, publish->spec.hash,
                                              &publish->response.versions, /* err= */ NULL);
    publish->job.payload = publish->response.no_files && (publish->mode->is_republish || is_prepared)
                               ? NULL
                               : &publish->response.payload;
    publish->job.changed = publish->job.payload == NULL && is_prepared && !has_known_versions(publish);
    publish->job.options = (struct volume_options){.gid = publish->request.gid,
                                                   .in_place = publish->in_place,
                                                   .last_checked_unix = (uint64_t)clock_unix_s(),
                                                   .metadata = publish->metadata};
    if (worker_start(publish->publisher->loop, run_write, write_done, publish, &error) < 0)
        publish_fail(publish, error, /* type= */ NULL);
}

/* --- start --- */

static void set_class(struct publish *publish, struct secret_provider_class *class)
{
    publish->class = class;
    /* A bad annotation is reported elsewhere: at the next call for the volume, and by the class cache. */
    (void)class_rotation_spec(class, publish->publisher->rotation_interval_s, &publish->spec,
                              /* err= */ NULL);
}

void publish_start_early_fetch(struct publish *publish, struct secret_provider_class *class)
{
    cleanup_string_map struct string_map attributes = {0};
    bool prepares = false;

    set_class(publish, class);
    if (check_class(publish, /* err= */ NULL) < 0 || needs_prepare(publish, &prepares, /* err= */ NULL) < 0 ||
        prepares || attributes_of(publish, &attributes, /* err= */ NULL) < 0 ||
        start_provider(publish, &attributes, /* err= */ NULL) < 0)
        publish_end_early_fetch(publish);
}

void publish_confirm_early_fetch(struct publish *publish)
{
    publish->state = PUBLISH_PROVIDER;
    if (publish->provider == NULL)
        enter_write(publish);
}

void publish_end_early_fetch(struct publish *publish)
{
    if (publish->provider != NULL)
        provider_call_cancel(&publish->provider);
    drop_response(publish);
    secret_provider_class_free(steal_ptr(&publish->class));
}

void publish_enter_fetch(struct publish *publish, struct secret_provider_class *class)
{
    cleanup_error struct error *error = NULL;
    bool prepares = false;

    publish->state = PUBLISH_PROVIDER;
    set_class(publish, class);
    if (check_class(publish, &error) < 0)
        publish_fail(publish, error, /* type= */ NULL);
    else if (needs_prepare(publish, &prepares, &error) < 0)
        provider_failed(publish, error, ERROR_TYPE_NO_PROVIDER);
    else if (prepares)
        enter_prepare(publish);
    else
        call_provider(publish);
}
