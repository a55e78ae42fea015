/*
 * client.c - the life of HTTP calls: start, look up, transfer, deliver, cancel.
 *
 * Users' callbacks run from two places only: after curl has returned (client_after_curl), or from a timer or
 * a lookup of the client. They may cancel other calls and destroy the client.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/http/call.h"

enum {
    DEFAULT_CONNECTIONS_PER_HOST = 64,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_RESPONSE_BYTES = 4 * 1024 * 1024,
    BODY_RESERVE_MAX = 64 * 1024, /* reserved on a server's word about the length; more only as it arrives */
};

static void on_lookup(const char *addresses, const char *reason, void *arg);

/* Parts a call from its client, which may be destroyed from here on. Not inside curl. */
static void call_detach(struct http_call *call)
{
    assert(!curl_loop_inside(call->client->curl));
    resolver_cancel(&call->lookup);
    loop_timer_destroy(call->timer);
    list_remove(&call->link);
    http_call_withdraw(call);
    if (call->easy != NULL)
        (void)curl_easy_setopt(call->easy, CURLOPT_SHARE, NULL);
    trust_release(call->trust);
}

/* Frees a detached call. */
static void call_free(struct http_call *call)
{
    http_call_release(call);
    buffer_finish(&call->response.body);
    header_fields_finish(&call->fields);
    error_free(call->failure);
    secret_free(call);
}

static void call_deliver(struct http_call *call, enum http_hop hop, const struct error *error)
{
    call_detach(call);
    call->response.fields = &call->fields;
    call->callback(error == NULL ? &call->response : NULL, hop, error, call->arg);
    call_free(call);
}

static uint64_t add_ms(uint64_t time, uint64_t ms)
{
    uint64_t sum = 0;
    return __builtin_add_overflow(time, ms, &sum) ? UINT64_MAX : sum;
}

static void lookup_timed_out(const struct http_call *call, struct error **err)
{
    bool deadline = call->deadline_ms <= http_call_connect_deadline(call);
    (void)error_set(err, deadline ? GRPC_STATUS_DEADLINE_EXCEEDED : GRPC_STATUS_UNAVAILABLE,
                    "DNS lookup of '%s' failed: no response within %" PRIu64 " ms", call->target.peer_host,
                    deadline ? call->timeout_ms : call->connect_ms);
}

static void on_call_timer(void *arg)
{
    struct http_call *call = arg;
    uint64_t now = uv_now(call->client->loop);
    cleanup_error struct error *error = NULL;
    enum http_hop hop = HTTP_HOP_DNS;
    if (now < http_call_wake_ms(call)) {
        http_call_arm_timer(call);
        return;
    }
    if (call->state == CALL_FAILED) {
        error = steal_ptr(&call->failure);
        hop = call->failure_hop;
    } else if (call->state == CALL_LOOKUP) {
        lookup_timed_out(call, &error);
    } else if (call->state == CALL_TRANSFER && now < call->deadline_ms) {
        if (http_call_is_late(call))
            http_call_drop_connection(call);
        else
            loop_timer_start(call->timer, 10); /* bytes are there, for the loop to read */
        return;
    } else {
        hop = http_call_timed_out(call, &error);
    }
    call_deliver(call, hop, error);
}

static void on_lookup(const char *addresses, const char *reason, void *arg)
{
    struct http_call *call = arg;
    call->lookup = NULL;
    cleanup_error struct error *error = NULL;
    if (addresses == NULL) {
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "DNS lookup of '%s' failed: %s",
                        call->target.peer_host, reason);
        call_deliver(call, HTTP_HOP_DNS, error);
        return;
    }
    if (http_call_set_addresses(call, addresses, &error) < 0)
        call_deliver(call, HTTP_HOP_NONE, error);
    else
        http_call_dispatch(call);
}

static int call_begin(struct http_call *call, struct error **err)
{
    struct http_client *client = call->client;
    const char *addresses = NULL;
    if (!call->target.peer_is_address)
        addresses = resolver_cached(client->resolver, call->target.peer_host);
    if (addresses != NULL && http_call_set_addresses(call, addresses, err) < 0)
        return -1;
    if (call->target.peer_is_address || addresses != NULL) {
        http_call_dispatch(call);
        return 0;
    }
    call->lookup = resolver_start(client->resolver, call->target.peer_host, on_lookup, call, err);
    if (call->lookup == NULL)
        return -1;
    http_call_arm_timer(call);
    return 0;
}

/* After setup, which finds out the peer. */
static int find_host(struct http_call *call, struct error **err)
{
    struct http_client *client = call->client;
    const struct host_key key = {
        .name = call->target.host,
        .port = call->target.port,
        .tls = call->target.tls,
        .peer = call->target.peer_host,
        .peer_port = call->target.peer_port,
    };
    call->host = host_table_get(&client->hosts, &key, client->connections_max);
    if (call->host == NULL)
        return error_no_memory(err, "an HTTP call");
    call->host->users++;
    return 0;
}

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

struct http_call *http_call_start(struct http_client *client, const struct http_request *request,
                                  http_callback *callback, void *arg, struct error **err)
{
    assert(!client->destroyed && !curl_loop_inside(client->curl));
    struct http_call *call = secret_calloc(1, sizeof(*call));
    if (call == NULL) {
        (void)error_no_memory(err, "an HTTP call");
        return NULL;
    }
    uv_update_time(client->loop); /* deadlines count from now */
    *call = (struct http_call){
        .client = client,
        .callback = callback,
        .arg = arg,
        .start_ns = uv_hrtime(),
        .connect_from_ms = uv_now(client->loop),
        .timeout_ms = request->timeout_ms,
        .deadline_ms = add_ms(uv_now(client->loop), request->timeout_ms),
        .connect_ms = client->connect_ms,
        .repeatable = request->repeatable || is_read(request->method),
        .slow = request->slow,
    };
    list_init(&call->on_connection);
    header_fields_init(&call->fields);
    queue_entry_init(&call->entry, request->flow);
    buffer_init(&call->response.body,
                request->max_response_bytes != 0 ? request->max_response_bytes : DEFAULT_RESPONSE_BYTES);
    list_init(&call->link);
    list_insert_before(&client->calls, &call->link);
    call->timer = loop_timer_create(client->loop, on_call_timer, call, err);
    if (call->timer == NULL || http_call_setup(call, request, err) < 0 || find_host(call, err) < 0 ||
        call_begin(call, err) < 0) {
        call_detach(call);
        call_free(call);
        return NULL;
    }
    return call;
}

void http_call_cancel(struct http_call **call)
{
    struct http_call *cancelled = steal_ptr(call);
    if (cancelled == NULL)
        return;
    call_detach(cancelled);
    call_free(cancelled);
}

/* --- curl's callbacks --- */

/* The first line of a response, also of one after a 1xx response. */
static void response_begins(struct http_call *call)
{
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->response.status == 0 && call->connection != NULL) {
        call->connection->kept = true;
        host_took(call->host, uv_now(call->client->loop) - call->sent_ms);
    }
    call->response.status = (int)status;
    header_fields_reset(&call->fields);
}

size_t http_call_on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
        response_begins(call);
        return len;
    }
    if (header_fields_add(&call->fields, line, len) == 0)
        return len;
    call->stop = CALL_STOP_HEADERS;
    return 0;
}

/* Reserves the announced length in one go; secrets then leave no trail of outgrown blocks. */
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

/* curl is done with a call. */
static void call_finished(struct http_call *call, CURLcode result)
{
    bool is_status = call->response.status >= 100 && call->response.status <= 599;
    /* libcurl passes on what a status line has, also negative numbers. */
    call->result = result == CURLE_OK && !is_status ? CURLE_WEIRD_SERVER_REPLY : result;
    put_on_one_line(call->curl_text);
    long made = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &made);
    call->response.new_connection = made > 0;
    call->response.duration_ns = uv_hrtime() - call->start_ns;
    long version = 0;
    if (result == CURLE_OK && call->target.tls &&
        curl_easy_getinfo(call->easy, CURLINFO_HTTP_VERSION, &version) == CURLE_OK)
        host_responded(call->host, version >= CURL_HTTP_VERSION_2_0 ? HOST_HTTP2 : HOST_HTTP1);
}

static void deliver_finished(struct http_call *call)
{
    if (call->result == CURLE_OK && call->response.status != 0) {
        call_deliver(call, HTTP_HOP_NONE, NULL);
        return;
    }
    cleanup_error struct error *error = NULL;
    enum http_hop hop = http_call_failure(call, &error);
    if (http_call_try_again(call, error))
        return;
    if (hop == HTTP_HOP_CONNECT && !call->target.peer_is_address)
        resolver_invalidate(call->client->resolver, call->target.peer_host);
    call_deliver(call, hop, error);
}

static void client_free(struct http_client *client)
{
    while (!list_empty(&client->calls)) {
        struct http_call *call = container_of(client->calls.next, struct http_call, link);
        http_call_cancel(&call);
    }
    curl_loop_destroy(client->curl); /* closes the connections */
    host_table_finish(&client->hosts);
    resolver_destroy(client->resolver);
    if (client->share != NULL)
        (void)curl_share_cleanup(client->share); /* after every handle and connection that used it */
    free(client->user_agent);
    http_call_origin_finish(&client->origin);
    ca_bundle_destroy(client->ca_bundle);
    proxy_settings_finish(&client->proxies);
    trust_store_destroy(client->trusts);
    free(client);
}

static void client_after_curl(void *arg)
{
    struct http_client *client = arg;
    CURL *easy = NULL;
    CURLcode result = CURLE_OK;

    client->delivering = true;
    while (!client->destroyed && (easy = curl_loop_next_done(client->curl, &result)) != NULL) {
        struct http_call *call = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
        call_finished(call, result);
        deliver_finished(call);
    }
    client->delivering = false;
    if (client->destroyed)
        client_free(client);
    else
        http_client_pump(client);
}

int http_library_init(struct error **err)
{
    CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, secret_malloc, secret_free, secret_realloc,
                                         secret_strdup, secret_calloc);
    if (code != CURLE_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "initialise libcurl: %s", curl_easy_strerror(code));
    return 0;
}

static void register_metrics(struct http_client *client, struct metrics *metrics)
{
    static const struct metric_desc silent = {
        .name = "http_connections_silent_total",
        .help = "Kept connections that fell silent and were dropped",
        .type = METRIC_COUNTER,
    };
    static const struct metric_desc restarted = {
        .name = "http_requests_restarted_total",
        .help =
            "HTTP requests that were started again because their connection fell silent or was not let through",
        .type = METRIC_COUNTER,
    };
    static const struct metric_desc waiting = {
        .name = "http_requests_waiting",
        .help = "HTTP requests that wait for their turn at their host",
        .type = METRIC_GAUGE,
    };
    static const char *const no_labels[] = {NULL};
    client->metrics = (struct http_client_metrics){
        .silent = metrics_register(metrics, &silent),
        .restarted = metrics_register(metrics, &restarted),
        .waiting = metrics_register(metrics, &waiting),
    };
    metric_add(client->metrics.silent, no_labels, 0);
    metric_add(client->metrics.restarted, no_labels, 0);
    metric_set(client->metrics.waiting, no_labels, 0);
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
    client->connections_max = config->max_connections_per_host != 0 ? config->max_connections_per_host
                                                                    : DEFAULT_CONNECTIONS_PER_HOST;
    list_init(&client->calls);
    host_table_init(&client->hosts);
    if (config->metrics != NULL)
        register_metrics(client, config->metrics);

    bool ok = true;
    const char *agent = config->user_agent != NULL ? config->user_agent : "secrets-store-csi";
    client->user_agent = strdup(agent);
    client->ca_bundle = ca_bundle_create(config->ca_file, config->ca_dir, config->log);
    client->resolver = resolver_create(loop, config->log);
    client->share = curl_share_init();
    client->trusts = trust_store_create();
    ok = ok && client->trusts != NULL && client->ca_bundle != NULL && client->user_agent != NULL &&
         client->resolver != NULL && client->share != NULL && proxy_settings_init(&client->proxies) == 0;
    /* One thread uses it: no lock functions needed. A curl without TLS refuses, and needs none. */
    if (ok)
        (void)curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    const struct curl_loop_config loop_config = {
        .max_connections = config->max_connections != 0 ? config->max_connections : DEFAULT_CONNECTIONS,
        .after = client_after_curl,
        .heard = http_socket_heard,
        .keeps = http_socket_keeps,
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
    if (client != NULL)
        client_free(client);
    return NULL;
}

const char *http_client_ca_file(const struct http_client *client)
{
    return ca_bundle_path(client->ca_bundle, /* extra= */ NULL, uv_now(client->loop), NULL);
}

void http_client_destroy(struct http_client *client)
{
    if (client == NULL)
        return;
    assert(!client->destroyed);
    client->destroyed = true;
    if (!client->delivering)
        client_free(client);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    return response->fields != NULL ? header_fields_get(response->fields, name) : NULL;
}
