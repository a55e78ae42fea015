/*
 * admin_server.c - the metrics and health listener: libmicrohttpd without threads, driven by the libuv loop.
 *
 * One libmicrohttpd daemon per listening address. Its epoll descriptor is itself pollable, so one uv_poll and
 * one timer drive it. A request whose handler has not replied yet is a suspended connection, which
 * libmicrohttpd leaves alone until it is resumed.
 *
 * libmicrohttpd only knows a limit for silence. A peer that sends a byte now and then could hold a connection
 * for ever, so each connection also has a time by which its request must have been read; a sweep shuts the
 * late ones down.
 *
 * Strangers may open connections and leave them: above MAX_CONNECTIONS one is shed for each new one, so that
 * a probe is always served: one of the address that has the most, an idle one if it has any, the oldest
 * first. libmicrohttpd's own limit is higher: at it libmicrohttpd stops to accept, and needs another
 * MHD_run() after a connection has ended to begin again.
 */
#include "common/http/admin_server.h"

#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/http/listen_socket.h"
#include "common/process/loop_timer.h"

enum {
    HEADER_MAX_BYTES = 8 * 1024,
    /* libmicrohttpd keeps request line, headers and its own response header of a connection in one pool. */
    CONNECTION_POOL_BYTES = HEADER_MAX_BYTES + 1024,
    MAX_CONNECTIONS = 32, /* per listening address; Prometheus and the kubelet hold one or two */
    /* With those that are shed but not closed yet, all that the backlog can bring in one turn. */
    HARD_MAX_CONNECTIONS = 128,
    REQUEST_TIMEOUT_S = 10,
    REQUEST_TIMEOUT_MS = REQUEST_TIMEOUT_S * 1000,
    MAX_ROUTES = 16,
    SWEEP_MS = 1000,
};

struct route {
    char *path;
    admin_handler *handler;
    void *arg;
};

/* One TCP connection; libmicrohttpd keeps the pointer. */
struct admin_connection {
    struct list link;
    int fd;
    struct in6_addr peer; /* IPv4 as ::ffff:0:0/96 */
    bool shed;            /* shut down, libmicrohttpd is about to close it */
    uint64_t read_by_ms;  /* loop time; 0 = the request has been read */
};

struct admin_listener {
    struct list link;
    struct admin_server *server;
    struct MHD_Daemon *daemon;
    struct list connections;  /* the oldest first */
    unsigned n_connections;   /* without those that are shed */
    bool has_closed;          /* a connection has ended since the last MHD_run() began */
    uv_poll_t poll;           /* the struct is freed when it is closed */
    struct loop_timer *timer; /* libmicrohttpd's own timeouts */
    struct loop_timer *sweep; /* late requests; runs only while there are connections */
    bool running;             /* MHD_run() is on the stack */
};

struct admin_request {
    struct list link; /* on the server's list */
    struct admin_listener *listener;
    struct MHD_Connection *connection; /* NULL once dropped */
    bool started;                      /* the handler has been called */
    bool replied;
    bool suspended;
    int status;
    char *content_type;
    void *body; /* malloc'ed; handed to libmicrohttpd */
    size_t len;
};

struct admin_server {
    uv_loop_t *loop;
    struct log *log;
    struct route routes[MAX_ROUTES];
    size_t n_routes;
    struct list listeners;
    struct list requests;
    unsigned port;
    bool destroyed;
};

static void drive(struct admin_listener *listener);
static void listener_free(struct admin_listener *listener);

static void server_free_if_unused(struct admin_server *server)
{
    if (!server->destroyed || !list_empty(&server->listeners))
        return;
    for (size_t i = 0; i < server->n_routes; i++)
        free(server->routes[i].path);
    free(server);
}

struct admin_server *admin_server_create(uv_loop_t *loop, struct log *log, struct error **err)
{
    struct admin_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        (void)error_no_memory(err, "the admin server");
        return NULL;
    }
    server->loop = loop;
    server->log = log;
    list_init(&server->listeners);
    list_init(&server->requests);
    return server;
}

void admin_server_add_route(struct admin_server *server, const char *path, admin_handler *handler, void *arg)
{
    assert(list_empty(&server->listeners) && server->n_routes < MAX_ROUTES);
    char *copy = strdup(path);
    if (copy == NULL)
        abort(); /* a few bytes at start */
    server->routes[server->n_routes++] = (struct route){.path = copy, .handler = handler, .arg = arg};
}

static void request_free(struct admin_request *request)
{
    free(request->content_type);
    free(request->body);
    free(request);
}

/* --- responses --- */

static enum MHD_Result queue(struct MHD_Connection *connection, int status, const char *content_type,
                             void *body, size_t len, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, body, mode);
    if (response == NULL)
        return MHD_NO; /* closes the connection */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result ret = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return ret;
}

static enum MHD_Result queue_text(struct MHD_Connection *connection, int status, const char *text)
{
    char copy[64];
    size_t len = strnlen(text, sizeof(copy));
    memcpy(copy, text, len);
    return queue(connection, status, "text/plain; charset=utf-8", copy, len, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result queue_reply(struct admin_request *request, struct MHD_Connection *connection)
{
    static char nothing[] = "";
    void *body = request->body;
    request->body = NULL;
    enum MHD_ResponseMemoryMode mode = body != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT;
    return queue(connection, request->status,
                 request->content_type != NULL ? request->content_type : "text/plain",
                 body != NULL ? body : nothing, request->len, mode);
}

static const struct route *find_route(const struct admin_server *server, const char *path)
{
    for (size_t i = 0; i < server->n_routes; i++) {
        if (strcmp(server->routes[i].path, path) == 0)
            return &server->routes[i];
    }
    return NULL;
}

/* The connection's own record, or NULL. */
static struct admin_connection *record_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

/* libmicrohttpd calls this when the header is read, again for each piece of a body and at its end, and after
 * a resume. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    (void)version;
    (void)upload;
    struct admin_listener *listener = arg;
    struct admin_server *server = listener->server;
    struct admin_request *request = *state;
    if (request == NULL) {
        bool allowed = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
        if (!allowed) /* responds before any body is read; the connection is closed then */
            return queue_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        request = calloc(1, sizeof(*request));
        if (request == NULL)
            return MHD_NO;
        request->listener = listener;
        request->connection = connection;
        list_init(&request->link);
        list_insert_before(&server->requests, &request->link);
        *state = request;
        return MHD_YES;
    }
    if (*upload_len > 0) { /* the body of a GET means nothing */
        *upload_len = 0;
        return MHD_YES;
    }
    if (request->replied)
        return queue_reply(request, connection);
    if (request->started)
        return MHD_YES;

    const struct route *route = find_route(server, url);
    if (route == NULL)
        return queue_text(connection, MHD_HTTP_NOT_FOUND, "not found\n");
    struct admin_connection *record = record_of(connection);
    if (record != NULL)
        record->read_by_ms = 0;
    request->started = true;
    route->handler(request, route->arg);
    if (request->replied)
        return queue_reply(request, connection);
    if (server->destroyed) /* by the handler: closed, and freed by the reply that is still to come */
        return MHD_NO;
    request->suspended = true;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

/* libmicrohttpd is done with a request, with or without a response. */
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct admin_listener *listener = arg;
    struct admin_request *request = *state;
    struct admin_connection *record = record_of(connection);
    if (record != NULL) /* the next request of a kept connection gets its own time */
        record->read_by_ms = uv_now(listener->server->loop) + REQUEST_TIMEOUT_MS;
    *state = NULL;
    if (request == NULL)
        return;
    list_remove(&request->link);
    request->connection = NULL;
    if (!request->started || request->replied)
        request_free(request); /* else the handler still holds it and frees it by replying */
}

static void on_sweep(void *arg)
{
    struct admin_listener *listener = arg;
    struct list *connections = &listener->connections;
    uint64_t now = uv_now(listener->server->loop);
    for (struct list *link = connections->next; link != connections; link = link->next) {
        const struct admin_connection *connection = container_of(link, struct admin_connection, link);
        if (connection->read_by_ms != 0 && now >= connection->read_by_ms)
            (void)shutdown(connection->fd, SHUT_RDWR); /* libmicrohttpd sees the end and cleans up */
    }
    if (list_empty(connections))
        loop_timer_stop(listener->sweep);
}

/* --- shedding --- */

static struct in6_addr address_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct in6_addr address = IN6ADDR_ANY_INIT;

    if (info == NULL || info->client_addr == NULL)
        return address;
    if (info->client_addr->sa_family == AF_INET6) {
        address = ((const struct sockaddr_in6 *)info->client_addr)->sin6_addr;
    } else if (info->client_addr->sa_family == AF_INET) {
        address.s6_addr[10] = address.s6_addr[11] = 0xFF;
        memcpy(address.s6_addr + 12, &((const struct sockaddr_in *)info->client_addr)->sin_addr, 4);
    }
    return address;
}

static unsigned count_of_peer(const struct admin_listener *listener, const struct in6_addr *peer)
{
    unsigned n = 0;

    for (struct list *link = listener->connections.next; link != &listener->connections; link = link->next) {
        const struct admin_connection *connection = container_of(link, struct admin_connection, link);

        n += !connection->shed && memcmp(&connection->peer, peer, sizeof(*peer)) == 0;
    }
    return n;
}

/* How much sooner than others is this connection to be shed? */
static unsigned shed_weight(const struct admin_listener *listener, const struct admin_connection *connection)
{
    return 2 * count_of_peer(listener, &connection->peer) + (connection->read_by_ms != 0 ? 1 : 0);
}

/* The newest connection stays: it is the one that wants to be served. */
static void shed_one(struct admin_listener *listener)
{
    struct admin_connection *victim = NULL;
    unsigned most = 0;

    for (struct list *link = listener->connections.next; link != listener->connections.prev;
         link = link->next) {
        struct admin_connection *connection = container_of(link, struct admin_connection, link);
        unsigned weight = connection->shed ? 0 : shed_weight(listener, connection);

        if (weight > most) {
            victim = connection;
            most = weight;
        }
    }
    if (victim == NULL)
        return;
    victim->shed = true;
    listener->n_connections--;
    (void)shutdown(victim->fd, SHUT_RDWR); /* libmicrohttpd sees the end and cleans up */
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct admin_listener *listener = arg;
    struct admin_connection *connection = *state;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        *state = NULL;
        listener->has_closed = true;
        if (connection == NULL)
            return;
        list_remove(&connection->link);
        listener->n_connections -= !connection->shed;
        free(connection);
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    connection = calloc(1, sizeof(*connection));
    if (connection == NULL || info == NULL) {
        free(connection);
        return; /* served without the extra limit */
    }
    connection->fd = info->connect_fd;
    connection->peer = address_of(mhd);
    connection->read_by_ms = uv_now(listener->server->loop) + REQUEST_TIMEOUT_MS;
    *state = connection;
    if (list_empty(&listener->connections))
        loop_timer_repeat(listener->sweep, SWEEP_MS);
    list_init(&connection->link);
    list_insert_before(&listener->connections, &connection->link);
    if (++listener->n_connections > MAX_CONNECTIONS)
        shed_one(listener);
}

/* --- driving libmicrohttpd --- */

static void on_timer(void *arg)
{
    drive(arg);
}

static void arm(struct admin_listener *listener)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    if (listener->has_closed)
        loop_timer_start(listener->timer, 0); /* libmicrohttpd may have to listen again */
    else if (MHD_get_timeout(listener->daemon, &ms) == MHD_YES)
        loop_timer_start(listener->timer, ms);
    else
        loop_timer_stop(listener->timer);
}

static void drive(struct admin_listener *listener)
{
    listener->running = true;
    listener->has_closed = false;
    (void)MHD_run(listener->daemon);
    listener->running = false;
    if (listener->server->destroyed) /* by a handler */
        return;
    arm(listener);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    drive(poll->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct admin_listener *listener = handle->data;
    struct admin_server *server = listener->server;
    MHD_stop_daemon(listener->daemon); /* closes the sockets and completes the requests */
    list_remove(&listener->link);
    listener_free(listener);
    server_free_if_unused(server);
}

void admin_request_reply(struct admin_request *request, int status, const char *content_type,
                         const void *body, size_t len)
{
    assert(!request->replied);
    if (request->connection == NULL) { /* dropped: the peer or the server is gone */
        request_free(request);
        return;
    }
    request->replied = true;
    request->status = status;
    request->content_type = strdup(content_type);
    request->body = len > 0 ? malloc(len) : NULL;
    if (request->body != NULL) {
        memcpy(request->body, body, len);
        request->len = len;
    } else if (len > 0) {
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    if (!request->suspended)
        return; /* called from inside the handler: on_request() goes on */
    request->suspended = false;
    MHD_resume_connection(request->connection);
    if (!request->listener->running)
        loop_timer_start(request->listener->timer, 0);
}

/* --- listening --- */

static int start_daemon(struct admin_listener *listener, int fd, struct error **err)
{
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, listener,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HARD_MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)REQUEST_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_POOL_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, listener,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_END);
    if (listener->daemon == NULL)
        return error_set(err, GRPC_STATUS_INTERNAL, "start the admin server");
    return 0;
}

static int watch_daemon(struct admin_listener *listener, struct error **err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int status =
        info != NULL ? uv_poll_init(listener->server->loop, &listener->poll, info->epoll_fd) : UV_EINVAL;
    if (status != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "watch the admin server: %s", uv_strerror(status));
    listener->poll.data = listener;
    list_insert_before(&listener->server->listeners, &listener->link);
    (void)uv_poll_start(&listener->poll, UV_READABLE, on_poll);
    arm(listener);
    return 0;
}

static void listener_free(struct admin_listener *listener)
{
    loop_timer_destroy(listener->timer);
    loop_timer_destroy(listener->sweep);
    free(listener);
}

static struct admin_listener *listener_create(struct admin_server *server, struct error **err)
{
    struct admin_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        (void)error_no_memory(err, "the admin server");
        return NULL;
    }
    listener->server = server;
    list_init(&listener->link);
    list_init(&listener->connections);
    listener->timer = loop_timer_create(server->loop, on_timer, listener, err);
    if (listener->timer != NULL)
        listener->sweep = loop_timer_create(server->loop, on_sweep, listener, err);
    if (listener->sweep == NULL) {
        listener_free(listener);
        return NULL;
    }
    return listener;
}

int admin_server_listen(struct admin_server *server, const char *address, struct error **err)
{
    cleanup_close int fd = listen_socket_open(address, err);
    if (fd < 0)
        return -1;

    struct admin_listener *listener = listener_create(server, err);
    if (listener == NULL)
        return -1;
    unsigned bound = listen_socket_port(fd);
    if (start_daemon(listener, fd, err) < 0) {
        listener_free(listener);
        return -1;
    }
    (void)steal_fd(&fd); /* the daemon closes it */
    if (watch_daemon(listener, err) < 0) {
        MHD_stop_daemon(listener->daemon);
        listener_free(listener);
        return -1;
    }
    if (server->port == 0)
        server->port = bound;
    return 0;
}

unsigned admin_server_port(const struct admin_server *server)
{
    return server->port;
}

void admin_server_destroy(struct admin_server *server)
{
    if (server == NULL)
        return;
    assert(!server->destroyed);
    server->destroyed = true;
    /* libmicrohttpd must not be stopped with suspended connections. Resumed ones are closed by the stop. */
    for (struct list *link = server->requests.next; link != &server->requests; link = link->next) {
        struct admin_request *request = container_of(link, struct admin_request, link);
        if (request->suspended)
            MHD_resume_connection(request->connection);
        request->suspended = false;
    }
    for (struct list *link = server->listeners.next; link != &server->listeners; link = link->next) {
        struct admin_listener *listener = container_of(link, struct admin_listener, link);
        (void)uv_poll_stop(&listener->poll);
        uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
        loop_timer_stop(listener->timer);
        loop_timer_stop(listener->sweep);
    }
    server_free_if_unused(server);
}
