/*
 * kube_client.c - JSON requests to the Kubernetes API.
 *
 * One call:   GATE ──▶ SEND ──▶ answer ──▶ done
 *              ▲                  │ 401 / TLS: reload credentials, once
 *              └───── pause ◀─────┘ 429 / 5xx: Retry-After + jitter, within the deadline
 */
#include "driver/kube/kube_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/process/lifecycle.h"

enum {
    RELOAD_AFTER_MS = 60 * 1000, /* as client-go; the kubelet renews tokens at 80 % of their life */
    PAUSE_FIRST_MS = 500,        /* between repeated reads, doubled each time */
    PAUSE_CAP_MS = 5 * 1000,
};

/* Anybody may read it, the API server answers it even when it is so busy that it lets others wait, and it
 * costs nothing. */
#define PROBE "readyz"

struct kube_client {
    uv_loop_t *loop;
    struct http_client *http;
    struct log *log;
    struct kube_config config;
    struct secret *token; /* without white space around it; NULL = anonymous */
    struct secret *ca;    /* PEM; NULL = the system's */
    uint64_t loaded_ms;   /* on uv_now()'s clock */
    struct kube_gate *gate;
    struct http_call *probe; /* of the gate; NULL when none is on its way */
    char *probe_url;
    uint64_t probe_ns;       /* when it was sent */
    kube_observer *observer; /* may be NULL */
    void *observer_arg;
};

struct kube_call {
    struct kube_client *client;
    struct http_call *http;  /* owned; NULL when not in flight */
    struct kube_turn turn;   /* embedded: at the gate; the struct lives until it is closed */
    kube_callback *callback; /* NULL once called or cancelled */
    void *arg;
    char *method;
    char *url;
    char *body; /* wiped; NULL without */
    const char *content_type;
    bool metadata_only;
    char resource[64]; /* for the observer */
    uint64_t sent_ns;  /* the try that is on its way */
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

static int probe_start(void *arg, struct error **err);

static int client_fill(struct kube_client *client, struct error **err)
{
    if (asprintf(&client->probe_url, "%s/" PROBE, client->config.server) < 0) {
        client->probe_url = NULL;
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    client->gate = kube_gate_create(&(struct kube_gate_config){.loop = client->loop,
                                                               .log = client->log,
                                                               .server = client->config.server,
                                                               .probe = probe_start,
                                                               .arg = client},
                                    err);
    if (client->gate == NULL)
        return -1;
    if (reload(client, err) < 0)
        return error_wrap(err, "Kubernetes credentials");
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
    client->token = steal_ptr(&client->config.token);
    client->ca = steal_ptr(&client->config.ca);
    if (client_fill(client, err) < 0) {
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
    kube_gate_destroy(client->gate);
    kube_config_finish(&client->config);
    secret_destroy(client->token);
    secret_destroy(client->ca);
    free(client->probe_url);
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
    return kube_gate_is_open(client->gate);
}

void kube_client_listen(struct kube_client *client, struct kube_return *listener)
{
    kube_gate_listen(client->gate, listener);
}

/* --- requests --- */

/* Fills in what all requests have in common, reading the credentials again when they are old. */
static int prepare(struct kube_client *client, struct http_request *request, struct error **err)
{
    if (uv_now(client->loop) - client->loaded_ms > RELOAD_AFTER_MS && reload(client, err) < 0)
        return -1;
    request->bearer_token = client->token == NULL ? NULL : (const char *)secret_bytes(client->token);
    request->max_response_bytes = KUBE_ANSWER_MAX;
    request->proxy = client->config.use_environment_proxy ? HTTP_PROXY_ENVIRONMENT : HTTP_PROXY_NONE;
    request->proxy_url = client->config.proxy_url;
    request->ca_blob = client->ca == NULL ? NULL : secret_bytes(client->ca);
    request->ca_blob_len = secret_len(client->ca);
    request->connect_to = client->config.connect_to;
    request->client_cert_pem =
        client->config.client_cert == NULL ? NULL : secret_bytes(client->config.client_cert);
    request->client_cert_pem_len = secret_len(client->config.client_cert);
    request->client_key_pem =
        client->config.client_key == NULL ? NULL : secret_bytes(client->config.client_key);
    request->client_key_pem_len = secret_len(client->config.client_key);
    request->insecure_skip_verify = client->config.insecure_skip_verify;
    return 0;
}

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
        (void)reload(client, /* err= */ NULL);
    kube_gate_probed(client->gate, error);
}

static int probe_start(void *arg, struct error **err)
{
    struct kube_client *client = arg;
    struct http_request request = {.method = "GET",
                                   .url = client->probe_url,
                                   .timeout_ms = KUBE_GATE_PROBE_MS,
                                   .fresh_connection = true};

    if (prepare(client, &request, err) < 0)
        return -1;
    client->probe_ns = clock_monotonic_ns();
    client->probe = http_call_start(client->http, &request, probe_ended, client, err);
    return client->probe == NULL ? -1 : 0;
}

/* --- a call --- */

static struct kube_call *of_turn(struct kube_turn *turn)
{
    return container_of(turn, struct kube_call, turn);
}

static void turn_closed(uv_handle_t *handle)
{
    struct kube_call *call = of_turn(handle->data);

    free(call->method);
    free(call->url);
    secret_free(call->body);
    free(call);
}

static void call_dispose(struct kube_call *call)
{
    call->callback = NULL;
    kube_turn_close(&call->turn, turn_closed);
}

static void call_finish(struct kube_call *call, struct kube_answer *answer, const struct error *error)
{
    kube_callback *callback = call->callback;
    void *arg = call->arg;

    call_dispose(call);
    callback(answer, error, arg);
}

static void call_fail(struct kube_call *call, const struct error *cause, bool refused)
{
    struct kube_answer answer = {.refused = refused};
    cleanup_error struct error *error = error_copy(cause);

    if (error != NULL)
        (void)error_wrap(&error, "Kubernetes API");
    call_finish(call, &answer, error != NULL ? error : cause);
}

static uint64_t time_left(const struct kube_call *call)
{
    uint64_t now = uv_now(call->client->loop);

    return now < call->turn.deadline_ms ? call->turn.deadline_ms - now : 0;
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
    struct http_request request = {.method = call->method,
                                   .url = call->url,
                                   .headers = headers,
                                   .body = call->body,
                                   .body_len = call->body == NULL ? 0 : strlen(call->body),
                                   .timeout_ms = time_left(call)};
    cleanup_free char *content_type = NULL;

    if (request.timeout_ms == 0)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "the time for a request is over");
    if (prepare(client, &request, err) < 0)
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
    call->http = http_call_start(client->http, &request, call_answered, call, err);
    return call->http == NULL ? -1 : 0;
}

static void call_go(struct kube_turn *turn)
{
    struct kube_call *call = of_turn(turn);
    cleanup_error struct error *error = NULL;

    if (call_send(call, &error) < 0)
        call_fail(call, error, /* refused= */ false);
}

static void call_refused(struct kube_turn *turn, const struct error *error)
{
    struct kube_call *call = of_turn(turn);

    if (call->http != NULL) {
        http_call_cancel(&call->http);
        observe(call->client, call->method, call->resource, /* status= */ 0, call->sent_ns);
    }
    call_fail(call, error, /* refused= */ true);
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
        pause = (uint64_t)asked; /* the others wait, too: see kube_gate.h */
    /* Up to a quarter more: the nodes of a cluster that restarts must not come back in step. */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = 0; /* only the spreading is lost */
    pause += random % (pause / 4 + 1);
    if (pause >= time_left(call))
        return false;
    kube_turn_wait(&call->turn, pause);
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
    kube_turn_wait(&call->turn, 0);
    return true;
}

static void call_no_answer(struct kube_call *call, enum http_hop hop, const struct error *error)
{
    bool unreachable =
        error_code(error) == GRPC_STATUS_UNAVAILABLE || error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED;

    if (unreachable)
        kube_turn_unanswered(&call->turn, error);
    else
        kube_turn_answered(&call->turn); /* with something that is of no use */
    if (hop == HTTP_HOP_TLS && try_again_reloaded(call))
        return;
    if (error_code(error) == GRPC_STATUS_UNAVAILABLE && strcmp(call->method, "GET") == 0 &&
        try_again_later(call, NULL))
        return;
    call_fail(call, error, /* refused= */ false);
}

/* What the API server wants of everybody. */
static void heed(struct kube_call *call, const struct http_response *response)
{
    int64_t asked = http_retry_after_ms(response, clock_unix_s());

    kube_turn_answered(&call->turn);
    if ((response->status == 429 || response->status == 503) && asked > 0)
        kube_gate_pause(call->client->gate, (uint64_t)asked);
}

static void call_answered(struct http_response *response, enum http_hop hop, const struct error *error,
                          void *arg)
{
    struct kube_call *call = arg;
    cleanup_error struct error *failure = NULL;
    cleanup_json cJSON *json = NULL;
    struct kube_answer answer;

    call->http = NULL;
    observe(call->client, call->method, call->resource, error != NULL ? 0 : response->status, call->sent_ns);
    if (error != NULL) {
        call_no_answer(call, hop, error);
        return;
    }
    heed(call, response);
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
                               .turn = {.go = call_go, .refused = call_refused}};
    kube_turn_init(&call->turn, client->gate, uv_now(client->loop) + timeout_ms);
    if (call_fill(call, request, err) < 0) {
        call_dispose(call);
        return NULL;
    }
    kube_turn_wait(&call->turn, 0);
    return call;
}

void kube_call_cancel(struct kube_call **call)
{
    if ((*call)->http != NULL)
        http_call_cancel(&(*call)->http);
    call_dispose(*call);
    *call = NULL;
}
