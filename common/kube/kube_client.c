/*
 * kube_client.c - JSON requests to the Kubernetes API.
 *
 * One call:   QUEUE ──▶ SEND ──▶ response ──▶ done
 *               ▲                   │ 401 / TLS: reload credentials, once
 *               └───── delay ◀──────┘ 429 / 5xx: Retry-After + jitter, within the deadline
 */
#include "common/kube/kube_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/buffer.h"
#include "common/kube/kube_credentials.h"
#include "common/kube/kube_queue.h"
#include "common/process/lifecycle.h"

/* Between the tries of a read. The nodes of a cluster that restarts must not come back in step. */
static const struct backoff read_pauses = {
    .first = 500, .growth_percent = 200, .cap = 5000, .jitter_min_percent = 100, .jitter_max_percent = 125};

/* Anybody may read it, the API server responds even when it is so busy that it queues others, and it costs
 * nothing. */
#define PROBE "readyz"

struct kube_client {
    uv_loop_t *loop;
    struct http_client *http;
    struct kube_credentials *credentials;
    struct kube_health *health;
    struct kube_queue *queue;
    struct http_call *probe; /* of `health`; NULL when none is in flight */
    char *probe_url;
    uint64_t probe_ns;               /* when it was sent */
    kube_request_observer *observer; /* may be NULL */
    void *observer_arg;
};

struct kube_call {
    struct kube_client *client;
    struct http_call *http;         /* owned; NULL when not in flight */
    struct kube_queue_entry *entry; /* owned */
    uint64_t deadline_ms;           /* on uv_now()'s clock */
    kube_callback *callback;
    void *arg;
    char *method;
    char *url;
    char *body; /* wiped; NULL without */
    const char *content_type;
    bool metadata_only;
    bool repeatable;
    char resource[64]; /* for the observer */
    uint64_t sent_ns;  /* the try in flight */
    unsigned tries;
    bool reloaded; /* credentials were read again for this call */
};

static void observe(const struct kube_client *client, const char *method, const char *resource, int status,
                    uint64_t sent_ns)
{
    if (client->observer != NULL)
        client->observer(method, resource, status, (double)(clock_monotonic_ns() - sent_ns) / 1e9,
                         client->observer_arg);
}

/* --- probes --- */

static void probe_ended(struct http_response *response, enum http_hop hop, const struct error *error,
                        void *arg)
{
    struct kube_client *client = arg;

    client->probe = NULL;
    observe(client, "GET", PROBE, error != NULL ? 0 : response->status, client->probe_ns);
    if (hop == HTTP_HOP_TLS) /* its CA may have changed */
        (void)kube_credentials_reload(client->credentials, /* err= */ NULL);
    kube_health_probed(client->health, error);
}

static int probe_start(void *arg, struct error **err)
{
    struct kube_client *client = arg;
    struct http_request request = {.method = "GET",
                                   .url = client->probe_url,
                                   .timeout_ms = KUBE_PROBE_TIMEOUT_MS,
                                   .max_response_bytes = KUBE_RESPONSE_MAX,
                                   .fresh_connection = true};

    if (kube_credentials_apply(client->credentials, &request, err) < 0)
        return -1;
    client->probe_ns = clock_monotonic_ns();
    client->probe = http_call_start(client->http, &request, probe_ended, client, err);
    return client->probe == NULL ? -1 : 0;
}

/* --- end of a call --- */

static void call_free(struct kube_call *call)
{
    kube_queue_entry_destroy(call->entry);
    free(call->method);
    free(call->url);
    secret_free(call->body);
    free(call);
}

static void call_finish(struct kube_call *call, struct kube_response *response, const struct error *error)
{
    kube_callback *callback = call->callback;
    void *arg = call->arg;

    call_free(call);
    callback(response, error, arg);
}

static void call_fail(struct kube_call *call, const struct error *cause, bool rejected)
{
    struct kube_response response = {.rejected = rejected};
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "Kubernetes API");
    call_finish(call, &response, error != NULL ? error : cause);
}

static uint64_t time_left(const struct kube_call *call)
{
    uint64_t now = uv_now(call->client->loop);

    return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

/* --- retries --- */

/* True when another try has been scheduled. */
static bool retry_later(struct kube_call *call, const struct http_response *response)
{
    bool is_read = strcmp(call->method, "GET") == 0;
    int64_t retry_after = response == NULL ? -1 : http_retry_after_ms(response, clock_unix_s());
    uint64_t pause;

    if (call->tries >= KUBE_TRIES_MAX || (retry_after < 0 && !is_read))
        return false;
    pause = retry_after >= 0 ? backoff_spread((uint64_t)retry_after, 100, 125, backoff_random())
                             : backoff_pause(&read_pauses, call->tries, backoff_random());
    if (pause >= time_left(call))
        return false;
    kube_queue_enter(call->entry, pause);
    return true;
}

/* Credentials may have rotated since they were read: reads them and tries once more, from the next turn. */
static bool retry_reloaded(struct kube_call *call)
{
    if (call->reloaded || !kube_credentials_rotate(call->client->credentials))
        return false;
    call->reloaded = true;
    if (kube_credentials_reload(call->client->credentials, /* err= */ NULL) < 0)
        return false;
    kube_queue_enter(call->entry, 0);
    return true;
}

/* --- responses --- */

static void no_response(struct kube_call *call, enum http_hop hop, const struct error *error)
{
    bool unreachable =
        error_code(error) == GRPC_STATUS_UNAVAILABLE || error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED;

    if (unreachable)
        kube_queue_no_response(call->entry, error);
    else
        kube_queue_responded(call->entry); /* with something that is of no use */
    if (hop == HTTP_HOP_TLS && retry_reloaded(call))
        return;
    if (error_code(error) == GRPC_STATUS_UNAVAILABLE && strcmp(call->method, "GET") == 0 &&
        retry_later(call, NULL))
        return;
    call_fail(call, error, /* rejected= */ false);
}

/* A pause that the API server asks for is for all requests. */
static void heed_retry_after(const struct kube_call *call, const struct http_response *response)
{
    int64_t retry_after = http_retry_after_ms(response, clock_unix_s());

    if ((response->status == 429 || response->status == 503) && retry_after > 0)
        kube_queue_pause(call->client->queue, (uint64_t)retry_after);
}

static int parse_response(const struct http_response *response, cJSON **ret, struct error **err)
{
    cleanup_error struct error *error = NULL;

    *ret = json_parse(buffer_str(&response->body), response->body.len, KUBE_RESPONSE_MAX, &error);
    if (response->status < 200 || response->status > 299)
        return kube_status_error(response->status, *ret, err);
    if (*ret != NULL)
        return 0;
    (void)error_recode(&error, GRPC_STATUS_INTERNAL);
    (void)error_wrap(&error, "the Kubernetes API server's response");
    return error_move(err, &error);
}

static void call_ended(struct http_response *http, enum http_hop hop, const struct error *error, void *arg)
{
    struct kube_call *call = arg;
    cleanup_error struct error *failure = NULL;
    struct kube_response response;

    call->http = NULL;
    observe(call->client, call->method, call->resource, error != NULL ? 0 : http->status, call->sent_ns);
    if (error != NULL) {
        no_response(call, hop, error);
        return;
    }
    kube_queue_responded(call->entry);
    heed_retry_after(call, http);
    if (http->status == 401 && retry_reloaded(call))
        return;
    if ((http->status == 429 || http->status >= 500) && retry_later(call, http))
        return;
    response = (struct kube_response){.status = http->status};
    (void)parse_response(http, &response.json, &failure);
    call_finish(call, &response, failure);
    cJSON_Delete(response.json);
}

/* --- a try --- */

static int call_send(struct kube_call *call, struct error **err)
{
    struct kube_client *client = call->client;
    const char *headers[] = {call->metadata_only
                                 ? "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                                 : "Accept: application/json",
                             NULL, NULL};
    struct http_request request = {.method = call->method,
                                   .url = call->url,
                                   .headers = headers,
                                   .body = call->body,
                                   .body_len = call->body == NULL ? 0 : strlen(call->body),
                                   .max_response_bytes = KUBE_RESPONSE_MAX,
                                   .repeatable = call->repeatable,
                                   .timeout_ms = time_left(call)};
    cleanup_free char *content_type = NULL;

    if (request.timeout_ms == 0)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the deadline of the request has passed");
    if (kube_credentials_apply(client->credentials, &request, err) < 0)
        return -1;
    if (call->body != NULL) {
        if (asprintf(&content_type, "Content-Type: %s", call->content_type) < 0) {
            content_type = NULL;
            return error_no_memory(err, NULL);
        }
        headers[1] = content_type;
    }
    call->tries++;
    call->sent_ns = clock_monotonic_ns();
    call->http = http_call_start(client->http, &request, call_ended, call, err);
    return call->http == NULL ? -1 : 0;
}

static void call_admitted(void *arg)
{
    struct kube_call *call = arg;
    cleanup_error struct error *error = NULL;

    if (call_send(call, &error) < 0)
        call_fail(call, error, /* rejected= */ false);
}

static void call_rejected(const struct error *error, void *arg)
{
    struct kube_call *call = arg;

    if (call->http != NULL) {
        http_call_cancel(&call->http);
        observe(call->client, call->method, call->resource, /* status= */ 0, call->sent_ns);
    }
    call_fail(call, error, /* rejected= */ true);
}

/* --- start, cancel --- */

static int call_fill(struct kube_call *call, const struct kube_request *request, struct error **err)
{
    static const struct kube_queue_callbacks callbacks = {.on_admitted = call_admitted,
                                                          .on_rejected = call_rejected};

    kube_path_resource(request->path, call->resource, sizeof(call->resource));
    call->method = strdup(request->method);
    if (asprintf(&call->url, "%s%s", kube_credentials_server(call->client->credentials), request->path) < 0)
        call->url = NULL;
    if (call->method == NULL || call->url == NULL)
        return error_no_memory(err, NULL);
    if (request->body != NULL) {
        call->body = json_print(request->body, err);
        if (call->body == NULL)
            return -1;
    }
    call->entry = kube_queue_entry_create(call->client->queue, call->deadline_ms, &callbacks, call, err);
    return call->entry == NULL ? -1 : 0;
}

struct kube_call *kube_call_start(struct kube_client *client, const struct kube_request *request,
                                  kube_callback *callback, void *arg, struct error **err)
{
    struct kube_call *call = calloc(1, sizeof(*call));
    uint64_t timeout_ms = request->timeout_ms;

    if (call == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    if (timeout_ms == 0 || timeout_ms > KUBE_TIMEOUT_MS)
        timeout_ms = KUBE_TIMEOUT_MS;
    *call = (struct kube_call){.client = client,
                               .deadline_ms = uv_now(client->loop) + timeout_ms,
                               .callback = callback,
                               .arg = arg,
                               .content_type =
                                   request->content_type != NULL ? request->content_type : "application/json",
                               .metadata_only = request->metadata_only,
                               .repeatable = request->repeatable};
    if (call_fill(call, request, err) < 0) {
        call_free(call);
        return NULL;
    }
    kube_queue_enter(call->entry, 0);
    return call;
}

void kube_call_cancel(struct kube_call **call)
{
    if ((*call)->http != NULL)
        http_call_cancel(&(*call)->http);
    call_free(*call);
    *call = NULL;
}

/* --- the client --- */

static int client_fill(struct kube_client *client, struct kube_rest_config *config, struct log *log,
                       struct error **err)
{
    client->credentials = kube_credentials_create(client->loop, config, log, err);
    if (client->credentials == NULL)
        return -1;
    if (asprintf(&client->probe_url, "%s/" PROBE, kube_credentials_server(client->credentials)) < 0) {
        client->probe_url = NULL;
        return error_no_memory(err, NULL);
    }
    client->health = kube_health_create(
        &(struct kube_health_config){.loop = client->loop,
                                     .log = log,
                                     .server = kube_credentials_server(client->credentials),
                                     .probe = probe_start,
                                     .arg = client},
        err);
    if (client->health == NULL)
        return -1;
    client->queue = kube_queue_create(client->loop, client->health, err);
    return client->queue == NULL ? -1 : 0;
}

struct kube_client *kube_client_create(uv_loop_t *loop, struct http_client *http,
                                       struct kube_rest_config *config, struct log *log, struct error **err)
{
    struct kube_client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        kube_rest_config_finish(config);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *client = (struct kube_client){.loop = loop, .http = http};
    if (client_fill(client, config, log, err) < 0) {
        kube_client_destroy(client);
        return NULL;
    }
    return client;
}

void kube_client_destroy(struct kube_client *client)
{
    if (client == NULL)
        return;
    if (client->probe != NULL)
        http_call_cancel(&client->probe);
    kube_queue_destroy(client->queue);
    kube_health_destroy(client->health);
    kube_credentials_destroy(client->credentials);
    free(client->probe_url);
    free(client);
}

uv_loop_t *kube_client_loop(const struct kube_client *client)
{
    return client->loop;
}

void kube_client_observe(struct kube_client *client, kube_request_observer *observer, void *arg)
{
    client->observer = observer;
    client->observer_arg = arg;
}

bool kube_client_reachable(const struct kube_client *client)
{
    return kube_health_state(client->health) == KUBE_REACHABLE;
}

void kube_client_listen(struct kube_client *client, struct kube_health_listener *listener)
{
    kube_health_listen(client->health, listener);
}
