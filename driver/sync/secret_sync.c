/*
 * secret_sync.c - keeps Kubernetes Secrets equal to mounted files: which volume is reconciled when.
 */
#include "driver/sync/secret_sync.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/process/timer_queue.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/sync/secret_report.h"
#include "driver/sync/secret_source.h"
#include "driver/sync/sync_queue.h"
#include "driver/volume/volume_table.h"

/* The next or the present run of a volume, while that is queued or running. */
struct sync_run {
    struct sync_queue_entry entry; /* in sync->queue */
    struct sync_volume *volume;
    struct secret_reconcile *reconcile; /* NULL unless running */
    bool rerun;                         /* while running: it has to run once more */

    /* of the next run; a class and files that come from a publish are kept until it starts */
    struct secret_provider_class *class;
    struct payload files;
    bool have_files;
    struct observer_call *waiter; /* a publish that waits for the next end of a run */
};

/* What the last run has found, of a volume that has Secrets. */
struct sync_secrets {
    struct owner_references owners; /* once known */
    struct secret_state_refs states;
    struct secret_report report;
};

/* A volume. A node may have ten thousand, most of them idle and many without Secrets. */
struct sync_volume {
    struct secret_sync *sync;
    struct volume_entry entry;    /* in sync->volumes */
    struct deadline due;          /* when it is queued by itself */
    uint64_t check_ms;            /* when the next check is due; rotation checks do not put it off */
    struct sync_run *run;         /* owned; NULL = idle */
    struct sync_secrets *secrets; /* owned; NULL = none are known */
    unsigned retries;
    enum secret_mode mode : 8; /* of the next run */
    bool mounting;             /* the pod is being mounted */
    bool rotating;             /* the last event was a rotation check: what is written now are new contents */
    bool bare;                 /* the owner is the status object, which may be created again */
};
/* musl takes 80 bytes for up to 76, and took 96 with a whole int for the mode. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct sync_volume) <= 76, "a volume takes more memory");

struct secret_sync {
    struct secret_sync_config config;
    struct secret_reconcile_config reconcile_config;
    struct secret_reporter reporter;
    struct backoff retry_pauses;
    struct secret_states states;
    struct volume_table volumes; /* struct sync_volume */
    struct sync_queue queue;     /* struct sync_run */
    struct kube_health_listener kube_listener;
    struct timer_queue *timers; /* the volumes' `due` */
};

static struct sync_volume *volume_at(struct volume_entry *entry)
{
    return container_of(entry, struct sync_volume, entry);
}

/* A pod that is being mounted waits for it. */
static bool is_urgent(const struct sync_queue_entry *entry)
{
    return const_container_of(entry, struct sync_run, entry)->waiter != NULL;
}

static void set_due(struct sync_volume *volume, uint64_t due_ms)
{
    timer_queue_set(volume->sync->timers, &volume->due, due_ms);
}

/* After `ms` less a tenth to a quarter, by chance: volumes that were published together move apart, and what
 * is missing is back within `ms`. */
static void plan_check(struct sync_volume *volume, uint64_t ms)
{
    volume->check_ms = uv_now(volume->sync->config.loop) + backoff_spread(ms, 75, 90, backoff_random());
    set_due(volume, volume->check_ms);
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

/* The run of a volume, created if need be. */
static struct sync_run *run_get(struct sync_volume *volume, struct error **err)
{
    const struct volume_names names = shared_names_read(volume->entry.names, /* path= */ NULL);
    struct sync_run *run = volume->run;

    if (run != NULL)
        return run;
    run = alloc_zeroed(sizeof(*run), err);
    if (run == NULL)
        return NULL;
    run->volume = volume;
    if (sync_queue_join(&volume->sync->queue, &run->entry, names.ns, names.class_name) < 0) {
        free(run);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    volume->run = run;
    return run;
}

/* The volume has a run. */
static void enqueue(struct sync_volume *volume, enum sync_queue_place place)
{
    struct secret_sync *sync = volume->sync;
    struct sync_run *run = volume->run;

    timer_queue_clear(sync->timers, &volume->due);
    if (run->reconcile != NULL)
        run->rerun = true;
    else
        sync_queue_add(&sync->queue, &run->entry, place);
}

static void due_now(struct deadline *due, void *arg)
{
    struct secret_sync *sync = arg;
    struct sync_volume *volume = container_of(due, struct sync_volume, due);

    if (run_get(volume, /* err= */ NULL) == NULL) {
        set_due(volume, uv_now(sync->config.loop) + SECRET_SYNC_RETRY_FIRST_MS);
        return;
    }
    enqueue(volume, SYNC_QUEUE_LAST);
    start_next(sync);
}

/* Retries need not wait any longer. Should the API server have trouble at first, as one that has just started
 * does, the pauses grow from the beginning. */
static void kube_recovered(void *arg)
{
    struct secret_sync *sync = arg;
    uint64_t now = uv_now(sync->config.loop);

    for (struct volume_entry *at = NULL; (at = volume_table_next(&sync->volumes, at)) != NULL;) {
        struct sync_volume *volume = volume_at(at);
        uint64_t soon = now + backoff_spread(SECRET_SYNC_RECOVERY_MS, 0, 100, backoff_random());

        volume->retries = volume->retries > 0 ? 1 : 0;
        if (volume->retries > 0 && deadline_is_set(&volume->due) && volume->due.due_ms > soon)
            set_due(volume, soon);
    }
}

/* --- after a run --- */

/* The publish that waits for this volume goes on from the next turn, whatever the outcome of the sync. */
static void release_waiter(struct sync_volume *volume)
{
    if (volume->run != NULL && volume->run->waiter != NULL)
        observer_call_finish_later(volume->run->waiter, NULL);
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
        set_due(volume, uv_now(sync->config.loop) +
                            backoff_pause(&sync->retry_pauses, ++volume->retries, backoff_random()));
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
        set_due(volume, volume->check_ms);
}

static void secrets_free(struct sync_secrets *secrets)
{
    if (secrets == NULL)
        return;
    owner_references_finish(&secrets->owners);
    secret_state_refs_finish(&secrets->states);
    free(secrets);
}

/* Without memory nothing is known: the next run finds it again. */
static void keep_result(struct sync_volume *volume, struct reconcile_result *result)
{
    bool has_secrets = result->states.n > 0 || result->owners.n > 0 || result->n_failures > 0;
    struct sync_secrets *secrets = has_secrets ? calloc(1, sizeof(*secrets)) : NULL;

    if (secrets != NULL) {
        *secrets = (struct sync_secrets){.owners = result->owners, .states = result->states};
        if (volume->secrets != NULL)
            secrets->report = volume->secrets->report;
        result->owners = (struct owner_references){0};
        result->states = (struct secret_state_refs){0};
        if (secrets->owners.n > 0)
            volume->bare = strcmp(secrets->owners.items[0].kind, POD_STATUS_KIND) == 0;
    }
    secrets_free(volume->secrets);
    volume->secrets = secrets;
}

static void report_result(struct sync_volume *volume, const struct reconcile_result *result)
{
    const struct secret_sync *sync = volume->sync;
    const struct volume_names names = shared_names_read(volume->entry.names, /* path= */ NULL);
    struct secret_report first = {0};

    secret_report_result(&sync->reporter, volume->secrets != NULL ? &volume->secrets->report : &first, &names,
                         result, uv_now(sync->config.loop));
    for (size_t i = 0; i < result->n_released; i++)
        secret_report_released(&sync->reporter, &names, result->released[i]);
    if (volume->rotating && result->data_written)
        secret_report_rotation(&sync->reporter, &names);
}

/* The volume is idle. */
static void run_free(struct sync_volume *volume)
{
    struct sync_run *run = steal_ptr(&volume->run);

    sync_queue_leave(&volume->sync->queue, &run->entry);
    secret_provider_class_free(run->class);
    payload_finish(&run->files);
    free(run);
}

/* A run has ended; the caller starts the next one. */
static void end_run(struct sync_volume *volume, struct reconcile_result *result)
{
    struct secret_sync *sync = volume->sync;
    struct sync_run *run = volume->run;
    char path[TARGET_PATH_MAX + 1];

    run->reconcile = NULL;
    sync_queue_end(&sync->queue, &run->entry);
    keep_result(volume, result);
    if (result->no_status && sync->config.on_owner_missing != NULL)
        sync->config.on_owner_missing(volume_entry_path(&volume->entry, path),
                                      sync->config.owner_missing_arg);
    report_result(volume, result);
    if (run->rerun) {
        run->rerun = false;
        enqueue(volume, SYNC_QUEUE_FIRST);
    } else {
        plan(volume, result);
        release_waiter(volume);
        run_free(volume);
    }
}

static void reconcile_done(struct reconcile_result *result, void *arg)
{
    struct sync_volume *volume = arg;
    struct secret_sync *sync = volume->sync;

    end_run(volume, result);
    start_next(sync);
}

/* A run in which the check is due reads the status object of a bare pod, which may have been created again;
 * the owners of other pods do not change. */
static void begin_check(struct sync_volume *volume)
{
    if (volume->run->class != NULL && !check_is_near(volume))
        return;
    volume->check_ms = 0; /* done by this run */
    if (volume->bare && volume->secrets != NULL)
        owner_references_finish(&volume->secrets->owners);
}

static void start_reconcile(struct sync_volume *volume)
{
    struct secret_sync *sync = volume->sync;
    struct sync_run *run = volume->run;
    char path[TARGET_PATH_MAX + 1];
    const struct volume_names names = shared_names_read(volume->entry.names, path);
    cleanup_error struct error *error = NULL;
    struct secret_provider_class *class = steal_ptr(&run->class);
    struct sync_secrets none = {0};
    struct sync_secrets *secrets = volume->secrets != NULL ? volume->secrets : &none;
    struct secret_reconcile_request request = {.target = &names,
                                               .class = class,
                                               .files = run->have_files ? &run->files : NULL,
                                               .owners = &secrets->owners,
                                               .bare = volume->bare,
                                               .previous = &secrets->states,
                                               .mode = volume->mode,
                                               .force = volume->mounting};

    run->have_files = false;
    run->reconcile =
        secret_reconcile_start(&sync->reconcile_config, &request, reconcile_done, volume, &error);
    if (run->reconcile == NULL) {
        struct reconcile_result result = {.retry = true, .n_failures = 1, .states = secrets->states};

        secrets->states = (struct secret_state_refs){0}; /* the next run has to know them */
        result.failures[0] = (struct secret_failure){.secret = strdup(""), .error = steal_ptr(&error)};
        end_run(volume, &result);
        reconcile_result_finish(&result);
    }
}

static void start_next(struct secret_sync *sync)
{
    struct sync_queue_entry *entry;

    while (sync->queue.n_running < SECRET_SYNC_RUNNING_MAX &&
           (entry = sync_queue_start(&sync->queue)) != NULL) {
        struct sync_volume *volume = container_of(entry, struct sync_run, entry)->volume;

        begin_check(volume);
        start_reconcile(volume);
    }
}

/* --- volumes --- */

static struct sync_volume *find(struct secret_sync *sync, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&sync->volumes, target_path);

    return entry != NULL ? volume_at(entry) : NULL;
}

static struct sync_volume *find_or_add(struct secret_sync *sync, const struct volume_event *event,
                                       struct error **err)
{
    const struct volume_names names = volume_event_names(event);
    struct sync_volume *volume = find(sync, event->target_path);

    if (volume != NULL)
        return volume;
    volume = alloc_zeroed(sizeof(*volume), err);
    if (volume == NULL)
        return NULL;
    *volume = (struct sync_volume){.sync = sync, .mode = SECRET_RESTORE};
    if (timer_queue_add(sync->timers, &volume->due, err) < 0) {
        free(volume);
        return NULL;
    }
    if (volume_table_add(&sync->volumes, &volume->entry, &names) < 0) {
        timer_queue_remove(sync->timers, &volume->due);
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return volume;
}

/* Ends what runs; nothing is planned for it any more, and nothing known. */
static void stop(struct sync_volume *volume)
{
    struct sync_run *run = volume->run;

    timer_queue_clear(volume->sync->timers, &volume->due);
    secrets_free(steal_ptr(&volume->secrets));
    if (run == NULL)
        return;
    if (run->reconcile != NULL)
        secret_reconcile_cancel(&run->reconcile);
    release_waiter(volume);
    run_free(volume);
}

static void volume_free(struct sync_volume *volume)
{
    struct secret_sync *sync = volume->sync;

    stop(volume);
    timer_queue_remove(sync->timers, &volume->due);
    volume_table_remove(&sync->volumes, &volume->entry);
    free(volume);
}

/* --- the observer --- */

/* Copies what the next run needs out of the publish. */
static int take_source(struct sync_volume *volume, const struct volume_event *event, struct error **err)
{
    struct sync_run *run = run_get(volume, err);

    if (run == NULL)
        return -1;
    secret_provider_class_free(steal_ptr(&run->class));
    payload_finish(&run->files);
    run->have_files = false;
    run->class = secret_source_class(event->class, err);
    if (run->class == NULL)
        return -1;
    if (event->files != NULL && secret_source_files(event->class, event->files, &run->files, err) < 0)
        return -1;
    run->have_files = event->files != NULL;
    volume->mode = SECRET_APPLY;
    return 0;
}

/* A run that is neither queued nor running. */
static void drop_idle_run(struct sync_volume *volume)
{
    if (volume->run != NULL && volume->run->reconcile == NULL && list_empty(&volume->run->entry.link))
        run_free(volume);
}

static bool has_secrets(const struct sync_volume *volume)
{
    return volume->secrets != NULL && volume->secrets->states.n > 0;
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
    if (event->class->n_secret_objects == 0 && !has_secrets(volume)) {
        stop(volume);
        plan_idle_check(volume);
        return 0;
    }
    if (take_source(volume, event, err) < 0) {
        drop_idle_run(volume);
        if (volume->run == NULL && !deadline_is_set(&volume->due)) /* a new one: its files are read back */
            set_due(volume, uv_now(sync->config.loop) + SECRET_SYNC_RETRY_FIRST_MS);
        return -1;
    }
    volume->mounting = volume->mounting || mounted;
    volume->rotating = !mounted;
    enqueue(volume, mounted ? SYNC_QUEUE_FIRST : SYNC_QUEUE_LAST);
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
        observer_call_wait(call, &volume->run->waiter,
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
    set_due(volume, uv_now(sync->config.loop) + backoff_spread(within, 0, 100, backoff_random()));
}

static void sync_on_removed(void *state, const char *target_path)
{
    struct secret_sync *sync = state;
    struct sync_volume *volume = find(sync, target_path);

    if (volume == NULL)
        return;
    volume_free(volume);
    start_next(sync);
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
                                                      .class_cache = config->class_cache,
                                                      .states = &sync->states,
                                                      .max_age_ms = config->check_interval_ms / 5 * 3},
                                 .reporter = {.log = config->log, .events = config->events},
                                 .retry_pauses = {.first = SECRET_SYNC_RETRY_FIRST_MS,
                                                  .growth_percent = 200,
                                                  .cap = config->check_interval_ms,
                                                  .jitter_min_percent = 75,
                                                  .jitter_max_percent = 100},
                                 .kube_listener = {.on_recovered = kube_recovered, .arg = sync}};
    sync->timers = timer_queue_create(config->loop, due_now, sync, err);
    if (sync->timers == NULL) {
        free(sync);
        return NULL;
    }
    secret_states_init(&sync->states);
    volume_table_init(&sync->volumes, config->names);
    sync_queue_init(&sync->queue, is_urgent);
    kube_client_listen(config->client, &sync->kube_listener);
    return sync;
}

uint64_t secret_sync_visits(const struct secret_sync *sync)
{
    return sync->volumes.table.visits + timer_queue_visits(sync->timers) + sync->queue.visits;
}

void secret_sync_destroy(struct secret_sync *sync)
{
    struct volume_entry *entry;
    struct volume_entry *next;

    if (sync == NULL)
        return;
    kube_health_unlisten(&sync->kube_listener);
    for (entry = volume_table_next(&sync->volumes, NULL); entry != NULL; entry = next) {
        next = volume_table_next(&sync->volumes, entry);
        volume_free(volume_at(entry));
    }
    volume_table_finish(&sync->volumes);
    sync_queue_finish(&sync->queue);
    secret_states_finish(&sync->states);
    timer_queue_destroy(sync->timers);
    free(sync);
}
