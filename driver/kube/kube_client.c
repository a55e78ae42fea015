/*
 * kube_client.c - JSON requests to the Kubernetes API.
 *
 * One call:   PLACE ──▶ SEND ──▶ answer ──▶ done
 *              ▲                   │ 401 / TLS: reload credentials, once
 *              └────── timer ◀─────┘ 429 / 5xx: Retry-After + jitter, within the deadline
 */
#include "driver/kube/kube_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/buffer.h"
#include "common/file.h"
#include "common/grpc/list.h"
#include "common/lifecycle.h"

enum {
    RELOAD_AFTER_MS = 60 * 1000, /* as client-go; the kubelet renews tokens at 80 % of their life */
    PAUSE_FIRST_MS = 500,        /* between repeated reads, doubled each time */
    PAUSE_CAP_MS = 5 * 1000,
};

struct kube_client {
    uv_loop_t *loop;
    struct http_client *http;
    struct log *log;
    struct kube_config config;
    struct secret *token;    /* without white space around it; NULL = anonymous */
    struct secret *ca;       /* PEM; NULL = the system's */
    uint64_t loaded_ms;      /* on uv_now()'s clock */
    unsigned in_flight;      /* calls that have a place */
    struct list waiting;     /* calls that want one */
    bool unreachable;        /* the last request got no answer */
    kube_observer *observer; /* may be NULL */
    void *observer_arg;
};

struct kube_call {
    struct kube_client *client;
    struct http_call *http; /* owned; NULL when not in flight */
    struct list link;       /* in the client's line, unless `placed` or pausing */
    bool placed;            /* counts as in flight */
    uv_timer_t timer; /* embedded: the pause before the next try, the wait for a place; the struct lives until
                         it is closed */
    kube_callback *callback; /* NULL once called or cancelled */
    void *arg;
    char *method;
    char *url;
    char *body; /* wiped; NULL without */
    const char *content_type;
    bool metadata_only;
    char resource[64];    /* for the observer */
    uint64_t deadline_ms; /* on uv_now()'s clock */
    uint64_t sent_ns;     /* the try that is on its way */
    unsigned tries;
    bool reloaded; /* credentials were read again for this call */
};

/* --- credentials --- */

static struct secret *read_trimmed(const char *path, size_t max, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    const char *start;
    size_t len;
    struct secret *secret;

    if (file_read(path, max, &text, err) < 0)
        return NULL;
    start = buffer_str(&text);
    start += strspn(start, " \t\r\n");
    len = strlen(start);
    while (len > 0 && strchr(" \t\r\n", start[len - 1]) != NULL)
        len--;
    if (len == 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s is empty", path);
        return NULL;
    }
    secret = secret_from_bytes(start, len);
    if (secret == NULL)
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return secret;
}

/* A file that can not be read for a moment does not matter while an older content is there. */
static int reload_one(struct kube_client *client, const char *path, size_t max, struct secret **held,
                      struct error **err)
{
    struct error *error = NULL;
    struct secret *fresh;

    if (path == NULL)
        return 0;
    fresh = read_trimmed(path, max, &error);
    if (fresh != NULL) {
        secret_destroy(*held);
        *held = fresh;
        return 0;
    }
    if (*held == NULL)
        return error_move(err, &error);
    log_warning(client->log, "credentials can not be read again, the old ones stay in use",
                LOG_STR("file", path), LOG_ERR(error));
    error_free(error);
    return 0;
}

static int reload(struct kube_client *client, struct error **err)
{
    if (reload_one(client, client->config.token_file, KUBE_TOKEN_MAX, &client->token, err) < 0 ||
        reload_one(client, client->config.ca_file, KUBE_CA_MAX, &client->ca, err) < 0)
        return -1;
    client->loaded_ms = uv_now(client->loop);
    return 0;
}

struct kube_client *kube_client_create(uv_loop_t *loop, struct http_client *http, struct kube_config *config,
                                       struct log *log, struct error **err)
{
    struct kube_client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        kube_config_finish(config);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *client = (struct kube_client){.loop = loop, .http = http, .log = log, .config = *config};
    *config = (struct kube_config){0};
    list_init(&client->waiting);
    client->token = steal_ptr(&client->config.token);
    client->ca = steal_ptr(&client->config.ca);
    if (reload(client, err) < 0) {
        (void)error_wrap(err, "Kubernetes credentials");
        kube_client_destroy(client);
        return NULL;
    }
    return client;
}

void kube_client_destroy(struct kube_client *client)
{
    if (client == NULL)
        return;
    kube_config_finish(&client->config);
    secret_destroy(client->token);
    secret_destroy(client->ca);
    free(client);
}

uv_loop_t *kube_client_loop(const struct kube_client *client)
{
    return client->loop;
}

void kube_client_observe(struct kube_client *client, kube_observer *observer, void *arg)
{
    client->observer = observer;
    client->observer_arg = arg;
}

bool kube_client_reachable(const struct kube_client *client)
{
    return !client->unreachable;
}

/* --- answers --- */

static enum grpc_status code_of(int status, const char *reason)
{
    switch (status) {
    case 400:
    case 422:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_NOT_FOUND;
    case 409:
        return strcmp(reason, "AlreadyExists") == 0 ? GRPC_STATUS_ALREADY_EXISTS : GRPC_STATUS_ABORTED;
    case 410:
        return GRPC_STATUS_OUT_OF_RANGE;
    case 413:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case 429:
        return GRPC_STATUS_UNAVAILABLE;
    case 504:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    default:
        return status >= 500 ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_INTERNAL;
    }
}

static const char *string_member(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

int kube_status_error(int status, const cJSON *json, struct error **err)
{
    const char *reason = string_member(json, "reason");
    const char *message = string_member(json, "message");

    if (message[0] != '\0')
        return error_set(err, code_of(status, reason), "%s", message);
    /* Proxies, and the API server for unknown groups, answer with plain text. */
    return error_set(err, code_of(status, reason), "the Kubernetes API server answered %d%s", status,
                     status == 404 ? " not found" : "");
}

/* --- a call --- */

static void timer_closed(uv_handle_t *handle)
{
    struct kube_call *call = handle->data;

    free(call->method);
    free(call->url);
    secret_free(call->body);
    free(call);
}

static void send_in_place(uv_timer_t *timer);

/* The next in line gets it; its request goes out from the next turn, so that nobody's callback runs inside
 * somebody else's call. */
static void give_place_back(struct kube_call *call)
{
    struct kube_client *client = call->client;
    struct kube_call *next;

    list_remove(&call->link);
    if (!call->placed)
        return;
    call->placed = false;
    client->in_flight--;
    if (list_empty(&client->waiting))
        return;
    next = container_of(client->waiting.next, struct kube_call, link);
    list_remove(&next->link);
    next->placed = true;
    client->in_flight++;
    (void)uv_timer_start(&next->timer, send_in_place, 0, 0);
}

static void call_dispose(struct kube_call *call)
{
    call->callback = NULL;
    give_place_back(call);
    uv_close((uv_handle_t *)&call->timer, timer_closed);
}

static void call_finish(struct kube_call *call, struct kube_answer *answer, const struct error *error)
{
    kube_callback *callback = call->callback;
    void *arg = call->arg;

    call_dispose(call);
    callback(answer, error, arg);
}

static void call_fail(struct kube_call *call, const struct error *error)
{
    struct kube_answer answer = {0};

    call_finish(call, &answer, error);
}

static uint64_t time_left(const struct kube_call *call)
{
    uint64_t now = uv_now(call->client->loop);

    return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

static void call_answered(struct http_response *response, enum http_hop hop, const struct error *error,
                          void *arg);

static int call_send(struct kube_call *call, struct error **err)
{
    struct kube_client *client = call->client;
    const char *headers[] = {call->metadata_only
                                 ? "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                                 : "Accept: application/json",
                             NULL, NULL};
    cleanup_free char *content_type = NULL;

    if (time_left(call) == 0)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the time for a Kubernetes API request is over");
    if (uv_now(client->loop) - client->loaded_ms > RELOAD_AFTER_MS && reload(client, err) < 0)
        return -1;
    if (call->body != NULL) {
        if (asprintf(&content_type, "Content-Type: %s", call->content_type) < 0) {
            content_type = NULL;
            return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        }
        headers[1] = content_type;
    }
    call->tries++;
    call->sent_ns = clock_monotonic_ns();
    call->http = http_call_start(
        client->http,
        &(struct http_request){
            .method = call->method,
            .url = call->url,
            .headers = headers,
            .bearer_token = client->token == NULL ? NULL : (const char *)secret_bytes(client->token),
            .body = call->body,
            .body_len = call->body == NULL ? 0 : strlen(call->body),
            .timeout_ms = time_left(call),
            .max_response_bytes = KUBE_ANSWER_MAX,
            .proxy = client->config.use_environment_proxy ? HTTP_PROXY_ENVIRONMENT : HTTP_PROXY_NONE,
            .proxy_url = client->config.proxy_url,
            .ca_blob = client->ca == NULL ? NULL : secret_bytes(client->ca),
            .ca_blob_len = secret_len(client->ca),
            .connect_to = client->config.connect_to,
            .client_cert_pem =
                client->config.client_cert == NULL ? NULL : secret_bytes(client->config.client_cert),
            .client_cert_pem_len = secret_len(client->config.client_cert),
            .client_key_pem =
                client->config.client_key == NULL ? NULL : secret_bytes(client->config.client_key),
            .client_key_pem_len = secret_len(client->config.client_key),
            .insecure_skip_verify = client->config.insecure_skip_verify,
        },
        call_answered, call, err);
    return call->http == NULL ? -1 : 0;
}

static void send_in_place(uv_timer_t *timer)
{
    struct kube_call *call = timer->data;
    cleanup_error struct error *error = NULL;

    if (call_send(call, &error) < 0)
        call_fail(call, error);
}

static void waited_too_long(uv_timer_t *timer)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED,
                    "Kubernetes API: %d other requests did not come to an end in time", KUBE_IN_FLIGHT_MAX);
    call_fail(timer->data, error);
}

/* Sends, or gets in line for a place. */
static int call_go(struct kube_call *call, struct error **err)
{
    struct kube_client *client = call->client;

    if (!call->placed && client->in_flight >= KUBE_IN_FLIGHT_MAX) {
        list_insert_before(&client->waiting, &call->link);
        (void)uv_timer_start(&call->timer, waited_too_long, time_left(call), 0);
        return 0;
    }
    if (!call->placed) {
        call->placed = true;
        client->in_flight++;
    }
    return call_send(call, err);
}

static void send_again(uv_timer_t *timer)
{
    struct kube_call *call = timer->data;
    cleanup_error struct error *error = NULL;

    if (call_go(call, &error) < 0)
        call_fail(call, error);
}

/* True when another try has been scheduled. */
static bool try_again_later(struct kube_call *call, const struct http_response *response)
{
    bool is_read = strcmp(call->method, "GET") == 0;
    int64_t asked = response == NULL ? -1 : http_retry_after_ms(response, clock_unix_s());
    uint64_t pause;
    uint32_t random = 0;

    if (call->tries >= KUBE_TRIES_MAX || (asked < 0 && !is_read))
        return false;
    pause = (uint64_t)PAUSE_FIRST_MS << (call->tries < 5 ? call->tries - 1 : 4);
    if (pause > PAUSE_CAP_MS)
        pause = PAUSE_CAP_MS;
    if (asked >= 0)
        pause = (uint64_t)asked;
    /* Up to a quarter more: the nodes of a cluster that restarts must not come back in step. */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = 0; /* only the spreading is lost */
    pause += random % (pause / 4 + 1);
    if (pause >= time_left(call))
        return false;
    give_place_back(call);
    (void)uv_timer_start(&call->timer, send_again, pause, 0);
    return true;
}

/* Credentials may have rotated since they were read: read them and try once more, from the next turn. */
static bool try_again_reloaded(struct kube_call *call)
{
    if (call->reloaded || (call->client->config.token_file == NULL && call->client->config.ca_file == NULL))
        return false;
    call->reloaded = true;
    if (reload(call->client, /* err= */ NULL) < 0)
        return false;
    (void)uv_timer_start(&call->timer, send_again, 0, 0);
    return true;
}

static void call_no_answer(struct kube_call *call, enum http_hop hop, const struct error *error)
{
    cleanup_error struct error *wrapped = NULL;

    if (hop == HTTP_HOP_TLS && try_again_reloaded(call))
        return;
    if (error_code(error) == GRPC_STATUS_UNAVAILABLE && strcmp(call->method, "GET") == 0 &&
        try_again_later(call, NULL))
        return;
    wrapped = error_copy(error);
    if (wrapped != NULL)
        (void)error_wrap(&wrapped, "Kubernetes API");
    call_fail(call, wrapped != NULL ? wrapped : error);
}

/* Counts the answer, and notices when the API server goes and comes back. */
static void note_answer(const struct kube_call *call, int status, const struct error *error)
{
    struct kube_client *client = call->client;
    bool unreachable =
        error_code(error) == GRPC_STATUS_UNAVAILABLE || error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED;

    if (client->observer != NULL)
        client->observer(call->method, call->resource, status,
                         (double)(clock_monotonic_ns() - call->sent_ns) / 1e9, client->observer_arg);
    if (unreachable && !client->unreachable)
        log_warning(client->log, "the Kubernetes API does not answer",
                    LOG_STR("server", client->config.server), LOG_ERR(error));
    if (error == NULL && client->unreachable)
        log_info(client->log, "the Kubernetes API answers again", LOG_STR("server", client->config.server));
    if (unreachable || error == NULL)
        client->unreachable = unreachable;
}

static void call_answered(struct http_response *response, enum http_hop hop, const struct error *error,
                          void *arg)
{
    struct kube_call *call = arg;
    cleanup_error struct error *failure = NULL;
    cleanup_json cJSON *json = NULL;
    struct kube_answer answer;

    call->http = NULL;
    note_answer(call, error != NULL ? 0 : response->status, error);
    if (error != NULL) {
        call_no_answer(call, hop, error);
        return;
    }
    if (response->status == 401 && try_again_reloaded(call))
        return;
    if ((response->status == 429 || response->status >= 500) && try_again_later(call, response))
        return;
    json = json_parse(buffer_str(&response->body), response->body.len, KUBE_ANSWER_MAX, &failure);
    if (response->status < 200 || response->status > 299) {
        error_free(failure);
        failure = NULL;
        (void)kube_status_error(response->status, json, &failure);
    } else if (json == NULL) {
        (void)error_recode(&failure, GRPC_STATUS_INTERNAL);
        (void)error_wrap(&failure, "the Kubernetes API server's answer");
    }
    answer = (struct kube_answer){.status = response->status, .json = steal_ptr(&json)};
    call_finish(call, &answer, failure);
    cJSON_Delete(answer.json);
}

static int call_fill(struct kube_call *call, const struct kube_request *request, struct error **err)
{
    kube_path_resource(request->path, call->resource, sizeof(call->resource));
    call->method = strdup(request->method);
    if (asprintf(&call->url, "%s%s", call->client->config.server, request->path) < 0)
        call->url = NULL;
    if (call->method == NULL || call->url == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (request->body != NULL) {
        call->body = json_print(request->body, err);
        if (call->body == NULL)
            return -1;
    }
    return 0;
}

struct kube_call *kube_call_start(struct kube_client *client, const struct kube_request *request,
                                  kube_callback *callback, void *arg, struct error **err)
{
    struct kube_call *call = calloc(1, sizeof(*call));
    uint64_t timeout_ms = request->timeout_ms;

    if (call == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    if (timeout_ms == 0 || timeout_ms > KUBE_TIMEOUT_MS)
        timeout_ms = KUBE_TIMEOUT_MS;
    *call = (struct kube_call){.client = client,
                               .callback = callback,
                               .arg = arg,
                               .content_type =
                                   request->content_type != NULL ? request->content_type : "application/json",
                               .metadata_only = request->metadata_only,
                               .deadline_ms = uv_now(client->loop) + timeout_ms};
    (void)uv_timer_init(client->loop, &call->timer); /* can not fail */
    call->timer.data = call;
    list_init(&call->link);
    if (call_fill(call, request, err) < 0 || call_go(call, err) < 0) {
        call_dispose(call);
        return NULL;
    }
    return call;
}

void kube_call_cancel(struct kube_call **call)
{
    if ((*call)->http != NULL)
        http_call_cancel(&(*call)->http);
    call_dispose(*call);
    *call = NULL;
}

/* --- paths --- */

char *kube_path(const char *group, const char *version, const char *ns, const char *resource,
                const char *name, struct error **err)
{
    cleanup_free char *escaped_ns = http_escape(ns);
    cleanup_free char *escaped_name = name == NULL ? NULL : http_escape(name);
    char *path = NULL;

    if (escaped_ns == NULL || (name != NULL && escaped_name == NULL) ||
        asprintf(&path, "/%s%s/%s%s%s/%s%s%s", group[0] == '\0' ? "api" : "apis/", group, version,
                 ns[0] == '\0' ? "" : "/namespaces/", escaped_ns, resource, name == NULL ? "" : "/",
                 name == NULL ? "" : escaped_name) < 0) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    return path;
}

static const char *skip_segments(const char *path, unsigned n)
{
    for (; n > 0 && *path == '/'; n--)
        path += 1 + strcspn(path + 1, "/?");
    return path;
}

void kube_path_resource(const char *path, char *out, size_t size)
{
    /* "/api/v1" or "/apis/group/version" */
    const char *resource = skip_segments(path, strncmp(path, "/apis/", 6) == 0 ? 3 : 2);
    const char *in_namespace;

    if (strncmp(resource, "/namespaces/", 12) == 0) {
        in_namespace = skip_segments(resource, 2);
        if (*in_namespace == '/')
            resource = in_namespace;
    }
    (void)snprintf(out, size, "%.*s", *resource == '/' ? (int)strcspn(resource + 1, "/?") : 0,
                   *resource == '/' ? resource + 1 : "");
}

void kube_time(int64_t unix_s, char out[KUBE_TIME_SIZE])
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900 ||
        strftime(out, KUBE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}
