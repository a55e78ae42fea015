/*
 * scripted_api.h - for tests: an HTTP server on the loop that responds by script, one request per connection.
 *
 * The test and the server share the loop, so nothing happens behind the test's back. Requests are kept as
 * they came. Probes of the client (kube_health.h) do not count: they get a response of their own.
 */
#ifndef TEST_UNIT_SCRIPTED_API_H
#define TEST_UNIT_SCRIPTED_API_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/base/list.h"

enum { SCRIPT_MAX = 32, REQUEST_MAX = 4096 };

#define RESPONSE(status, headers, body)                                                                      \
    {                                                                                                        \
        status, headers, body                                                                                \
    }

/* One scripted response; status 0 = hang up, -1 = no response. */
struct scripted_response {
    int status;
    const char *headers; /* each with its line end */
    const char *body;
};

struct scripted_api {
    uv_loop_t *loop;
    uv_tcp_t listener;
    int port;
    const struct scripted_response *script;
    size_t n_script;
    size_t n_requests;
    char requests[SCRIPT_MAX][REQUEST_MAX]; /* as received */
    int probe_status;                       /* the response to probes as in a script, but 0 = 200 */
    size_t n_probes;
    char probe[REQUEST_MAX];       /* the last one */
    void (*on_request)(void *arg); /* may be NULL */
    void *arg;
};

struct scripted_connection {
    uv_tcp_t tcp;
    struct scripted_api *api;
    char input[REQUEST_MAX];
    size_t len;
    uv_write_t write;
    char output[REQUEST_MAX];
};

static void scripted_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct scripted_connection, tcp));
}

static void scripted_written(uv_write_t *write, int status)
{
    struct scripted_connection *connection = container_of(write, struct scripted_connection, write);

    (void)status;
    uv_close((uv_handle_t *)&connection->tcp, scripted_closed);
}

static void scripted_give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct scripted_connection *connection = container_of(handle, struct scripted_connection, tcp);

    (void)suggested;
    *buf = uv_buf_init(connection->input + connection->len,
                       (unsigned)(sizeof(connection->input) - 1 - connection->len));
}

static bool scripted_is_whole(const char *input)
{
    const char *end = strstr(input, "\r\n\r\n");
    const char *length = strstr(input, "Content-Length: ");

    return end != NULL && (length == NULL || strlen(end + 4) >= strtoul(length + 16, NULL, 10));
}

static const struct scripted_response *scripted_probe(struct scripted_api *api, const char *input)
{
    static struct scripted_response response;

    api->n_probes++;
    (void)snprintf(api->probe, REQUEST_MAX, "%s", input);
    response = (struct scripted_response)RESPONSE(api->probe_status != 0 ? api->probe_status : 200, "", "ok");
    return &response;
}

static const struct scripted_response *scripted_next(struct scripted_api *api, const char *input)
{
    const struct scripted_response *response;

    assert_true(api->n_requests < SCRIPT_MAX);
    (void)snprintf(api->requests[api->n_requests], REQUEST_MAX, "%s", input);
    if (api->n_requests >= api->n_script)
        fail_msg("one request too many:\n%s", input);
    response = &api->script[api->n_requests++];
    if (api->on_request != NULL)
        api->on_request(api->arg);
    return response;
}

static void scripted_received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct scripted_connection *connection = container_of(stream, struct scripted_connection, tcp);
    struct scripted_api *api = connection->api;
    const struct scripted_response *response;
    uv_buf_t out;

    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, scripted_closed);
        return;
    }
    connection->len += (size_t)n;
    connection->input[connection->len] = '\0';
    if (!scripted_is_whole(connection->input))
        return;
    response = strstr(connection->input, "/readyz HTTP/1.1\r\n") != NULL
                   ? scripted_probe(api, connection->input)
                   : scripted_next(api, connection->input);
    connection->len = 0;
    if (response->status < 0)
        return;
    (void)uv_read_stop(stream);
    if (response->status == 0) {
        uv_close((uv_handle_t *)stream, scripted_closed);
        return;
    }
    (void)snprintf(connection->output, sizeof(connection->output),
                   "HTTP/1.1 %d Scripted\r\n%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                   response->status, response->headers, strlen(response->body), response->body);
    out = uv_buf_init(connection->output, (unsigned)strlen(connection->output));
    assert_int_equal(uv_write(&connection->write, stream, &out, 1, scripted_written), 0);
}

static void scripted_connected(uv_stream_t *listener, int status)
{
    struct scripted_api *api = listener->data;
    struct scripted_connection *connection = calloc(1, sizeof(*connection));

    assert_int_equal(status, 0);
    assert_non_null(connection);
    connection->api = api;
    assert_int_equal(uv_tcp_init(api->loop, &connection->tcp), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&connection->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&connection->tcp, scripted_give_room, scripted_received),
                     0);
}

/* Listens on a port of its own (api->port). */
static void scripted_api_start(struct scripted_api *api, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int len = sizeof(address);

    api->loop = loop;
    assert_int_equal(uv_tcp_init(loop, &api->listener), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&api->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&api->listener, (struct sockaddr *)&address, &len), 0);
    api->port = ntohs(address.sin_port);
    api->listener.data = api;
    assert_int_equal(uv_listen((uv_stream_t *)&api->listener, 100, scripted_connected), 0);
}

/* The loop has to run once more. */
static void scripted_api_stop(struct scripted_api *api)
{
    uv_close((uv_handle_t *)&api->listener, NULL);
}

/* The responses to the next requests, RESPONSE(...) each; starts counting from zero. */
#define SCRIPT(api, ...)                                                                                     \
    do {                                                                                                     \
        static const struct scripted_response script[] = {__VA_ARGS__};                                      \
        (api)->script = script;                                                                              \
        (api)->n_script = ARRAY_SIZE(script);                                                                \
        (api)->n_requests = 0;                                                                               \
    } while (0)

static inline void assert_sent(const struct scripted_api *api, size_t i, const char *text)
{
    if (i >= api->n_requests || strstr(api->requests[i], text) == NULL)
        fail_msg("'%s' is not in request %zu:\n%s", text, i,
                 i < api->n_requests ? api->requests[i] : "(never sent)");
}

#define OBJECT                  "{\"metadata\":{\"name\":\"a\"}}"
#define STATUS(reason, message) "{\"kind\":\"Status\",\"reason\":\"" reason "\",\"message\":\"" message "\"}"

#endif
