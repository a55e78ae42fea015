/*
 * client.c - a gRPC channel: the queue of its calls, connecting and reconnecting, retrying calls that were
 * never sent.
 */
#include "common/grpc/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/grpc/address.h"
#include "common/grpc/client_call.h"
#include "common/grpc/client_connection.h"
#include "common/process/lifecycle.h"

enum { MAX_RESPONSE_BYTES = 4 * 1024 * 1024 }; /* grpc-go's receive limit */
enum { CONNECT_TIMEOUT_MS = 5000 };
/* The longest timeout of a call, also of one without a deadline: nothing waits for ever. */
#define TIMEOUT_MAX_MS ((uint64_t)24 * 3600 * 1000)

/* Pauses between attempts, in ms: short at first because a provider restarts within a fraction of a second;
 * 1.6 is the factor of gRPC's connection backoff. */
static const struct backoff pauses = {.first = 20, .growth_percent = 160, .cap = 500};

struct grpc_channel {
    uv_loop_t *loop;
    struct grpc_channel_config config;  /* with the defaults filled in */
    struct client_call_context context; /* of its calls */
    char *address;                      /* owned: path or host:port */
    char *user_agent;                   /* owned */
    struct connection_io io;
    struct list connections;           /* all that libuv still holds */
    struct client_connection *current; /* where new calls go: connecting or ready; NULL if there is none */
    struct list waiting;
    struct list active;
    struct list orphans; /* lost their connection just now */
    struct list finished;
    struct list delivering; /* finished ones whose callbacks are being run */
    struct timeout deliver;
    struct timeout retry;
    unsigned n_pauses;        /* between attempts, since the peer last worked */
    struct error *last_error; /* why there is no connection */
    bool destroyed;
    unsigned n_holders; /* the user, the connections, and a delivery that runs; freed at 0 */
};

static void proceed(struct grpc_channel *channel);

static struct grpc_channel *channel_of(const struct grpc_client_call *call)
{
    const union {
        const struct client_call_context *in;
        struct client_call_context *out;
    } context = {.in = call->context};

    return container_of(context.out, struct grpc_channel, context);
}

static void move_to(struct list *list, struct grpc_client_call *call)
{
    list_remove(&call->link);
    list_insert_before(list, &call->link);
}

static struct grpc_client_call *first_of(const struct list *list)
{
    return container_of(list->next, struct grpc_client_call, link);
}

static void release(struct grpc_channel *channel)
{
    if (--channel->n_holders > 0)
        return;
    error_free(channel->last_error);
    free(channel->address);
    free(channel->user_agent);
    free(channel);
}

/* --- delivering outcomes --- */

static void deliver(struct grpc_channel *channel)
{
    channel->n_holders++;
    list_move_all(&channel->delivering, &channel->finished);
    while (!list_empty(&channel->delivering)) {
        struct grpc_client_call *call = first_of(&channel->delivering);
        grpc_client_callback *callback = call->callback;
        void *arg = call->arg;
        ProtobufCMessage *response = client_call_take_response(call);
        cleanup_error struct error *error = steal_ptr(&call->error);

        client_call_destroy(call);
        callback(response, error, arg); /* may cancel the others, start more, destroy the channel */
    }
    release(channel);
}

static void on_deliver(struct timeout *timeout)
{
    deliver(container_of(timeout, struct grpc_channel, deliver));
}

static void on_finished(struct grpc_client_call *call)
{
    struct grpc_channel *channel = channel_of(call);

    move_to(&channel->finished, call);
    if (!timeout_armed(&channel->deliver))
        timeout_set(&channel->io.timeouts, &channel->deliver, 0, on_deliver);
}

/* --- retry --- */

static void on_retry(struct timeout *timeout)
{
    proceed(container_of(timeout, struct grpc_channel, retry));
}

static void pause_attempts(struct grpc_channel *channel)
{
    if (timeout_armed(&channel->retry))
        return;
    channel->n_pauses++;
    timeout_set(&channel->io.timeouts, &channel->retry, backoff_pause(&pauses, channel->n_pauses, 0),
                on_retry);
}

/* Would another attempt still lie within the call's window? */
static bool may_wait(const struct grpc_channel *channel, const struct grpc_client_call *call,
                     uint64_t window_ms)
{
    uint64_t pause = backoff_pause(&pauses, channel->n_pauses + 1, 0);

    return timeouts_now(&channel->io.timeouts) + pause < call->start_ms + window_ms;
}

static void fail_copy(struct grpc_client_call *call, const struct error *error)
{
    struct error *copy = error_copy(error);

    client_call_fail(call, &copy);
}

static void fail_lost(struct grpc_client_call *call, const struct error *error)
{
    struct error *lost = error_copy(error);

    if (lost != NULL)
        (void)error_set_type(&lost, GRPC_CLIENT_LOST);
    client_call_fail(call, &lost);
}

static void on_refused(struct grpc_client_call *call, const struct error *error)
{
    struct grpc_channel *channel = channel_of(call);

    if (call->message == NULL || !may_wait(channel, call, channel->config.retry_unavailable_ms)) {
        fail_copy(call, error);
        return;
    }
    move_to(&channel->waiting, call);
    pause_attempts(channel);
}

static void on_responded(struct grpc_client_call *call)
{
    channel_of(call)->n_pauses = 0; /* the peer works: the next trouble is a new one */
}

static void on_orphaned(struct grpc_client_call *call)
{
    move_to(&channel_of(call)->orphans, call);
}

static const struct client_call_owner call_owner = {
    .responded = on_responded,
    .finished = on_finished,
    .refused = on_refused,
    .orphaned = on_orphaned,
};

/* No connection could be made: calls whose window is over fail, the others wait for the next attempt. */
static void attempt_failed(struct grpc_channel *channel, const struct error *error, uint64_t window_ms)
{
    struct list calls;

    error_free(channel->last_error);
    channel->last_error = error_copy(error);
    list_init(&calls);
    list_move_all(&calls, &channel->waiting);
    while (!list_empty(&calls)) {
        struct grpc_client_call *call = first_of(&calls);

        move_to(&channel->waiting, call);
        if (!may_wait(channel, call, window_ms))
            fail_copy(call, error);
    }
    if (!list_empty(&channel->waiting))
        pause_attempts(channel);
}

/* --- connections --- */

static void on_ready(struct client_connection *connection)
{
    struct grpc_channel *channel = connection->arg;

    if (channel->current == connection) /* otherwise its first frame was a GOAWAY */
        proceed(channel);
}

static void on_received(struct client_connection *connection)
{
    deliver(connection->arg);
}

/* Calls that still waited for the connection count this as a failed attempt: a peer that ends every
 * connection at once must not keep the channel busy. */
static void on_retired(struct client_connection *connection, const char *reason)
{
    struct grpc_channel *channel = connection->arg;
    cleanup_error struct error *err = NULL;

    if (channel->current != connection)
        return;
    channel->current = NULL;
    (void)error_set(&err, GRPC_STATUS_UNAVAILABLE, "%s %s: %s",
                    channel->config.unix_path != NULL ? "socket" : "address", channel->address, reason);
    if (!list_empty(&channel->waiting))
        attempt_failed(channel, err, channel->config.retry_unavailable_ms);
}

static void on_over(struct client_connection *connection, const struct error *error, uint64_t window_ms)
{
    struct grpc_channel *channel = connection->arg;

    if (channel->current == connection)
        channel->current = NULL;
    while (!list_empty(&channel->orphans)) {
        struct grpc_client_call *call = first_of(&channel->orphans);

        if (http2_stream_was_sent(&call->stream, &connection->base.session))
            fail_lost(call, error);
        else
            on_refused(call, error);
    }
    if (!connection->ready)
        attempt_failed(channel, error, window_ms);
    else if (!list_empty(&channel->waiting))
        pause_attempts(channel);
}

static void on_freed(struct client_connection *connection)
{
    list_remove(&connection->link);
    release(connection->arg);
}

static const struct client_connection_owner connection_owner = {
    .ready = on_ready,
    .received = on_received,
    .retired = on_retired,
    .over = on_over,
    .freed = on_freed,
};

static void start_connecting(struct grpc_channel *channel)
{
    struct client_connection *connection =
        client_connection_create(&channel->config, &connection_owner, channel);
    cleanup_error struct error *err = NULL;

    timeout_clear(&channel->retry);
    if (connection == NULL) {
        (void)error_no_memory(&err, "a connection");
        attempt_failed(channel, err, channel->config.retry_unavailable_ms);
        return;
    }
    list_insert_before(&channel->connections, &connection->link);
    channel->n_holders++;
    channel->current = connection;
    client_connection_open(connection, channel->loop, &channel->io);
}

/* Sends the waiting calls, or connects. */
static void proceed(struct grpc_channel *channel)
{
    struct client_connection *connection = channel->current;

    while (connection != NULL && connection->ready && !list_empty(&channel->waiting)) {
        struct grpc_client_call *call = first_of(&channel->waiting);
        struct error *err = NULL;

        move_to(&channel->active, call);
        if (client_call_send(call, &connection->base.session, &err) == 0)
            continue;
        if (error_code(err) != GRPC_STATUS_UNAVAILABLE) {
            client_call_fail(call, &err);
            continue;
        }
        move_to(channel->waiting.next, call);
        client_connection_retire(connection, error_message(err));
        error_free(err);
        return;
    }
    if (connection != NULL && connection->ready)
        grpc_connection_flush(&connection->base);
    if (channel->current == NULL && !list_empty(&channel->waiting))
        start_connecting(channel);
}

/* --- channel --- */

static int copy_config(struct grpc_channel *channel, struct error **err)
{
    struct grpc_channel_config *config = &channel->config;
    const char *address = config->unix_path != NULL ? config->unix_path : config->tcp_address;
    struct sockaddr_un unix_address;
    struct sockaddr_storage tcp_address;
    int rc;

    assert((config->unix_path == NULL) != (config->tcp_address == NULL));
    rc = config->unix_path != NULL ? address_unix(address, &unix_address, err)
                                   : address_tcp(address, &tcp_address, err);
    if (rc < 0)
        return -1;
    channel->address = strdup(address);
    if (config->user_agent != NULL)
        channel->user_agent = strdup(config->user_agent);
    else if (asprintf(&channel->user_agent, "grpc-c-secrets-store/%s", build_version()) == -1)
        channel->user_agent = NULL;
    if (channel->address == NULL || channel->user_agent == NULL)
        return error_no_memory(err, "a channel");
    if (config->unix_path != NULL)
        config->unix_path = channel->address;
    else
        config->tcp_address = channel->address;
    config->user_agent = channel->user_agent;
    if (config->max_response_bytes == 0)
        config->max_response_bytes = MAX_RESPONSE_BYTES;
    if (config->connect_timeout_ms == 0)
        config->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    channel->context = (struct client_call_context){.owner = &call_owner,
                                                    .timeouts = &channel->io.timeouts,
                                                    .address = channel->address,
                                                    .user_agent = channel->user_agent,
                                                    .max_response_bytes = config->max_response_bytes,
                                                    .resend = config->retry_unavailable_ms > 0};
    return 0;
}

struct grpc_channel *grpc_channel_create(uv_loop_t *loop, const struct grpc_channel_config *config,
                                         struct error **err)
{
    struct grpc_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL) {
        (void)error_no_memory(err, "a channel");
        return NULL;
    }
    channel->loop = loop;
    channel->config = *config;
    channel->n_holders = 1;
    if (copy_config(channel, err) < 0 || timeouts_init(&channel->io.timeouts, loop, err) < 0) {
        release(channel);
        return NULL;
    }
    list_init(&channel->connections);
    list_init(&channel->waiting);
    list_init(&channel->active);
    list_init(&channel->orphans);
    list_init(&channel->finished);
    list_init(&channel->delivering);
    timeout_init(&channel->deliver);
    timeout_init(&channel->retry);
    return channel;
}

static void drop_calls(struct list *calls)
{
    while (!list_empty(calls))
        client_call_destroy(first_of(calls));
}

void grpc_channel_destroy(struct grpc_channel *channel)
{
    struct list *at;

    if (channel == NULL)
        return;
    assert(!channel->destroyed);
    channel->destroyed = true;
    drop_calls(&channel->waiting);
    drop_calls(&channel->active);
    drop_calls(&channel->finished);
    drop_calls(&channel->delivering);
    at = channel->connections.next;
    while (at != &channel->connections) {
        struct client_connection *connection = container_of(at, struct client_connection, link);

        at = at->next; /* memory goes in a close callback, never in here */
        client_connection_close(connection);
    }
    timeout_clear(&channel->deliver);
    timeout_clear(&channel->retry);
    timeouts_finish(&channel->io.timeouts);
    release(channel);
}

/* --- calls --- */

static void on_call_deadline(struct timeout *timeout)
{
    struct grpc_client_call *call = container_of(timeout, struct grpc_client_call, deadline);
    const struct grpc_channel *channel = channel_of(call);
    struct error *err = NULL;

    if (client_call_is_waiting(call)) {
        (void)error_set(
            &err, GRPC_STATUS_DEADLINE_EXCEEDED,
            "deadline exceeded while a response of %zu bytes waited for memory: other mounts had all of --max-bytes-in-flight",
            call->reader.length);
        (void)error_set_type(&err, GRPC_CLIENT_WAITED);
    } else if (call->stream.session == NULL && channel->last_error != NULL)
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded while connecting: %s",
                        error_message(channel->last_error));
    else
        (void)error_set(&err, GRPC_STATUS_DEADLINE_EXCEEDED, "deadline exceeded");
    client_call_fail(call, &err);
}

struct grpc_client_call *grpc_client_call_start(struct grpc_channel *channel, const char *method,
                                                const ProtobufCMessage *request,
                                                const ProtobufCMessageDescriptor *response_type,
                                                uint64_t timeout_ms, grpc_client_callback *callback,
                                                void *arg, struct error **err)
{
    struct grpc_client_call *call;

    if (timeout_ms > TIMEOUT_MAX_MS)
        timeout_ms = TIMEOUT_MAX_MS;
    call = client_call_create(&channel->context, method, request, response_type, timeout_ms, err);
    if (call == NULL)
        return NULL;
    call->callback = callback;
    call->arg = arg;
    list_insert_before(&channel->waiting, &call->link);
    timeout_set(&channel->io.timeouts, &call->deadline, timeout_ms, on_call_deadline);
    proceed(channel);
    return call;
}

void grpc_client_call_reserve(struct grpc_client_call *call, struct byte_budget *budget,
                              struct byte_reservation *reservation)
{
    call->budget = budget;
    call->reservation = reservation;
}

void grpc_client_call_pushback(struct grpc_client_call *call, struct grpc_pushback *ret)
{
    call->ret_pushback = ret;
}

void grpc_client_call_cancel(struct grpc_client_call **call)
{
    struct http2_session *session = (*call)->stream.session;

    client_call_destroy(steal_ptr(call));
    if (session != NULL)
        grpc_connection_flush(grpc_connection_of(session));
}
