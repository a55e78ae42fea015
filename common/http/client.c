/*
 * client.c - the life of HTTP calls: start, look up, transfer, deliver, cancel.
 *
 * Users' callbacks run from two places only: after curl has returned (client_after_curl), or from a timer or
 * lookup of our own. The one exception is on_data, which curl calls itself; what users do there to calls is
 * remembered and done when curl has returned.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/http/call.h"

enum {
    DEFAULT_CONNECTIONS_PER_HOST = 32,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_RESPONSE_BYTES = 4 * 1024 * 1024,
    BODY_RESERVE_MAX = 64 * 1024, /* reserved on a server's word about the length; more only as it arrives */
    STATUS_DIGITS = 3,
};

static void on_lookup(const char *addresses, int uv_status, void *arg);
static void on_call_timer(uv_timer_t *timer);
static int call_go(struct http_call *call, struct error **err);

static void move_to(struct http_call *call, struct call_list *list)
{
    if (call->list != NULL)
        TAILQ_REMOVE(call->list, call, link);
    call->list = list;
    if (list != NULL)
        TAILQ_INSERT_TAIL(list, call, link);
}

static void free_if_unused(struct http_client *client)
{
    if (!client->torn_down || !TAILQ_EMPTY(&client->ended))
        return;
    free(client->user_agent);
    ca_bundle_destroy(client->ca_bundle);
    proxy_settings_finish(&client->proxies);
    origin_book_destroy(client->origins);
    trust_store_destroy(client->trusts);
    free(client);
}

static void on_call_closed(uv_handle_t *handle)
{
    struct http_call *call = handle->data;
    struct http_client *client = call->client;
    move_to(call, NULL);
    free(call);
    free_if_unused(client);
}

static void response_finish(struct http_response *response)
{
    buffer_finish(&response->body);
    http_headers_destroy(response->headers);
    response->headers = NULL;
}

static bool same_server(const struct http_call *a, const struct http_call *b)
{
    return a->target.port == b->target.port && strcasecmp(a->target.host, b->target.host) == 0;
}

/* Whether the call has to wait for another one that is just making the first connection to its server. If
 * there is none, the call itself is that one. */
static bool has_to_wait(struct http_call *call)
{
    struct http_client *client = call->client;
    const struct http_call *other = NULL;
    if (!call->target.tls || call->http1_only || call->opens || call->waited ||
        origin_book_lookup(client->origins, call->target.host, call->target.port) != -1)
        return false;
    TAILQ_FOREACH(other, &client->active, link)
    {
        if (other->opens && same_server(other, call))
            return true;
    }
    call->opens = true;
    return false;
}

/* The first connection stands, or will not be made: lets those go on that wait for it. */
static void release_waiting(struct http_call *call)
{
    struct http_call *other = NULL;
    call->opens = false;
    TAILQ_FOREACH(other, &call->client->active, link)
    {
        if (other->state == CALL_WAIT && same_server(other, call))
            (void)uv_timer_start(&other->timer, on_call_timer, 0, 0);
    }
}

/* Releases everything of a call but its memory. Not inside curl. */
static void call_end(struct http_call *call)
{
    assert(call->state != CALL_ENDED && !curl_loop_inside(call->client->curl));
    resolver_cancel(&call->lookup);
    if (call->state == CALL_TRANSFER)
        curl_loop_remove(call->client->curl, call->easy);
    if (call->opens)
        release_waiting(call);
    call->state = CALL_ENDED;
    http_call_release(call);
    move_to(call, &call->client->ended);
    assert(!uv_is_closing((uv_handle_t *)&call->timer));
    uv_close((uv_handle_t *)&call->timer, on_call_closed);
}

static void call_deliver(struct http_call *call, enum http_hop hop, const struct error *error)
{
    http_callback *callback = call->callback;
    void *arg = call->arg;
    struct http_response response = call->response;
    call->response = (struct http_response){0};
    call->callback = NULL;
    call_end(call);
    callback(error == NULL ? &response : NULL, hop, error, arg); /* may destroy the client */
    response_finish(&response);
}

static uint64_t add_ms(uint64_t time, uint64_t ms)
{
    uint64_t sum = 0;
    return __builtin_add_overflow(time, ms, &sum) ? UINT64_MAX : sum;
}

static uint64_t min_ms(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The loop time at which the lookup and the TCP and TLS handshakes must be done. */
static uint64_t connect_deadline(const struct http_call *call)
{
    return add_ms(call->start_ms, call->connect_ms);
}

static void arm_timer(struct http_call *call)
{
    uint64_t wake = call->deadline_ms;
    if (call->state == CALL_LOOKUP || call->state == CALL_WAIT)
        wake = min_ms(wake, connect_deadline(call));
    else if (call->stall_ms != 0)
        wake = min_ms(wake, add_ms(call->last_bytes_ms, call->stall_ms));
    if (wake == UINT64_MAX) {
        (void)uv_timer_stop(&call->timer);
        return;
    }
    uint64_t now = uv_now(call->client->loop);
    (void)uv_timer_start(&call->timer, on_call_timer, wake > now ? wake - now : 0, 0);
}

static void on_call_timer(uv_timer_t *timer)
{
    struct http_call *call = timer->data;
    uint64_t now = uv_now(call->client->loop);
    cleanup_error struct error *error = NULL;
    enum http_hop hop = HTTP_HOP_TIMEOUT;
    if (call->state == CALL_LOOKUP && now >= min_ms(call->deadline_ms, connect_deadline(call))) {
        bool deadline = call->deadline_ms <= connect_deadline(call);
        (void)error_set(&error, deadline ? GRPC_STATUS_DEADLINE_EXCEEDED : GRPC_STATUS_UNAVAILABLE,
                        "DNS lookup of '%s' failed: no answer within %" PRIu64 " ms", call->target.peer_host,
                        deadline ? call->timeout_ms : call->connect_ms);
        hop = HTTP_HOP_DNS;
    } else if (now >= call->deadline_ms) {
        hop = http_call_timed_out(call, false, &error);
    } else if (call->state == CALL_WAIT) {
        call->waited = true;
        if (call_go(call, &error) == 0)
            return;
        hop = HTTP_HOP_NONE;
    } else if (call->stall_ms != 0 && now >= add_ms(call->last_bytes_ms, call->stall_ms)) {
        hop = http_call_timed_out(call, true, &error);
    } else {
        arm_timer(call);
        return;
    }
    call_deliver(call, hop, error);
}

/* The peer's address is known: hands the call to curl, or leaves it READY while curl is on the stack, or to
 * WAIT. */
static int call_go(struct http_call *call, struct error **err)
{
    struct http_client *client = call->client;
    if (has_to_wait(call)) {
        call->state = CALL_WAIT;
        arm_timer(call);
        return 0;
    }
    call->state = CALL_READY;
    if (curl_loop_inside(client->curl))
        return 0;
    uint64_t now = uv_now(client->loop);
    uint64_t end = connect_deadline(call);
    bool multiplexes = origin_book_lookup(client->origins, call->target.host, call->target.port) == 1;
    bool share = call->target.tls && !call->http1_only && multiplexes;
    http_call_set_connecting(call, end > now ? end - now : 1, share);
    call->last_bytes_ms = now;
    if (curl_loop_add(client->curl, call->easy, err) < 0)
        return -1;
    call->state = CALL_TRANSFER;
    arm_timer(call);
    return 0;
}

static void on_lookup(const char *addresses, int uv_status, void *arg)
{
    struct http_call *call = arg;
    call->lookup = NULL;
    cleanup_error struct error *error = NULL;
    if (addresses == NULL) {
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "DNS lookup of '%s' failed: %s",
                        call->target.peer_host, uv_strerror(uv_status));
        call_deliver(call, HTTP_HOP_DNS, error);
        return;
    }
    if (http_call_set_addresses(call, addresses, &error) < 0 || call_go(call, &error) < 0)
        call_deliver(call, HTTP_HOP_NONE, error);
}

static int call_begin(struct http_call *call, struct error **err)
{
    struct http_client *client = call->client;
    if (call->target.peer_is_address)
        return call_go(call, err);
    const char *addresses = resolver_cached(client->resolver, call->target.peer_host);
    if (addresses != NULL)
        return http_call_set_addresses(call, addresses, err) < 0 ? -1 : call_go(call, err);
    call->state = CALL_LOOKUP;
    call->lookup = resolver_start(client->resolver, call->target.peer_host, on_lookup, call, err);
    if (call->lookup == NULL)
        return -1;
    arm_timer(call);
    return 0;
}

struct http_call *http_call_start(struct http_client *client, const struct http_request *request,
                                  http_callback *callback, void *arg, struct error **err)
{
    assert(!client->destroyed);
    struct http_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        (void)error_no_memory(err, "an HTTP call");
        return NULL;
    }
    uv_update_time(client->loop); /* deadlines count from now */
    *call = (struct http_call){
        .client = client,
        .callback = callback,
        .on_data = request->on_data,
        .arg = arg,
        .start_ns = uv_hrtime(),
        .start_ms = uv_now(client->loop),
        .timeout_ms = request->timeout_ms,
        .deadline_ms = add_ms(uv_now(client->loop), request->timeout_ms),
        .connect_ms = client->connect_ms,
        .stall_ms = request->stall_timeout_ms,
        .http1_only = request->http1_only,
    };
    buffer_init(&call->response.body,
                request->max_response_bytes != 0 ? request->max_response_bytes : DEFAULT_RESPONSE_BYTES);
    (void)uv_timer_init(client->loop, &call->timer); /* documented to succeed always */
    call->timer.data = call;
    move_to(call, &client->active);
    call->response.headers = http_headers_create();
    if (call->response.headers == NULL) {
        (void)error_no_memory(err, "an HTTP call");
        goto fail;
    }
    if (http_call_setup(call, request, err) < 0 || call_begin(call, err) < 0)
        goto fail;
    return call;

fail:
    call->callback = NULL;
    if (curl_loop_inside(client->curl)) {
        call->stop = CALL_STOP_CANCELLED; /* cleaned up when curl has returned */
        call->state = CALL_READY;
    } else {
        call->state = CALL_READY;
        response_finish(&call->response);
        call_end(call);
    }
    return NULL;
}

void http_call_cancel(struct http_call **call)
{
    struct http_call *gone = *call;
    *call = NULL;
    if (gone == NULL)
        return;
    gone->callback = NULL;
    gone->on_data = NULL;
    gone->stop = CALL_STOP_CANCELLED;
    resolver_cancel(&gone->lookup);
    if (!curl_loop_inside(gone->client->curl)) {
        response_finish(&gone->response);
        call_end(gone);
    }
}

/* curl's callbacks */

/* The connection stands, kept or new, and the request is about to be sent. curl knows now whether calls can
 * share it. */
int http_call_on_connection(void *arg, char *peer, // NOLINT(readability-non-const-parameter): curl's type
                            char *local,           // NOLINT(readability-non-const-parameter)
                            int peer_port, int local_port)
{
    struct http_call *call = arg;
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    if (call->opens)
        release_waiting(call);
    return CURL_PREREQFUNC_OK;
}

size_t http_call_on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (call->stop != CALL_STOP_NONE)
        return 0;
    call->last_bytes_ms = uv_now(call->client->loop);
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0) { /* also after a 1xx answer */
        http_headers_clear(call->response.headers);
        const char *blank = memchr(line, ' ', len);
        int status = 0;
        for (int i = 1; blank != NULL && i <= STATUS_DIGITS && blank + i < line + len; i++)
            status = status * 10 + (blank[i] - '0'); /* curl has checked the digits */
        call->response.status = status;
    } else if (http_headers_add_line(call->response.headers, line, len, NULL) < 0) {
        call->stop = CALL_STOP_HEADERS;
        return 0;
    }
    return len;
}

/* Makes room for the announced length in one go; secrets then leave no trail of outgrown blocks. */
static void reserve_body(struct http_call *call)
{
    curl_off_t announced = -1;
    (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    size_t ceiling = call->response.body.ceiling;
    if (announced > 0 && announced <= BODY_RESERVE_MAX && (uint64_t)announced <= ceiling)
        (void)buffer_reserve(&call->response.body, (size_t)announced, NULL);
}

size_t http_call_on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (call->stop != CALL_STOP_NONE)
        return 0;
    call->last_bytes_ms = uv_now(call->client->loop);
    if (call->on_data != NULL && call->response.status >= 200 && call->response.status < 300) {
        call->on_data(bytes, len, call->arg);
        return call->stop == CALL_STOP_NONE ? len : 0; /* a cancelled call must not receive more */
    }
    if (call->response.body.len == 0)
        reserve_body(call);
    if (buffer_append(&call->response.body, bytes, len, NULL) < 0) {
        call->stop = CALL_STOP_TOO_LARGE;
        return 0;
    }
    return len;
}

/* mbedTLS ends every finding about a certificate with a line break; error texts are one line. */
static void put_on_one_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    for (char *at = strchr(text, '\n'); at != NULL; at = strchr(at, '\n'))
        *at = ' ';
}

/* What curl reported as done. */
static void call_finished(struct http_call *call, CURLcode result)
{
    struct http_client *client = call->client;
    call->result = result;
    put_on_one_line(call->curl_text);
    long made = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &made);
    call->response.new_connection = made > 0;
    call->response.duration_ns = uv_hrtime() - call->start_ns;
    long version = 0;
    if (result == CURLE_OK && call->target.tls && !call->http1_only &&
        curl_easy_getinfo(call->easy, CURLINFO_HTTP_VERSION, &version) == CURLE_OK)
        origin_book_learn(client->origins, call->target.host, call->target.port,
                          version >= CURL_HTTP_VERSION_2_0);
}

static void deliver_finished(struct http_call *call)
{
    if (call->result == CURLE_OK && call->response.status != 0) {
        call_deliver(call, HTTP_HOP_NONE, NULL);
        return;
    }
    cleanup_error struct error *error = NULL;
    enum http_hop hop = http_call_failure(call, &error);
    if (hop == HTTP_HOP_CONNECT && !call->target.peer_is_address)
        resolver_forget(call->client->resolver, call->target.peer_host); /* perhaps it has moved */
    call_deliver(call, hop, error);
}

static void teardown(struct http_client *client)
{
    struct http_call *call = NULL;
    while ((call = TAILQ_FIRST(&client->active)) != NULL || (call = TAILQ_FIRST(&client->finished)) != NULL) {
        response_finish(&call->response);
        call_end(call);
    }
    curl_loop_destroy(client->curl);
    resolver_destroy(client->resolver);
    (void)curl_share_cleanup(client->share); /* after every handle and connection that used it */
    client->torn_down = true;
    free_if_unused(client);
}

/* Does what could not be done while curl was on the stack. */
static void catch_up(struct http_client *client)
{
    struct http_call *next = NULL;
    for (struct http_call *call = TAILQ_FIRST(&client->active); call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        if (call->stop == CALL_STOP_CANCELLED) {
            response_finish(&call->response);
            call_end(call);
        } else if (call->state == CALL_READY && call_go(call, NULL) < 0) {
            call->result = CURLE_OUT_OF_MEMORY;
            move_to(call, &client->finished);
        }
    }
}

static void client_after_curl(void *arg)
{
    struct http_client *client = arg;
    if (client->destroyed) { /* by on_data */
        teardown(client);
        return;
    }
    catch_up(client);

    CURL *easy = NULL;
    CURLcode result = CURLE_OK;
    while ((easy = curl_loop_next_done(client->curl, &result)) != NULL) {
        struct http_call *call = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
        call_finished(call, result);
        curl_loop_remove(client->curl, easy);
        call->state = CALL_FINISHED;
        move_to(call, &client->finished);
    }
    struct http_call *call = NULL;
    while (!client->destroyed && (call = TAILQ_FIRST(&client->finished)) != NULL)
        deliver_finished(call);
}

int http_library_init(struct error **err)
{
    CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, secret_malloc, secret_free, secret_realloc,
                                         secret_strdup, secret_calloc);
    if (code != CURLE_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "initialise libcurl: %s", curl_easy_strerror(code));
    return 0;
}

struct http_client *http_client_create(uv_loop_t *loop, const struct http_client_config *config,
                                       struct error **err)
{
    if (config->ca_file != NULL && access(config->ca_file, R_OK) != 0) {
        (void)error_set_errno(err, GRPC_STATUS_INVALID_ARGUMENT, errno, "CA file '%s'", config->ca_file);
        return NULL;
    }
    struct http_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        goto no_memory;
    client->loop = loop;
    client->log = config->log;
    client->connect_ms = config->connect_timeout_ms != 0 ? config->connect_timeout_ms : DEFAULT_CONNECT_MS;
    TAILQ_INIT(&client->active);
    TAILQ_INIT(&client->finished);
    TAILQ_INIT(&client->ended);

    bool ok = true;
    const char *agent = config->user_agent != NULL ? config->user_agent : "secrets-store-csi";
    client->user_agent = strdup(agent);
    client->ca_bundle = ca_bundle_create(config->ca_file, config->ca_dir);
    client->origins = origin_book_create();
    client->resolver = resolver_create(loop);
    client->share = curl_share_init();
    client->trusts = trust_store_create();
    ok = ok && client->trusts != NULL && client->ca_bundle != NULL && client->user_agent != NULL &&
         client->origins != NULL && client->resolver != NULL && client->share != NULL &&
         proxy_settings_init(&client->proxies) == 0;
    /* One thread uses it: no lock functions needed. A curl without TLS refuses, and needs none. */
    if (ok)
        (void)curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    const struct curl_loop_config loop_config = {
        .max_connections_per_host = config->max_connections_per_host != 0 ? config->max_connections_per_host
                                                                          : DEFAULT_CONNECTIONS_PER_HOST,
        .max_connections = config->max_connections != 0 ? config->max_connections : DEFAULT_CONNECTIONS,
        .after = client_after_curl,
        .arg = client,
    };
    if (!ok)
        goto no_memory;
    client->curl = curl_loop_create(loop, &loop_config, NULL);
    if (client->curl == NULL)
        goto no_memory;
    return client;

no_memory:
    (void)error_no_memory(err, "the HTTP client");
    if (client != NULL) {
        resolver_destroy(client->resolver);
        if (client->share != NULL)
            (void)curl_share_cleanup(client->share);
        client->torn_down = true;
        free_if_unused(client);
    }
    return NULL;
}

const char *http_client_ca_file(const struct http_client *client)
{
    return ca_bundle_path(client->ca_bundle, /* extra= */ NULL, NULL);
}

void http_client_destroy(struct http_client *client)
{
    if (client == NULL)
        return;
    assert(!client->destroyed);
    client->destroyed = true;
    if (!curl_loop_inside(client->curl)) {
        teardown(client);
        return;
    }
    struct http_call *call = NULL;
    TAILQ_FOREACH(call, &client->active, link)
    {
        struct http_call *cancelled = call;
        http_call_cancel(&cancelled); /* stays on the list until curl has returned */
    }
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    return response->headers != NULL ? http_headers_get(response->headers, name) : NULL;
}
