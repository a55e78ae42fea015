/*
 * exchange.c - one HTTP question with retries inside a deadline.
 */
#include "provider-azure/network/http_retry.h"

#include <assert.h>
#include <string.h>

#include "common/base/secret.h"

/* Pauses of a place that does not say how long grow up to this step: about 25 s. */
enum { MAX_STRIKES = 5 };

struct exchange {
    const struct network *network;
    const char *service;
    const char *method;
    char *host;
    char *url;
    char *headers[EXCHANGE_MAX_HEADERS + 1];
    char *bearer;
    uint8_t *body;
    size_t body_len;
    size_t max_response_bytes;
    enum http_proxy_policy proxy;
    struct route *route;
    char *connect_to;
    uint8_t *ca_pem;
    size_t ca_pem_len;
    const struct retry_policy *policy;
    uint64_t deadline_ms;

    struct transport_call *call;   /* TRY */
    struct transport_timer *timer; /* PAUSE; in QUEUE the time left */
    struct throttle_pass pass;     /* QUEUE, TRY */
    uint8_t place[DIGEST_LEN];     /* whose back-off is shared */
    unsigned tries;
    uint64_t sent_ms;         /* TRY: when it went out */
    bool throttled_pause;     /* the pause under way is one the host asked for */
    uint64_t pause_since;     /* when it began */
    int last_status;          /* of the try before; 0 = none or no answer */
    struct error *last_error; /* of the try before, when there was no answer */
    struct error *verdict;    /* delivered from the timer, never from start */
    exchange_callback *callback;
    void *arg;
};

static void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    assert(exchange->call == NULL && exchange->timer == NULL);
    if (exchange->network != NULL) {
        throttle_leave(exchange->network->throttles, &exchange->pass, THROTTLE_NO_ANSWER);
        throttle_pump(exchange->network->throttles,
                      exchange->place); /* if it was its turn, it is another's */
    }
    secret_free(exchange->host);
    secret_free(exchange->url);
    for (size_t i = 0; i < EXCHANGE_MAX_HEADERS; i++)
        secret_free(exchange->headers[i]);
    route_unref(exchange->route);
    secret_free(exchange->bearer);
    secret_free(exchange->body);
    secret_free(exchange->connect_to);
    secret_free(exchange->ca_pem);
    error_free(exchange->verdict);
    error_free(exchange->last_error);
    secret_free(exchange);
}

static uint64_t time_left(const struct exchange *exchange)
{
    uint64_t now = transport_now_ms(exchange->network->transport);
    return exchange->deadline_ms > now ? exchange->deadline_ms - now : 0;
}

/* Ends the exchange. `reply` and `error` belong to the caller's caller. */
static void deliver(struct exchange *exchange, struct reply *reply, const struct error *error)
{
    exchange_callback *callback = exchange->callback;
    void *arg = exchange->arg;
    unsigned tries = exchange->tries;

    exchange->callback = NULL;
    exchange_free(exchange);
    callback(reply, error, tries, arg);
}

static void on_pause_over(void *arg);
static void on_reply(struct reply *reply, enum http_hop hop, const struct error *error, void *arg);

static int pause_for(struct exchange *exchange, uint64_t delay_ms, struct error **err)
{
    exchange->pause_since = transport_now_ms(exchange->network->transport);
    exchange->timer = transport_after(exchange->network->transport, delay_ms, on_pause_over, exchange, err);
    return exchange->timer == NULL ? -1 : 0;
}

static int send_try(struct exchange *exchange, struct error **err)
{
    uint64_t left = time_left(exchange);
    uint64_t limit = exchange->policy->try_timeout_ms;
    struct http_request request = {
        .method = exchange->method,
        .url = exchange->url,
        .headers = (const char *const *)exchange->headers,
        .bearer_token = exchange->bearer,
        .body = exchange->body,
        .body_len = exchange->body_len,
        .timeout_ms = left < limit ? left : limit,
        .max_response_bytes = exchange->max_response_bytes,
        .proxy = exchange->proxy,
        /* An HTTP/2 connection that swallowed one request would swallow the next. */
        .fresh_connection = exchange->last_error != NULL,
        .connect_to = exchange->connect_to,
        .ca_blob = exchange->ca_pem,
        .ca_blob_len = exchange->ca_pem_len,
    };
    if (exchange->proxy == HTTP_PROXY_ENVIRONMENT)
        route_apply(exchange->route, &request);
    exchange->sent_ms = transport_now_ms(exchange->network->transport);
    exchange->call = transport_send(exchange->network->transport, &request, on_reply, exchange, err);
    if (exchange->call == NULL)
        return -1;
    if (exchange->tries++ > 0)
        meter_retry(exchange->network->meter, exchange->service);
    return 0;
}

/* A verdict that is known already is delivered from a timer, so that nobody is called back from inside
 * exchange_start(). */
static int give_up(struct exchange *exchange, const char *why, struct error **err)
{
    error_set(&exchange->verdict, GRPC_STATUS_RESOURCE_EXHAUSTED,
              "%s asked for a pause (HTTP 429)%s before the caller's deadline; not sent", exchange->host,
              why);
    return pause_for(exchange, 0, err);
}

/* Spreads those who return after a pause, on this node and on others, over a quarter of it, a second at most;
 * not beyond the deadline. */
static uint64_t jitter(const struct exchange *exchange, uint64_t pause_ms)
{
    uint64_t left = time_left(exchange);
    uint64_t spread = pause_ms / 4 < 1000 ? pause_ms / 4 : 1000;
    uint64_t room = left > pause_ms ? (left - pause_ms) / 2 : 0;
    return transport_random(exchange->network->transport) % ((spread < room ? spread : room) + 1);
}

/* Waits for the place's pause or its turn if it must, else sends. */
static int go(struct exchange *exchange, struct error **err)
{
    const struct network *network = exchange->network;
    uint64_t now = transport_now_ms(network->transport);
    uint64_t left = time_left(exchange);

    if (left == 0) {
        error_set(&exchange->verdict, GRPC_STATUS_DEADLINE_EXCEEDED, "no time left to ask %s",
                  exchange->host);
        return pause_for(exchange, 0, err);
    }
    uint64_t wait = throttle_enter(network->throttles, exchange->place, &exchange->pass, now);
    if (wait == 0)
        return send_try(exchange, err);
    exchange->throttled_pause = true;
    if (wait == THROTTLE_QUEUED)
        return pause_for(exchange, left, err);
    if (wait >= left)
        return give_up(exchange, " that is not over", err);
    return pause_for(exchange, wait + jitter(exchange, wait), err);
}

/* It is this exchange's turn. Without memory for a timer it stays until its time is over. */
static void on_turn(void *arg)
{
    struct exchange *exchange = arg;
    const struct transport *transport = exchange->network->transport;
    struct error *no_memory = NULL;
    struct transport_timer *timer = transport_after(transport, 0, on_pause_over, exchange, &no_memory);

    error_free(no_memory);
    if (timer == NULL)
        return;
    transport_stop(transport, &exchange->timer);
    exchange->timer = timer;
}

static void on_pause_over(void *arg)
{
    struct exchange *exchange = arg;
    struct error *error = NULL;

    exchange->timer = NULL;
    if (exchange->throttled_pause) {
        uint64_t now = transport_now_ms(exchange->network->transport);
        meter_throttled(exchange->network->meter, exchange->service,
                        (double)(now - exchange->pause_since) / 1000.0);
        exchange->throttled_pause = false;
    }
    if (exchange->pass.state == PASS_QUEUED) /* woken ones are out of the queue */
        error_set(
            &exchange->verdict, GRPC_STATUS_RESOURCE_EXHAUSTED,
            "%s asked for a pause (HTTP 429), and others were to be sent first, up to the caller's deadline; not sent",
            exchange->host);
    if (exchange->verdict != NULL) {
        error = steal_ptr(&exchange->verdict);
        deliver(exchange, NULL, error);
    } else if (go(exchange, &error) < 0) {
        deliver(exchange, NULL, error);
    }
    error_free(error);
}

/* How long to wait before the next try, by what came of the last. */
static uint64_t choose_delay(const struct exchange *exchange, const struct reply *reply)
{
    const struct network *network = exchange->network;
    unsigned n = exchange->tries;
    if (reply != NULL && reply->retry_after_ms >= 0) {
        uint64_t asked = (uint64_t)reply->retry_after_ms;
        uint64_t floor = reply->status >= 500 ? exchange->policy->min_5xx_ms : 0;
        return asked > floor ? asked : floor;
    }
    if (reply != NULL && reply->status == 429) {
        unsigned strikes = throttle_strikes(network->throttles, exchange->place) + 1;
        strikes = strikes < MAX_STRIKES ? strikes : MAX_STRIKES;
        n = n > strikes ? n : strikes;
    }
    return retry_delay_ms(exchange->policy, n, transport_random(network->transport));
}

/* Whether another try is possible after this outcome; if so its pause has begun. */
static bool try_again(struct exchange *exchange, const struct reply *reply, enum http_hop hop,
                      const struct error *error)
{
    const struct network *network = exchange->network;
    uint64_t now = transport_now_ms(network->transport);

    if (reply != NULL ? !retry_status(exchange->policy, reply->status)
                      : !retry_failure(exchange->policy, error, hop, exchange->tries))
        return false;
    uint64_t delay = choose_delay(exchange, reply);
    bool throttled = reply != NULL && reply->status == 429;
    if (throttled)
        throttle_note(network->throttles, exchange->place, now, now + delay);
    throttle_leave(network->throttles, &exchange->pass, THROTTLE_NO_ANSWER);
    if (exchange->tries > exchange->policy->max_retries || delay > RETRY_AFTER_MAX_MS ||
        delay >= time_left(exchange))
        return false;

    if (reply != NULL && reply->retry_after_ms >= 0)
        delay += jitter(exchange, delay);
    log_warning(network->log, "request failed, trying again", LOG_STR("service", exchange->service),
                LOG_STR("host", exchange->host), LOG_INT("status", reply != NULL ? reply->status : 0),
                LOG_ERR(error), LOG_UINT("try", exchange->tries), LOG_UINT("pause_ms", delay));
    exchange->last_status = reply != NULL ? reply->status : 0;
    error_free(exchange->last_error);
    exchange->last_error = error_copy(error);
    exchange->throttled_pause = throttled;
    struct error *no_memory = NULL;
    int paused = pause_for(exchange, delay, &no_memory);
    error_free(no_memory);
    return paused == 0;
}

static void on_reply(struct reply *reply, enum http_hop hop, const struct error *error, void *arg)
{
    struct exchange *exchange = arg;

    exchange->call = NULL;
    meter_http(exchange->network->meter, exchange->service, reply != NULL ? reply->status : 0);
    if (reply != NULL)
        reply->sent_ms = exchange->sent_ms;
    if (try_again(exchange, reply, hop, error))
        return;
    throttle_leave(exchange->network->throttles, &exchange->pass,
                   reply != NULL ? THROTTLE_ANSWERED : THROTTLE_NO_ANSWER);
    if (error == NULL) {
        deliver(exchange, reply, NULL);
        return;
    }
    struct error *told = error_copy(error);
    if (exchange->tries > 1 && exchange->last_status != 0)
        error_wrap(&told, "try %u, the one before was answered HTTP %d", exchange->tries,
                   exchange->last_status);
    else if (exchange->tries > 1)
        error_wrap(&told, "after %u tries", exchange->tries);
    deliver(exchange, NULL, told != NULL ? told : error);
    error_free(told);
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

struct exchange *exchange_start(const struct network *network, const struct exchange_request *request,
                                exchange_callback *callback, void *arg, struct error **err)
{
    struct exchange *exchange = secret_calloc(1, sizeof(*exchange));
    bool ok = exchange != NULL;
    if (ok) {
        *exchange = (struct exchange){
            .network = network,
            .service = request->service,
            .method = request->method,
            .host = copy_text(request->host, &ok),
            .url = copy_text(request->url, &ok),
            .bearer = copy_text(request->bearer, &ok),
            .max_response_bytes = request->max_response_bytes,
            .proxy = request->proxy,
            .route = route_ref(request->route),
            .connect_to = copy_text(request->connect_to, &ok),
            .ca_pem = copy_bytes(request->ca_pem, request->ca_pem_len, &ok),
            .ca_pem_len = request->ca_pem_len,
            .policy = request->policy,
            .deadline_ms = request->deadline_ms,
            .pass = {.wake = on_turn, .arg = exchange},
            .callback = callback,
            .arg = arg,
        };
        const struct digest_field place[] = {
            {request->host, strlen(request->host)},
            {request->lane, request->lane != NULL ? strlen(request->lane) : 0},
            {request->route != NULL ? request->route->digest : NULL, request->route != NULL ? DIGEST_LEN : 0},
        };
        digest_fields(place, ARRAY_SIZE(place), exchange->place);
        for (size_t i = 0; i < EXCHANGE_MAX_HEADERS && request->headers[i] != NULL; i++)
            exchange->headers[i] = copy_text(request->headers[i], &ok);
        exchange->body = copy_bytes(request->body, request->body_len, &ok);
        exchange->body_len = request->body_len;
    }
    if (!ok) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        exchange_free(exchange);
        return NULL;
    }
    if (go(exchange, err) < 0) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void exchange_extend(struct exchange *exchange, uint64_t deadline_ms)
{
    if (deadline_ms > exchange->deadline_ms)
        exchange->deadline_ms = deadline_ms;
}

uint64_t exchange_sent_ms(const struct exchange *exchange)
{
    return exchange->call != NULL ? exchange->sent_ms : UINT64_MAX;
}

int exchange_why_not_yet(const struct exchange *exchange, struct error **err)
{
    const char *host = exchange->host;
    if (exchange->pass.state == PASS_QUEUED || (exchange->call == NULL && exchange->throttled_pause))
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "%s asked for a pause (HTTP 429) that is not over before the caller's deadline",
                         host);
    if (exchange->call != NULL)
        return error_set(
            err, GRPC_STATUS_DEADLINE_EXCEEDED, "no answer from %s within %llu ms (try %u)", host,
            (unsigned long long)(transport_now_ms(exchange->network->transport) - exchange->sent_ms),
            exchange->tries);
    if (exchange->last_status != 0)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                         "%s answered HTTP %d, and the next try is after the caller's deadline", host,
                         exchange->last_status);
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                     "%s, and the next try is after the caller's deadline",
                     exchange->last_error != NULL ? error_message(exchange->last_error) : host);
}

void exchange_cancel(struct exchange **exchange)
{
    struct exchange *gone = *exchange;
    *exchange = NULL;
    if (gone == NULL)
        return;
    transport_cancel(gone->network->transport, &gone->call);
    transport_stop(gone->network->transport, &gone->timer);
    exchange_free(gone);
}
