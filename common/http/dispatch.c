/*
 * dispatch.c - hands calls to curl in their turn, watches their connections, and takes them back from one
 * that has fallen silent.
 */
#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/http/call.h"

/* A request that ends sooner says nothing about its connection. */
enum { UNHEARD_MIN_MS = 50 };

static const char *const no_labels[] = {NULL};

static struct http_call *call_of(struct list *link)
{
    return container_of(link, struct http_call, on_connection);
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

uint64_t http_call_connect_deadline(const struct http_call *call)
{
    return add_ms(call->connect_from_ms, call->connect_ms);
}

/* --- the timer --- */

static uint64_t late_at(const struct http_call *call)
{
    const struct http_connection *connection = call->connection;
    if (connection == NULL && !call->restarted && host_has_let_through(call->host) &&
        host_attempt(call->host, call) != NULL)
        return add_ms(call->sent_ms, host_connect_late_ms(call->host));
    if (!call->may_be_late || connection == NULL)
        return UINT64_MAX;
    uint64_t heard = connection->heard_ms > call->sent_ms ? connection->heard_ms : call->sent_ms;
    return add_ms(heard, host_late_ms(call->host));
}

uint64_t http_call_wake_ms(const struct http_call *call)
{
    switch (call->state) {
    case CALL_LOOKUP:
        return min_ms(call->deadline_ms, http_call_connect_deadline(call));
    case CALL_QUEUED: /* on the first connection to the host, or for others to end */
        return host_is_connected(call->host) ? call->deadline_ms
                                             : min_ms(call->deadline_ms, http_call_connect_deadline(call));
    case CALL_TRANSFER:
        return min_ms(call->deadline_ms, late_at(call));
    case CALL_FAILED:
        break;
    }
    return 0;
}

void http_call_arm_timer(struct http_call *call)
{
    uint64_t wake = http_call_wake_ms(call);
    uint64_t now = uv_now(call->client->loop);
    loop_timer_start(call->timer, wake > now ? wake - now : 0);
}

/* --- to curl --- */

/* The end is delivered from the timer. */
static void fail_later(struct http_call *call, enum http_hop hop, struct error **failure)
{
    call->state = CALL_FAILED;
    call->failure = steal_ptr(failure);
    call->failure_hop = hop;
    http_call_arm_timer(call);
}

static void send_call(struct http_call *call)
{
    struct http_client *client = call->client;
    struct http_host *host = call->host;
    cleanup_error struct error *error = NULL;
    uint64_t now = uv_now(client->loop);
    if (host_is_connected(host))
        call->connect_from_ms = add_ms(call->connect_from_ms, now - call->queued_ms);
    uint64_t end = http_call_connect_deadline(call);
    http_call_set_connecting(call, end > now ? end - now : 1, host->tls && host->protocol == HOST_HTTP2);
    if (http_call_give_addresses(call, &error) < 0 || curl_loop_add(client->curl, call->easy, &error) < 0) {
        fail_later(call, HTTP_HOP_NONE, &error);
        return;
    }
    host->in_flight++;
    call->sent_ms = now;
    call->state = CALL_TRANSFER;
    http_call_arm_timer(call);
}

void http_host_pump(struct http_client *client, struct http_host *host)
{
    while (!client->destroyed && host->in_flight < host_limit(host, uv_now(client->loop))) {
        struct queue_entry *entry = request_queue_next(&host->queue);
        if (entry == NULL)
            return;
        metric_add(client->metrics.waiting, no_labels, -1);
        send_call(container_of(entry, struct http_call, entry));
    }
}

void http_client_pump(struct http_client *client)
{
    if (!client->pump)
        return;
    client->pump = false;
    struct list *hosts = &client->hosts.hosts;
    for (struct list *link = hosts->next; link != hosts; link = link->next)
        http_host_pump(client, container_of(link, struct http_host, link));
}

void http_call_dispatch(struct http_call *call)
{
    assert(!curl_loop_inside(call->client->curl));
    call->state = CALL_QUEUED;
    call->queued_ms = uv_now(call->client->loop);
    request_queue_add(&call->host->queue, &call->entry);
    metric_add(call->client->metrics.waiting, no_labels, 1);
    http_call_arm_timer(call);
    http_host_pump(call->client, call->host);
}

/* --- back from curl --- */

/* Nothing came on the connection since the request was sent, for longer than the host usually takes. */
static bool unheard(const struct http_call *call)
{
    uint64_t patience = min_ms(call->host->usual_ms + UNHEARD_MIN_MS, HOST_LATE_MIN_MS);
    return call->connection != NULL && call->response.status == 0 &&
           call->connection->heard_ms <= call->sent_ms &&
           uv_now(call->client->loop) - call->sent_ms >= patience;
}

static void leave_connection(struct http_call *call)
{
    list_remove(&call->on_connection);
    call->connection = NULL;
    call->may_be_late = false;
}

static void leave_curl(struct http_call *call)
{
    curl_loop_remove(call->client->curl, call->easy);
    leave_connection(call);
    host_forget_attempts(call->host, call);
    call->host->in_flight--;
}

void http_call_withdraw(struct http_call *call)
{
    struct http_host *host = call->host;
    if (host == NULL)
        return;
    if (call->entry.queued) {
        request_queue_remove(&host->queue, &call->entry);
        metric_add(call->client->metrics.waiting, no_labels, -1);
    }
    if (call->state == CALL_TRANSFER) {
        /* curl would keep an HTTP/2 connection; it closes this one only if no other call is on it */
        if (unheard(call))
            (void)curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
        leave_curl(call);
        http_host_pump(call->client, host);
    }
    host->users--;
    call->host = NULL;
}

/* --- silence --- */

/* Bytes that have come while this process did something else. */
static bool has_bytes(const struct http_connection *connection)
{
    struct pollfd poll_fd = {.fd = connection->fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

bool http_call_is_late(const struct http_call *call)
{
    const struct http_connection *connection =
        call->connection != NULL ? call->connection : host_attempt(call->host, call);
    return call->state == CALL_TRANSFER && late_at(call) <= uv_now(call->client->loop) &&
           connection != NULL && !has_bytes(connection);
}

static void start_again(struct http_call *call, bool fresh)
{
    call->restarted = true;
    call->queued_ms = call->connect_from_ms = uv_now(call->client->loop);
    http_call_reset(call, fresh);
    call->state = CALL_QUEUED;
    request_queue_add_again(&call->host->queue, &call->entry);
    metric_add(call->client->metrics.waiting, no_labels, 1);
    metric_add(call->client->metrics.restarted, no_labels, 1);
    http_call_arm_timer(call);
}

static void take_back(struct http_call *call)
{
    cleanup_error struct error *error = NULL;
    uint64_t silent_ms = uv_now(call->client->loop) - call->sent_ms;
    leave_curl(call);
    if (call->repeatable && !call->restarted) {
        start_again(call, /* fresh= */ call->host->protocol != HOST_HTTP2);
        return;
    }
    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE,
                    "no response from %s: its connection fell silent, and was dropped after %" PRIu64 " ms",
                    call->target.host, silent_ms);
    fail_later(call, HTTP_HOP_RECEIVE, &error);
}

/* Whether a connection has to be taken for dead together with one on which nothing was heard since `sent_ms`.
 * Calls over HTTP/1.1 are left alone: each has its connection to itself, and a timer. */
static bool as_silent(const struct http_connection *connection, uint64_t sent_ms)
{
    return connection->host->protocol == HOST_HTTP2 && !list_empty(&connection->calls) &&
           connection->heard_ms <= sent_ms;
}

/* Takes the calls of all dropped connections back. curl may close a connection meanwhile. */
static unsigned take_calls_back(struct http_client *client)
{
    unsigned n = 0;
    for (struct list *link = client->calls.next; link != &client->calls; link = link->next) {
        struct http_call *call = container_of(link, struct http_call, link);
        if (call->connection != NULL && call->connection->dropped) {
            take_back(call);
            n++;
        }
    }
    return n;
}

/* curl finds a socket that was shut down dead before it gives it to another request. */
static void shut_idle(const struct http_host *host)
{
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next) {
        const struct http_connection *connection = container_of(link, struct http_connection, link);
        if (connection->ready && list_empty(&connection->calls))
            (void)shutdown(connection->fd, SHUT_RDWR);
    }
}

/* --- connections that are not let through --- */

static void turned_away(struct http_call *call, const struct error *reason)
{
    struct http_host *host = call->host;
    leave_curl(call);
    if (host_turned_away(host, uv_now(call->client->loop)))
        log_warning(call->client->log,
                    "some connections were not let through, sending fewer requests at a time",
                    LOG_STR("host", host->name), LOG_UINT("port", host->port), LOG_ERR(reason));
    call->turned_away = true;
    start_again(call, /* fresh= */ false);
    http_host_pump(call->client, host);
}

bool http_call_try_again(struct http_call *call, const struct error *reason)
{
    if (!http_call_got_no_connection(call) || !host_has_let_through(call->host))
        return false;
    if (call->turned_away)
        host_turned_away_again(call->host);
    if (call->restarted)
        return false;
    turned_away(call, reason);
    return true;
}

/* --- dropping a connection --- */

void http_call_drop_connection(struct http_call *call)
{
    struct http_client *client = call->client;
    struct http_host *host = call->host;
    uint64_t sent_ms = call->sent_ms;
    uint64_t silent_ms = uv_now(client->loop) - sent_ms;
    if (call->connection == NULL) {
        cleanup_error struct error *error = NULL;
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE,
                        "connect to %s:%u: no connection within %" PRIu64 " ms", call->target.peer_host,
                        call->target.peer_port, silent_ms);
        turned_away(call, error);
        return;
    }
    unsigned dropped = 0;
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next) {
        struct http_connection *connection = container_of(link, struct http_connection, link);
        connection->dropped = connection == call->connection || as_silent(connection, sent_ms);
        dropped += connection->dropped;
    }
    unsigned n = take_calls_back(client);
    shut_idle(host);
    metric_add(client->metrics.silent, no_labels, dropped);
    log_warning(client->log, "a kept connection fell silent, starting its requests again on a new one",
                LOG_STR("host", host->name), LOG_UINT("port", host->port), LOG_UINT("silentMs", silent_ms),
                LOG_UINT("requests", n));
    http_host_pump(client, host);
}

/* --- curl's callbacks --- */

static void forget_socket(const struct http_client *client, curl_socket_t fd)
{
    curl_loop_forget(client->curl, fd);
    struct http_connection *connection = host_table_connection(&client->hosts, fd);
    if (connection == NULL)
        return;
    while (!list_empty(&connection->calls))
        leave_connection(call_of(connection->calls.next));
    host_connection_remove(connection);
}

/* A connection whose peer fell silent before it ever responded would otherwise swallow requests until TCP
 * gives up after 15 minutes. */
int http_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct http_call *call = arg;
    (void)purpose;
    unsigned ms = HTTP_DEAD_PEER_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)); /* best effort */
    forget_socket(call->client, fd); /* an attempt of which curl did not say that it closed it */
    (void)host_connection_add(call->host, fd, call, uv_now(call->client->loop));
    http_call_arm_timer(call);
    return CURL_SOCKOPT_OK;
}

int http_socket_close(void *arg, curl_socket_t fd)
{
    forget_socket(arg, fd);
    return close(fd);
}

/* Once a request was sent on a connection, curl does not close it without a word. */
bool http_socket_keeps(void *arg, curl_socket_t fd)
{
    const struct http_client *client = arg;
    const struct http_connection *connection = host_table_connection(&client->hosts, fd);
    return connection != NULL && connection->ready;
}

void http_socket_heard(void *arg, curl_socket_t fd)
{
    struct http_client *client = arg;
    struct http_connection *connection = host_table_connection(&client->hosts, fd);
    if (connection != NULL)
        connection->heard_ms = uv_now(client->loop);
}

/* The connection stands, kept or new, and the request is about to be sent. curl knows now whether calls can
 * share it. It sends a request again by itself when a kept connection turns out to be closed. */
int http_call_on_connection(void *arg, char *peer, // NOLINT(readability-non-const-parameter): curl's type
                            char *local,           // NOLINT(readability-non-const-parameter)
                            int peer_port, int local_port)
{
    struct http_call *call = arg;
    (void)peer;
    (void)local;
    (void)peer_port;
    leave_connection(call);
    if (call->resolve != NULL)
        host_gave_addresses(call->host, call->addresses, call->resolve_ms);
    uint64_t begun_ms = call->sent_ms;
    call->sent_ms = uv_now(call->client->loop);
    call->connection = host_connection_at(call->host, local_port > 0 ? (unsigned)local_port : 0);
    if (call->connection != NULL) {
        if (!list_empty(&call->connection->calls))
            host_shares_connection(call->host);
        list_insert_before(&call->connection->calls, &call->on_connection);
        if (!call->connection->ready)
            host_connected(call->host, call->sent_ms - begun_ms);
        call->connection->ready = true;
        call->may_be_late = call->connection->kept && !call->slow && !call->restarted;
    }
    call->client->pump = true;
    http_call_arm_timer(call);
    return CURL_PREREQFUNC_OK;
}
