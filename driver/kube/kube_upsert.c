/*
 * kube_upsert.c - brings one Kubernetes object to its desired state. See the drawing in the header.
 */
#include "driver/kube/kube_upsert.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/process/loop_timer.h"

/* Another writer of the object is done soon. Up to as much again by chance: two that are in each other's way
 * must not stay in step. */
static const struct backoff conflict_pauses = {
    .first = 20, .growth_percent = 200, .cap = 1000, .jitter_min_percent = 100, .jitter_max_percent = 200};
static const struct backoff trouble_pauses = {
    .first = 500, .growth_percent = 200, .cap = 5000, .jitter_min_percent = 100, .jitter_max_percent = 200};

struct kube_upsert {
    struct kube_client *client;
    struct kube_call *call;   /* owned; NULL when not in flight */
    struct loop_timer *timer; /* the pause before the next step */
    kube_upsert_build *build;
    kube_upsert_callback *callback;
    void *arg;
    char *collection; /* path */
    char *path;       /* of the object */
    enum kube_upsert_step step;
    cJSON *current;         /* as last read */
    char *resource_version; /* of a blind first PATCH */
    uint64_t deadline_ms;   /* on uv_now()'s clock */
    bool metadata_only;
    unsigned tries;
    unsigned conflicts;
    unsigned troubles;
};

/* --- end of life --- */

static void upsert_free(struct kube_upsert *upsert)
{
    loop_timer_destroy(upsert->timer);
    free(upsert->collection);
    free(upsert->path);
    free(upsert->resource_version);
    cJSON_Delete(upsert->current);
    free(upsert);
}

/* Takes over *object (may be NULL). */
static void conclude(struct kube_upsert *upsert, cJSON **object, bool wrote, const struct error *error)
{
    kube_upsert_callback *callback = upsert->callback;
    void *arg = upsert->arg;
    struct kube_upsert_result result = {.object = steal_ptr(object), .wrote = wrote};

    upsert_free(upsert);
    callback(&result, error, arg);
    cJSON_Delete(result.object);
}

static void fail(struct kube_upsert *upsert, const struct error *error)
{
    cJSON *none = NULL;

    conclude(upsert, &none, false, error);
}

/* --- steps --- */

static uint64_t time_left(const struct kube_upsert *upsert)
{
    uint64_t now = uv_now(kube_client_loop(upsert->client));

    return now < upsert->deadline_ms ? upsert->deadline_ms - now : 0;
}

/* The patch holds only for the object it was made for. */
static int add_precondition(const struct kube_upsert *upsert, cJSON *patch, struct error **err)
{
    const char *version = upsert->current != NULL ? kube_metadata_string(upsert->current, "resourceVersion")
                                                  : upsert->resource_version;
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(patch, "metadata");

    if (metadata == NULL)
        metadata = cJSON_AddObjectToObject(patch, "metadata");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "resourceVersion");
    if (version == NULL || version[0] == '\0')
        return error_set(err, GRPC_STATUS_INTERNAL, "the object has no resourceVersion");
    if (cJSON_AddStringToObject(metadata, "resourceVersion", version) == NULL)
        return error_no_memory(err, NULL);
    return 0;
}

static void request_ended(struct kube_response *response, const struct error *error, void *arg);

static int send_request(struct kube_upsert *upsert, const char *method, const char *path, const cJSON *body,
                        struct error **err)
{
    upsert->tries++;
    upsert->call = kube_call_start(
        upsert->client,
        &(struct kube_request){.method = method,
                               .path = path,
                               .body = body,
                               .content_type = upsert->step == KUBE_UPSERT_PATCH ? KUBE_MERGE_PATCH : NULL,
                               .metadata_only = upsert->metadata_only && upsert->step != KUBE_UPSERT_READ,
                               .repeatable = true, /* 409 leads to a read */
                               .timeout_ms = time_left(upsert)},
        request_ended, upsert, err);
    return upsert->call != NULL ? 0 : -1;
}

enum step_result { STEP_SENT, STEP_NOTHING_TO_DO, STEP_FAILED };

static enum step_result take_step(struct kube_upsert *upsert, struct error **err)
{
    cleanup_json cJSON *body = NULL;
    cleanup_error struct error *error = NULL;
    bool patch = upsert->step == KUBE_UPSERT_PATCH;
    int sent;

    if (time_left(upsert) == 0) {
        (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "the deadline of the Kubernetes API requests has passed");
        return STEP_FAILED;
    }
    if (upsert->step == KUBE_UPSERT_READ)
        return send_request(upsert, "GET", upsert->path, NULL, err) < 0 ? STEP_FAILED : STEP_SENT;
    body = upsert->build(upsert->step, patch ? upsert->current : NULL, upsert->arg, &error);
    if (body == NULL && error == NULL)
        return STEP_NOTHING_TO_DO;
    if (body == NULL || (patch && add_precondition(upsert, body, &error) < 0)) {
        (void)error_move(err, &error);
        return STEP_FAILED;
    }
    sent = patch ? send_request(upsert, "PATCH", upsert->path, body, err)
                 : send_request(upsert, "POST", upsert->collection, body, err);
    return sent < 0 ? STEP_FAILED : STEP_SENT;
}

/* Never from inside kube_upsert_start(). */
static void go_on(void *arg)
{
    struct kube_upsert *upsert = arg;
    cleanup_error struct error *error = NULL;

    switch (take_step(upsert, &error)) {
    case STEP_SENT:
        break;
    case STEP_NOTHING_TO_DO:
        conclude(upsert, &upsert->current, false, NULL);
        break;
    case STEP_FAILED:
        fail(upsert, error);
        break;
    }
}

/* Goes to `step` after a pause, or fails with `error` when there is no time or no try left. */
static void step_after(struct kube_upsert *upsert, enum kube_upsert_step step, uint64_t pause,
                       const struct error *error)
{
    if (upsert->tries >= KUBE_UPSERT_TRIES_MAX || pause >= time_left(upsert)) {
        fail(upsert, error);
        return;
    }
    upsert->step = step;
    loop_timer_start(upsert->timer, pause);
}

static uint64_t conflict_pause(struct kube_upsert *upsert)
{
    return backoff_pause(&conflict_pauses, ++upsert->conflicts, backoff_random());
}

static void step_failed(struct kube_upsert *upsert, const struct error *error)
{
    switch (error_code(error)) {
    case GRPC_STATUS_NOT_FOUND:
        if (upsert->step == KUBE_UPSERT_CREATE) /* the namespace or the kind */
            fail(upsert, error);
        else if (upsert->step == KUBE_UPSERT_READ && upsert->tries == 1)
            step_after(upsert, KUBE_UPSERT_CREATE, 0, error);
        else /* it comes and goes */
            step_after(upsert, KUBE_UPSERT_CREATE, conflict_pause(upsert), error);
        break;
    case GRPC_STATUS_ALREADY_EXISTS:
        if (upsert->step == KUBE_UPSERT_CREATE)
            step_after(upsert, KUBE_UPSERT_READ, 0, error);
        else
            fail(upsert, error);
        break;
    case GRPC_STATUS_ABORTED:      /* 409 Conflict: the object has another writer */
    case GRPC_STATUS_OUT_OF_RANGE: /* 410 */
        step_after(upsert, KUBE_UPSERT_READ, conflict_pause(upsert), error);
        break;
    case GRPC_STATUS_UNAVAILABLE:
    case GRPC_STATUS_DEADLINE_EXCEEDED: /* also 504: what has become of the write? */
        step_after(upsert, KUBE_UPSERT_READ,
                   backoff_pause(&trouble_pauses, ++upsert->troubles, backoff_random()), error);
        break;
    default:
        fail(upsert, error);
        break;
    }
}

static void request_ended(struct kube_response *response, const struct error *error, void *arg)
{
    struct kube_upsert *upsert = arg;

    upsert->call = NULL;
    if (upsert->step != KUBE_UPSERT_READ || error != NULL) {
        cJSON_Delete(upsert->current);
        upsert->current = NULL;
    }
    if (error != NULL && response->rejected) {
        fail(upsert, error);
    } else if (error != NULL) {
        step_failed(upsert, error);
    } else if (upsert->step == KUBE_UPSERT_READ) {
        cJSON_Delete(upsert->current);
        upsert->current = steal_ptr(&response->json);
        upsert->step = KUBE_UPSERT_PATCH;
        go_on(upsert);
    } else {
        conclude(upsert, &response->json, true, NULL);
    }
}

/* --- start, cancel --- */

static int fill(struct kube_upsert *upsert, const struct kube_upsert_request *request, struct error **err)
{
    upsert->timer = loop_timer_create(kube_client_loop(upsert->client), go_on, upsert, err);
    if (upsert->timer == NULL)
        return -1;
    upsert->collection =
        kube_path(request->group, request->version, request->ns, request->resource, NULL, err);
    if (upsert->collection == NULL)
        return -1;
    upsert->path =
        kube_path(request->group, request->version, request->ns, request->resource, request->name, err);
    if (upsert->path == NULL)
        return -1;
    if (request->first == KUBE_UPSERT_PATCH) {
        upsert->resource_version = strdup(request->resource_version);
        if (upsert->resource_version == NULL)
            return error_no_memory(err, NULL);
    }
    return 0;
}

struct kube_upsert *kube_upsert_start(struct kube_client *client, const struct kube_upsert_request *request,
                                      kube_upsert_callback *callback, void *arg, struct error **err)
{
    struct kube_upsert *upsert = calloc(1, sizeof(*upsert));
    uint64_t timeout_ms = request->timeout_ms;

    if (upsert == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    if (timeout_ms == 0 || timeout_ms > KUBE_TIMEOUT_MS)
        timeout_ms = KUBE_TIMEOUT_MS;
    *upsert = (struct kube_upsert){.client = client,
                                   .build = request->build,
                                   .callback = callback,
                                   .arg = arg,
                                   .step = request->first,
                                   .metadata_only = request->metadata_only,
                                   .deadline_ms = uv_now(kube_client_loop(client)) + timeout_ms};
    if (fill(upsert, request, err) == 0) {
        switch (take_step(upsert, err)) {
        case STEP_SENT:
            return upsert;
        case STEP_NOTHING_TO_DO:
            /* build runs once more from there, with the same result */
            loop_timer_start(upsert->timer, 0);
            return upsert;
        case STEP_FAILED:
            break;
        }
    }
    upsert_free(upsert);
    return NULL;
}

void kube_upsert_cancel(struct kube_upsert **upsert)
{
    if ((*upsert)->call != NULL)
        kube_call_cancel(&(*upsert)->call);
    upsert_free(*upsert);
    *upsert = NULL;
}
