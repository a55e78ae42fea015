/*
 * secret_sync.c - keeps Kubernetes Secrets equal to mounted files: which volume is reconciled when.
 */
#include "driver/sync/secret_sync.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/process/loop_timer.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/sync/secret_report.h"
#include "driver/sync/secret_source.h"
#include "driver/volume/volume_table.h"

#define NEVER UINT64_MAX

/* A volume: idle, queued, or running. */
struct sync_volume {
    struct secret_sync *sync;
    struct volume_entry entry; /* in sync->volumes */
    struct list link;          /* in sync->queued or sync->running; in neither when it is idle */
    struct sync_target *target;
    struct secret_reconcile *reconcile; /* NULL unless running */
    bool rerun;                         /* while running: it has to run once more */

    /* of the next run; a class and files that come from a publish are kept until it starts */
    struct secret_provider_class *class;
    struct payload files;
    bool have_files;
    enum secret_mode mode;
    bool mounting; /* the pod is being mounted */
    bool rotating; /* the last event was a rotation check: what is written now are new contents */

    struct owner_references owners; /* once known */
    bool bare;                      /* the owner is the status object, which may be created again */
    struct secret_state_refs states;
    uint64_t due_ms;   /* when it is queued by itself, on uv_now()'s clock */
    uint64_t check_ms; /* when the next check is due; rotation checks do not put it off */
    unsigned retries;
    struct secret_report report;
    struct observer_call *waiter; /* a publish that waits for the next end of a run */
};

struct secret_sync {
    struct secret_sync_config config;
    struct secret_reconcile_config reconcile_config;
    struct secret_reporter reporter;
    struct backoff retry_pauses;
    struct secret_states states;
    struct volume_table volumes; /* struct sync_volume */
    struct list queued;
    struct list running;
    unsigned n_running;
    struct kube_health_listener kube_listener;
    struct loop_timer *timer;
    uint64_t wake_ms; /* when it fires, never after the earliest due_ms; NEVER when it is stopped */
};

static struct sync_volume *volume_at(struct list *link)
{
    return container_of(volume_entry_at(link), struct sync_volume, entry);
}

/* After `ms` less a tenth to a quarter, by chance: volumes that were published together move apart, and what
 * is missing is back within `ms`. */
static void plan_check(struct sync_volume *volume, uint64_t ms)
{
    volume->check_ms = uv_now(volume->sync->config.loop) + backoff_spread(ms, 75, 90, backoff_random());
    volume->due_ms = volume->check_ms;
}

/* Is a run now as good as the next check? A rotation check saves the check that follows soon, and replaces
 * one that is not planned within the interval. */
static bool check_is_near(const struct sync_volume *volume)
{
    uint64_t now = uv_now(volume->sync->config.loop);
    uint64_t interval = volume->sync->config.check_interval_ms;

    return volume->check_ms <= now + interval / 100 * 55 || volume->check_ms > now + interval;
}

/* --- the queue --- */

static void start_next(struct secret_sync *sync);

static void set_timer(struct secret_sync *sync);

static void enqueue(struct sync_volume *volume, bool first)
{
    struct secret_sync *sync = volume->sync;

    volume->due_ms = NEVER;
    if (volume->reconcile != NULL) {
        volume->rerun = true;
        return;
    }
    if (!list_empty(&volume->link)) {
        if (!first)
            return;
        list_remove(&volume->link);
    }
    list_insert_before(first ? sync->queued.next : &sync->queued, &volume->link);
}

static void timer_fired(void *arg)
{
    struct secret_sync *sync = arg;
    uint64_t now = uv_now(sync->config.loop);

    for (struct list *link = sync->volumes.entries.next; link != &sync->volumes.entries; link = link->next) {
        struct sync_volume *volume = volume_at(link);

        if (volume->due_ms <= now)
            enqueue(volume, /* first= */ false);
    }
    start_next(sync);
    set_timer(sync);
}

static void set_timer(struct secret_sync *sync)
{
    uint64_t now = uv_now(sync->config.loop);
    uint64_t earliest = NEVER;

    for (struct list *link = sync->volumes.entries.next; link != &sync->volumes.entries; link = link->next) {
        const struct sync_volume *volume = volume_at(link);

        if (volume->due_ms < earliest)
            earliest = volume->due_ms;
    }
    sync->wake_ms = earliest;
    if (earliest == NEVER)
        loop_timer_stop(sync->timer);
    else
        loop_timer_start(sync->timer, earliest > now ? earliest - now : 0);
}

/* For one volume whose due_ms has been set: the others are not searched, however many there are. A timer that
 * fires too early, because its volume has been queued or removed meanwhile, finds the next one. */
static void wake_for(const struct sync_volume *volume)
{
    struct secret_sync *sync = volume->sync;
    uint64_t now = uv_now(sync->config.loop);

    if (volume->due_ms >= sync->wake_ms)
        return;
    sync->wake_ms = volume->due_ms;
    loop_timer_start(sync->timer, volume->due_ms > now ? volume->due_ms - now : 0);
}

/* Retries need not wait any longer. Should the API server have trouble at first, as one that has just started
 * does, the pauses grow from the beginning. */
static void kube_recovered(void *arg)
{
    struct secret_sync *sync = arg;
    uint64_t now = uv_now(sync->config.loop);

    for (struct list *link = sync->volumes.entries.next; link != &sync->volumes.entries; link = link->next) {
        struct sync_volume *volume = volume_at(link);
        uint64_t soon = now + backoff_spread(SECRET_SYNC_RECOVERY_MS, 0, 100, backoff_random());

        volume->retries = volume->retries > 0 ? 1 : 0;
        if (volume->retries > 0 && volume->due_ms != NEVER && volume->due_ms > soon)
            volume->due_ms = soon;
    }
    set_timer(sync);
}

/* --- after a run --- */

/* The publish that waits for this volume goes on from the next turn, whatever the outcome of the sync. */
static void release_waiter(struct sync_volume *volume)
{
    if (volume->waiter != NULL)
        observer_call_finish_later(volume->waiter, NULL);
}

/* There is nothing to keep up to date, until the class is edited. */
static void plan_idle_check(struct sync_volume *volume)
{
    plan_check(volume, SECRET_SYNC_IDLE_CHECKS * volume->sync->config.check_interval_ms);
}

/* What comes next for a volume whose run has ended. */
static void plan(struct sync_volume *volume, const struct reconcile_result *result)
{
    struct secret_sync *sync = volume->sync;

    if (result->retry) { /* in the mode of this run */
        volume->due_ms = uv_now(sync->config.loop) +
                         backoff_pause(&sync->retry_pauses, ++volume->retries, backoff_random());
        return;
    }
    volume->retries = 0;
    volume->mode = SECRET_RESTORE;
    volume->mounting = false;
    volume->rotating = false;
    if (result->gone || (result->n_objects == 0 && result->n_failures == 0))
        plan_idle_check(volume);
    else if (volume->check_ms <= uv_now(sync->config.loop))
        plan_check(volume, sync->config.check_interval_ms);
    else
        volume->due_ms = volume->check_ms;
}

static void keep_result(struct sync_volume *volume, struct reconcile_result *result)
{
    secret_state_refs_finish(&volume->states);
    volume->states = result->states;
    result->states = (struct secret_state_refs){0};
    owner_references_finish(&volume->owners);
    volume->owners = result->owners;
    result->owners = (struct owner_references){0};
    if (volume->owners.n > 0)
        volume->bare = strcmp(volume->owners.items[0].kind, POD_STATUS_KIND) == 0;
}

static void reconcile_done(struct reconcile_result *result, void *arg)
{
    struct sync_volume *volume = arg;
    struct secret_sync *sync = volume->sync;

    volume->reconcile = NULL;
    list_remove(&volume->link);
    sync->n_running--;
    keep_result(volume, result);
    if (result->no_status && sync->config.on_owner_missing != NULL)
        sync->config.on_owner_missing(volume->target->target_path, sync->config.owner_missing_arg);
    secret_report_result(&sync->reporter, &volume->report, volume->target, result, uv_now(sync->config.loop));
    for (size_t i = 0; i < result->n_released; i++)
        secret_report_released(&sync->reporter, volume->target, result->released[i]);
    if (volume->rotating && result->data_written)
        secret_report_rotation(&sync->reporter, volume->target);
    if (volume->rerun) {
        volume->rerun = false;
        enqueue(volume, /* first= */ true);
    } else {
        plan(volume, result);
        wake_for(volume);
        release_waiter(volume);
    }
    start_next(sync);
}

/* A run in which the check is due reads the status object of a bare pod, which may have been created again;
 * the owners of other pods do not change. */
static void begin_check(struct sync_volume *volume)
{
    if (volume->class != NULL && !check_is_near(volume))
        return;
    volume->check_ms = 0; /* done by this run */
    if (volume->bare)
        owner_references_finish(&volume->owners);
}

static void start_reconcile(struct sync_volume *volume)
{
    struct secret_sync *sync = volume->sync;
    cleanup_error struct error *error = NULL;
    struct secret_provider_class *class = steal_ptr(&volume->class);
    struct secret_reconcile_request request = {.target = volume->target,
                                               .class = class,
                                               .files = volume->have_files ? &volume->files : NULL,
                                               .owners = &volume->owners,
                                               .bare = volume->bare,
                                               .previous = &volume->states,
                                               .mode = volume->mode,
                                               .force = volume->mounting};

    volume->have_files = false;
    sync->n_running++;
    volume->reconcile =
        secret_reconcile_start(&sync->reconcile_config, &request, reconcile_done, volume, &error);
    if (volume->reconcile == NULL) {
        struct reconcile_result result = {.retry = true, .n_failures = 1};

        result.failures[0] = (struct secret_failure){.secret = strdup(""), .error = steal_ptr(&error)};
        reconcile_done(&result, volume);
        reconcile_result_finish(&result);
    }
}

/* Are the Secrets of this volume being updated for another pod of its class? */
static bool class_is_busy(const struct sync_volume *volume)
{
    const struct secret_sync *sync = volume->sync;

    for (struct list *link = sync->running.next; link != &sync->running; link = link->next) {
        const struct sync_target *other = container_of(link, struct sync_volume, link)->target;

        if (strcmp(other->class_name, volume->target->class_name) == 0 &&
            strcmp(other->ns, volume->target->ns) == 0)
            return true;
    }
    return false;
}

/* NULL when none may start. Pods that share a Secret take turns, so that one writes and the others find it
 * written, instead of all writing and all but one having a conflict. A mount does not wait for that. */
static struct sync_volume *next_queued(struct secret_sync *sync)
{
    for (struct list *link = sync->queued.next; link != &sync->queued; link = link->next) {
        struct sync_volume *volume = container_of(link, struct sync_volume, link);

        if (volume->waiter != NULL || !class_is_busy(volume))
            return volume;
    }
    return NULL;
}

static void start_next(struct secret_sync *sync)
{
    struct sync_volume *volume;

    while (sync->n_running < SECRET_SYNC_RUNNING_MAX && (volume = next_queued(sync)) != NULL) {
        list_remove(&volume->link);
        list_insert_before(&sync->running, &volume->link);
        begin_check(volume);
        start_reconcile(volume);
    }
}

/* --- volumes --- */

static struct sync_volume *find(const struct secret_sync *sync, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&sync->volumes, target_path);

    return entry != NULL ? container_of(entry, struct sync_volume, entry) : NULL;
}

static struct sync_volume *find_or_add(struct secret_sync *sync, const struct volume_event *event,
                                       struct error **err)
{
    const struct sync_target target = {.target_path = event->target_path,
                                       .ns = event->pod_namespace,
                                       .pod_name = event->pod_name,
                                       .pod_uid = event->pod_uid,
                                       .class_name = event->class_name};
    struct sync_volume *volume = find(sync, event->target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume != NULL)
        volume->target = sync_target_copy(&target);
    if (volume == NULL || volume->target == NULL ||
        volume_table_add(&sync->volumes, &volume->entry, event->target_path) < 0) {
        free(volume != NULL ? volume->target : NULL);
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    volume->sync = sync;
    volume->due_ms = NEVER;
    volume->mode = SECRET_RESTORE;
    list_init(&volume->link);
    return volume;
}

static void drop_source(struct sync_volume *volume)
{
    secret_provider_class_free(steal_ptr(&volume->class));
    payload_finish(&volume->files);
    volume->have_files = false;
}

/* Ends what runs; nothing is planned for it any more. */
static void stop(struct sync_volume *volume)
{
    if (volume->reconcile != NULL) {
        secret_reconcile_cancel(&volume->reconcile);
        volume->sync->n_running--;
    }
    list_remove(&volume->link);
    volume->rerun = false;
    volume->due_ms = NEVER;
    drop_source(volume);
    secret_state_refs_finish(&volume->states);
    release_waiter(volume);
}

static void volume_free(struct sync_volume *volume)
{
    stop(volume);
    volume_table_remove(&volume->sync->volumes, &volume->entry);
    owner_references_finish(&volume->owners);
    free(volume->target);
    free(volume);
}

/* --- the observer --- */

/* Copies what the next run needs out of the publish. */
static int take_source(struct sync_volume *volume, const struct volume_event *event, struct error **err)
{
    drop_source(volume);
    volume->class = secret_source_class(event->class, err);
    if (volume->class == NULL)
        return -1;
    if (event->files != NULL && secret_source_files(event->class, event->files, &volume->files, err) < 0)
        return -1;
    volume->have_files = event->files != NULL;
    volume->mode = SECRET_APPLY;
    return 0;
}

/* Begins the sync of a volume. *ret_volume is set when the publish should wait for it. */
static int sync_volume_event(struct secret_sync *sync, const struct volume_event *event,
                             struct sync_volume **ret_volume, struct error **err)
{
    bool mounted = event->type == VOLUME_EVENT_MOUNTED;
    struct sync_volume *volume;

    if (event->class->n_secret_objects > 0 && (event->pod_name[0] == '\0' || event->pod_uid[0] == '\0'))
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "the pod is not named in the volume context: podInfoOnMount must be true in the CSIDriver object");
    volume = find_or_add(sync, event, err);
    if (volume == NULL)
        return -1;
    if (event->class->n_secret_objects == 0 && volume->states.n == 0) {
        stop(volume);
        plan_idle_check(volume);
        wake_for(volume);
        return 0;
    }
    if (take_source(volume, event, err) < 0)
        return -1;
    volume->mounting = volume->mounting || mounted;
    volume->rotating = !mounted;
    enqueue(volume, /* first= */ mounted);
    if (mounted)
        *ret_volume = volume;
    return 0;
}

static struct observer_call *sync_start(void *state, const struct volume_event *event, uint64_t timeout_ms,
                                        observer_callback *callback, void *arg, struct error **err)
{
    struct secret_sync *sync = state;
    struct observer_call *call = observer_call_create(sync->config.loop, callback, arg, err);
    struct sync_volume *volume = NULL;

    if (call == NULL)
        return NULL;
    if (sync_volume_event(sync, event, &volume, err) < 0) {
        observer_call_cancel(NULL, call);
        return NULL;
    }
    if (volume != NULL) {
        release_waiter(volume);
        observer_call_wait(call, &volume->waiter,
                           timeout_ms < SECRET_SYNC_WAIT_MS ? timeout_ms : SECRET_SYNC_WAIT_MS, NULL);
    } else {
        observer_call_finish_later(call, NULL);
    }
    start_next(sync);
    return call;
}

static void sync_on_unchanged(void *state, const struct volume_event *event)
{
    struct secret_sync *sync = state;
    uint64_t within = sync->config.check_interval_ms < SECRET_SYNC_ADOPT_MS ? sync->config.check_interval_ms
                                                                            : SECRET_SYNC_ADOPT_MS;
    struct sync_volume *volume;

    if (event->pod_name[0] == '\0' || event->pod_uid[0] == '\0' || event->class_name[0] == '\0' ||
        find(sync, event->target_path) != NULL)
        return;
    volume = find_or_add(sync, event, /* err= */ NULL);
    if (volume == NULL)
        return; /* the kubelet calls again */
    volume->due_ms = uv_now(sync->config.loop) + backoff_spread(within, 0, 100, backoff_random());
    wake_for(volume);
}

static void sync_on_removed(void *state, const char *target_path)
{
    struct secret_sync *sync = state;
    struct sync_volume *volume = find(sync, target_path);

    if (volume == NULL)
        return;
    volume_free(volume);
    start_next(sync);
    if (sync->volumes.n == 0)
        set_timer(sync);
}

struct volume_observer secret_sync_observer(struct secret_sync *sync)
{
    return (struct volume_observer){.name = "secrets",
                                    .action = "sync the volume's Kubernetes Secrets",
                                    .start = sync_start,
                                    .cancel = observer_call_cancel,
                                    .on_unchanged = sync_on_unchanged,
                                    .on_removed = sync_on_removed,
                                    .state = sync};
}

/* --- create, destroy --- */

struct secret_sync *secret_sync_create(const struct secret_sync_config *config, struct error **err)
{
    struct secret_sync *sync = calloc(1, sizeof(*sync));

    if (sync == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *sync = (struct secret_sync){.config = *config,
                                 .reconcile_config = {.loop = config->loop,
                                                      .log = config->log,
                                                      .metrics = config->metrics,
                                                      .client = config->client,
                                                      .classes = config->classes,
                                                      .states = &sync->states,
                                                      .max_age_ms = config->check_interval_ms / 5 * 3},
                                 .reporter = {.log = config->log, .events = config->events},
                                 .retry_pauses = {.first = SECRET_SYNC_RETRY_FIRST_MS,
                                                  .growth_percent = 200,
                                                  .cap = config->check_interval_ms,
                                                  .jitter_min_percent = 75,
                                                  .jitter_max_percent = 100},
                                 .kube_listener = {.on_recovered = kube_recovered, .arg = sync},
                                 .wake_ms = NEVER};
    sync->timer = loop_timer_create(config->loop, timer_fired, sync, err);
    if (sync->timer == NULL) {
        free(sync);
        return NULL;
    }
    secret_states_init(&sync->states);
    volume_table_init(&sync->volumes);
    list_init(&sync->queued);
    list_init(&sync->running);
    kube_client_listen(config->client, &sync->kube_listener);
    return sync;
}

void secret_sync_destroy(struct secret_sync *sync)
{
    if (sync == NULL)
        return;
    kube_health_unlisten(&sync->kube_listener);
    while (!list_empty(&sync->volumes.entries))
        volume_free(volume_at(sync->volumes.entries.next));
    loop_timer_destroy(sync->timer);
    free(sync);
}
