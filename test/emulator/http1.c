/*
 * http1.c - see http1.h. Life of a request:
 *
 *   HEADERS ──> BODY ──┬──────────────> responded
 *                      ├─> DELAYED ───> responded      (latency: parked until the time has come)
 *                      └─> HELD ──────> given up       (black hole: parked until woken)
 *
 * libmicrohttpd calls on_request() for each step, always from the thread that owns the connection.
 */
#include "test/emulator/http1.h"

#include <microhttpd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/emulator/counters.h"
#include "test/emulator/exchange.h"
#include "test/emulator/memory.h"

enum {
    TLS_THREADS = 2,
    MAX_CONNECTIONS = 16384,
    CONNECTION_MEMORY = 48 * 1024, /* headers of one request: an access token has about 1 KiB */
    STREAM_BLOCK = 64 * 1024,
};

struct http1 {
    struct emulator *emulator;
    struct tls_server *tls_server;
    struct MHD_Daemon *tls;
    struct MHD_Daemon *control;
    struct MHD_Daemon *node;
};

enum request_state { REQUEST_HEADERS, REQUEST_BODY, REQUEST_DELAYED, REQUEST_HELD, REQUEST_DONE };

struct http1_request {
    struct request request; /* first: a pointer to it is one to the whole */
    struct MHD_Connection *connection;
    enum request_state state;
    struct parked parked;
};

static const char *find_header(const struct request *request, const char *name)
{
    const struct http1_request *self = (const struct http1_request *)(const void *)request;
    return MHD_lookup_connection_value(self->connection, MHD_HEADER_KIND, name);
}

/* NULL on the ports without TLS. */
static void *tls_session_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info != NULL ? info->tls_session : NULL;
}

static bool server_name_is(const struct request *request, const char *name)
{
    const struct http1_request *self = (const struct http1_request *)(const void *)request;
    void *session = tls_session_of(self->connection);
    return session != NULL && tls_server_name_is(session, name);
}

static const struct transport transport = {"http/1.1", find_header, server_name_is};

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

/* ---- faults that shape the body while it is sent ---- */

/* The first `send_len` bytes of a body; then the end, or a broken connection if the length announced was
 * greater. */
struct shaped_body {
    struct parking *parking;
    struct MHD_Connection *connection;
    struct parked parked;
    char *bytes; /* owned */
    size_t send_len;
    size_t sent;
    unsigned drip_ms; /* 0 = as fast as possible */
};

static ssize_t shaped_body_read(void *arg, uint64_t position, char *buffer, size_t size)
{
    struct shaped_body *body = arg;
    (void)position;
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

static void shaped_body_release(void *arg)
{
    struct shaped_body *body = arg;
    free(body->bytes);
    free(body);
}

/* Takes the response's body. */
static struct MHD_Response *shape_body(struct http1_request *self, struct response *response)
{
    const struct request *request = &self->request;
    struct shaped_body *body = xcalloc(1, sizeof(*body));
    *body = (struct shaped_body){
        .parking = request->emulator->parking,
        .connection = self->connection,
        .bytes = response->body,
        .send_len = request->fault.kind == FAULT_TRUNCATE ? response->body_len / 2 : response->body_len,
        .drip_ms = request->fault.kind == FAULT_DRIP ? request->fault.drip_ms : 0,
    };
    response->body = NULL;
    return MHD_create_response_from_callback(response->body_len, STREAM_BLOCK, shaped_body_read, body,
                                             shaped_body_release);
}

/* Sends RST now: disconnecting a connected TCP socket does that on Linux, while SO_LINGER would come after
 * TLS's good-bye. */
static void reset_connection(struct MHD_Connection *connection)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)connect(socket_of(connection), &nowhere, sizeof(nowhere));
}

/* ---- responding ---- */

static enum MHD_Result queue(struct http1_request *self, struct response *response)
{
    struct MHD_Response *mhd_response;
    enum fault_kind fault = self->request.fault.kind;
    if (response->body_len > 0 && (fault == FAULT_TRUNCATE || fault == FAULT_DRIP))
        mhd_response = shape_body(self, response);
    else
        mhd_response =
            MHD_create_response_from_buffer(response->body_len, response->body, MHD_RESPMEM_MUST_FREE);
    if (mhd_response == NULL) {
        response_finish(response);
        return MHD_NO;
    }
    response->body = NULL; /* belongs to mhd_response now */
    for (size_t i = 0; i < response->n_headers; i++)
        (void)MHD_add_response_header(mhd_response, response->headers[i].name, response->headers[i].value);
    enum MHD_Result result = MHD_queue_response(self->connection, response->status, mhd_response);
    MHD_destroy_response(mhd_response);
    return result;
}

static enum MHD_Result hold(struct http1_request *self, enum request_state next_state, uint64_t deadline_ns)
{
    self->state = next_state;
    return parking_park(self->request.emulator->parking, &self->parked, self->connection, deadline_ns, false)
               ? MHD_YES
               : MHD_NO;
}

static enum MHD_Result respond(struct http1_request *self)
{
    struct response response = {.status = 0};
    self->state = REQUEST_DONE;
    if (!exchange_respond(&self->request, &response))
        return hold(self, REQUEST_HELD, 0);
    if (self->request.fault.kind == FAULT_RESET)
        reset_connection(self->connection);
    if (response.status == 0) {
        response_finish(&response);
        return MHD_NO;
    }
    return queue(self, &response);
}

static enum MHD_Result request_complete(struct http1_request *self)
{
    uint64_t deadline_ns;
    switch (exchange_complete(&self->request, &deadline_ns)) {
    case EXCHANGE_NEVER:
        return hold(self, REQUEST_HELD, 0);
    case EXCHANGE_LATER:
        return hold(self, REQUEST_DELAYED, deadline_ns);
    case EXCHANGE_NOW:
        break;
    }
    return respond(self);
}

/* ---- libmicrohttpd's callbacks ---- */

static void note_resumption(struct request *request, struct MHD_Connection *connection)
{
    void *session = tls_session_of(connection);
    if (session != NULL && request->connection->requests == 0)
        request->connection->resumed = tls_is_resumed(session);
}

static void *request_create(struct emulator *emulator, const char *target, struct MHD_Connection *connection,
                            enum service service)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http1_request *self = xcalloc(1, sizeof(*self));
    self->connection = connection;
    self->parked.fd = -1;
    self->request.emulator = emulator;
    self->request.transport = &transport;
    self->request.service = service;
    self->request.connection = info != NULL ? info->socket_context : NULL;
    note_resumption(&self->request, connection);
    exchange_begin(&self->request, target);
    return self;
}

/* The first sight of a request; what is returned becomes *context below. */
static void *on_tls_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    return request_create(arg, target, connection, SERVICE_NONE);
}

/* The path decides: both services have one port here, at the address of the node. */
static void *on_node_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    return request_create(arg, target, connection,
                          starts_with(target, "/host/") ? SERVICE_NMI : SERVICE_IMDS);
}

static void *on_control_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    return request_create(arg, target, connection, SERVICE_CONTROL);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct http1_request *self = *context;
    (void)arg;
    if (self == NULL)
        return;
    if (self->request.fault.kind == FAULT_CLOSE_AFTER && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        (void)shutdown(socket_of(connection), SHUT_RDWR);
    exchange_end(&self->request);
    free(self);
    *context = NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct http1_request *self = *context;
    (void)arg;
    (void)connection;
    (void)url; /* decoded too early for us: see url.h */
    (void)version;
    switch (self->state) {
    case REQUEST_HEADERS:
        (void)snprintf(self->request.method, sizeof(self->request.method), "%s", method);
        self->state = REQUEST_BODY;
        return MHD_YES;
    case REQUEST_BODY:
        if (*upload_len == 0)
            return request_complete(self);
        exchange_body(&self->request, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    case REQUEST_DELAYED:
        return respond(self);
    case REQUEST_HELD:
        exchange_give_up(&self->request); /* woken: nothing will ever be sent */
        return MHD_NO;
    case REQUEST_DONE:
        break;
    }
    return MHD_NO;
}

static void on_connection(struct http1 *http1, const char *port, struct MHD_Connection *connection,
                          void **context, enum MHD_ConnectionNotificationCode what)
{
    struct emulator *emulator = http1->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *context = connections_add(emulator->connections, port, transport.protocol, socket_of(connection));
    else
        connections_remove(emulator->connections, *context);
    (void)pthread_mutex_unlock(&emulator->lock);
}

static void on_tls_connection(void *arg, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode what)
{
    struct http1 *http1 = arg;
    counters_connection(http1->emulator->counters, what == MHD_CONNECTION_NOTIFY_STARTED);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) /* before the handshake */
        tls_server_allow_resumption(http1->tls_server, tls_session_of(connection));
    on_connection(http1, "tls", connection, context, what);
}

static void on_node_connection(void *arg, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode what)
{
    on_connection(arg, "node", connection, context, what);
}

static void on_log(void *arg, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void on_log(void *arg, const char *format, va_list args)
{
    const struct emulator *emulator = arg;
    if (emulator->verbose)
        (void)vfprintf(stderr, format, args);
}

/* ---- start and stop ---- */

struct http1 *http1_start(struct emulator *emulator, int control_fd, int node_fd,
                          const struct tls_identity *identity, struct tls_server *tls_server)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct http1 *http1 = xcalloc(1, sizeof(*http1));
    http1->emulator = emulator;
    http1->tls_server = tls_server;
    http1->tls = MHD_start_daemon(
        flags | MHD_USE_TLS | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, emulator,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, emulator, MHD_OPTION_HTTPS_MEM_KEY, identity->key_pem,
        MHD_OPTION_HTTPS_MEM_CERT, identity->certificate_pem, MHD_OPTION_HTTPS_PRIORITIES,
        tls_server_priorities(emulator->tls12), MHD_OPTION_THREAD_POOL_SIZE, (unsigned)TLS_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_URI_LOG_CALLBACK, on_tls_target, emulator,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, emulator, MHD_OPTION_NOTIFY_CONNECTION, on_tls_connection,
        http1, MHD_OPTION_END);
    http1->control = MHD_start_daemon(flags, 0, NULL, NULL, on_request, emulator, MHD_OPTION_EXTERNAL_LOGGER,
                                      on_log, emulator, MHD_OPTION_LISTEN_SOCKET, control_fd,
                                      MHD_OPTION_URI_LOG_CALLBACK, on_control_target, emulator,
                                      MHD_OPTION_NOTIFY_COMPLETED, on_completed, emulator, MHD_OPTION_END);
    http1->node =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, emulator, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                         emulator, MHD_OPTION_LISTEN_SOCKET, node_fd, MHD_OPTION_URI_LOG_CALLBACK,
                         on_node_target, emulator, MHD_OPTION_NOTIFY_COMPLETED, on_completed, emulator,
                         MHD_OPTION_NOTIFY_CONNECTION, on_node_connection, http1, MHD_OPTION_END);
    if (http1->tls != NULL && http1->control != NULL && http1->node != NULL)
        return http1;
    (void)fprintf(stderr, "vault-emulator: cannot start the HTTP daemons\n");
    http1_stop(http1);
    return NULL;
}

void http1_add_tls(struct http1 *http1, int fd)
{
    struct sockaddr_storage address;
    socklen_t address_len = sizeof(address);
    if (getpeername(fd, (struct sockaddr *)&address, &address_len) != 0)
        (void)close(fd); /* the client has gone */
    else                 /* closes it when it fails */
        (void)MHD_add_connection(http1->tls, fd, (struct sockaddr *)&address, address_len);
}

void http1_stop(struct http1 *http1)
{
    if (http1->tls != NULL)
        MHD_stop_daemon(http1->tls);
    if (http1->control != NULL)
        MHD_stop_daemon(http1->control);
    if (http1->node != NULL)
        MHD_stop_daemon(http1->node);
    free(http1);
}
