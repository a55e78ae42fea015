/*
 * sync_run.c - brings all Secrets of one volume up to date, once. See the drawing in the header.
 */
#include "driver/sync/secret_reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/kube/kube_upsert.h"
#include "driver/sync/field_owner_lookup.h"
#include "driver/sync/owner_lookup.h"
#include "driver/sync/secret_field_owners.h"
#include "driver/volume/volume.h"

/* One entry of secretObjects after BUILD: content, or an error. */
struct built {
    struct secret_content content;
    struct error *error;
};

struct sync_run {
    const struct sync_run_config *config; /* NULL once cancelled */
    sync_run_callback *callback;          /* NULL once called or cancelled */
    void *arg;
    struct sync_pod *pod;
    enum secret_authority authority;
    bool mount;
    uint64_t started_ns;

    /* children: at most one runs, or the worker */
    struct class_lookup *lookup;
    struct owner_lookup *owner_lookup;
    struct kube_upsert *upsert;
    struct claim_lookup *claim_lookup;
    bool working;

    struct secret_provider_class *class;
    struct owners owners;
    struct sync_result result;

    /* APPLY */
    size_t at;                    /* the entry that is being applied; the rest is about that */
    struct secret_record *record; /* in result.uses */
    struct error *refused;        /* what stays as another class has written it */
    bool settled;                 /* the claims of other classes have been looked at: */
    cJSON *pruned;                /* those that are not outdated; NULL = all of them, */
    char *version;                /* of the Secret with this resourceVersion */

    /* in and out of the worker; class is read by it, too */
    struct {
        struct payload files;
        bool have_files;
        struct built *built; /* class->n_secret_objects of them */
        size_t n_built;
        struct error *error; /* the files can not be read */
    } job;
};

/* --- end of life --- */

void sync_result_finish(struct sync_result *result)
{
    for (size_t i = 0; i < result->n_failures && i < SYNC_FAILURES_MAX; i++) {
        free(result->failures[i].secret);
        error_free(result->failures[i].error);
    }
    free(result->provider);
    free(result->class_name);
    owners_finish(&result->owners);
    secret_uses_finish(&result->uses);
    *result = (struct sync_result){0};
}

static void forget_entry(struct sync_run *run)
{
    error_free(steal_ptr(&run->refused));
    cJSON_Delete(steal_ptr(&run->pruned));
    free(steal_ptr(&run->version));
    run->settled = false;
}

static void run_free(struct sync_run *run)
{
    for (size_t i = 0; i < run->job.n_built; i++) {
        secret_content_finish(&run->job.built[i].content);
        error_free(run->job.built[i].error);
    }
    free(run->job.built);
    payload_finish(&run->job.files);
    error_free(run->job.error);
    forget_entry(run);
    secret_provider_class_free(run->class);
    owners_finish(&run->owners);
    sync_result_finish(&run->result);
    free(run->pod);
    free(run);
}

static void conclude(struct sync_run *run)
{
    sync_run_callback *callback = run->callback;
    void *arg = run->arg;
    struct sync_result result = run->result;

    result.owners = run->owners;
    run->owners = (struct owners){0};
    run->result = (struct sync_result){0};
    if (result.n_written > 0)
        driver_metrics_secret_sync(run->config->metrics,
                                   (double)(clock_monotonic_ns() - run->started_ns) / 1e9);
    run_free(run);
    callback(&result, arg);
    sync_result_finish(&result);
}

/* --- failures --- */

/* Does only a change of the class, the files or the Secret help? */
static bool is_lasting(enum grpc_status code)
{
    return code == GRPC_STATUS_INVALID_ARGUMENT || code == GRPC_STATUS_FAILED_PRECONDITION ||
           code == GRPC_STATUS_RESOURCE_EXHAUSTED;
}

/* Takes over *error. */
static void note_failure(struct sync_run *run, const char *secret, struct error **error)
{
    struct sync_result *result = &run->result;

    driver_metrics_secret_error(run->config->metrics, run->class != NULL ? run->class->provider : "",
                                error_code(*error));
    result->retry = result->retry || !is_lasting(error_code(*error));
    if (result->n_failures < SYNC_FAILURES_MAX)
        result->failures[result->n_failures] =
            (struct sync_failure){.secret = strdup(secret), .error = steal_ptr(error)};
    result->n_failures++;
    error_free(*error);
    *error = NULL;
}

/* A failure that is about all of them. */
static void fail_all(struct sync_run *run, const struct error *cause)
{
    struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "the Secrets of secretproviderclass %s/%s", run->pod->ns,
                         run->pod->class_name);
    note_failure(run, "", &error);
    conclude(run);
}

/* --- APPLY --- */

static void apply_next(struct sync_run *run);

static struct secret_wish wish_of(const struct sync_run *run)
{
    return (struct secret_wish){.class_name = run->class->name,
                                .content = &run->job.built[run->at].content,
                                .owners = &run->owners,
                                .authority = run->authority,
                                .mount = run->mount,
                                .pruned = run->pruned,
                                .pruned_version = run->version};
}

static cJSON *build_write(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct sync_run *run = arg;
    const struct secret_wish wish = wish_of(run);
    cleanup_secret_patch struct secret_patch patch = {0};

    error_free(steal_ptr(&run->refused)); /* of an earlier try */
    if (step == KUBE_UPSERT_CREATE)
        return secret_object_create(run->pod->ns, &wish, err);
    (void)secret_object_patch(&wish, current, &patch, err);
    run->refused = steal_ptr(&patch.refused);
    return steal_ptr(&patch.patch);
}

static void apply_failed(struct sync_run *run, const struct error *cause)
{
    const char *name = run->job.built[run->at].content.name;
    struct error *error = NULL;

    (void)error_set(
        &error, error_code(cause), "secretproviderclass %s/%s, Secret '%s': %s%s", run->pod->ns,
        run->pod->class_name, name, error_message(cause),
        error_code(cause) == GRPC_STATUS_PERMISSION_DENIED
            ? " (is the ClusterRole secretprovidersyncing-role installed? In the Helm chart: syncSecret.enabled=true)"
            : "");
    note_failure(run, name, &error);
}

static void entry_done(struct sync_run *run)
{
    if (run->refused != NULL) {
        run->record->known = false; /* it is not as wanted */
        apply_failed(run, run->refused);
    }
    forget_entry(run);
    secret_content_finish(&run->job.built[run->at].content);
    run->at++;
    apply_next(run);
}

static int start_upsert(struct sync_run *run, struct error **err);

/* The claims of other classes have been looked at. What is outdated among them goes, and with it what it has
 * kept in the Secret, or from this class. */
static void claims_checked(cJSON **claims, bool outdated, void *arg)
{
    struct sync_run *run = arg;
    cleanup_error struct error *error = NULL;

    run->claim_lookup = NULL;
    run->settled = true;
    if (outdated) {
        run->pruned = steal_ptr(claims);
        if (start_upsert(run, &error) == 0)
            return;
        apply_failed(run, error);
    }
    entry_done(run);
}

/* Returns true when the claims of other classes to `secret` are being looked at. */
static bool check_claims(struct sync_run *run, const cJSON *secret)
{
    const char *own = run->class->name;
    cleanup_json cJSON *claims = secret_claims_read(secret);

    if (run->settled || claims == NULL || !secret_claims_shared(claims, own))
        return false;
    run->version = strdup(kube_metadata_string(secret, "resourceVersion"));
    if (run->version != NULL)
        run->claim_lookup = claim_lookup_start(run->config->classes, run->pod->ns, own, run->record->name,
                                               steal_ptr(&claims), claims_checked, run, /* err= */ NULL);
    return run->claim_lookup != NULL;
}

static void note_written(struct sync_run *run)
{
    run->result.n_written++;
    driver_metrics_secret_written(run->config->metrics, run->class->provider);
    log_info(run->config->log, "Kubernetes Secret written",
             LOG_OBJECT("secret", run->pod->ns, run->record->name), LOG_STR("spc", run->pod->class_name),
             LOG_OBJECT("pod", run->pod->ns, run->pod->name));
}

static void applied(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct sync_run *run = arg;
    const struct secret_wish wish = wish_of(run);

    run->upsert = NULL;
    if (error != NULL) {
        apply_failed(run, error);
    } else {
        secret_record_update(run->record, &wish, result->object, uv_now(run->config->loop));
        if (result->wrote)
            note_written(run);
        if (check_claims(run, result->object))
            return;
    }
    entry_done(run);
}

static int start_upsert(struct sync_run *run, struct error **err)
{
    run->upsert = kube_upsert_start(run->config->client,
                                    &(struct kube_upsert_request){.group = "",
                                                                  .version = "v1",
                                                                  .ns = run->pod->ns,
                                                                  .resource = "secrets",
                                                                  .name = run->record->name,
                                                                  .first = KUBE_UPSERT_READ,
                                                                  .build = build_write,
                                                                  .metadata_only = true},
                                    applied, run, err);
    return run->upsert != NULL ? 0 : -1;
}

/* Returns 0 when a request is on its way, 1 when none is needed, -1 with err set. */
static int apply_one(struct sync_run *run, struct error **err)
{
    struct secret_wish wish;

    run->record = secret_records_use(run->config->records, run->pod->ns, run->class->name,
                                     run->job.built[run->at].content.name, err);
    if (run->record == NULL || secret_uses_add(&run->result.uses, run->record, err) < 0)
        return -1;
    wish = wish_of(run);
    if (!run->mount &&
        secret_record_fulfils(run->record, &wish, uv_now(run->config->loop), run->config->trust_ms))
        return 1;
    return start_upsert(run, err);
}

static void apply_next(struct sync_run *run)
{
    for (; run->at < run->job.n_built; run->at++) {
        cleanup_error struct error *error = NULL;
        int started;

        if (run->job.built[run->at].content.name == NULL)
            continue; /* it could not be built */
        started = apply_one(run, &error);
        if (started == 0)
            return;
        if (started < 0)
            apply_failed(run, error);
        secret_content_finish(&run->job.built[run->at].content);
    }
    conclude(run);
}

/* --- OWNERS --- */

static void owners_found(struct owners *owners, const struct error *error, void *arg)
{
    struct sync_run *run = arg;

    run->owner_lookup = NULL;
    if (owners != NULL) {
        run->owners = *owners;
        *owners = (struct owners){0};
        apply_next(run);
    } else if (error_code(error) == GRPC_STATUS_NOT_FOUND) {
        run->result.gone = true;
        conclude(run);
    } else {
        run->result.no_status = strcmp(error_type(error), OWNER_LOOKUP_NO_STATUS) == 0;
        fail_all(run, error);
    }
}

static void enter_owners(struct sync_run *run)
{
    cleanup_error struct error *error = NULL;

    if (run->owners.n > 0) {
        apply_next(run);
        return;
    }
    run->owner_lookup = owner_lookup_start(run->config->client, run->pod, owners_found, run, &error);
    if (run->owner_lookup == NULL)
        fail_all(run, error);
}

/* --- BUILD --- */

static void run_build(void *arg)
{
    struct sync_run *run = arg;

    if (!run->job.have_files &&
        volume_read(run->pod->target_path, SYNC_FILES_MAX, &run->job.files, &run->job.error) < 0)
        return;
    for (size_t i = 0; i < run->job.n_built; i++)
        (void)secret_content_build(run->class, i, &run->job.files, &run->job.built[i].content,
                                   &run->job.built[i].error);
    payload_finish(&run->job.files);
}

static void build_done(void *arg)
{
    struct sync_run *run = arg;
    bool any = false;

    run->working = false;
    if (run->callback == NULL) {
        run_free(run);
        return;
    }
    if (run->job.error != NULL) {
        fail_all(run, run->job.error);
        return;
    }
    for (size_t i = 0; i < run->job.n_built; i++) {
        struct built *built = &run->job.built[i];

        if (built->error != NULL)
            note_failure(run, run->class->secret_objects[i].secret_name, &built->error);
        any = any || built->content.name != NULL;
    }
    if (any)
        enter_owners(run);
    else
        conclude(run);
}

static int enter_build(struct sync_run *run, struct error **err)
{
    run->result.n_objects = run->class->n_secret_objects;
    run->result.provider = strdup(run->class->provider);
    run->result.class_name = strdup(run->class->name);
    if (run->class->n_secret_objects > 0)
        run->job.built = calloc(run->class->n_secret_objects, sizeof(*run->job.built));
    if (run->result.provider == NULL || run->result.class_name == NULL ||
        (run->class->n_secret_objects > 0 && run->job.built == NULL))
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    run->job.n_built = run->class->n_secret_objects;
    if (worker_start(run->config->loop, run_build, build_done, run, err) < 0)
        return -1;
    run->working = true;
    return 0;
}

/* --- CLASS --- */

static void class_found_or_not(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct sync_run *run = arg;
    cleanup_error struct error *failure = NULL;

    run->lookup = NULL;
    if (class == NULL && error_code(error) == GRPC_STATUS_NOT_FOUND) {
        run->result.gone = true;
        conclude(run);
        return;
    }
    run->class = class;
    if (class == NULL)
        fail_all(run, error);
    else if (class->n_secret_objects == 0)
        conclude(run);
    else if (enter_build(run, &failure) < 0)
        fail_all(run, failure);
}

/* --- start, cancel --- */

static int begin(struct sync_run *run, struct error **err)
{
    if (run->pod == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (run->class != NULL)
        return enter_build(run, err);
    run->lookup = class_source_start(run->config->classes, run->pod->ns, run->pod->class_name,
                                     KUBE_TIMEOUT_MS, class_found_or_not, run, err);
    return run->lookup != NULL ? 0 : -1;
}

struct sync_run *sync_run_start(const struct sync_run_config *config, const struct sync_run_request *request,
                                sync_run_callback *callback, void *arg, struct error **err)
{
    struct sync_run *run = calloc(1, sizeof(*run));

    if (run == NULL) {
        secret_provider_class_free(request->class);
        if (request->files != NULL)
            payload_finish(request->files);
        owners_finish(request->owners);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *run = (struct sync_run){.config = config,
                             .callback = callback,
                             .arg = arg,
                             .pod = sync_pod_copy(request->pod),
                             .authority = request->authority,
                             .mount = request->mount,
                             .started_ns = clock_monotonic_ns(),
                             .class = request->class,
                             .owners = *request->owners};
    *request->owners = (struct owners){0};
    if (request->files != NULL) {
        run->job.files = *request->files;
        run->job.have_files = true;
        *request->files = (struct payload){0};
    }
    if (begin(run, err) < 0) {
        run_free(run);
        return NULL;
    }
    return run;
}

void sync_run_cancel(struct sync_run **run)
{
    struct sync_run *cancelled = steal_ptr(run);

    cancelled->callback = NULL;
    if (cancelled->lookup != NULL)
        class_source_cancel(cancelled->config->classes, &cancelled->lookup);
    if (cancelled->owner_lookup != NULL)
        owner_lookup_cancel(&cancelled->owner_lookup);
    if (cancelled->upsert != NULL)
        kube_upsert_cancel(&cancelled->upsert);
    if (cancelled->claim_lookup != NULL)
        claim_lookup_cancel(&cancelled->claim_lookup);
    secret_uses_finish(&cancelled->result.uses); /* they may not outlive their list */
    cancelled->config = NULL;
    if (!cancelled->working)
        run_free(cancelled);
}
