/*
 * provider_client.c - calling a provider.
 */
#include "driver/provider/provider_client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"
#include "common/process/loop_timer.h"
#include "proto/provider.pb-c.h"

#define MOUNT_METHOD "/v1alpha1.CSIDriverProvider/Mount"

#define TYPE_PROVIDER "GRPCProviderError"
#define TYPE_FILES    "FileWriteError"

/* 0644 in decimal, the JSON number every driver has always sent; providers use it as the default mode of
 * files. */
#define DEFAULT_PERMISSION "420"

struct provider_call {
    struct provider_registry *registry;
    struct grpc_client_call *call; /* owned; NULL when not in flight */
    struct provider_ref *ref;      /* owned; of the running or last try */
    struct loop_timer *retry;      /* owned */
    provider_callback *callback;
    void *arg;
    uint64_t timeout_ms;
    uint64_t deadline_ms; /* on uv_now()'s clock */
    unsigned tries;
    struct grpc_pushback pushback; /* of the last try */
    struct error *last_failure;    /* why there is, or was, another try */
    bool may_write;
    struct byte_budget *budget; /* borrowed, as the next one; NULL: nothing is reserved */
    struct byte_reservation *bytes;

    /* the request, kept for another try */
    char *provider;
    char *attributes; /* JSON; secret_free() */
    char *secrets;    /* likewise */
    char *target_path;
    struct string_map versions;
};

void provider_response_finish(struct provider_response *response)
{
    payload_finish(&response->payload);
    string_map_finish(&response->versions);
    for (size_t i = 0; i < response->n_warnings; i++)
        free(response->warnings[i]);
    *response = (struct provider_response){0};
}

static void call_free(struct provider_call *call)
{
    provider_ref_release(call->ref);
    free(call->provider);
    secret_free(call->attributes);
    secret_free(call->secrets);
    free(call->target_path);
    string_map_finish(&call->versions);
    error_free(call->last_failure);
    loop_timer_destroy(call->retry);
    free(call);
}

/* --- the response --- */

static int take_versions(const V1alpha1__MountResponse *response, struct string_map *versions,
                         struct error **err)
{
    if (response->n_object_version > PROVIDER_VERSIONS_MAX)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%zu object versions, more than %d",
                         response->n_object_version, PROVIDER_VERSIONS_MAX);
    for (size_t i = 0; i < response->n_object_version; i++)
        if (string_map_set(versions, response->object_version[i]->id, response->object_version[i]->version,
                           err) < 0)
            return -1;
    return 0;
}

static int take_files(const V1alpha1__MountResponse *response, struct payload *payload, struct error **err)
{
    if (response->n_files > PAYLOAD_FILES_MAX)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%zu files, more than %d", response->n_files,
                         PAYLOAD_FILES_MAX);
    for (size_t i = 0; i < response->n_files; i++) {
        V1alpha1__File *file = response->files[i];
        cleanup_secret struct secret *contents = secret_from_bytes(file->contents.data, file->contents.len);

        if (contents == NULL)
            return error_no_memory(err, NULL);
        /* One file at a time is there twice, not all of them. */
        secret_free(file->contents.data);
        file->contents = (ProtobufCBinaryData){0};
        if (payload_add(payload, file->path, (mode_t)((uint32_t)file->mode & 0777U), steal_ptr(&contents),
                        err) < 0)
            return -1;
    }
    return payload_seal(payload, err);
}

static int take_warnings(const V1alpha1__MountResponse *response, struct provider_response *ret,
                         struct error **err)
{
    char line[PROVIDER_WARNING_BYTES_MAX + 1];

    for (size_t i = 0; i < response->n_warnings && ret->n_warnings < PROVIDER_WARNINGS_MAX; i++) {
        utf8_quote(line, sizeof(line), response->warnings[i]);
        if (line[0] == '\0')
            continue;
        ret->warnings[ret->n_warnings] = strdup(line);
        if (ret->warnings[ret->n_warnings] == NULL)
            return error_no_memory(err, NULL);
        ret->n_warnings++;
    }
    return 0;
}

/* The version of an object that may be missing, and is. */
static bool all_versions_are_empty(const struct string_map *versions)
{
    for (size_t i = 0; i < versions->n; i++)
        if (versions->entries[i].value[0] != '\0')
            return false;
    return true;
}

/* Returns -1 with err and *ret_type set when the response is a failure or breaks the protocol. */
static int take_response(const V1alpha1__MountResponse *response, struct provider_response *ret,
                         const char **ret_type, struct error **err)
{
    *ret_type = TYPE_PROVIDER;
    if (response->error != NULL && response->error->code[0] != '\0') {
        *ret_type = response->error->code;
        return error_set(err, GRPC_STATUS_UNKNOWN, "mount request failed with provider error code %s",
                         response->error->code);
    }
    if (response->n_object_version == 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "missing object versions in the response");
    if (take_versions(response, &ret->versions, err) < 0 || take_warnings(response, ret, err) < 0)
        return -1;
    ret->no_files = response->n_files == 0;
    ret->may_be_empty = all_versions_are_empty(&ret->versions);
    *ret_type = TYPE_FILES;
    return take_files(response, &ret->payload, err);
}

/* The limit is a flag of the driver, so the message says which. "on current machine": grpc's other limit,
 * which no flag changes. */
static bool is_too_large(const struct error *error)
{
    return error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED &&
           strstr(error_message(error), "received message larger than max") != NULL &&
           strstr(error_message(error), "on current machine") == NULL;
}

static int describe_failure(const struct provider_call *call, const struct error *cause, struct error **err)
{
    enum grpc_status code = error_code(cause);
    const char *message = error_message(cause);

    /* The client's own failures name the socket, those of the provider do not. */
    if (code == GRPC_STATUS_UNAVAILABLE && strstr(message, provider_ref_path(call->ref)) != NULL)
        return error_set(err, code, "provider \"%s\" is not responding: %s", call->provider, message);
    if (code == GRPC_STATUS_DEADLINE_EXCEEDED && strcmp(error_type(cause), GRPC_CLIENT_WAITED) != 0)
        return error_set(err, code, "provider \"%s\" did not respond within %.1f s: %s%s%s", call->provider,
                         (double)call->timeout_ms / 1000, message,
                         call->last_failure != NULL ? "; it failed before: " : "",
                         error_message(call->last_failure));
    return error_set(err, code, "provider \"%s\": %s%s", call->provider, message,
                     is_too_large(cause) ? " (raise --max-call-recv-msg-size of the driver)" : "");
}

static void call_failed(struct provider_call *call, const struct error *cause, const char *type)
{
    cleanup_error struct error *error = NULL;

    (void)describe_failure(call, cause, &error);
    call->callback(NULL, error != NULL ? error : cause, type, call->arg);
}

/* --- the request --- */

/* The protobuf objects of current_object_version; strings are borrowed from the map. */
struct versions_message {
    V1alpha1__ObjectVersion *items;
    V1alpha1__ObjectVersion **pointers;
};

static int fill_versions(const struct string_map *versions, struct versions_message *message,
                         struct error **err)
{
    message->items = calloc(versions->n, sizeof(*message->items));
    message->pointers = calloc(versions->n, sizeof(*message->pointers));
    if (message->items == NULL || message->pointers == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < versions->n; i++) {
        v1alpha1__object_version__init(&message->items[i]);
        message->items[i].id = versions->entries[i].key;
        message->items[i].version = versions->entries[i].value;
        message->pointers[i] = &message->items[i];
    }
    return 0;
}

static void versions_message_finish(struct versions_message *message)
{
    free(message->items);
    free(message->pointers);
}

static int keep_request(struct provider_call *call, const char *provider,
                        const struct provider_mount_request *request, struct error **err)
{
    call->attributes = string_map_to_json(request->attributes, err);
    if (call->attributes == NULL)
        return -1;
    /* No secrets are sent as null, not as an empty object. */
    call->secrets =
        request->secrets->n > 0 ? string_map_to_json(request->secrets, err) : secret_strdup("null");
    if (call->secrets == NULL && request->secrets->n > 0)
        return -1;
    call->provider = strdup(provider);
    call->target_path = strdup(request->target_path);
    if (call->provider == NULL || call->target_path == NULL || call->secrets == NULL)
        return error_no_memory(err, NULL);
    return request->current_versions == NULL
               ? 0
               : string_map_merge(&call->versions, request->current_versions, err);
}

static void mount_done(ProtobufCMessage *response, const struct error *error, void *arg);

static uint64_t time_left(const struct provider_call *call)
{
    uint64_t now = uv_now(provider_registry_loop(call->registry));

    return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

/* One try. The provider is found again each time: it may have moved. */
static int send_request(struct provider_call *call, struct error **err)
{
    CLEANUP(versions_message_finish) struct versions_message versions = {0};
    V1alpha1__MountRequest message = V1ALPHA1__MOUNT_REQUEST__INIT;
    char permission[] = DEFAULT_PERMISSION;

    provider_ref_release(steal_ptr(&call->ref));
    call->ref = provider_registry_find(call->registry, call->provider, err);
    if (call->ref == NULL)
        return -1;
    if (!call->may_write && !provider_ref_returns_files(call->ref)) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "provider \"%s\" was replaced during the call",
                        call->provider);
        return error_set_type(err, PROVIDER_MAY_WRITE);
    }
    if (call->versions.n > 0) {
        if (fill_versions(&call->versions, &versions, err) < 0)
            return -1;
        message.n_current_object_version = call->versions.n;
        message.current_object_version = versions.pointers;
    }
    message.attributes = call->attributes;
    message.secrets = call->secrets;
    message.target_path = call->target_path;
    message.permission = permission;
    call->tries++;
    call->call =
        grpc_client_call_start(provider_ref_channel(call->ref), MOUNT_METHOD, &message.base,
                               &v1alpha1__mount_response__descriptor, time_left(call), mount_done, call, err);
    if (call->call == NULL)
        return -1;
    grpc_client_call_pushback(call->call, &call->pushback);
    if (call->budget != NULL)
        grpc_client_call_reserve(call->call, call->budget, call->bytes);
    return 0;
}

/* --- tries --- */

static void retry_now(void *arg)
{
    struct provider_call *call = arg;
    cleanup_error struct error *error = NULL;

    if (send_request(call, &error) == 0)
        return;
    if (strcmp(error_type(error), PROVIDER_MAY_WRITE) == 0)
        call->callback(NULL, error, PROVIDER_MAY_WRITE, call->arg);
    else
        call_failed(call, error, TYPE_PROVIDER);
    call_free(call);
}

/* Before the next try; UINT64_MAX: there is none. */
static uint64_t pause_after(const struct provider_call *call, const struct error *error)
{
    uint64_t pause = PROVIDER_REFUSED_PAUSE_MS;

    if (error_code(error) != GRPC_STATUS_UNAVAILABLE || call->tries >= PROVIDER_TRIES_MAX)
        return UINT64_MAX;
    if (call->pushback.kind == GRPC_PUSHBACK_NO_RETRY)
        return UINT64_MAX;
    if (call->pushback.kind == GRPC_PUSHBACK_AFTER)
        return call->pushback.pause_ms;
    if (strcmp(error_type(error), GRPC_CLIENT_LOST) == 0)
        pause = PROVIDER_LOST_PAUSE_MS;
    else if (strstr(error_message(error), provider_ref_path(call->ref)) != NULL)
        return UINT64_MAX; /* nothing listens, and the channel has waited for that */
    return backoff_spread(pause, 100, 125, backoff_random());
}

/* False: the failure is final. */
static bool retry_later(struct provider_call *call, const struct error *error)
{
    uint64_t pause = pause_after(call, error);

    if (time_left(call) <= pause)
        return false;
    error_free(steal_ptr(&call->last_failure));
    (void)describe_failure(call, error, &call->last_failure);
    loop_timer_start(call->retry, pause);
    return true;
}

static void mount_done(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct provider_call *call = arg;
    struct provider_response taken = {0};
    cleanup_error struct error *failure = NULL;
    const char *type = TYPE_PROVIDER;

    call->call = NULL;
    if (error != NULL) {
        if (retry_later(call, error))
            return;
        call_failed(call, error, TYPE_PROVIDER);
    } else if (take_response((const V1alpha1__MountResponse *)response, &taken, &type, &failure) < 0) {
        call_failed(call, failure, type);
    } else {
        /* The message is of no use any more: its copies of the secrets go before the files are written. */
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
        response = NULL;
        if (!taken.no_files || !taken.may_be_empty)
            provider_ref_set_returns_files(call->ref, !taken.no_files);
        call->callback(&taken, NULL, "", call->arg);
    }
    provider_response_finish(&taken);
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    call_free(call);
}

struct provider_call *provider_call_start(struct provider_registry *registry, const char *provider,
                                          const struct provider_mount_request *request,
                                          provider_callback *callback, void *arg, struct error **err)
{
    struct provider_call *call = alloc_zeroed(sizeof(*call), err);
    uv_loop_t *loop = provider_registry_loop(registry);

    if (call == NULL)
        return NULL;
    call->registry = registry;
    call->callback = callback;
    call->arg = arg;
    call->may_write = request->may_write;
    call->budget = request->budget;
    call->bytes = request->bytes;
    call->timeout_ms = request->timeout_ms;
    call->deadline_ms = uv_now(loop) + request->timeout_ms;
    call->retry = loop_timer_create(loop, retry_now, call, err);
    if (call->retry == NULL || keep_request(call, provider, request, err) < 0 ||
        send_request(call, err) < 0) {
        call_free(call);
        return NULL;
    }
    return call;
}

int provider_returns_files(struct provider_registry *registry, const char *provider, bool *ret,
                           struct error **err)
{
    struct provider_ref *ref;

    /* The usual case. The call itself sees whether the socket has been replaced (PROVIDER_MAY_WRITE). */
    *ret = provider_registry_returned_files(registry, provider);
    if (*ret)
        return 0;
    ref = provider_registry_find(registry, provider, err);
    if (ref == NULL)
        return -1;
    *ret = provider_ref_returns_files(ref);
    provider_ref_release(ref);
    return 0;
}

const struct error *provider_call_last_failure(const struct provider_call *call)
{
    return call->last_failure;
}

void provider_call_cancel(struct provider_call **call)
{
    if ((*call)->call != NULL)
        grpc_client_call_cancel(&(*call)->call);
    call_free(*call);
    *call = NULL;
}
