/*
 * http_retry.c - one HTTP request with retries inside a deadline.
 */
#include "provider-azure/network/http_retry.h"

#include <assert.h>
#include <string.h>

#include "common/base/secret.h"

/* Without Retry-After, the pauses of a scope grow up to this step: about 25 s. */
enum { MAX_CONSECUTIVE_429 = 5 };

struct http_retry {
    const struct network *network;
    const char *service;
    const char *method;
    char *host;
    char *url;
    char *headers[HTTP_RETRY_MAX_HEADERS + 1];
    char *bearer;
    uint8_t *body;
    size_t body_len;
    size_t max_response_bytes;
    enum http_proxy_policy proxy;
    struct egress *egress;
    char *connect_to;
    uint8_t *ca_pem;
    size_t ca_pem_len;
    const struct retry_policy *policy;
    uint64_t flow;

    struct transport_call *call;      /* TRY */
    struct transport_timer *timer;    /* PAUSE; in QUEUE until the deadline */
    struct throttle_permit permit;    /* QUEUE, TRY */
    uint8_t scope[DIGEST_SHA256_LEN]; /* key of the shared back-off */
    unsigned tries;
    uint64_t sent_ms;          /* TRY: the time of sending */
    bool throttled_pause;      /* the current pause follows a 429 */
    uint64_t pause_since;      /* start of the current pause */
    int last_status;           /* of the try before; 0 = none or no response */
    struct error *last_error;  /* of the try before, without a response */
    struct error *known_error; /* known in start, delivered from the timer */
    http_retry_callback *callback;
    void *arg;
};

static void retry_free(struct http_retry *retry)
{
    assert(retry->call == NULL && retry->timer == NULL);
    throttle_release(&retry->permit, THROTTLE_NO_RESPONSE);
    secret_free(retry->host);
    secret_free(retry->url);
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS; i++)
        secret_free(retry->headers[i]);
    egress_unref(retry->egress);
    secret_free(retry->bearer);
    secret_free(retry->body);
    secret_free(retry->connect_to);
    secret_free(retry->ca_pem);
    error_free(retry->known_error);
    error_free(retry->last_error);
    secret_free(retry);
}

static uint64_t time_left(const struct http_retry *retry)
{
    uint64_t now = transport_now_ms(retry->network->transport);
    return retry->permit.deadline_ms > now ? retry->permit.deadline_ms - now : 0;
}

/* Ends the request. `reply` and `error` belong to the caller. */
static void deliver(struct http_retry *retry, struct http_reply *reply, const struct error *error)
{
    http_retry_callback *callback = retry->callback;
    void *arg = retry->arg;
    unsigned tries = retry->tries;

    retry->callback = NULL;
    retry_free(retry);
    callback(reply, error, tries, arg);
}

static void on_pause_over(void *arg);
static void on_reply(struct http_reply *reply, enum http_hop hop, const struct error *error, void *arg);

static int pause_for(struct http_retry *retry, uint64_t delay_ms, struct error **err)
{
    retry->pause_since = transport_now_ms(retry->network->transport);
    retry->timer = transport_after(retry->network->transport, delay_ms, on_pause_over, retry, err);
    return retry->timer == NULL ? -1 : 0;
}

static int send_try(struct http_retry *retry, struct error **err)
{
    uint64_t left = time_left(retry);
    uint64_t limit = retry->policy->try_timeout_ms;
    struct http_request request = {
        .method = retry->method,
        .url = retry->url,
        .headers = (const char *const *)retry->headers,
        .bearer_token = retry->bearer,
        .body = retry->body,
        .body_len = retry->body_len,
        .timeout_ms = left < limit ? left : limit,
        .max_response_bytes = retry->max_response_bytes,
        .proxy = retry->proxy,
        /* The client drops kept connections that are silent; one that never responded may still be there. */
        .fresh_connection =
            retry->last_error != NULL && error_code(retry->last_error) == GRPC_STATUS_DEADLINE_EXCEEDED,
        .repeatable = true, /* as every try without a response is */
        .slow = retry->policy->service_waits,
        .flow = retry->flow,
        .connect_to = retry->connect_to,
        .ca_blob = retry->ca_pem,
        .ca_blob_len = retry->ca_pem_len,
    };
    if (retry->proxy == HTTP_PROXY_ENVIRONMENT)
        egress_apply(retry->egress, &request);
    retry->sent_ms = transport_now_ms(retry->network->transport);
    retry->call = transport_send(retry->network->transport, &request, on_reply, retry, err);
    if (retry->call == NULL)
        return -1;
    if (retry->tries++ > 0)
        azure_metrics_retry(retry->network->metrics, retry->service);
    return 0;
}

/* Sends, unless the scope is paused or all its permits are in use. An error goes through a timer: the
 * callback never runs inside http_retry_start(). */
static int send_when_permitted(struct http_retry *retry, struct error **err)
{
    const struct network *network = retry->network;
    uint64_t now = transport_now_ms(network->transport);
    uint64_t left = time_left(retry);

    if (left == 0) {
        error_set(&retry->known_error, GRPC_STATUS_DEADLINE_EXCEEDED, "no time left for a request to %s",
                  retry->host);
        (void)error_set_type(&retry->known_error, HTTP_RETRY_NO_TIME);
        return pause_for(retry, 0, err);
    }
    uint64_t wait = throttle_acquire(network->throttles, retry->scope, &retry->permit, now);
    if (wait == 0)
        return send_try(retry, err);
    retry->throttled_pause = true;
    if (wait == THROTTLE_QUEUED)
        return pause_for(retry, left, err);
    if (wait >= left) {
        error_set(&retry->known_error, GRPC_STATUS_RESOURCE_EXHAUSTED,
                  "%s throttles requests (HTTP 429) beyond the caller's deadline; not sent", retry->host);
        (void)error_set_type(&retry->known_error, HTTP_RETRY_THROTTLED);
        return pause_for(retry, 0, err);
    }
    return pause_for(retry, wait, err);
}

/* The permit may be granted now. Without memory for a timer the request stays until its deadline. */
static void on_permit(void *arg)
{
    struct http_retry *retry = arg;
    const struct transport *transport = retry->network->transport;
    struct error *no_memory = NULL;
    struct transport_timer *timer = transport_after(transport, 0, on_pause_over, retry, &no_memory);

    error_free(no_memory);
    if (timer == NULL)
        return;
    transport_stop(transport, &retry->timer);
    retry->timer = timer;
}

static void on_pause_over(void *arg)
{
    struct http_retry *retry = arg;
    struct error *error = NULL;

    retry->timer = NULL;
    if (retry->throttled_pause) {
        uint64_t now = transport_now_ms(retry->network->transport);
        azure_metrics_throttled(retry->network->metrics, retry->service,
                                (double)(now - retry->pause_since) / 1000.0);
        retry->throttled_pause = false;
    }
    bool waits = retry->permit.state == PERMIT_QUEUED || retry->permit.state == PERMIT_WOKEN;
    if (waits && retry->known_error == NULL && time_left(retry) == 0) {
        error_set(
            &retry->known_error, GRPC_STATUS_RESOURCE_EXHAUSTED,
            "%s throttles requests (HTTP 429), and earlier requests went first up to the caller's deadline; not sent",
            retry->host);
        (void)error_set_type(&retry->known_error, HTTP_RETRY_THROTTLED);
    }
    if (retry->known_error != NULL) {
        error = steal_ptr(&retry->known_error);
        deliver(retry, NULL, error);
    } else if (send_when_permitted(retry, &error) < 0) {
        deliver(retry, NULL, error);
    }
    error_free(error);
}

/* The delay before the next try, by the outcome of the last. Retries without a limit to their number are at
 * least the policy's first pause apart: a Retry-After may be 0. */
static uint64_t choose_delay(const struct http_retry *retry, const struct http_reply *reply)
{
    const struct network *network = retry->network;
    const struct retry_policy *policy = retry->policy;
    uint32_t random = transport_random(network->transport);
    unsigned n = retry->tries;
    if (reply != NULL && reply->retry_after_ms >= 0) {
        uint64_t retry_after = (uint64_t)reply->retry_after_ms;
        uint64_t floor = 0;
        if (reply->status >= 500)
            floor = policy->min_5xx_ms;
        else if (retry->tries > policy->max_retries)
            floor = backoff_pause(&policy->backoff_ms, 1, random);
        return retry_after > floor ? retry_after : floor;
    }
    if (reply != NULL && reply->status == 429) {
        unsigned n_429 = throttle_consecutive_429(network->throttles, retry->scope) + 1;
        n = n > n_429 ? n : n_429;
        n = n < MAX_CONSECUTIVE_429 ? n : MAX_CONSECUTIVE_429;
    }
    return backoff_pause(&policy->backoff_ms, n, random);
}

/* Starts the pause before another try, if this outcome allows one. Returns whether it does. */
static bool start_retry(struct http_retry *retry, const struct http_reply *reply, enum http_hop hop,
                        const struct error *error)
{
    const struct network *network = retry->network;
    uint64_t now = transport_now_ms(network->transport);

    if (reply != NULL ? !retry_policy_allows_status(retry->policy, reply->status)
                      : !retry_policy_allows_failure(retry->policy, error, hop, retry->tries))
        return false;
    uint64_t delay = choose_delay(retry, reply);
    bool throttled = reply != NULL && reply->status == 429;
    if (throttled) /* others wait for a bounded time only: then one of them is the probe */
        throttle_pause(network->throttles, retry->scope, now,
                       now + (delay < RETRY_AFTER_MAX_MS ? delay : RETRY_AFTER_MAX_MS),
                       transport_random(network->transport));
    throttle_release(&retry->permit, THROTTLE_NO_RESPONSE);
    uint64_t left = time_left(retry);
    bool last = retry->tries > retry->policy->max_retries && !(throttled && retry->policy->patient);
    if (last || delay > RETRY_AFTER_MAX_MS || delay >= left)
        return false;

    uint64_t shared = throttled ? throttle_queue(network->throttles, retry->scope, &retry->permit, now) : 0;
    if (shared >= left) /* another 429 asked for more */
        return false;
    if (shared > 0)
        delay = shared;
    else if (reply != NULL && reply->retry_after_ms >= 0)
        delay += throttle_spread(delay, left - delay, retry->permit.gives_way,
                                 transport_random(network->transport));
    log_warning(network->log, "request failed, retrying", LOG_STR("service", retry->service),
                LOG_STR("host", retry->host), LOG_INT("status", reply != NULL ? reply->status : 0),
                LOG_ERR(error), LOG_UINT("try", retry->tries), LOG_UINT("pauseMs", delay));
    retry->last_status = reply != NULL ? reply->status : 0;
    error_free(retry->last_error);
    retry->last_error = error_copy(error);
    retry->throttled_pause = throttled;
    struct error *no_memory = NULL;
    int paused = pause_for(retry, delay, &no_memory);
    error_free(no_memory);
    return paused == 0;
}

static void on_reply(struct http_reply *reply, enum http_hop hop, const struct error *error, void *arg)
{
    struct http_retry *retry = arg;

    retry->call = NULL;
    azure_metrics_http(retry->network->metrics, retry->service, reply != NULL ? reply->status : 0);
    if (reply != NULL)
        reply->sent_ms = retry->sent_ms;
    if (start_retry(retry, reply, hop, error))
        return;
    throttle_release(&retry->permit, reply != NULL ? THROTTLE_RESPONSE : THROTTLE_NO_RESPONSE);
    if (error == NULL) {
        deliver(retry, reply, NULL);
        return;
    }
    struct error *failure = error_copy(error);
    if (retry->tries > 1 && retry->last_status != 0)
        error_wrap(&failure, "try %u, after HTTP %d on the try before", retry->tries, retry->last_status);
    else if (retry->tries > 1)
        error_wrap(&failure, "after %u tries", retry->tries);
    deliver(retry, NULL, failure != NULL ? failure : error);
    error_free(failure);
}

static char *copy_text(const char *text, bool *ok)
{
    char *copy = text != NULL ? secret_strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        *ok = false;
    return copy;
}

static uint8_t *copy_bytes(const void *bytes, size_t len, bool *ok)
{
    if (len == 0)
        return NULL;
    uint8_t *copy = secret_malloc(len);
    if (copy != NULL)
        memcpy(copy, bytes, len);
    *ok = *ok && copy != NULL;
    return copy;
}

/* Whether `retry` has a copy of everything that the request borrows. */
static bool copy_request(struct http_retry *retry, const struct http_retry_request *request)
{
    bool ok = true;

    retry->host = copy_text(request->host, &ok);
    retry->url = copy_text(request->url, &ok);
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS && request->headers[i] != NULL; i++)
        retry->headers[i] = copy_text(request->headers[i], &ok);
    retry->bearer = copy_text(request->bearer, &ok);
    retry->body = copy_bytes(request->body, request->body_len, &ok);
    retry->body_len = request->body_len;
    retry->egress = egress_ref(request->egress);
    retry->connect_to = copy_text(request->connect_to, &ok);
    retry->ca_pem = copy_bytes(request->ca_pem, request->ca_pem_len, &ok);
    retry->ca_pem_len = request->ca_pem_len;
    return ok;
}

static void compute_scope(struct http_retry *retry, const struct http_retry_request *request)
{
    const char *scope = request->throttle_scope != NULL ? request->throttle_scope : "";
    const struct egress *egress = request->egress;
    const struct digest_field fields[] = {
        {request->host, strlen(request->host)},
        {scope, strlen(scope)},
        {egress != NULL ? egress->digest : NULL, egress != NULL ? DIGEST_SHA256_LEN : 0},
    };
    digest_fields(fields, ARRAY_SIZE(fields), retry->scope);
}

struct http_retry *http_retry_start(const struct network *network, const struct http_retry_request *request,
                                    http_retry_callback *callback, void *arg, struct error **err)
{
    struct http_retry *retry = secret_calloc(1, sizeof(*retry));
    if (retry == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *retry = (struct http_retry){
        .network = network,
        .service = request->service,
        .method = request->method,
        .max_response_bytes = request->max_response_bytes,
        .proxy = request->proxy,
        .policy = request->policy,
        .flow = request->flow,
        .permit = {.wake = on_permit,
                   .arg = retry,
                   .deadline_ms = request->deadline_ms,
                   .gives_way = request->gives_way,
                   .since_ms =
                       request->since_ms != 0 ? request->since_ms : transport_now_ms(network->transport)},
        .callback = callback,
        .arg = arg,
    };
    compute_scope(retry, request);
    if (!copy_request(retry, request))
        (void)error_no_memory(err, NULL);
    else if (send_when_permitted(retry, err) == 0)
        return retry;
    retry_free(retry);
    return NULL;
}

void http_retry_extend(struct http_retry *retry, uint64_t deadline_ms)
{
    if (deadline_ms > retry->permit.deadline_ms)
        retry->permit.deadline_ms = deadline_ms;
}

void http_retry_hurry(struct http_retry *retry, uint64_t since_ms)
{
    throttle_hurry(&retry->permit, since_ms);
    if (retry->permit.state == PERMIT_QUEUED) /* its pause may be shorter now */
        on_permit(retry);
}

uint64_t http_retry_sent_ms(const struct http_retry *retry)
{
    return retry->call != NULL ? retry->sent_ms : UINT64_MAX;
}

bool http_retry_is_throttled(const struct http_retry *retry)
{
    return retry->permit.state == PERMIT_QUEUED || retry->permit.state == PERMIT_WOKEN ||
           (retry->call == NULL && retry->throttled_pause);
}

int http_retry_pending_error(const struct http_retry *retry, struct error **err)
{
    const char *host = retry->host;
    if (http_retry_is_throttled(retry)) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                        "%s throttles requests (HTTP 429) beyond the caller's deadline", host);
        return error_set_type(err, HTTP_RETRY_THROTTLED);
    }
    if (retry->call != NULL)
        return error_set(
            err, GRPC_STATUS_DEADLINE_EXCEEDED, "no response from %s within %llu ms (try %u)", host,
            (unsigned long long)(transport_now_ms(retry->network->transport) - retry->sent_ms), retry->tries);
    if (retry->last_status != 0)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                         "%s returned HTTP %d, and the next try is after the caller's deadline", host,
                         retry->last_status);
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                     "%s, and the next try is after the caller's deadline",
                     retry->last_error != NULL ? error_message(retry->last_error) : host);
}

void http_retry_cancel(struct http_retry **retry)
{
    struct http_retry *gone = *retry;
    *retry = NULL;
    if (gone == NULL)
        return;
    transport_cancel(gone->network->transport, &gone->call);
    transport_stop(gone->network->transport, &gone->timer);
    retry_free(gone);
}
