/*
 * secret_reconcile.c - brings all Secrets of one volume up to date, once. See the drawing in the header.
 */
#include "driver/sync/secret_reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/kube/kube_refusal.h"
#include "driver/sync/owner_lookup.h"
#include "driver/sync/secret_fields.h"
#include "driver/sync/secret_release.h"
#include "driver/sync/secret_write.h"
#include "driver/volume/volume.h"

/* One entry of secretObjects after BUILD: content, or an error. */
struct built {
    struct secret_content content;
    struct error *error;
};

struct secret_reconcile {
    const struct secret_reconcile_config *config; /* NULL once cancelled */
    secret_reconcile_callback *callback;          /* NULL once called or cancelled */
    void *arg;
    struct volume_names *target;
    enum secret_mode mode;
    bool force;
    uint64_t started_ns;

    /* children: at most one runs, or the worker */
    struct class_cache_call *lookup;
    struct owner_lookup *owner_lookup;
    struct secret_write *write;
    struct secret_release *release;
    bool working;

    struct secret_provider_class *class;
    struct owner_references owners;
    bool bare;          /* the owner is a status object */
    bool owners_cached; /* it has not been read in this run */
    struct reconcile_result result;

    size_t at; /* the entry that is being written */

    char **previous; /* names of the Secrets of the last run; those that have been released are NULL */
    size_t n_previous;
    size_t releasing; /* the one that is being released */

    /* in and out of the worker; class is read by it, too */
    struct {
        struct payload files;
        bool have_files;
        struct built *built; /* class->n_secret_objects of them */
        size_t n_built;
        struct error *error; /* the files cannot be read */
    } job;
};

/* --- end of life --- */

void reconcile_result_finish(struct reconcile_result *result)
{
    for (size_t i = 0; i < result->n_failures && i < SECRET_FAILURES_MAX; i++) {
        free(result->failures[i].secret);
        error_free(result->failures[i].error);
    }
    owner_references_finish(&result->owners);
    secret_state_refs_finish(&result->states);
    for (size_t i = 0; i < result->n_released; i++)
        free(result->released[i]);
    free(result->released);
    *result = (struct reconcile_result){0};
}

static void reconcile_free(struct secret_reconcile *reconcile)
{
    for (size_t i = 0; i < reconcile->job.n_built; i++) {
        secret_content_finish(&reconcile->job.built[i].content);
        error_free(reconcile->job.built[i].error);
    }
    free(reconcile->job.built);
    for (size_t i = 0; i < reconcile->n_previous; i++)
        free(reconcile->previous[i]);
    free(reconcile->previous);
    payload_finish(&reconcile->job.files);
    error_free(reconcile->job.error);
    secret_provider_class_free(reconcile->class);
    owner_references_finish(&reconcile->owners);
    reconcile_result_finish(&reconcile->result);
    free(reconcile->target);
    free(reconcile);
}

static bool has_state(const struct secret_state_refs *states, const char *secret)
{
    for (size_t i = 0; i < states->n; i++)
        if (strcmp(states->items[i]->name, secret) == 0)
            return true;
    return false;
}

/* Secrets of the last run that this one neither wrote nor released, because it failed before: the next run
 * has to know them, or it would not release those that the class does not name any more. */
static void keep_previous(struct secret_reconcile *reconcile)
{
    const struct volume_names *target = reconcile->target;
    struct secret_state_refs *states = &reconcile->result.states;

    for (size_t i = 0; i < reconcile->n_previous; i++)
        if (reconcile->previous[i] != NULL && !has_state(states, reconcile->previous[i]))
            (void)secret_state_refs_add(states, reconcile->config->states, target->ns, target->class_name,
                                        reconcile->previous[i], /* err= */ NULL);
}

static void conclude(struct secret_reconcile *reconcile)
{
    secret_reconcile_callback *callback = reconcile->callback;
    void *arg = reconcile->arg;
    struct reconcile_result result;

    keep_previous(reconcile);
    result = reconcile->result;
    result.owners = reconcile->owners;
    reconcile->owners = (struct owner_references){0};
    reconcile->result = (struct reconcile_result){0};
    if (result.n_written > 0)
        driver_metrics_secret_sync(reconcile->config->metrics,
                                   (double)(clock_monotonic_ns() - reconcile->started_ns) / 1e9);
    reconcile_free(reconcile);
    callback(&result, arg);
    reconcile_result_finish(&result);
}

/* --- failures --- */

/* Does only a change of the class, the files or the Secret help? */
static bool is_lasting(enum grpc_status code)
{
    return code == GRPC_STATUS_INVALID_ARGUMENT || code == GRPC_STATUS_FAILED_PRECONDITION ||
           code == GRPC_STATUS_RESOURCE_EXHAUSTED;
}

/* Takes over *error. */
static void note_failure(struct secret_reconcile *reconcile, const char *secret, struct error **error)
{
    struct reconcile_result *result = &reconcile->result;

    driver_metrics_secret_error(reconcile->config->metrics,
                                reconcile->class != NULL ? reconcile->class->provider : "",
                                error_code(*error));
    result->retry = result->retry || !is_lasting(error_code(*error));
    if (result->n_failures < SECRET_FAILURES_MAX)
        result->failures[result->n_failures] =
            (struct secret_failure){.secret = strdup(secret), .error = steal_ptr(error)};
    result->n_failures++;
    error_free(*error);
    *error = NULL;
}

/* A failure that is about all of them. */
static void fail_all(struct secret_reconcile *reconcile, const struct error *cause)
{
    struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "the Secrets of secretproviderclass %s/%s", reconcile->target->ns,
                         reconcile->target->class_name);
    note_failure(reconcile, "", &error);
    conclude(reconcile);
}

/* --- RELEASE --- */

static void release_next(struct secret_reconcile *reconcile);

static bool is_named(const struct secret_provider_class *class, const char *secret)
{
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        cleanup_free char *name = secret_field_trim(class->secret_objects[i].secret_name);

        if (name == NULL || strcmp(name, secret) == 0)
            return true;
    }
    return false;
}

/* If so, the owners of the pod have to be known: they are taken out of what is released. */
static bool releases_any(const struct secret_reconcile *reconcile)
{
    for (size_t i = 0; i < reconcile->n_previous; i++)
        if (!is_named(reconcile->class, reconcile->previous[i]))
            return true;
    return false;
}

static void note_released(struct reconcile_result *result, const char *name)
{
    char **grown = reallocarray(result->released, result->n_released + 1, sizeof(*grown));

    if (grown == NULL)
        return; /* it is not reported */
    result->released = grown;
    grown[result->n_released] = strdup(name);
    if (grown[result->n_released] != NULL)
        result->n_released++;
}

static void release_done(bool released, const struct error *error, void *arg)
{
    struct secret_reconcile *reconcile = arg;
    cleanup_free char *name = steal_ptr(&reconcile->previous[reconcile->releasing]);
    struct error *failure = NULL;

    reconcile->release = NULL;
    if (released)
        note_released(&reconcile->result, name);
    if (error != NULL) {
        (void)error_set(&failure, error_code(error),
                        "secretproviderclass %s/%s does not name the Secret '%s' any more: %s",
                        reconcile->target->ns, reconcile->target->class_name, name, error_message(error));
        note_failure(reconcile, name, &failure);
        reconcile->previous[reconcile->releasing] = steal_ptr(&name);
    }
    reconcile->releasing++;
    release_next(reconcile);
}

static int release_one(struct secret_reconcile *reconcile, const char *name)
{
    reconcile->release =
        secret_release_start(&(struct secret_release_request){.client = reconcile->config->client,
                                                              .ns = reconcile->target->ns,
                                                              .name = name,
                                                              .class_name = reconcile->target->class_name,
                                                              .owners = &reconcile->owners},
                             release_done, reconcile, /* err= */ NULL);
    return reconcile->release != NULL ? 0 : -1;
}

static void release_next(struct secret_reconcile *reconcile)
{
    for (; reconcile->releasing < reconcile->n_previous; reconcile->releasing++) {
        const char *name = reconcile->previous[reconcile->releasing];

        if (!is_named(reconcile->class, name) && release_one(reconcile, name) == 0)
            return;
    }
    conclude(reconcile);
}

static int copy_previous(struct secret_reconcile *reconcile, const struct secret_state_refs *previous,
                         struct error **err)
{
    if (previous == NULL || previous->n == 0)
        return 0;
    reconcile->previous = calloc(previous->n, sizeof(*reconcile->previous));
    for (size_t i = 0; i < previous->n && reconcile->previous != NULL; i++) {
        reconcile->previous[i] = strdup(previous->items[i]->name);
        if (reconcile->previous[i] == NULL)
            return error_no_memory(err, NULL);
        reconcile->n_previous++;
    }
    return reconcile->previous != NULL ? 0 : error_no_memory(err, NULL);
}

/* --- WRITE --- */

static void write_next(struct secret_reconcile *reconcile);

static void note_written(struct secret_reconcile *reconcile, const char *name)
{
    const struct secret_reconcile_config *config = reconcile->config;
    const struct volume_names *target = reconcile->target;

    reconcile->result.n_written++;
    driver_metrics_secret_written(config->metrics, reconcile->class->provider);
    log_info(config->log, "Kubernetes Secret written", LOG_OBJECT("secret", target->ns, name),
             LOG_STR("spc", target->class_name), LOG_OBJECT("pod", target->ns, target->pod_name));
}

static void write_failed(struct secret_reconcile *reconcile, const struct error *cause)
{
    const char *name = reconcile->job.built[reconcile->at].content.name;
    struct error *error = NULL;

    (void)error_set(
        &error, error_code(cause), "secretproviderclass %s/%s, Secret '%s': %s%s", reconcile->target->ns,
        reconcile->target->class_name, name, error_message(cause),
        kube_refusal_hint(
            kube_refusal_of(cause),
            " (is the ClusterRole secretprovidersyncing-role installed? In the Helm chart: syncSecret.enabled=true)"));
    note_failure(reconcile, name, &error);
}

static void fetch_owners(struct secret_reconcile *reconcile);

static void write_done(const struct secret_write_result *result, void *arg)
{
    struct secret_reconcile *reconcile = arg;
    struct secret_content *content = &reconcile->job.built[reconcile->at].content;

    reconcile->write = NULL;
    if (result->owners_uncertain) {
        fetch_owners(reconcile); /* and this Secret again */
        return;
    }
    for (unsigned i = 0; i < result->n_written; i++)
        note_written(reconcile, content->name);
    if (result->error != NULL)
        write_failed(reconcile, result->error);
    if (result->conflict != NULL)
        write_failed(reconcile, result->conflict);
    if (result->refused != NULL)
        write_failed(reconcile, result->refused);
    reconcile->result.data_written = reconcile->result.data_written || result->data_written;
    secret_content_finish(content);
    reconcile->at++;
    write_next(reconcile);
}

/* Returns 0 when a write has begun, 1 when none is needed, -1 with err set. */
static int write_one(struct secret_reconcile *reconcile, struct error **err)
{
    const struct secret_reconcile_config *config = reconcile->config;
    const struct desired_secret desired = {.class_name = reconcile->class->name,
                                           .content = &reconcile->job.built[reconcile->at].content,
                                           .owners = &reconcile->owners,
                                           .mode = reconcile->mode,
                                           .force = reconcile->force};
    struct secret_state *state =
        secret_state_refs_add(&reconcile->result.states, config->states, reconcile->target->ns,
                              desired.class_name, desired.content->name, err);

    if (state == NULL)
        return -1;
    if (!reconcile->force && secret_state_matches(state, &desired, uv_now(config->loop), config->max_age_ms))
        return 1;
    reconcile->write =
        secret_write_start(&(struct secret_write_request){.client = config->client,
                                                          .classes = config->classes,
                                                          .ns = reconcile->target->ns,
                                                          .desired = desired,
                                                          .state = state,
                                                          .owners_cached = reconcile->owners_cached},
                           write_done, reconcile, err);
    return reconcile->write != NULL ? 0 : -1;
}

static void write_next(struct secret_reconcile *reconcile)
{
    for (; reconcile->at < reconcile->job.n_built; reconcile->at++) {
        cleanup_error struct error *error = NULL;
        int started;

        if (reconcile->job.built[reconcile->at].content.name == NULL)
            continue; /* it could not be built */
        started = write_one(reconcile, &error);
        if (started == 0)
            return;
        if (started < 0)
            write_failed(reconcile, error);
        secret_content_finish(&reconcile->job.built[reconcile->at].content);
    }
    release_next(reconcile);
}

/* --- OWNERS --- */

static void owners_found(struct owner_references *owners, const struct error *error, void *arg)
{
    struct secret_reconcile *reconcile = arg;

    reconcile->owner_lookup = NULL;
    if (owners != NULL) {
        reconcile->owners = *owners;
        *owners = (struct owner_references){0};
        write_next(reconcile);
    } else if (error_code(error) == GRPC_STATUS_NOT_FOUND) {
        reconcile->result.gone = true;
        conclude(reconcile);
    } else {
        reconcile->result.no_status = strcmp(error_type(error), OWNER_LOOKUP_NO_STATUS) == 0;
        fail_all(reconcile, error);
    }
}

static void fetch_owners(struct secret_reconcile *reconcile)
{
    cleanup_error struct error *error = NULL;

    owner_references_finish(&reconcile->owners);
    reconcile->owners_cached = false;
    reconcile->owner_lookup = owner_lookup_start(reconcile->config->client, reconcile->target,
                                                 reconcile->bare, owners_found, reconcile, &error);
    if (reconcile->owner_lookup == NULL)
        fail_all(reconcile, error);
}

static void enter_owners(struct secret_reconcile *reconcile)
{
    if (reconcile->owners.n > 0)
        write_next(reconcile);
    else
        fetch_owners(reconcile);
}

/* A run that neither writes nor releases needs no owners. */
static void enter_owners_or_conclude(struct secret_reconcile *reconcile, bool writes)
{
    if (writes || releases_any(reconcile))
        enter_owners(reconcile);
    else
        conclude(reconcile);
}

/* --- BUILD --- */

static void build_all(void *arg)
{
    struct secret_reconcile *reconcile = arg;

    if (reconcile->job.n_built == 0) /* the files are of no use */
        return;
    if (!reconcile->job.have_files && volume_read(reconcile->target->target_path, SECRET_FILES_MAX,
                                                  &reconcile->job.files, &reconcile->job.error) < 0)
        return;
    for (size_t i = 0; i < reconcile->job.n_built; i++)
        (void)secret_content_build(reconcile->class, i, &reconcile->job.files,
                                   &reconcile->job.built[i].content, &reconcile->job.built[i].error);
    payload_finish(&reconcile->job.files);
}

static void build_done(void *arg)
{
    struct secret_reconcile *reconcile = arg;
    bool any = false;

    reconcile->working = false;
    if (reconcile->callback == NULL) {
        reconcile_free(reconcile);
        return;
    }
    if (reconcile->job.error != NULL) {
        fail_all(reconcile, reconcile->job.error);
        return;
    }
    for (size_t i = 0; i < reconcile->job.n_built; i++) {
        struct built *built = &reconcile->job.built[i];

        if (built->error != NULL)
            note_failure(reconcile, reconcile->class->secret_objects[i].secret_name, &built->error);
        for (size_t k = 0; k < built->content.n_failures; k++)
            note_failure(reconcile, reconcile->class->secret_objects[i].secret_name,
                         &built->content.failures[k]);
        built->content.n_failures = 0;
        any = any || built->content.name != NULL;
    }
    enter_owners_or_conclude(reconcile, any);
}

static int enter_build(struct secret_reconcile *reconcile, struct error **err)
{
    size_t n = reconcile->class->n_secret_objects;

    reconcile->result.n_objects = n;
    reconcile->job.built = calloc(n > 0 ? n : 1, sizeof(*reconcile->job.built));
    if (reconcile->job.built == NULL)
        return error_no_memory(err, NULL);
    reconcile->job.n_built = n;
    if (worker_start(reconcile->config->loop, build_all, build_done, reconcile, err) < 0)
        return -1;
    reconcile->working = true;
    return 0;
}

/* --- CLASS --- */

static void class_fetched(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct secret_reconcile *reconcile = arg;
    cleanup_error struct error *failure = NULL;

    reconcile->lookup = NULL;
    if (class == NULL && error_code(error) == GRPC_STATUS_NOT_FOUND) {
        reconcile->result.gone = true;
        conclude(reconcile);
        return;
    }
    if (class != NULL)
        reconcile->class = secret_provider_class_ref(class);
    if (class == NULL)
        fail_all(reconcile, error);
    else if (class->n_secret_objects == 0)
        enter_owners_or_conclude(reconcile, /* writes= */ false);
    else if (enter_build(reconcile, &failure) < 0)
        fail_all(reconcile, failure);
}

/* --- start, cancel --- */

static int begin(struct secret_reconcile *reconcile, struct error **err)
{
    struct class_cache *cache = reconcile->config->class_cache;
    const struct volume_names *target = reconcile->target;
    const struct error *failure = NULL;

    if (target == NULL)
        return error_no_memory(err, NULL);
    if (reconcile->class == NULL) {
        /* A failure comes back from class_cache_start(): from in here it would start the next volume's. */
        reconcile->class = class_cache_get(cache, target->ns, target->class_name, &failure);
        if (reconcile->class != NULL)
            (void)secret_provider_class_ref(reconcile->class);
    }
    if (reconcile->class != NULL)
        return enter_build(reconcile, err);
    reconcile->lookup =
        class_cache_start(cache, target->ns, target->class_name, class_fetched, reconcile, err);
    return reconcile->lookup != NULL ? 0 : -1;
}

struct secret_reconcile *secret_reconcile_start(const struct secret_reconcile_config *config,
                                                const struct secret_reconcile_request *request,
                                                secret_reconcile_callback *callback, void *arg,
                                                struct error **err)
{
    struct secret_reconcile *reconcile = calloc(1, sizeof(*reconcile));

    if (reconcile == NULL) {
        secret_provider_class_free(request->class);
        if (request->files != NULL)
            payload_finish(request->files);
        owner_references_finish(request->owners);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *reconcile = (struct secret_reconcile){.config = config,
                                           .callback = callback,
                                           .arg = arg,
                                           .target = volume_names_copy(request->target),
                                           .mode = request->mode,
                                           .force = request->force,
                                           .started_ns = clock_monotonic_ns(),
                                           .class = request->class,
                                           .owners = *request->owners,
                                           .bare = request->bare,
                                           .owners_cached = request->bare && request->owners->n > 0};
    *request->owners = (struct owner_references){0};
    if (request->files != NULL) {
        reconcile->job.files = *request->files;
        reconcile->job.have_files = true;
        *request->files = (struct payload){0};
    }
    if (copy_previous(reconcile, request->previous, err) < 0 || begin(reconcile, err) < 0) {
        reconcile_free(reconcile);
        return NULL;
    }
    return reconcile;
}

void secret_reconcile_cancel(struct secret_reconcile **reconcile)
{
    struct secret_reconcile *cancelled = steal_ptr(reconcile);

    cancelled->callback = NULL;
    if (cancelled->lookup != NULL)
        class_cache_cancel(&cancelled->lookup);
    if (cancelled->owner_lookup != NULL)
        owner_lookup_cancel(&cancelled->owner_lookup);
    if (cancelled->write != NULL)
        secret_write_cancel(&cancelled->write);
    if (cancelled->release != NULL)
        secret_release_cancel(&cancelled->release);
    secret_state_refs_finish(&cancelled->result.states); /* states may not outlive their list */
    cancelled->config = NULL;
    if (!cancelled->working)
        reconcile_free(cancelled);
}
