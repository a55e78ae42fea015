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
    DEFAULT_CONNECTIONS_PER_HOST = 32,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_RESPONSE_BYTES = 4 * 1024 * 1024,
    BODY_RESERVE_MAX = 64 * 1024, /* reserved on a server's word about the length; more only as it arrives */
    HEADER_FIELDS_MAX = 128,      /* real services send about 20 */
    HEADER_BYTES_MAX = 64 * 1024, /* of all lines together */
};

static void on_lookup(const char *addresses, const char *reason, void *arg);
static int call_go(struct http_call *call, struct error **err);

static bool same_server(const struct http_call *a, const struct http_call *b)
{
    return a->target.port == b->target.port && strcasecmp(a->target.host, b->target.host) == 0;
}

/* Whether the call has to wait for another one that is just making the first connection to its server. If
 * there is none, the call itself is that one. */
static bool has_to_wait(struct http_call *call)
{
    struct http_client *client = call->client;
    if (!call->target.tls || call->opens || call->waited ||
        origin_book_lookup(client->origins, call->target.host, call->target.port) != -1)
        return false;
    for (struct list *link = client->calls.next; link != &client->calls; link = link->next) {
        const struct http_call *other = container_of(link, struct http_call, link);
        if (other->opens && same_server(other, call))
            return true;
    }
    call->opens = true;
    return false;
}

/* The first connection stands, or will not be made: lets those go on that wait for it. */
static void release_waiting(struct http_call *call)
{
    struct list *calls = &call->client->calls;
    call->opens = false;
    for (struct list *link = calls->next; link != calls; link = link->next) {
        const struct http_call *other = container_of(link, struct http_call, link);
        if (other->state == CALL_WAIT && same_server(other, call))
            loop_timer_start(other->timer, 0);
    }
}

/* Parts a call from its client, which may be destroyed from here on. Not inside curl. */
static void call_detach(struct http_call *call)
{
    assert(!curl_loop_inside(call->client->curl));
    resolver_cancel(&call->lookup);
    loop_timer_destroy(call->timer);
    if (call->state == CALL_TRANSFER)
        curl_loop_remove(call->client->curl, call->easy);
    if (call->opens)
        release_waiting(call);
    list_remove(&call->link);
    if (call->easy != NULL)
        (void)curl_easy_setopt(call->easy, CURLOPT_SHARE, NULL);
    trust_release(call->trust);
}

/* Frees a detached call. */
static void call_free(struct http_call *call)
{
    http_call_release(call);
    buffer_finish(&call->response.body);
    free(call);
}

static void call_deliver(struct http_call *call, enum http_hop hop, const struct error *error)
{
    call_detach(call);
    call->response.transfer = call->easy;
    call->callback(error == NULL ? &call->response : NULL, hop, error, call->arg);
    call_free(call);
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
    uint64_t now = uv_now(call->client->loop);
    if (call->state != CALL_TRANSFER)
        wake = min_ms(wake, connect_deadline(call));
    loop_timer_start(call->timer, wake > now ? wake - now : 0);
}

static void on_call_timer(void *arg)
{
    struct http_call *call = arg;
    uint64_t now = uv_now(call->client->loop);
    cleanup_error struct error *error = NULL;
    enum http_hop hop = HTTP_HOP_TIMEOUT;
    if (call->state == CALL_LOOKUP && now >= min_ms(call->deadline_ms, connect_deadline(call))) {
        bool deadline = call->deadline_ms <= connect_deadline(call);
        (void)error_set(&error, deadline ? GRPC_STATUS_DEADLINE_EXCEEDED : GRPC_STATUS_UNAVAILABLE,
                        "DNS lookup of '%s' failed: no response within %" PRIu64 " ms",
                        call->target.peer_host, deadline ? call->timeout_ms : call->connect_ms);
        hop = HTTP_HOP_DNS;
    } else if (now >= call->deadline_ms) {
        hop = http_call_timed_out(call, &error);
    } else if (call->state == CALL_WAIT) {
        call->waited = true;
        if (call_go(call, &error) == 0)
            return;
        hop = HTTP_HOP_NONE;
    } else {
        arm_timer(call);
        return;
    }
    call_deliver(call, hop, error);
}

/* The peer's address is known: hands the call to curl, or leaves it in WAIT. */
static int call_go(struct http_call *call, struct error **err)
{
    struct http_client *client = call->client;
    if (has_to_wait(call)) {
        call->state = CALL_WAIT;
        arm_timer(call);
        return 0;
    }
    uint64_t now = uv_now(client->loop);
    uint64_t end = connect_deadline(call);
    bool multiplexes = origin_book_lookup(client->origins, call->target.host, call->target.port) == 1;
    http_call_set_connecting(call, end > now ? end - now : 1, call->target.tls && multiplexes);
    if (curl_loop_add(client->curl, call->easy, err) < 0)
        return -1;
    call->state = CALL_TRANSFER;
    arm_timer(call);
    return 0;
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
    assert(!client->destroyed && !curl_loop_inside(client->curl));
    struct http_call *call = calloc(1, sizeof(*call));
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
        .start_ms = uv_now(client->loop),
        .timeout_ms = request->timeout_ms,
        .deadline_ms = add_ms(uv_now(client->loop), request->timeout_ms),
        .connect_ms = client->connect_ms,
    };
    buffer_init(&call->response.body,
                request->max_response_bytes != 0 ? request->max_response_bytes : DEFAULT_RESPONSE_BYTES);
    list_init(&call->link);
    list_insert_before(&client->calls, &call->link);
    call->timer = loop_timer_create(client->loop, on_call_timer, call, err);
    if (call->timer == NULL || http_call_setup(call, request, err) < 0 || call_begin(call, err) < 0) {
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
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0) { /* also after a 1xx response */
        long status = 0;
        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->response.status = (int)status;
        call->n_header_fields = 0;
        call->header_bytes = 0;
        return len;
    }
    call->n_header_fields++;
    call->header_bytes += len;
    if (call->n_header_fields <= HEADER_FIELDS_MAX && call->header_bytes <= HEADER_BYTES_MAX)
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
    struct http_client *client = call->client;
    call->result = result;
    put_on_one_line(call->curl_text);
    long made = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &made);
    call->response.new_connection = made > 0;
    call->response.duration_ns = uv_hrtime() - call->start_ns;
    long version = 0;
    if (result == CURLE_OK && call->target.tls &&
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
        resolver_doubt(call->client->resolver, call->target.peer_host);
    call_deliver(call, hop, error);
}

static void client_free(struct http_client *client)
{
    while (!list_empty(&client->calls)) {
        struct http_call *call = container_of(client->calls.next, struct http_call, link);
        http_call_cancel(&call);
    }
    curl_loop_destroy(client->curl);
    resolver_destroy(client->resolver);
    if (client->share != NULL)
        (void)curl_share_cleanup(client->share); /* after every handle and connection that used it */
    free(client->user_agent);
    ca_bundle_destroy(client->ca_bundle);
    proxy_settings_finish(&client->proxies);
    origin_book_destroy(client->origins);
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
    list_init(&client->calls);

    bool ok = true;
    const char *agent = config->user_agent != NULL ? config->user_agent : "secrets-store-csi";
    client->user_agent = strdup(agent);
    client->ca_bundle = ca_bundle_create(config->ca_file, config->ca_dir);
    client->origins = origin_book_create();
    client->resolver = resolver_create(loop, config->log);
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
    if (client != NULL)
        client_free(client);
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
    if (!client->delivering)
        client_free(client);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    struct curl_header *field = NULL;
    if (response->transfer == NULL ||
        curl_easy_header(response->transfer, name, 0, CURLH_HEADER, -1, &field) != CURLHE_OK)
        return NULL;
    if (field->amount > 1)
        (void)curl_easy_header(response->transfer, name, field->amount - 1, CURLH_HEADER, -1, &field);
    return field->value;
}
