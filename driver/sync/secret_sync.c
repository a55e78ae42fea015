/*
 * sync.c - keeps Kubernetes Secrets equal to mounted files: which volume is worked on when.
 */
#include "driver/sync/secret_sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/hash.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/sync/sync_target.h"
#include "driver/volume/volume_table.h"

#define NEVER UINT64_MAX

/* A volume: idle, in line, or running. */
struct sync_volume {
    struct secret_sync *sync;
    struct volume_entry entry; /* in sync->volumes */
    struct list line;          /* in sync->line while it waits for its turn, in sync->active while it runs */
    struct sync_pod *pod;      /* owned */
    struct sync_run *run;      /* NULL unless running */
    bool again;                /* while running: it has to run once more */

    /* of the next run; a class and files that come from a publish are kept until it starts */
    struct secret_provider_class *class;
    struct payload files;
    bool have_files;
    enum secret_authority authority;
    bool mount;  /* the pod is being mounted */
    bool looked; /* the last record was that of a look: what is written now are new contents */

    struct owners owners; /* once known */
    struct secret_uses uses;
    uint64_t due_ms; /* when it goes into the line by itself, on uv_now()'s clock */
    unsigned retries;
    uint64_t reported_ms;
    uint32_t reported;             /* a hash of what was told then; 0 = nothing */
    struct observer_call *waiting; /* a publish that waits for the next end of a run */
};

struct secret_sync {
    struct secret_sync_config config;
    struct sync_run_config run_config;
    struct secret_records records;
    struct volume_table volumes; /* struct sync_volume */
    struct list line;
    struct list active; /* those that run */
    unsigned running;
    struct kube_health_listener kube_back;
    uv_timer_t timer; /* the earliest due_ms; the struct lives until it is closed */
};

static struct sync_volume *volume_at(struct list *link)
{
    return container_of(volume_entry_at(link), struct sync_volume, entry);
}

static uint64_t random_below(uint64_t n)
{
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        return 0; /* only the spreading is lost */
    return random % n;
}

/* `ms` less up to its nth part, by chance. */
static uint64_t less_a_part(uint64_t ms, uint64_t n)
{
    return ms - random_below(ms / n + 1);
}

/* --- the line --- */

static void start_next(struct secret_sync *sync);

static void set_timer(struct secret_sync *sync);

static void line_up(struct sync_volume *volume, bool first)
{
    struct secret_sync *sync = volume->sync;

    volume->due_ms = NEVER;
    if (volume->run != NULL) {
        volume->again = true;
        return;
    }
    if (!list_empty(&volume->line)) {
        if (!first)
            return;
        list_remove(&volume->line);
    }
    list_insert_before(first ? sync->line.next : &sync->line, &volume->line);
}

static void timer_fired(uv_timer_t *timer)
{
    struct secret_sync *sync = timer->data;
    uint64_t now = uv_now(sync->config.loop);

    for (struct list *link = sync->volumes.entries.next; link != &sync->volumes.entries; link = link->next) {
        struct sync_volume *volume = volume_at(link);

        if (volume->due_ms <= now)
            line_up(volume, /* first= */ false);
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
    if (earliest == NEVER)
        (void)uv_timer_stop(&sync->timer);
    else
        (void)uv_timer_start(&sync->timer, timer_fired, earliest > now ? earliest - now : 0, 0);
}

/* The API server answers again: who waits for his next try need not wait any longer. And should it answer
 * with trouble at first, as one that has just started does, the pauses begin anew. */
static void kube_is_back(void *arg)
{
    struct secret_sync *sync = arg;
    uint64_t now = uv_now(sync->config.loop);

    for (struct list *link = sync->volumes.entries.next; link != &sync->volumes.entries; link = link->next) {
        struct sync_volume *volume = volume_at(link);
        uint64_t soon = now + random_below(SYNC_RETURN_MS);

        volume->retries = volume->retries > 0 ? 1 : 0;
        if (volume->retries > 0 && volume->due_ms != NEVER && volume->due_ms > soon)
            volume->due_ms = soon;
    }
    set_timer(sync);
}

/* --- after a run --- */

/* The publish that waits for this volume goes on from the next turn, whatever has become of the sync. */
static void stop_waiting(struct sync_volume *volume)
{
    if (volume->waiting != NULL)
        observer_call_finish_later(volume->waiting, NULL);
}

static uint32_t hash_of(const struct sync_result *result)
{
    uint32_t hash = HASH_START;

    for (size_t i = 0; i < result->n_failures && i < SYNC_FAILURES_MAX; i++)
        hash = hash_text(hash, error_message(result->failures[i].error));
    return hash | 1;
}

static void tell(const struct sync_volume *volume, enum event_type type, const char *component,
                 const char *reason, const char *message)
{
    events_emit(volume->sync->config.events, &(struct event){.type = type,
                                                             .component = component,
                                                             .reason = reason,
                                                             .pod_name = volume->pod->name,
                                                             .pod_namespace = volume->pod->ns,
                                                             .pod_uid = volume->pod->uid,
                                                             .message = message});
}

static void report_one(const struct sync_volume *volume, const struct sync_failure *failure)
{
    const struct secret_sync_config *config = &volume->sync->config;

    log_error(config->log, "a Kubernetes Secret could not be synced",
              LOG_OBJECT("pod", volume->pod->ns, volume->pod->name), LOG_STR("spc", volume->pod->class_name),
              LOG_STR("secret", failure->secret), LOG_ERR(failure->error));
    tell(volume, EVENT_WARNING, EVENT_CONTROLLER, EVENT_SECRET_FAILED, error_message(failure->error));
}

static void report(struct sync_volume *volume, const struct sync_result *result)
{
    uint64_t now = uv_now(volume->sync->config.loop);
    uint32_t hash = hash_of(result);

    if (volume->reported == hash && now - volume->reported_ms < SYNC_REPEAT_MS)
        return;
    volume->reported = hash;
    volume->reported_ms = now;
    for (size_t i = 0; i < result->n_failures && i < SYNC_FAILURES_MAX; i++)
        report_one(volume, &result->failures[i]);
    if (result->n_failures > SYNC_FAILURES_MAX)
        log_error(volume->sync->config.log, "more Kubernetes Secrets of this volume could not be synced",
                  LOG_OBJECT("pod", volume->pod->ns, volume->pod->name),
                  LOG_UINT("more", result->n_failures - SYNC_FAILURES_MAX));
}

static void report_rotation(const struct sync_volume *volume)
{
    char message[600];

    (void)snprintf(message, sizeof(message),
                   "the Kubernetes Secrets of secretproviderclass %s/%s hold the new contents",
                   volume->pod->ns, volume->pod->class_name);
    tell(volume, EVENT_NORMAL, EVENT_ROTATION, EVENT_SECRET_ROTATED, message);
}

static uint64_t pause_before_retry(struct sync_volume *volume)
{
    uint64_t pause = (uint64_t)SYNC_RETRY_FIRST_MS << (volume->retries < 20 ? volume->retries : 20);

    volume->retries++;
    if (pause > volume->sync->config.check_interval_ms)
        pause = volume->sync->config.check_interval_ms;
    return less_a_part(pause, 4);
}

/* There is nothing to keep up to date, until the class is edited. */
static void check_when_idle(struct sync_volume *volume)
{
    const struct secret_sync_config *config = &volume->sync->config;

    volume->due_ms = uv_now(config->loop) + less_a_part(SYNC_IDLE_CHECKS * config->check_interval_ms, 5);
}

/* What comes next for a volume whose run has ended. */
static void plan(struct sync_volume *volume, const struct sync_result *result)
{
    uint64_t now = uv_now(volume->sync->config.loop);

    if (result->retry) {
        volume->due_ms = now + pause_before_retry(volume); /* with the authority that this run had */
        return;
    }
    volume->retries = 0;
    volume->authority = SECRET_AUTHORITY_REPAIR;
    volume->mount = false;
    volume->looked = false;
    if (result->gone || (result->n_objects == 0 && result->n_failures == 0))
        check_when_idle(volume);
    else
        volume->due_ms = now + less_a_part(volume->sync->config.check_interval_ms, 5);
}

static void keep(struct sync_volume *volume, struct sync_result *result)
{
    secret_uses_finish(&volume->uses);
    volume->uses = result->uses;
    result->uses = (struct secret_uses){0};
    owners_finish(&volume->owners);
    volume->owners = result->owners;
    result->owners = (struct owners){0};
}

static void run_ended(struct sync_result *result, void *arg)
{
    struct sync_volume *volume = arg;
    struct secret_sync *sync = volume->sync;

    volume->run = NULL;
    list_remove(&volume->line);
    sync->running--;
    keep(volume, result);
    if (result->no_status && sync->config.owner_missing != NULL)
        sync->config.owner_missing(volume->pod->target_path, sync->config.owner_missing_arg);
    if (result->n_failures > 0)
        report(volume, result);
    else
        volume->reported = 0;
    if (volume->looked && result->n_written > 0)
        report_rotation(volume);
    if (volume->again) {
        volume->again = false;
        line_up(volume, /* first= */ true);
    } else {
        plan(volume, result);
        stop_waiting(volume);
    }
    start_next(sync);
    set_timer(sync);
}

/* The status object of a bare pod may have been made anew since; what owns other pods does not change. */
static void forget_doubtful_owners(struct sync_volume *volume)
{
    if (volume->class == NULL && volume->owners.n > 0 &&
        strcmp(volume->owners.items[0].kind, POD_STATUS_KIND) == 0)
        owners_finish(&volume->owners);
}

static void start_run(struct sync_volume *volume)
{
    struct secret_sync *sync = volume->sync;
    cleanup_error struct error *error = NULL;
    struct secret_provider_class *class = steal_ptr(&volume->class);
    struct sync_run_request request = {.pod = volume->pod,
                                       .class = class,
                                       .files = volume->have_files ? &volume->files : NULL,
                                       .owners = &volume->owners,
                                       .authority = volume->authority,
                                       .mount = volume->mount};

    volume->have_files = false;
    sync->running++;
    volume->run = sync_run_start(&sync->run_config, &request, run_ended, volume, &error);
    if (volume->run == NULL) {
        struct sync_result result = {.retry = true, .n_failures = 1};

        result.failures[0] = (struct sync_failure){.secret = strdup(""), .error = steal_ptr(&error)};
        run_ended(&result, volume);
        sync_result_finish(&result);
    }
}

/* Is the Secret of this volume being brought up to date for another pod of its class? */
static bool class_is_busy(const struct sync_volume *volume)
{
    const struct secret_sync *sync = volume->sync;

    for (struct list *link = sync->active.next; link != &sync->active; link = link->next) {
        const struct sync_pod *other = container_of(link, struct sync_volume, line)->pod;

        if (strcmp(other->class_name, volume->pod->class_name) == 0 &&
            strcmp(other->ns, volume->pod->ns) == 0)
            return true;
    }
    return false;
}

/* NULL when nobody may start. Pods that share a Secret take turns, so that one writes and the others find it
 * written, instead of all writing and all but one being refused. A mount does not wait for that. */
static struct sync_volume *next_in_line(struct secret_sync *sync)
{
    for (struct list *link = sync->line.next; link != &sync->line; link = link->next) {
        struct sync_volume *volume = container_of(link, struct sync_volume, line);

        if (volume->waiting != NULL || !class_is_busy(volume))
            return volume;
    }
    return NULL;
}

static void start_next(struct secret_sync *sync)
{
    struct sync_volume *volume;

    while (sync->running < SYNC_RUNS_MAX && (volume = next_in_line(sync)) != NULL) {
        list_remove(&volume->line);
        list_insert_before(&sync->active, &volume->line);
        forget_doubtful_owners(volume);
        start_run(volume);
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
    const struct sync_pod pod = {.target_path = event->target_path,
                                 .ns = event->pod_namespace,
                                 .name = event->pod_name,
                                 .uid = event->pod_uid,
                                 .class_name = event->class_name};
    struct sync_volume *volume = find(sync, event->target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume != NULL)
        volume->pod = sync_pod_copy(&pod);
    if (volume == NULL || volume->pod == NULL ||
        volume_table_add(&sync->volumes, &volume->entry, event->target_path) < 0) {
        free(volume != NULL ? volume->pod : NULL);
        free(volume);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    volume->sync = sync;
    volume->due_ms = NEVER;
    volume->authority = SECRET_AUTHORITY_REPAIR;
    list_init(&volume->line);
    return volume;
}

static void drop_input(struct sync_volume *volume)
{
    secret_provider_class_free(steal_ptr(&volume->class));
    payload_finish(&volume->files);
    volume->have_files = false;
}

/* Nothing is to be done for it any more, what runs ends. */
static void settle(struct sync_volume *volume)
{
    if (volume->run != NULL) {
        sync_run_cancel(&volume->run);
        volume->sync->running--;
    }
    list_remove(&volume->line);
    volume->again = false;
    volume->due_ms = NEVER;
    drop_input(volume);
    secret_uses_finish(&volume->uses);
    stop_waiting(volume);
}

static void volume_free(struct sync_volume *volume)
{
    settle(volume);
    volume_table_remove(&volume->sync->volumes, &volume->entry);
    owners_finish(&volume->owners);
    free(volume->pod);
    free(volume);
}

/* --- the observer --- */

/* Copies what the next run needs out of the publish. */
static int take_input(struct sync_volume *volume, const struct volume_event *event, struct error **err)
{
    drop_input(volume);
    volume->class = sync_input_class(event->class, err);
    if (volume->class == NULL)
        return -1;
    if (event->files != NULL && sync_input_files(event->class, event->files, &volume->files, err) < 0)
        return -1;
    volume->have_files = event->files != NULL;
    volume->authority = SECRET_AUTHORITY_FULL;
    return 0;
}

/* Lets the sync of a volume begin. *ret_volume is set when the publish should wait for it. */
static int note_volume(struct secret_sync *sync, const struct volume_event *event,
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
    if (event->class->n_secret_objects == 0) {
        settle(volume);
        check_when_idle(volume);
        set_timer(sync);
        return 0;
    }
    if (take_input(volume, event, err) < 0)
        return -1;
    volume->mount = volume->mount || mounted;
    volume->looked = !mounted;
    line_up(volume, /* first= */ mounted);
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
    if (note_volume(sync, event, &volume, err) < 0) {
        observer_call_cancel(NULL, call);
        return NULL;
    }
    if (volume != NULL) {
        stop_waiting(volume);
        observer_call_wait(call, &volume->waiting, timeout_ms < SYNC_WAIT_MS ? timeout_ms : SYNC_WAIT_MS,
                           NULL);
    } else {
        observer_call_finish_later(call, NULL);
    }
    start_next(sync);
    return call;
}

static void sync_on_unchanged(void *state, const struct volume_event *event)
{
    struct secret_sync *sync = state;
    uint64_t within =
        sync->config.check_interval_ms < SYNC_SEEN_MS ? sync->config.check_interval_ms : SYNC_SEEN_MS;
    struct sync_volume *volume;

    if (event->pod_name[0] == '\0' || event->pod_uid[0] == '\0' || event->class_name[0] == '\0' ||
        find(sync, event->target_path) != NULL)
        return;
    volume = find_or_add(sync, event, /* err= */ NULL);
    if (volume == NULL)
        return; /* there will be another call */
    volume->due_ms = uv_now(sync->config.loop) + random_below(within);
    set_timer(sync);
}

static void sync_on_removed(void *state, const char *target_path)
{
    struct secret_sync *sync = state;
    struct sync_volume *volume = find(sync, target_path);

    if (volume == NULL)
        return;
    volume_free(volume);
    start_next(sync);
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
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    sync->config = *config;
    sync->run_config = (struct sync_run_config){.loop = config->loop,
                                                .log = config->log,
                                                .metrics = config->metrics,
                                                .client = config->client,
                                                .classes = config->classes,
                                                .records = &sync->records,
                                                .trust_ms = config->check_interval_ms / 5 * 4};
    secret_records_init(&sync->records);
    volume_table_init(&sync->volumes);
    list_init(&sync->line);
    list_init(&sync->active);
    sync->kube_back = (struct kube_health_listener){.on_recovered = kube_is_back, .arg = sync};
    kube_client_listen(config->client, &sync->kube_back);
    (void)uv_timer_init(config->loop, &sync->timer); /* can not fail */
    sync->timer.data = sync;
    return sync;
}

static void sync_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void secret_sync_destroy(struct secret_sync *sync)
{
    if (sync == NULL)
        return;
    kube_health_unlisten(&sync->kube_back);
    while (!list_empty(&sync->volumes.entries))
        volume_free(volume_at(sync->volumes.entries.next));
    uv_close((uv_handle_t *)&sync->timer, sync_closed);
}
