/*
 * pod_status.c - SecretProviderClassPodStatus objects.
 */
#include "driver/status/pod_status.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/process/lifecycle.h"
#include "common/process/loop_timer.h"
#include "driver/kube/kube_refusal.h"
#include "driver/kube/kube_upsert.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/status/pod_status_written.h"
#include "driver/volume/volume_table.h"

enum { RECOVERY_SPREAD_MS = 2 * 1000 }; /* the API server has recovered: not all writes at once */

struct pod_status {
    struct pod_status_config config;
    char *node_label;
    struct volume_table volumes; /* struct pod_volume */
    struct kube_health_listener kube_listener;
    struct backoff write_pauses;
    unsigned n_writing;       /* requests in flight */
    struct loop_timer *timer; /* of draining */
    uint64_t drain_until_ms;
    void (*idle)(void *arg);
    void *idle_arg;
};

/* The write of one volume: there is one from the event until the object says what it should. */
struct pod_write {
    struct pod_status *status;
    struct loop_timer *timer;                 /* before the next try */
    struct kube_upsert *upsert;               /* owned; NULL when no request is in flight */
    struct desired_pod_status *desired;       /* owned; being written or to be written */
    struct desired_pod_status *next;          /* owned; came while `desired` was being written; or NULL */
    struct observer_call *waiter;             /* the call that waits for `desired`; NULL = none */
    unsigned failures;                        /* in a row */
    char *name;                               /* of the object; NULL = not chosen yet */
    bool collided, superseded, being_deleted; /* found out by the last build() */
};

/* One volume, and what its object should say. A node may have ten thousand: what only a write needs is not in
 * here. */
struct pod_volume {
    struct volume_entry entry;
    struct pod_write *write; /* owned; NULL when nothing is to be written */
    struct pod_status_written written;
    uint32_t recheck_s; /* from then on `written` does not count any more, on uv_now()'s clock in seconds */
    bool unique_name;   /* the plain one is another pod's */
    bool ours;          /* this process has written the object, or found it as it should be */
    bool other_path;    /* it shows another volume of the pod */
};
/* musl takes 80 bytes for up to 76, and took 112 with 64-bit times and a longer digest. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct pod_volume) <= 76, "a volume takes more memory");

static struct pod_volume *volume_at(struct volume_entry *entry)
{
    return container_of(entry, struct pod_volume, entry);
}

/* --- draining --- */

static void check_idle(void *arg)
{
    struct pod_status *status = arg;
    void (*idle)(void *arg) = status->idle;

    if (status->n_writing > 0 && uv_now(status->config.loop) < status->drain_until_ms) {
        /* The end of a write checks again, or the end of the time. */
        loop_timer_start(status->timer, status->drain_until_ms - uv_now(status->config.loop));
        return;
    }
    loop_timer_stop(status->timer);
    status->idle = NULL;
    if (idle != NULL)
        idle(status->idle_arg);
}

/* A request has come to its end. */
static void request_ended(struct pod_status *status)
{
    status->n_writing--;
    if (status->idle != NULL)
        loop_timer_start(status->timer, 0);
}

void pod_status_drain(struct pod_status *status, uint64_t timeout_ms, void (*idle)(void *arg), void *arg)
{
    status->idle = idle;
    status->idle_arg = arg;
    status->drain_until_ms = uv_now(status->config.loop) + timeout_ms;
    loop_timer_start(status->timer, 0);
}

/* --- volumes --- */

static void write_now(void *arg);

static void write_free(struct pod_write *write)
{
    loop_timer_destroy(write->timer);
    desired_pod_status_destroy(write->desired);
    desired_pod_status_destroy(write->next);
    free(write->name);
    free(write);
}

/* The write of a volume, begun if need be. */
static struct pod_write *write_get(struct pod_status *status, struct pod_volume *volume, struct error **err)
{
    struct pod_write *write = volume->write;

    if (write != NULL)
        return write;
    write = alloc_zeroed(sizeof(*write), err);
    if (write == NULL)
        return NULL;
    write->status = status;
    write->timer = loop_timer_create(status->config.loop, write_now, volume, err);
    if (write->timer == NULL) {
        free(write);
        return NULL;
    }
    volume->write = write;
    return write;
}

static void volume_dispose(struct pod_status *status, struct pod_volume *volume)
{
    struct pod_write *write = volume->write;

    if (write != NULL && write->upsert != NULL) {
        kube_upsert_cancel(&write->upsert);
        request_ended(status);
    }
    if (write != NULL && write->waiter != NULL) {
        struct error *error = NULL;

        (void)error_set(&error, GRPC_STATUS_ABORTED, "the volume is being unmounted");
        observer_call_finish_later(write->waiter, error);
    }
    if (write != NULL)
        write_free(write);
    volume_table_remove(&status->volumes, &volume->entry);
    pod_status_written_finish(&volume->written, status->config.versions);
    free(volume);
}

static struct pod_volume *volume_find(struct pod_status *status, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&status->volumes, target_path);

    return entry != NULL ? volume_at(entry) : NULL;
}

static struct pod_volume *volume_get(struct pod_status *status, const struct volume_event *event,
                                     struct error **err)
{
    const struct volume_names names = volume_event_names(event);
    struct pod_volume *volume = volume_find(status, event->target_path);

    if (volume != NULL) {
        volume_table_rename(&status->volumes, &volume->entry, &names);
        return volume;
    }
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL || volume_table_add(&status->volumes, &volume->entry, &names) < 0) {
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return volume;
}

/* --- rechecks --- */

static void plan_recheck(const struct pod_status *status, struct pod_volume *volume)
{
    const struct pod_status_config *config = &status->config;
    uint64_t interval = config->recheck_ms != 0 ? config->recheck_ms : POD_STATUS_RECHECK_MS;
    uint64_t recheck_ms = uv_now(config->loop) + backoff_spread(interval, 75, 100, backoff_random());

    volume->recheck_s = (uint32_t)(recheck_ms / 1000);
}

/* True when what is known of the object was too old and is forgotten. */
static bool forget_if_stale(const struct pod_status *status, struct pod_volume *volume)
{
    if (volume->write != NULL || uv_now(status->config.loop) / 1000 < volume->recheck_s)
        return false;
    pod_status_written_forget(&volume->written);
    return true;
}

void pod_status_recheck(struct pod_status *status, const char *target_path)
{
    struct pod_volume *volume = volume_find(status, target_path);
    struct desired_pod_status *desired;
    struct volume_names names;
    char path[TARGET_PATH_MAX + 1];

    if (volume == NULL)
        return;
    volume->recheck_s = 0;
    if (!volume->written.has_last || !forget_if_stale(status, volume))
        return;
    names = shared_names_read(volume->entry.names, path);
    desired = pod_status_written_desire(&volume->written, status->config.versions, &names, status->node_label,
                                        clock_unix_s());
    if (desired == NULL || write_get(status, volume, /* err= */ NULL) == NULL) {
        desired_pod_status_destroy(desired);
        return;
    }
    volume->write->desired = desired;
    loop_timer_start(volume->write->timer, 0);
}

/* --- writing --- */

/* An object that is being deleted is not written, and created again when it is gone. */
static int check_deletion(struct pod_write *write, const cJSON *object, struct error **err)
{
    write->being_deleted = kube_is_being_deleted(object);
    if (!write->being_deleted)
        return 0;
    return error_set(err, GRPC_STATUS_UNAVAILABLE,
                     "the status object is being deleted, the driver creates it again when it is gone");
}

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct pod_volume *volume = arg;
    struct pod_write *write = volume->write;
    const struct desired_pod_status *desired = write->desired;
    unsigned flags = 0;

    write->collided = write->superseded = write->being_deleted = false;
    if (step == KUBE_UPSERT_CREATE)
        return pod_status_object(desired, write->name, err);
    if (current != NULL && check_deletion(write, current, err) < 0)
        return NULL;
    if (current != NULL) {
        enum pod_status_relation relation = pod_status_relation(current, desired);

        write->collided = relation == POD_STATUS_OTHER_NAME && !volume->unique_name;
        write->superseded =
            relation == POD_STATUS_OTHER_POD && volume->ours && desired->event_type != VOLUME_EVENT_MOUNTED;
        if (write->collided || write->superseded)
            return NULL;
        if (relation == POD_STATUS_OTHER_POD && desired->event_type != VOLUME_EVENT_MOUNTED) {
            /* An earlier pod, and the garbage collector is about to remove the object, or a later one. */
            (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                            "the object belongs to another pod of this name");
            return NULL;
        }
    }
    if (pod_status_written_error_is_old(&volume->written, desired))
        flags |= POD_STATUS_PATCH_ERROR_TEXT;
    if (volume->other_path)
        flags |= POD_STATUS_PATCH_KEEP_PATH;
    return pod_status_patch(current, desired, flags, &volume->other_path, err);
}

static void write_done(struct kube_upsert_result *result, const struct error *error, void *arg);
static void write_failed(struct pod_volume *volume, const struct error *error);

static enum kube_upsert_step first_step(const struct pod_volume *volume)
{
    if (volume->written.version != 0)
        return KUBE_UPSERT_PATCH;
    return volume->write->desired->event_type == VOLUME_EVENT_MOUNTED ? KUBE_UPSERT_CREATE : KUBE_UPSERT_READ;
}

static int write_start(struct pod_volume *volume, struct error **err)
{
    struct pod_write *write = volume->write;
    const struct desired_pod_status *desired = write->desired;
    char version[POD_STATUS_VERSION_SIZE];

    if (write->name == NULL)
        write->name = pod_status_name(desired->pod_name, desired->pod_namespace, desired->class_name,
                                      volume->unique_name ? POD_STATUS_NAME_UNIQUE : 0, err);
    if (write->name == NULL)
        return -1;
    write->upsert =
        kube_upsert_start(write->status->config.kube,
                          &(struct kube_upsert_request){
                              .group = CLASS_API_GROUP,
                              .version = "v1",
                              .ns = desired->pod_namespace,
                              .resource = POD_STATUS_RESOURCE,
                              .name = write->name,
                              .first = first_step(volume),
                              .resource_version = pod_status_written_version(&volume->written, version),
                              .build = build},
                          write_done, volume, err);
    if (write->upsert == NULL)
        return -1;
    write->status->n_writing++;
    return 0;
}

/* Never from inside an observer's start(). */
static void write_now(void *arg)
{
    struct pod_volume *volume = arg;
    cleanup_error struct error *error = NULL;

    if (write_start(volume, &error) < 0)
        write_failed(volume, error);
}

/* The status that came while another one was being written is next. */
static void take_next(struct pod_write *write)
{
    struct desired_pod_status *next = steal_ptr(&write->next);

    if (next == NULL)
        return;
    if (write->desired != NULL) { /* not written: an event in it that is no state goes on */
        next->changed = next->changed || write->desired->changed;
        if (write->desired->event_type == VOLUME_EVENT_MOUNTED)
            next->event_type = VOLUME_EVENT_MOUNTED;
        desired_pod_status_destroy(write->desired);
    }
    write->desired = next;
}

/* It stays desired. The waiter comes last: it may remove the volume. */
static void write_failed(struct pod_volume *volume, const struct error *error)
{
    struct pod_write *write = volume->write;
    struct pod_status *status = write->status;
    struct observer_call *waiter = write->waiter;
    bool being_deleted = write->being_deleted;
    char path[TARGET_PATH_MAX + 1];

    if (waiter == NULL || being_deleted) {
        driver_metrics_record_error(status->config.metrics, "status");
        if (write->failures == 0)
            log_warning(status->config.log, "the status of a volume cannot be written, the driver retries",
                        LOG_STR("spcps", write->name),
                        LOG_STR("targetPath", volume_entry_path(&volume->entry, path)), LOG_ERR(error));
    }
    if (being_deleted)
        volume->written.version = 0; /* the next try reads the object */
    write->failures++;
    take_next(write);
    loop_timer_start(write->timer, backoff_pause(&status->write_pauses, write->failures, backoff_random()));
    if (waiter != NULL) /* a finalizer of an earlier object may last, and the pod starts */
        observer_call_finish(waiter, being_deleted ? NULL : error);
}

/* Retries need not wait any longer. Should the API server have trouble at first, as one that has just started
 * does, the pauses grow from the beginning. */
static void kube_recovered(void *arg)
{
    struct pod_status *status = arg;

    for (struct volume_entry *at = NULL; (at = volume_table_next(&status->volumes, at)) != NULL;) {
        struct pod_write *write = volume_at(at)->write;

        if (write == NULL || write->failures == 0)
            continue;
        write->failures = 1;
        if (write->upsert == NULL)
            loop_timer_start(write->timer, backoff_spread(RECOVERY_SPREAD_MS, 0, 100, backoff_random()));
    }
}

static void remember(struct pod_volume *volume, const cJSON *object)
{
    struct pod_write *write = volume->write;

    write->failures = 0;
    volume->ours = true;
    plan_recheck(write->status, volume);
    pod_status_written_set(&volume->written, write->desired,
                           write->superseded ? "" : kube_metadata_string(object, "resourceVersion"));
}

/* The object of this name is another pod's, and the driver may not change that (`error`; NULL: must not). */
static void name_collided(struct pod_volume *volume, const struct error *error)
{
    char path[TARGET_PATH_MAX + 1];

    log_warning(volume->write->status->config.log,
                "the name of a status object belongs to another pod, the driver takes a longer one",
                LOG_STR("spcps", volume->write->name),
                LOG_STR("targetPath", volume_entry_path(&volume->entry, path)), LOG_ERR(error));
    volume->unique_name = true;
    free(steal_ptr(&volume->write->name));
    volume->written.version = 0;
    loop_timer_start(volume->write->timer, 0);
}

/* The waiter comes last: it may remove the volume. */
static void write_succeeded(struct pod_volume *volume, const cJSON *object)
{
    struct pod_write *write = volume->write;
    struct observer_call *waiter = write->waiter;

    if (write->failures > 0)
        log_info(write->status->config.log, "the status of a volume is written now",
                 LOG_STR("spcps", write->name));
    remember(volume, object);
    desired_pod_status_destroy(steal_ptr(&write->desired));
    take_next(write);
    if (write->desired != NULL && !pod_status_written_matches(&volume->written, write->desired)) {
        loop_timer_start(write->timer, 0);
    } else {
        if (waiter != NULL)
            observer_call_detach(waiter);
        write_free(steal_ptr(&volume->write));
    }
    if (waiter != NULL)
        observer_call_finish(waiter, NULL);
}

/* The object is an earlier pod's, and the driver may not make it this pod's. It may create another one. */
static bool owner_is_refused(const struct pod_volume *volume, const struct error *error)
{
    return !volume->unique_name && kube_refusal_of(error) == KUBE_REFUSAL_OWNERS;
}

static void write_done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct pod_volume *volume = arg;
    cleanup_error struct error *deletion = NULL;

    volume->write->upsert = NULL;
    request_ended(volume->write->status);
    if (error == NULL && check_deletion(volume->write, result->object, &deletion) < 0)
        error = deletion; /* of a patch for a version that was remembered */
    if (error != NULL && !owner_is_refused(volume, error))
        write_failed(volume, error);
    else if (error != NULL || volume->write->collided)
        name_collided(volume, error);
    else
        write_succeeded(volume, result->object);
}

/* --- the interface --- */

/* Secrets of a pod without an owner of its own are owned by the status object. */
static bool status_is_required(void *state, const struct volume_event *event)
{
    (void)state;
    return event->class != NULL && event->class->n_secret_objects > 0;
}

/* Takes over `desired`. The volume has a write, and its waiter if there is one. */
static void set_desired(struct pod_volume *volume, struct desired_pod_status *desired)
{
    struct pod_write *write = volume->write;

    desired_pod_status_destroy(write->next);
    write->next = desired;
    if (write->upsert != NULL)
        return; /* its end goes on with it */
    take_next(write);
    /* A volume that waits for its next try goes on waiting, unless a mount waits for it. */
    if (write->waiter != NULL || !loop_timer_is_running(write->timer))
        loop_timer_start(write->timer, 0);
}

static void wait_for_volume(struct observer_call *call, struct pod_volume *volume, uint64_t timeout_ms)
{
    struct error *late = NULL;

    (void)error_set(&late, GRPC_STATUS_DEADLINE_EXCEEDED,
                    "the Kubernetes API has not stored it within %llu ms; the driver retries",
                    (unsigned long long)timeout_ms);
    observer_call_wait(call, &volume->write->waiter, timeout_ms, late);
}

static struct observer_call *status_start(void *state, const struct volume_event *event, uint64_t timeout_ms,
                                          observer_callback *callback, void *arg, struct error **err)
{
    struct pod_status *status = state;
    struct desired_pod_status *desired = desired_pod_status_create_shared(
        event, status->node_label, clock_unix_s(), status->config.versions, err);
    struct pod_volume *volume = desired != NULL ? volume_get(status, event, err) : NULL;
    struct observer_call *call =
        volume != NULL ? observer_call_create(status->config.loop, callback, arg, err) : NULL;
    bool done;

    if (call == NULL) {
        desired_pod_status_destroy(desired);
        return NULL;
    }
    (void)forget_if_stale(status, volume);
    done = volume->write == NULL && pod_status_written_matches(&volume->written, desired);
    if (!done && write_get(status, volume, err) == NULL) {
        observer_call_cancel(NULL, call);
        desired_pod_status_destroy(desired);
        return NULL;
    }
    if (!done && event->type == VOLUME_EVENT_MOUNTED && status_is_required(status, event))
        wait_for_volume(call, volume, timeout_ms);
    else
        observer_call_finish_later(call, NULL);
    if (done)
        desired_pod_status_destroy(desired);
    else
        set_desired(volume, desired);
    return call;
}

/* The object is read once for a volume of an earlier driver process, which may have ended before it wrote the
 * status, and for one whose object has not been read for long. */
static void status_on_unchanged(void *state, const struct volume_event *event)
{
    struct pod_status *status = state;
    struct pod_volume *volume = volume_find(status, event->target_path);
    struct desired_pod_status *desired;

    if (event->versions == NULL || (volume != NULL && !forget_if_stale(status, volume)))
        return;
    desired =
        desired_pod_status_create_shared(event, status->node_label, clock_unix_s(), status->config.versions,
                                         /* err= */ NULL);
    volume = desired != NULL ? volume_get(status, event, /* err= */ NULL) : NULL;
    if (volume != NULL && write_get(status, volume, /* err= */ NULL) != NULL)
        set_desired(volume, desired);
    else
        desired_pod_status_destroy(desired);
}

static void status_on_removed(void *state, const char *target_path)
{
    struct pod_volume *volume = volume_find(state, target_path);

    if (volume != NULL)
        volume_dispose(state, volume);
}

struct volume_observer pod_status_observer(struct pod_status *status)
{
    return (struct volume_observer){.name = "status",
                                    .action = "record the volume's status",
                                    .wants_failures = true,
                                    .is_required = status_is_required,
                                    .start = status_start,
                                    .cancel = observer_call_cancel,
                                    .on_unchanged = status_on_unchanged,
                                    .on_removed = status_on_removed,
                                    .state = status};
}

struct pod_status *pod_status_create(const struct pod_status_config *config, struct error **err)
{
    struct pod_status *status = alloc_zeroed(sizeof(*status), err);

    if (status == NULL)
        return NULL;
    *status = (struct pod_status){.config = *config,
                                  .write_pauses = {.first = config->retry_first_ms != 0
                                                                ? config->retry_first_ms
                                                                : (uint64_t)POD_STATUS_RETRY_FIRST_MS,
                                                   .growth_percent = 200,
                                                   .cap = POD_STATUS_RETRY_CAP_MS,
                                                   .jitter_min_percent = 100,
                                                   .jitter_max_percent = 125},
                                  .kube_listener = {.on_recovered = kube_recovered, .arg = status}};
    volume_table_init(&status->volumes, config->names);
    status->node_label = pod_status_node_label(config->node, err);
    if (status->node_label != NULL)
        status->timer = loop_timer_create(config->loop, check_idle, status, err);
    if (status->timer == NULL) {
        free(status->node_label);
        free(status);
        return NULL;
    }
    kube_client_listen(config->kube, &status->kube_listener);
    return status;
}

void pod_status_destroy(struct pod_status *status)
{
    struct volume_entry *entry, *next;

    if (status == NULL)
        return;
    kube_health_unlisten(&status->kube_listener);
    for (entry = volume_table_next(&status->volumes, NULL); entry != NULL; entry = next) {
        next = volume_table_next(&status->volumes, entry);
        volume_dispose(status, volume_at(entry));
    }
    volume_table_finish(&status->volumes);
    loop_timer_destroy(status->timer);
    free(status->node_label);
    free(status);
}
