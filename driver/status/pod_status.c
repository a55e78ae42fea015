/*
 * pod_status.c - SecretProviderClassPodStatus objects.
 */
#include "driver/status/pod_status.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/process/lifecycle.h"
#include "common/process/loop_timer.h"
#include "driver/kube/kube_refusal.h"
#include "driver/kube/kube_upsert.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/volume/volume_table.h"

enum {
    RECOVERY_SPREAD_MS = 2 * 1000, /* the API server has recovered: not all writes at once */
};

struct pod_status {
    struct pod_status_config config;
    char *node_label;
    struct volume_table volumes; /* struct pod_volume */
    struct kube_health_listener kube_listener;
    struct backoff write_pauses;
    struct loop_timer *timer; /* of draining */
    uint64_t drain_until_ms;
    void (*idle)(void *arg);
    void *idle_arg;
};

/* One volume: what is to be written, and what its object says. */
struct pod_volume {
    struct pod_status *status;
    struct volume_entry entry;
    struct loop_timer *timer;           /* before the next try */
    struct kube_upsert *upsert;         /* owned; NULL when no write is in flight */
    struct desired_pod_status *desired; /* owned; being written or to be written; NULL = nothing to do */
    struct desired_pod_status *next;    /* owned; came while `desired` was being written */
    struct desired_pod_status
        *last; /* owned; what its object should say, when nothing is to be written; or NULL */
    struct observer_call *waiter; /* the call that waits for `desired`; NULL = none */
    unsigned failures;            /* in a row */

    char *name;          /* of the object; NULL = not chosen yet */
    bool unique_name;    /* the plain one is another pod's */
    char *version;       /* resourceVersion; NULL = not known */
    bool ours;           /* this process has written the object, or found it as it should be */
    uint64_t recheck_ms; /* from then on the last two do not count any more, on uv_now()'s clock */
    bool other_path;     /* it shows another volume of the pod */
    char written[DIGEST_SHA256_HEX_LEN + 1]; /* digest of what it says; "" = not known */
    char *error;                             /* its lastError as written; NULL = none */
    int64_t error_unix;                      /* when that was */

    /* found out by the last build() */
    bool collided;
    bool superseded;
    bool being_deleted;
};

static struct pod_volume *volume_at(struct list *link)
{
    return container_of(volume_entry_at(link), struct pod_volume, entry);
}

/* --- draining --- */

static void check_idle(void *arg)
{
    struct pod_status *status = arg;
    void (*idle)(void *arg) = status->idle;

    for (struct list *at = status->volumes.entries.next; at != &status->volumes.entries; at = at->next)
        if (volume_at(at)->upsert != NULL && uv_now(status->config.loop) < status->drain_until_ms) {
            /* Its end checks again, or the end of the time. */
            loop_timer_start(status->timer, status->drain_until_ms - uv_now(status->config.loop));
            return;
        }
    loop_timer_stop(status->timer);
    status->idle = NULL;
    if (idle != NULL)
        idle(status->idle_arg);
}

/* A write has come to its end. */
static void write_ended(struct pod_status *status)
{
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

static void volume_free(struct pod_volume *volume)
{
    loop_timer_destroy(volume->timer);
    free(volume->name);
    free(volume->version);
    free(volume->error);
    free(volume);
}

static void volume_dispose(struct pod_volume *volume)
{
    if (volume->upsert != NULL)
        kube_upsert_cancel(&volume->upsert);
    if (volume->waiter != NULL) {
        struct error *error = NULL;

        (void)error_set(&error, GRPC_STATUS_ABORTED, "the volume is being unmounted");
        observer_call_finish_later(volume->waiter, error);
    }
    desired_pod_status_destroy(volume->desired);
    desired_pod_status_destroy(volume->next);
    desired_pod_status_destroy(volume->last);
    volume_table_remove(&volume->status->volumes, &volume->entry);
    write_ended(volume->status);
    volume_free(volume);
}

static struct pod_volume *volume_find(const struct pod_status *status, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&status->volumes, target_path);

    return entry != NULL ? container_of(entry, struct pod_volume, entry) : NULL;
}

static struct pod_volume *volume_get(struct pod_status *status, const char *target_path, struct error **err)
{
    struct pod_volume *volume = volume_find(status, target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    volume->status = status;
    volume->timer = loop_timer_create(status->config.loop, write_now, volume, err);
    if (volume->timer == NULL) {
        free(volume);
        return NULL;
    }
    if (volume_table_add(&status->volumes, &volume->entry, target_path) < 0) {
        volume_free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return volume;
}

/* --- rechecks --- */

static void plan_recheck(struct pod_volume *volume)
{
    const struct pod_status_config *config = &volume->status->config;
    uint64_t interval = config->recheck_ms != 0 ? config->recheck_ms : POD_STATUS_RECHECK_MS;

    volume->recheck_ms = uv_now(config->loop) + backoff_spread(interval, 75, 100, backoff_random());
}

/* True when what is known of the object was too old and is forgotten. */
static bool forget_if_stale(struct pod_volume *volume)
{
    if (volume->desired != NULL || volume->upsert != NULL ||
        uv_now(volume->status->config.loop) < volume->recheck_ms)
        return false;
    free(volume->version);
    volume->version = NULL;
    volume->written[0] = '\0';
    return true;
}

void pod_status_recheck(struct pod_status *status, const char *target_path)
{
    struct pod_volume *volume = volume_find(status, target_path);

    if (volume == NULL)
        return;
    volume->recheck_ms = 0;
    if (volume->last == NULL || !forget_if_stale(volume))
        return;
    volume->desired = steal_ptr(&volume->last);
    volume->desired->event_type = VOLUME_EVENT_CHECKED; /* it does not take over the object of a later pod */
    volume->desired->changed = false;
    loop_timer_start(volume->timer, 0);
}

/* --- writing --- */

/* Is the error that the object shows old enough for another text? */
static bool error_is_old(const struct pod_volume *volume, const struct desired_pod_status *desired)
{
    int64_t age = desired->now_unix - volume->error_unix;

    return volume->error == NULL || age < 0 || age >= POD_STATUS_ERROR_RENEWAL_S;
}

static bool is_up_to_date(const struct pod_volume *volume, const struct desired_pod_status *desired)
{
    if (strcmp(volume->written, desired->digest) != 0 || desired->changed)
        return false;
    return desired->error == NULL || !error_is_old(volume, desired) ||
           (volume->error != NULL && strcmp(volume->error, desired->error) == 0);
}

/* An object that is being deleted does not count as being there: it is not written, and created again when it
 * is gone. */
static int check_deletion(struct pod_volume *volume, const cJSON *object, struct error **err)
{
    volume->being_deleted = kube_is_being_deleted(object);
    if (!volume->being_deleted)
        return 0;
    return error_set(err, GRPC_STATUS_UNAVAILABLE,
                     "the status object is being deleted, the driver creates it again when it is gone");
}

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct pod_volume *volume = arg;
    const struct desired_pod_status *desired = volume->desired;
    unsigned flags = 0;

    volume->collided = volume->superseded = volume->being_deleted = false;
    if (step == KUBE_UPSERT_CREATE)
        return pod_status_object(desired, volume->name, err);
    if (current != NULL && check_deletion(volume, current, err) < 0)
        return NULL;
    if (current != NULL) {
        enum pod_status_relation relation = pod_status_relation(current, desired);

        volume->collided = relation == POD_STATUS_OTHER_NAME && !volume->unique_name;
        volume->superseded =
            relation == POD_STATUS_OTHER_POD && volume->ours && desired->event_type != VOLUME_EVENT_MOUNTED;
        if (volume->collided || volume->superseded)
            return NULL;
        if (relation == POD_STATUS_OTHER_POD && desired->event_type != VOLUME_EVENT_MOUNTED) {
            /* An earlier pod, and the garbage collector is about to remove the object, or a later one. */
            (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                            "the object belongs to another pod of this name");
            return NULL;
        }
    }
    if (error_is_old(volume, desired))
        flags |= POD_STATUS_PATCH_ERROR_TEXT;
    if (volume->other_path)
        flags |= POD_STATUS_PATCH_KEEP_PATH;
    return pod_status_patch(current, desired, flags, &volume->other_path, err);
}

static void write_done(struct kube_upsert_result *result, const struct error *error, void *arg);
static void write_failed(struct pod_volume *volume, const struct error *error);

static int choose_name(struct pod_volume *volume, struct error **err)
{
    const struct desired_pod_status *desired = volume->desired;

    if (volume->name == NULL)
        volume->name = pod_status_name(desired->pod_name, desired->pod_namespace, desired->class_name,
                                       volume->unique_name ? POD_STATUS_NAME_UNIQUE : 0, err);
    return volume->name != NULL ? 0 : -1;
}

static enum kube_upsert_step first_step(const struct pod_volume *volume)
{
    if (volume->version != NULL)
        return KUBE_UPSERT_PATCH;
    return volume->desired->event_type == VOLUME_EVENT_MOUNTED ? KUBE_UPSERT_CREATE : KUBE_UPSERT_READ;
}

static int write_start(struct pod_volume *volume, struct error **err)
{
    if (choose_name(volume, err) < 0)
        return -1;
    volume->upsert = kube_upsert_start(volume->status->config.kube,
                                       &(struct kube_upsert_request){.group = CLASS_API_GROUP,
                                                                     .version = "v1",
                                                                     .ns = volume->desired->pod_namespace,
                                                                     .resource = POD_STATUS_RESOURCE,
                                                                     .name = volume->name,
                                                                     .first = first_step(volume),
                                                                     .resource_version = volume->version,
                                                                     .build = build},
                                       write_done, volume, err);
    return volume->upsert != NULL ? 0 : -1;
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
static void take_next(struct pod_volume *volume)
{
    struct desired_pod_status *next = steal_ptr(&volume->next);

    if (next == NULL)
        return;
    if (volume->desired != NULL) { /* not written: an event in it that is no state goes on */
        next->changed = next->changed || volume->desired->changed;
        if (volume->desired->event_type == VOLUME_EVENT_MOUNTED)
            next->event_type = VOLUME_EVENT_MOUNTED;
        desired_pod_status_destroy(volume->desired);
    }
    volume->desired = next;
}

/* It stays desired. The waiter comes last: it may remove the volume. */
static void write_failed(struct pod_volume *volume, const struct error *error)
{
    struct pod_status *status = volume->status;
    struct observer_call *waiter = volume->waiter;

    if (waiter == NULL || volume->being_deleted) {
        driver_metrics_record_error(status->config.metrics, "status");
        if (volume->failures == 0)
            log_warning(status->config.log, "the status of a volume cannot be written, the driver retries",
                        LOG_STR("spcps", volume->name), LOG_STR("targetPath", volume->entry.target_path),
                        LOG_ERR(error));
    }
    if (volume->being_deleted)
        free(steal_ptr(&volume->version)); /* the next try reads the object */
    volume->failures++;
    take_next(volume);
    loop_timer_start(volume->timer, backoff_pause(&status->write_pauses, volume->failures, backoff_random()));
    if (waiter != NULL) /* a finalizer of an earlier object may last, and the pod starts */
        observer_call_finish(waiter, volume->being_deleted ? NULL : error);
}

/* Retries need not wait any longer. Should the API server have trouble at first, as one that has just started
 * does, the pauses grow from the beginning. */
static void kube_recovered(void *arg)
{
    struct pod_status *status = arg;

    for (struct list *at = status->volumes.entries.next; at != &status->volumes.entries; at = at->next) {
        struct pod_volume *volume = volume_at(at);

        volume->failures = volume->failures > 0 ? 1 : 0;
        if (volume->failures > 0 && volume->upsert == NULL && volume->desired != NULL)
            loop_timer_start(volume->timer, backoff_spread(RECOVERY_SPREAD_MS, 0, 100, backoff_random()));
    }
}

static void remember(struct pod_volume *volume, const cJSON *object)
{
    const struct desired_pod_status *desired = volume->desired;
    const char *version = kube_metadata_string(object, "resourceVersion");

    volume->failures = 0;
    volume->ours = true;
    plan_recheck(volume);
    free(volume->version);
    volume->version = volume->superseded || version[0] == '\0' ? NULL : strdup(version);
    memcpy(volume->written, desired->digest, sizeof(volume->written));
    if (desired->error == NULL) {
        free(volume->error);
        volume->error = NULL;
    } else if (error_is_old(volume, desired)) {
        free(volume->error);
        volume->error = strdup(desired->error);
        volume->error_unix = desired->now_unix;
    }
}

/* The object of this name is another pod's, and the driver may not change that (`error`; NULL: must not). */
static void name_collided(struct pod_volume *volume, const struct error *error)
{
    log_warning(volume->status->config.log,
                "the name of a status object belongs to another pod, the driver takes a longer one",
                LOG_STR("spcps", volume->name), LOG_STR("targetPath", volume->entry.target_path),
                LOG_ERR(error));
    volume->unique_name = true;
    free(steal_ptr(&volume->name));
    free(steal_ptr(&volume->version));
    loop_timer_start(volume->timer, 0);
}

static void write_succeeded(struct pod_volume *volume, const cJSON *object)
{
    struct observer_call *waiter = volume->waiter;

    if (volume->failures > 0)
        log_info(volume->status->config.log, "the status of a volume is written now",
                 LOG_STR("spcps", volume->name));
    remember(volume, object);
    desired_pod_status_destroy(volume->last);
    volume->last = steal_ptr(&volume->desired);
    take_next(volume);
    if (volume->desired != NULL && is_up_to_date(volume, volume->desired))
        desired_pod_status_destroy(steal_ptr(&volume->desired));
    if (volume->desired != NULL)
        loop_timer_start(volume->timer, 0);
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

    volume->upsert = NULL;
    write_ended(volume->status);
    if (error == NULL && check_deletion(volume, result->object, &deletion) < 0)
        error = deletion; /* of a patch for a version that was remembered */
    if (error != NULL && !owner_is_refused(volume, error))
        write_failed(volume, error);
    else if (error != NULL || volume->collided)
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

/* Takes over `desired`. */
static void set_desired(struct pod_volume *volume, struct desired_pod_status *desired)
{
    desired_pod_status_destroy(volume->next);
    volume->next = desired;
    if (volume->upsert != NULL)
        return; /* its end goes on with it */
    take_next(volume);
    /* A volume that waits for its next try goes on waiting, unless a mount waits for it. */
    if (desired->event_type == VOLUME_EVENT_MOUNTED || !loop_timer_is_running(volume->timer))
        loop_timer_start(volume->timer, 0);
}

static int check_pod(const struct volume_event *event, struct error **err)
{
    if (event->pod_name[0] != '\0' && event->pod_uid[0] != '\0' && event->pod_namespace[0] != '\0')
        return 0;
    return error_set(
        err, GRPC_STATUS_INVALID_ARGUMENT,
        "the pod is not named in the volume context: podInfoOnMount must be true in the CSIDriver object");
}

static void wait_for_volume(struct observer_call *call, struct pod_volume *volume, uint64_t timeout_ms)
{
    struct error *late = NULL;

    (void)error_set(&late, GRPC_STATUS_DEADLINE_EXCEEDED,
                    "the Kubernetes API has not stored it within %llu ms; the driver retries",
                    (unsigned long long)timeout_ms);
    observer_call_wait(call, &volume->waiter, timeout_ms, late);
}

static struct observer_call *status_start(void *state, const struct volume_event *event, uint64_t timeout_ms,
                                          observer_callback *callback, void *arg, struct error **err)
{
    struct pod_status *status = state;
    struct desired_pod_status *desired =
        check_pod(event, err) < 0 ? NULL
                                  : desired_pod_status_create(event, status->node_label, clock_unix_s(), err);
    struct pod_volume *volume = desired != NULL ? volume_get(status, event->target_path, err) : NULL;
    struct observer_call *call =
        volume != NULL ? observer_call_create(status->config.loop, callback, arg, err) : NULL;
    bool done;

    if (call == NULL) {
        desired_pod_status_destroy(desired);
        return NULL;
    }
    (void)forget_if_stale(volume);
    done = volume->desired == NULL && is_up_to_date(volume, desired);
    if (!done && event->type == VOLUME_EVENT_MOUNTED)
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

    if (event->versions == NULL || (volume != NULL && !forget_if_stale(volume)) ||
        check_pod(event, /* err= */ NULL) < 0)
        return;
    desired = desired_pod_status_create(event, status->node_label, clock_unix_s(), /* err= */ NULL);
    volume = desired != NULL ? volume_get(status, event->target_path, /* err= */ NULL) : NULL;
    if (volume != NULL)
        set_desired(volume, desired);
    else
        desired_pod_status_destroy(desired);
}

static void status_on_removed(void *state, const char *target_path)
{
    struct pod_volume *volume = volume_find(state, target_path);

    if (volume != NULL)
        volume_dispose(volume);
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
    struct pod_status *status = calloc(1, sizeof(*status));

    if (status == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *status = (struct pod_status){.config = *config,
                                  .write_pauses = {.first = config->retry_first_ms != 0
                                                                ? config->retry_first_ms
                                                                : (uint64_t)POD_STATUS_RETRY_FIRST_MS,
                                                   .growth_percent = 200,
                                                   .cap = POD_STATUS_RETRY_CAP_MS,
                                                   .jitter_min_percent = 100,
                                                   .jitter_max_percent = 125},
                                  .kube_listener = {.on_recovered = kube_recovered, .arg = status}};
    volume_table_init(&status->volumes);
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
    if (status == NULL)
        return;
    kube_health_unlisten(&status->kube_listener);
    while (!list_empty(&status->volumes.entries))
        volume_dispose(volume_at(status->volumes.entries.next));
    loop_timer_destroy(status->timer);
    free(status->node_label);
    free(status);
}
