/*
 * fuzz_kube_response.c - responses of the Kubernetes API server as HTTP delivers them. The first byte
 * chooses the status, the method and whether there is a response at all; the first line is Retry-
 * After, the rest is the body.
 *
 * The target stands in for the HTTP client, the queue and the files of the credentials. Success has an
 * object, a failure has a text.
 */
#include <strings.h>

#include "common/http/client.h"
#include "common/http/retry_after.h"
#include "common/kube/kube_client.h"
#include "common/kube/kube_credentials.h"
#include "common/kube/kube_queue.h"
#include "test/fuzz/fuzz.h"

/* --- in place of the HTTP client --- */

static struct {
    http_callback *callback; /* NULL: nothing is in flight */
    void *arg;
    const char *retry_after;
    unsigned tries;
} http;

struct http_call *http_call_start(struct http_client *client, const struct http_request *request,
                                  http_callback *callback, void *arg, struct error **err)
{
    (void)client;
    (void)err;
    EXPECT(strcmp(request->url, "https://api/api/v1/namespaces/shop/pods/web-0") == 0);
    http.callback = callback;
    http.arg = arg;
    http.tries++;
    return (struct http_call *)(void *)&http;
}

void http_call_cancel(struct http_call **call)
{
    http.callback = NULL;
    *call = NULL;
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    (void)response;
    return strcasecmp(name, "retry-after") == 0 ? http.retry_after : NULL;
}

/* --- in place of the queue, which admits at once --- */

static struct {
    const struct kube_queue_callbacks *callbacks;
    void *arg;
    bool waits;
} queue;

struct kube_queue *kube_queue_create(uv_loop_t *loop, struct kube_health *health, struct error **err)
{
    (void)loop;
    (void)health;
    (void)err;
    return (struct kube_queue *)(void *)&queue;
}

void kube_queue_destroy(struct kube_queue *destroyed)
{
    (void)destroyed;
}

void kube_queue_pause(struct kube_queue *paused, uint64_t ms)
{
    (void)paused;
    EXPECT(ms <= RETRY_AFTER_MAX_MS);
}

struct kube_queue_entry *kube_queue_entry_create(struct kube_queue *of, uint64_t deadline_ms,
                                                 const struct kube_queue_callbacks *callbacks, void *arg,
                                                 struct error **err)
{
    (void)of;
    (void)deadline_ms;
    (void)err;
    queue.callbacks = callbacks;
    queue.arg = arg;
    queue.waits = false;
    return (struct kube_queue_entry *)(void *)&queue;
}

void kube_queue_entry_destroy(struct kube_queue_entry *entry)
{
    if (entry != NULL)
        queue.waits = false;
}

void kube_queue_enter(struct kube_queue_entry *entry, uint64_t delay_ms)
{
    (void)entry;
    EXPECT(delay_ms <= KUBE_TIMEOUT_MS);
    queue.waits = true;
}

void kube_queue_responded(struct kube_queue_entry *entry)
{
    (void)entry;
}

void kube_queue_no_response(struct kube_queue_entry *entry, const struct error *error)
{
    (void)entry;
    EXPECT(error != NULL);
}

/* --- in place of health and credentials --- */

struct kube_health *kube_health_create(const struct kube_health_config *config, struct error **err)
{
    (void)config;
    (void)err;
    return (struct kube_health *)(void *)&http;
}

void kube_health_destroy(struct kube_health *health)
{
    (void)health;
}

enum kube_health_state kube_health_state(const struct kube_health *health)
{
    (void)health;
    return KUBE_REACHABLE;
}

void kube_health_probed(struct kube_health *health, const struct error *error)
{
    (void)health;
    (void)error;
}

void kube_health_listen(struct kube_health *health, struct kube_health_listener *listener)
{
    (void)health;
    (void)listener;
}

struct kube_credentials *kube_credentials_create(uv_loop_t *loop, struct kube_rest_config *config,
                                                 struct log *log, struct error **err)
{
    (void)loop;
    (void)config;
    (void)log;
    (void)err;
    return (struct kube_credentials *)(void *)&http;
}

void kube_credentials_destroy(struct kube_credentials *credentials)
{
    (void)credentials;
}

int kube_credentials_reload(struct kube_credentials *credentials, struct error **err)
{
    (void)credentials;
    (void)err;
    return 0;
}

bool kube_credentials_rotate(const struct kube_credentials *credentials)
{
    (void)credentials;
    return true;
}

const char *kube_credentials_server(const struct kube_credentials *credentials)
{
    (void)credentials;
    return "https://api";
}

int kube_credentials_apply(struct kube_credentials *credentials, struct http_request *request,
                           struct error **err)
{
    (void)credentials;
    (void)request;
    (void)err;
    return 0;
}

/* --- a call --- */

static unsigned n_outcomes;

static void on_outcome(struct kube_response *response, const struct error *error, void *arg)
{
    (void)arg;
    n_outcomes++;
    if (error == NULL)
        EXPECT(response->json != NULL && response->status >= 200 && response->status <= 299);
    else
        EXPECT(error_message(error)[0] != '\0' && error_code(error) != GRPC_STATUS_OK);
}

static void respond(int status, struct fuzz_input body)
{
    struct http_response response = {.status = status};
    cleanup_error struct error *error = NULL;
    http_callback *callback = http.callback;

    http.callback = NULL;
    if (status == 0) {
        (void)error_set(&error, body.left % 2 == 0 ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_RESOURCE_EXHAUSTED,
                        "no response");
        callback(NULL, body.left % 3 == 0 ? HTTP_HOP_TLS : HTTP_HOP_RECEIVE, error, http.arg);
        return;
    }
    buffer_init(&response.body, body.left + 1);
    (void)buffer_append(&response.body, body.at, body.left, NULL);
    callback(&response, HTTP_HOP_NONE, NULL, http.arg);
    buffer_finish(&response.body);
}

static void reject(void)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "unreachable");
    queue.callbacks->on_rejected(error, queue.arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 201, 301, 400, 401, 403, 404, 409,
                                   410, 413, 422, 429, 500, 503, 504, 0};
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    cleanup_free char *retry_after = fuzz_line(&input);
    cleanup_json cJSON *body = cJSON_CreateObject();
    const struct kube_request request = {.method = (kind & 0x10) != 0 ? "PATCH" : "GET",
                                         .path = "/api/v1/namespaces/shop/pods/web-0",
                                         .body = (kind & 0x10) != 0 ? body : NULL,
                                         .metadata_only = (kind & 0x20) != 0};
    uv_loop_t loop;

    http.tries = n_outcomes = 0;
    http.callback = NULL;
    http.retry_after = retry_after;
    EXPECT(uv_loop_init(&loop) == 0);
    struct kube_client *client = kube_client_create(&loop, NULL, NULL, /* log= */ NULL, NULL);
    EXPECT(client != NULL);
    struct kube_call *call = kube_call_start(client, &request, on_outcome, NULL, NULL);
    EXPECT(call != NULL);
    while (n_outcomes == 0 && queue.waits) {
        queue.waits = false;
        if ((kind & 0x40) != 0 && http.tries == 1) {
            reject();
            break;
        }
        queue.callbacks->on_admitted(queue.arg);
        if ((kind & 0x80) != 0 && http.tries == 2) {
            kube_call_cancel(&call);
            break;
        }
        respond(statuses[kind % 16], input);
    }
    EXPECT(n_outcomes <= 1 && http.tries <= KUBE_TRIES_MAX);
    kube_client_destroy(client);
    EXPECT(uv_loop_close(&loop) == 0);
    return 0;
}
