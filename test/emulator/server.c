/*
 * server.c - see server.h. Life of a request:
 *
 *   HEADERS ──> BODY ──┬──────────────> responded
 *                      ├─> DELAYED ───> responded      (latency: parked until the time has come)
 *                      └─> HELD ──────> given up       (black hole: parked until woken)
 *
 * libmicrohttpd calls on_request() for each step, always from the thread that owns the connection.
 */
#include "test/emulator/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/emulator/counters.h"
#include "test/emulator/memory.h"

enum {
    TLS_THREADS = 2,
    MAX_CONNECTIONS = 16384,
    CONNECTION_MEMORY = 48 * 1024, /* headers of one request: an access token has about 1 KiB */
    LISTEN_BACKLOG = 4096,
    STREAM_BLOCK = 64 * 1024,
};

struct server {
    struct MHD_Daemon *tls;
    struct MHD_Daemon *control;
    struct MHD_Daemon *node;
};

static const struct {
    const char *name;
    void (*serve)(struct emulator *emulator, struct request *request, struct response *response);
    void (*error_body)(struct emulator *emulator, unsigned status, struct response *response);
} services[SERVICE_COUNT] = {
    [SERVICE_NONE] = {"unknown", NULL, NULL},
    [SERVICE_ENTRA] = {"entra", entra_serve, entra_error_body},
    [SERVICE_VAULT] = {"vault", keyvault_serve, keyvault_error_body},
    [SERVICE_KUBE] = {"kube", kube_serve, kube_error_body},
    [SERVICE_IMDS] = {"imds", imds_serve, imds_error_body},
    [SERVICE_NMI] = {"nmi", nmi_serve, nmi_error_body},
    [SERVICE_TOKEN_PROXY] = {"token-proxy", entra_serve, entra_error_body},
    [SERVICE_CONTROL] = {"control", control_serve, NULL},
};

const char *service_name(enum service service)
{
    return services[service].name;
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_bearer_token(const struct request *request)
{
    const char *value = request_header(request, "Authorization");
    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    value += 7 + strspn(value + 7, " ");
    return *value == '\0' ? NULL : value;
}

bool request_is(const struct request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

cJSON *request_json(const struct request *request)
{
    cJSON *json = cJSON_ParseWithLength(request->body.bytes, request->body.len);
    if (cJSON_IsObject(json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* ---- from the request to its service ---- */

/* "login.cloud.test" becomes "login.localhost" when `domain` is "cloud.test". */
static void use_own_domain(char host[static MAX_HOST_BYTES], const char *domain)
{
    static const char own[] = "localhost";
    size_t len = strlen(host);
    size_t domain_len = strlen(domain);
    if (!ends_with(host, domain) || len == domain_len || host[len - domain_len - 1] != '.' ||
        len - domain_len + sizeof(own) > MAX_HOST_BYTES)
        return;
    memcpy(host + len - domain_len, own, sizeof(own));
}

static enum service service_of_host(const char *host)
{
    if (strcmp(host, LOGIN_HOST) == 0 || strcmp(host, REMOTE_LOGIN_HOST) == 0 ||
        strcmp(host, DISCOVERY_HOST) == 0)
        return SERVICE_ENTRA;
    if (ends_with(host, "." VAULT_SUFFIX) || ends_with(host, "." HSM_SUFFIX) ||
        ends_with(host, "." REMOTE_VAULT_SUFFIX))
        return SERVICE_VAULT;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 || starts_with(host, "kubernetes"))
        return SERVICE_KUBE;
    return SERVICE_NONE;
}

/* Only the TLS server name distinguishes AKS' token proxy; the Host header is that of the API server. */
static void identify_by_sni(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info != NULL && info->tls_session != NULL && tls_server_name_is(info->tls_session, TOKEN_PROXY_SNI))
        request->service = SERVICE_TOKEN_PROXY;
}

static void identify(struct request *request)
{
    if (request->service == SERVICE_NONE)
        identify_by_sni(request);
    const char *host = request_header(request, "Host");
    if (host == NULL || !lower_into(host, request->host, sizeof(request->host)))
        request->host[0] = '\0';
    request->host[strcspn(request->host, ":")] = '\0';
    use_own_domain(request->host, request->emulator->domain);
    if (request->service == SERVICE_NONE)
        request->service = service_of_host(request->host);
}

/* ---- faults that shape the body while it is sent ---- */

/* The first `send_len` bytes of a body; then the end, or a broken connection if the length announced was
 * greater. */
struct shaped_body {
    struct response_stream stream;
    struct parking *parking;
    struct MHD_Connection *connection;
    struct parked parked;
    char *bytes; /* owned */
    size_t send_len;
    size_t sent;
    unsigned drip_ms; /* 0 = as fast as possible */
};

static ssize_t shaped_body_read(struct response_stream *stream, char *buffer, size_t size)
{
    struct shaped_body *body = (struct shaped_body *)(void *)stream;
    if (body->sent == body->send_len || body->parked.hung_up)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (body->drip_ms == 0) {
        size_t n = body->send_len - body->sent < size ? body->send_len - body->sent : size;
        memcpy(buffer, body->bytes + body->sent, n);
        body->sent += n;
        return (ssize_t)n;
    }
    uint64_t now = monotonic_ns();
    if (body->parked.deadline_ns == 0 || now < body->parked.deadline_ns) {
        if (!parking_park(body->parking, &body->parked, body->connection,
                          now + body->drip_ms * UINT64_C(1000000), true))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        return 0;
    }
    body->parked.deadline_ns = 0; /* the next byte waits again */
    buffer[0] = body->bytes[body->sent++];
    return 1;
}

static void shaped_body_release(struct response_stream *stream)
{
    struct shaped_body *body = (struct shaped_body *)(void *)stream;
    free(body->bytes);
    free(body);
}

/* Turns the response's body into a stream; returns the length to announce. */
static uint64_t shape_body(struct request *request, struct response *response)
{
    struct shaped_body *body = xcalloc(1, sizeof(*body));
    uint64_t announced = response->body_len;
    body->stream.read = shaped_body_read;
    body->stream.release = shaped_body_release;
    body->parking = request->emulator->parking;
    body->connection = request->connection;
    body->send_len = request->fault.kind == FAULT_TRUNCATE ? response->body_len / 2 : response->body_len;
    body->drip_ms = request->fault.kind == FAULT_DRIP ? request->fault.drip_ms : 0;
    body->bytes = response->body;
    response->body = NULL;
    response->body_len = 0;
    response->stream = &body->stream;
    return announced;
}

/* Sends RST now: disconnecting a connected TCP socket does that on Linux, while SO_LINGER would come after
 * TLS's good-bye. */
static void reset_connection(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (info != NULL)
        (void)connect(info->connect_fd, &nowhere, sizeof(nowhere));
}

/* ---- responding ---- */

static ssize_t stream_read(void *arg, uint64_t position, char *buffer, size_t size)
{
    struct response_stream *stream = arg;
    (void)position; /* streams know where they are */
    return stream->read(stream, buffer, size);
}

static void stream_release(void *arg)
{
    struct response_stream *stream = arg;
    stream->release(stream);
}

static enum MHD_Result queue(struct request *request, struct response *response)
{
    struct MHD_Response *mhd_response;
    enum fault_kind fault = request->fault.kind;
    uint64_t announced = MHD_SIZE_UNKNOWN;
    if (response->stream == NULL && response->body_len > 0 &&
        (fault == FAULT_TRUNCATE || fault == FAULT_DRIP))
        announced = shape_body(request, response);
    if (response->stream != NULL)
        mhd_response = MHD_create_response_from_callback(announced, STREAM_BLOCK, stream_read,
                                                         response->stream, stream_release);
    else
        mhd_response =
            MHD_create_response_from_buffer(response->body_len, response->body, MHD_RESPMEM_MUST_FREE);
    if (mhd_response == NULL) {
        response_finish(response);
        return MHD_NO;
    }
    response->stream = NULL; /* both belong to mhd_response now */
    response->body = NULL;
    for (size_t i = 0; i < response->n_headers; i++)
        (void)MHD_add_response_header(mhd_response, response->headers[i].name, response->headers[i].value);
    enum MHD_Result result = MHD_queue_response(request->connection, response->status, mhd_response);
    MHD_destroy_response(mhd_response);
    return result;
}

static const char *const retry_headers[RETRY_SPELLINGS] = {
    [RETRY_AFTER] = "Retry-After",
    [RETRY_AFTER_MS] = "retry-after-ms",
    [X_MS_RETRY_AFTER_MS] = "x-ms-retry-after-ms",
};

static void apply_fault(struct request *request, struct response *response)
{
    static const char garbage[] = "\x1f\x8b\x08<html>\xff\xfe not { json \"";
    struct fault_decision *fault = &request->fault;
    if (fault->kind == FAULT_GARBAGE) {
        response_copy(response, 200, garbage, sizeof(garbage) - 1);
        response_header_static(response, "Content-Type", "application/json");
    } else if (fault->kind == FAULT_STATUS) {
        if (services[request->service].error_body != NULL)
            services[request->service].error_body(request->emulator, fault->status, response);
        if (fault->body != NULL)
            response_copy(response, fault->status, fault->body, strlen(fault->body));
        response->status = fault->status;
        if (fault->retry_after >= 0)
            response_headerf(response, retry_headers[fault->retry_spelling], "%d", fault->retry_after);
    }
}

static enum MHD_Result respond(struct request *request)
{
    struct emulator *emulator = request->emulator;
    struct response response = {.status = 0, .route = "-"};
    enum fault_kind fault = request->fault.kind;
    request->state = REQUEST_DONE;

    (void)pthread_mutex_lock(&emulator->lock);
    if (fault == FAULT_GARBAGE || fault == FAULT_STATUS)
        apply_fault(request, &response);
    else if (fault != FAULT_CLOSE && fault != FAULT_RESET && services[request->service].serve != NULL)
        services[request->service].serve(emulator, request, &response);
    if (request->service != SERVICE_CONTROL)
        counters_request_done(emulator->counters, request, response.route, response.status);
    (void)pthread_mutex_unlock(&emulator->lock);

    if (emulator->verbose)
        (void)fprintf(stderr, "%s %s %s%s -> %u\n", service_name(request->service), request->method,
                      request->host, response.route, response.status);
    if (fault == FAULT_RESET)
        reset_connection(request->connection);
    if (response.status == 0) {
        response_finish(&response);
        return MHD_NO;
    }
    return queue(request, &response);
}

static enum MHD_Result hold(struct request *request, enum request_state next_state, uint64_t deadline_ns)
{
    request->state = next_state;
    return parking_park(request->emulator->parking, &request->parked, request->connection, deadline_ns, false)
               ? MHD_YES
               : MHD_NO;
}

static enum MHD_Result request_complete(struct request *request)
{
    struct emulator *emulator = request->emulator;
    identify(request);
    if (url_parse(&request->url, request->target) != 0) {
        request->fault = (struct fault_decision){.kind = FAULT_STATUS, .status = 400, .retry_after = -1};
        return respond(request);
    }
    if (request->body_too_large) {
        request->fault = (struct fault_decision){.kind = FAULT_STATUS, .status = 413, .retry_after = -1};
        return respond(request);
    }
    if (request->service == SERVICE_CONTROL)
        return respond(request);

    (void)pthread_mutex_lock(&emulator->lock);
    request->fault = faults_decide(emulator->faults, service_name(request->service), request->method,
                                   request->host, request->target);
    (void)pthread_mutex_unlock(&emulator->lock);
    uint64_t latency_ms = request->fault.latency_ms;
    if (request->fault.kind == FAULT_BLACKHOLE)
        return hold(request, REQUEST_HELD, 0);
    if (latency_ms > 0)
        return hold(request, REQUEST_DELAYED, monotonic_ns() + latency_ms * 1000000U);
    return respond(request);
}

/* A held request has been woken: nothing will ever be said. */
static enum MHD_Result give_up(struct request *request)
{
    struct emulator *emulator = request->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    counters_request_done(emulator->counters, request, "-", 0);
    (void)pthread_mutex_unlock(&emulator->lock);
    return MHD_NO;
}

/* ---- libmicrohttpd's callbacks ---- */

static struct request *request_create(struct emulator *emulator, const char *target,
                                      struct MHD_Connection *connection, enum service service)
{
    struct request *request = xcalloc(1, sizeof(*request));
    request->emulator = emulator;
    request->connection = connection;
    request->service = service;
    request->target = xstrdup(target);
    request->started_unix = unix_now_precise();
    request->parked.fd = -1;
    return request;
}

/* The first sight of a request; what is returned becomes *context below. */
static void *on_tls_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct emulator *emulator = arg;
    (void)pthread_mutex_lock(&emulator->lock);
    counters_request_arrived(emulator->counters);
    (void)pthread_mutex_unlock(&emulator->lock);
    return request_create(emulator, target, connection, SERVICE_NONE);
}

/* The path decides: both services have one port here, at the address of the node. */
static void *on_node_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct emulator *emulator = arg;
    (void)pthread_mutex_lock(&emulator->lock);
    counters_request_arrived(emulator->counters);
    (void)pthread_mutex_unlock(&emulator->lock);
    return request_create(emulator, target, connection,
                          starts_with(target, "/host/") ? SERVICE_NMI : SERVICE_IMDS);
}

static void *on_control_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    return request_create(arg, target, connection, SERVICE_CONTROL);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct emulator *emulator = arg;
    struct request *request = *context;
    (void)connection;
    (void)why;
    if (request == NULL)
        return;
    if (request->service != SERVICE_CONTROL) {
        (void)pthread_mutex_lock(&emulator->lock);
        counters_request_ended(emulator->counters);
        (void)pthread_mutex_unlock(&emulator->lock);
    }
    free(request->target);
    url_finish(&request->url);
    text_finish(&request->body);
    free(request->fault.body);
    free(request);
    *context = NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct request *request = *context;
    (void)arg;
    (void)connection;
    (void)url; /* decoded too early for us: see url.h */
    (void)version;
    switch (request->state) {
    case REQUEST_HEADERS:
        (void)snprintf(request->method, sizeof(request->method), "%s", method);
        request->state = REQUEST_BODY;
        return MHD_YES;
    case REQUEST_BODY:
        if (*upload_len == 0)
            return request_complete(request);
        if (request->body.len + *upload_len > MAX_BODY_BYTES)
            request->body_too_large = true;
        else
            text_append_bytes(&request->body, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    case REQUEST_DELAYED:
        return respond(request);
    case REQUEST_HELD:
        return give_up(request);
    case REQUEST_DONE:
        break;
    }
    return MHD_NO;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct emulator *emulator = arg;
    (void)connection;
    (void)context;
    counters_connection(emulator->counters, what == MHD_CONNECTION_NOTIFY_STARTED);
}

static void on_log(void *arg, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void on_log(void *arg, const char *format, va_list args)
{
    const struct emulator *emulator = arg;
    if (emulator->verbose)
        (void)vfprintf(stderr, format, args);
}

/* ---- start and stop ---- */

int server_listen(const char *address_text, unsigned short port, unsigned short *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t address_len = sizeof(address);
    int on = 1;
    if (inet_pton(AF_INET, address_text, &address.sin_addr) != 1) {
        (void)fprintf(stderr, "vault-emulator: --address: '%s' is no IPv4 address\n", address_text);
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, address_len) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_len) != 0) {
        perror("vault-emulator: cannot listen");
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

struct server *server_start(struct emulator *emulator, const int fds[static SERVER_PORTS],
                            const struct tls_identity *identity)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct server *server = xcalloc(1, sizeof(*server));
    server->tls = MHD_start_daemon(
        flags | MHD_USE_TLS, 0, NULL, NULL, on_request, emulator, MHD_OPTION_EXTERNAL_LOGGER, on_log,
        emulator, MHD_OPTION_LISTEN_SOCKET, fds[0], MHD_OPTION_HTTPS_MEM_KEY, identity->key_pem,
        MHD_OPTION_HTTPS_MEM_CERT, identity->certificate_pem, MHD_OPTION_HTTPS_PRIORITIES,
        emulator->tls12 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2",
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)TLS_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_URI_LOG_CALLBACK, on_tls_target, emulator, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        emulator, MHD_OPTION_NOTIFY_CONNECTION, on_connection, emulator, MHD_OPTION_END);
    server->control = MHD_start_daemon(flags, 0, NULL, NULL, on_request, emulator, MHD_OPTION_EXTERNAL_LOGGER,
                                       on_log, emulator, MHD_OPTION_LISTEN_SOCKET, fds[1],
                                       MHD_OPTION_URI_LOG_CALLBACK, on_control_target, emulator,
                                       MHD_OPTION_NOTIFY_COMPLETED, on_completed, emulator, MHD_OPTION_END);
    server->node = MHD_start_daemon(flags, 0, NULL, NULL, on_request, emulator, MHD_OPTION_EXTERNAL_LOGGER,
                                    on_log, emulator, MHD_OPTION_LISTEN_SOCKET, fds[2],
                                    MHD_OPTION_URI_LOG_CALLBACK, on_node_target, emulator,
                                    MHD_OPTION_NOTIFY_COMPLETED, on_completed, emulator, MHD_OPTION_END);
    if (server->tls != NULL && server->control != NULL && server->node != NULL)
        return server;
    (void)fprintf(stderr, "vault-emulator: cannot start the HTTP daemons\n");
    server_stop(server);
    return NULL;
}

void server_stop(struct server *server)
{
    if (server->tls != NULL)
        MHD_stop_daemon(server->tls);
    if (server->control != NULL)
        MHD_stop_daemon(server->control);
    if (server->node != NULL)
        MHD_stop_daemon(server->node);
    free(server);
}
