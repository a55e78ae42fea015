/*
 * mount.c - one mount operation.
 */
#include "provider-azure/mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/objects/aggregate_error.h"
#include "provider-azure/unknown_parameters.h"

/* Kept back from the caller's time: the response arrives before the caller gives up, so that it gets the
 * reason. */
enum { MARGIN_MS = 300, GUARD_MS = 150 };
#define PREFIX "failed to mount objects, error"

struct mount {
    const struct mount_shared *shared;
    struct mount_request request;
    struct vault_freshness freshness;
    uint8_t volume[DIGEST_SHA256_LEN];
    uint64_t began_ms;
    uint64_t deadline_ms;
    struct transport_timer *guard;
    struct transport_timer *empty;   /* no objects: done in the next turn of the loop */
    struct vault_tokens *tokens;     /* TOKENS */
    bool has_tokens;                 /* as many as there will be */
    struct byte_reservation *bytes;  /* BYTES; borrowed, may be NULL */
    struct fetch *fetch;             /* FETCH */
    struct mount_response *response; /* CONVERT; borrows from the fetch */
    const struct response_writer *writer;
    mount_callback *callback;
    void *arg;
};

static void mount_free(struct mount *mount)
{
    const struct transport *transport = mount->shared->network->transport;
    transport_stop(transport, &mount->guard);
    transport_stop(transport, &mount->empty);
    mount_response_destroy(mount->response);
    fetch_destroy(mount->fetch);
    vault_tokens_destroy(mount->tokens);
    mount_request_finish(&mount->request);
    free(mount);
}

/* A mount that fails holds nothing any more. */
static void release_bytes(const struct mount *mount)
{
    if (mount->bytes != NULL)
        byte_reservation_release(mount->bytes);
}

/* The time of the volume's first call, this one or one that the vault throttled. */
static uint64_t first_call_ms(const struct mount *mount)
{
    return mount->freshness.tried_ms != 0 ? mount->freshness.tried_ms : mount->began_ms;
}

/* Whether a throttled service is why the mount failed. The error's code is that of its first object: another
 * one may have been throttled, and a class that is too large for us has the same code. */
static bool is_throttled(const struct mount *mount, const struct error *error)
{
    if (error == NULL)
        return false;
    if (mount->fetch == NULL) /* Entra ID */
        return error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED;
    /* Of a volume that was throttled before, the last read may have been on its way at the deadline. */
    return fetch_is_throttled(mount->fetch) ||
           (mount->freshness.tried_ms != 0 && error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED);
}

/* What the next call for this volume may be served. */
static void remember(const struct mount *mount, const struct error *error)
{
    const struct mount_shared *shared = mount->shared;
    const uint8_t *volume = mount->request.volume;
    uint64_t now = transport_now_ms(shared->network->transport);

    if (error == NULL)
        served_volumes_put(shared->volumes, volume, now);
    if (mount->freshness.republish)
        return;
    if (!is_throttled(mount, error)) {
        served_volumes_forget(shared->throttled, volume);
        return;
    }
    served_volumes_renew(shared->throttled, volume, first_call_ms(mount), now);
    if (mount->fetch != NULL)
        fetch_hold(mount->fetch, now + MOUNT_HOLD_MS);
}

/* Ends the mount; takes over `error`. */
static void finish(struct mount *mount, struct error *error)
{
    mount_callback *callback = mount->callback;
    void *arg = mount->arg;

    remember(mount, error);
    if (error != NULL)
        release_bytes(mount);
    (void)unknown_parameters_append(&error, mount->request.hint);
    mount_free(mount);
    if (error != NULL)
        error_wrap(&error, PREFIX);
    callback(error, arg);
    error_free(error);
}

/* --- the response --- */

/* The first mount of a content of a class reports its mistakes to the user, which nothing depends on. */
static void warn_of_class(const struct mount *mount)
{
    const struct class_report *report = &mount->request.report;
    cleanup_free char *text = NULL;

    if (mount->shared->warned == NULL || report->text == NULL ||
        !class_reports_add(mount->shared->warned, report->digest) ||
        asprintf(&text, "mistakes in the class: %s", report->text) < 0)
        return;
    (void)mount->writer->add_warning(mount->arg, text, /* err= */ NULL);
}

/* Everything is converted, or the guard did not let it. */
static void conclude(struct mount *mount)
{
    struct error *error = NULL;
    if (mount_response_emit(mount->response, mount->writer, mount->arg, &error) == 0)
        warn_of_class(mount);
    finish(mount, error);
}

static void on_converted(void *arg)
{
    conclude(arg);
}

/* The class's vault; NULL: it names none. */
static const struct vault *own_vault(const struct mount_request *request)
{
    const struct vault_order *order = &request->vaults.of_class;
    return order->n > 0 ? &request->vaults.at[order->at[0]] : NULL;
}

/* With what was read. */
static int create_response(struct mount *mount, struct error **err)
{
    const struct response_input input = {
        .fetch = mount->fetch,
        .objects = &mount->request.objects,
        .options = mount->shared->content,
        .pems = mount->shared->pems,
        .own_vault = own_vault(&mount->request),
    };
    mount->response = mount_response_create(&input, err);
    return mount->response == NULL ? -1 : 0;
}

static void start_fetch(struct mount *mount);

static void on_fetched(void *arg)
{
    struct mount *mount = arg;
    struct error *error = NULL;
    if (create_response(mount, &error) < 0)
        finish(mount, error);
    else
        mount_response_convert(mount->response, on_converted, mount);
}

/* The same failure for all objects. */
static void fail_all(struct mount *mount, const struct error *cause)
{
    struct aggregate_error aggregate;
    aggregate_error_init(&aggregate);
    for (size_t i = 0; i < mount->request.objects.n; i++)
        aggregate_error_add(&aggregate, &mount->request.objects.items[i], cause);
    finish(mount, aggregate_error_finish(&aggregate));
}

/* To the vault that the object belongs to. */
static const struct vault_access *own_access(const struct mount *mount, size_t object)
{
    return vault_tokens_access(mount->tokens, mount->request.orders[object].at[0]);
}

/* The failures of tokens, for the objects that need them. */
static void fail_tokens(struct mount *mount)
{
    struct aggregate_error aggregate;
    aggregate_error_init(&aggregate);
    for (size_t i = 0; i < mount->request.objects.n; i++) {
        if (own_access(mount, i)->error != NULL)
            aggregate_error_add(&aggregate, &mount->request.objects.items[i], own_access(mount, i)->error);
    }
    struct error *error = aggregate_error_finish(&aggregate);
    if (error == NULL)
        (void)error_no_memory(&error, NULL);
    finish(mount, error);
}

static bool has_token(const struct mount *mount)
{
    for (size_t i = 0; i < mount->request.objects.n; i++) {
        if (own_access(mount, i)->token != NULL)
            return true;
    }
    return false;
}

static void on_bytes(void *arg)
{
    start_fetch(arg);
}

static void on_tokens(void *arg)
{
    struct mount *mount = arg;
    const struct mount_shared *shared = mount->shared;

    mount->has_tokens = true;
    if (!has_token(mount))
        fail_tokens(mount);
    else if (shared->budget == NULL || mount->bytes == NULL ||
             byte_reservation_request(mount->bytes, shared->budget,
                                      fetch_expected_bytes(&mount->request.objects), on_bytes, mount))
        start_fetch(mount);
}

static void start_fetch(struct mount *mount)
{
    const struct mount_shared *shared = mount->shared;
    const struct fetch_input input = {
        .transport = shared->network->transport,
        .metrics = shared->network->metrics,
        .cache = shared->cache,
        .vaults = &mount->request.vaults,
        .tokens = mount->tokens,
        .objects = &mount->request.objects,
        .orders = mount->request.orders,
        .freshness = mount->freshness,
        .deadline_ms = mount->deadline_ms,
        .bytes = mount->bytes,
    };
    struct error *failure = NULL;
    mount->fetch = fetch_start(&input, on_fetched, mount, &failure);
    if (mount->fetch == NULL)
        finish(mount, failure);
}

static void on_guard(void *arg)
{
    struct mount *mount = arg;
    struct error *error = NULL;
    mount->guard = NULL;
    if (mount->fetch != NULL && mount->response == NULL) {
        fetch_give_up(mount->fetch);
        (void)create_response(mount, &error);
    }
    if (mount->response != NULL) {
        conclude(mount);
        return;
    }
    if (error != NULL) {
        finish(mount, error);
        return;
    }
    if (!mount->has_tokens) {
        vault_tokens_give_up(mount->tokens);
        fail_tokens(mount);
        return;
    }
    error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED,
              "waited for memory up to the caller's deadline: other mounts had all of --max-bytes-in-flight");
    fail_all(mount, error);
    error_free(error);
}

static void on_empty(void *arg)
{
    struct mount *mount = arg;
    mount->empty = NULL;
    finish(mount, NULL);
}

static int begin(struct mount *mount, uint64_t time_left_ms, struct error **err)
{
    const struct transport *transport = mount->shared->network->transport;

    if (mount->request.objects.n == 0) {
        log_warning(mount->shared->network->log,
                    "objects has no items: there is nothing to mount, and drivers refuse such a response");
        mount->empty = transport_after(transport, 0, on_empty, mount, err);
        return mount->empty == NULL ? -1 : 0;
    }
    mount->freshness.stale_max_age_ms = mount->request.stale_max_age_ms;
    mount->freshness.volume_served_ms =
        served_volumes_last_ms(mount->shared->volumes, mount->request.volume, transport_now_ms(transport));
    mount->began_ms = transport_now_ms(transport);
    mount->freshness.tried_ms =
        served_volumes_since_ms(mount->shared->throttled, mount->request.volume, mount->began_ms);
    uint64_t left = time_left_ms < MOUNT_LIMIT_MS ? time_left_ms : MOUNT_LIMIT_MS;
    uint64_t work = left > 2 * (uint64_t)MARGIN_MS ? left - MARGIN_MS : left / 2;
    mount->deadline_ms = transport_now_ms(transport) + work;
    mount->guard =
        transport_after(transport, work + (left - work) * GUARD_MS / MARGIN_MS, on_guard, mount, err);
    if (mount->guard == NULL)
        return -1;
    const struct vault_tokens_input tokens = {
        .network = mount->shared->network,
        .cache = mount->shared->tokens,
        .vaults = &mount->request.vaults,
        .identities = mount->request.identities,
        .deadline_ms = mount->deadline_ms,
    };
    mount->tokens = vault_tokens_start(&tokens, on_tokens, mount, err);
    return mount->tokens == NULL ? -1 : 0;
}

struct mount *mount_start(const struct mount_shared *shared, const struct mount_input *input,
                          const struct response_writer *writer, mount_callback *callback, void *arg,
                          struct error **err)
{
    struct mount *mount = calloc(1, sizeof(*mount));
    if (mount == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *mount = (struct mount){
        .shared = shared,
        .freshness = {.republish = input->republish},
        .bytes = input->bytes,
        .writer = writer,
        .callback = callback,
        .arg = arg,
    };
    if (mount_request_parse(input, shared->defaults, &mount->request, err) < 0 ||
        begin(mount, input->time_left_ms, err) < 0) {
        error_wrap(err, PREFIX);
        mount_free(mount);
        return NULL;
    }
    return mount;
}

void mount_cancel(struct mount **mount)
{
    struct mount *gone = *mount;
    *mount = NULL;
    if (gone == NULL)
        return;
    release_bytes(gone);
    mount_free(gone);
}
