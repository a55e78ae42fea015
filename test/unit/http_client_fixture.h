/*
 * http_client_fixture.h - for tests: the HTTP client on a loop of its own, and an HTTP/1.1 server and proxy
 * that misbehaves on demand (http_server.py).
 */
#ifndef TEST_UNIT_HTTP_CLIENT_FIXTURE_H
#define TEST_UNIT_HTTP_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/http/client.h"

/* --- the server --- */

static struct {
    pid_t pid;
    unsigned port;
} server;

/* Starts a program; its output goes to the descriptor, to nowhere if that is negative. */
static inline pid_t start(const char *const *argv, int stdout_fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        union {
            const char *const *in;
            char *const *out;
        } args = {.in = argv};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(stdout_fd >= 0 ? stdout_fd : null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execv(argv[0], args.out);
        _exit(127);
    }
    return pid;
}

static inline int start_server(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(http_library_init(NULL), 0);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    server.pid =
        start((const char *const[]){"/usr/bin/python3", "test/unit/http_server.py", NULL}, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    FILE *out = fdopen(pipe_fds[0], "r");
    if (fscanf(out, "%u", &server.port) != 1)
        fail_msg("test/unit/http_server.py did not start; is this the root of the checkout?");
    return fclose(out);
}

static inline int stop_server(void **state)
{
    (void)state;
    (void)kill(server.pid, SIGKILL);
    return waitpid(server.pid, NULL, 0) == server.pid ? 0 : -1;
}

/* --- one client on one loop, and the outcomes of its calls --- */

struct outcome {
    int calls; /* how often the callback ran */
    int status;
    char body[4096];
    size_t body_len;
    char why[64];
    int64_t retry_after_ms;
    bool new_connection;
    enum http_hop hop;
    enum grpc_status code;
    char message[512];
    struct http_call *call;
};

struct fixture {
    uv_loop_t loop;
    struct http_client *client;
};

static inline void open_client(struct fixture *f, const struct http_client_config *config)
{
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->client = http_client_create(&f->loop, config, NULL);
    assert_non_null(f->client);
}

static inline void close_client(struct fixture *f)
{
    http_client_destroy(f->client);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static inline void on_outcome(struct http_response *response, enum http_hop hop, const struct error *error,
                              void *arg)
{
    struct outcome *o = arg;
    o->calls++;
    o->call = NULL;
    o->hop = hop;
    o->code = error_code(error);
    (void)snprintf(o->message, sizeof(o->message), "%s", error_message(error));
    assert_true((response == NULL) == (error != NULL));
    if (response == NULL)
        return;
    o->status = response->status;
    o->body_len = response->body.len;
    (void)snprintf(o->body, sizeof(o->body), "%s", buffer_str(&response->body));
    const char *why = http_response_header(response, "x-why");
    (void)snprintf(o->why, sizeof(o->why), "%s", why != NULL ? why : "");
    o->retry_after_ms = http_retry_after_ms(response, 0);
    o->new_connection = response->new_connection;
}

static inline const char *url(char *out, size_t size, const char *scheme, const char *host, unsigned port,
                              const char *path)
{
    (void)snprintf(out, size, "%s://%s:%u%s", scheme, host, port, path);
    return out;
}

/* Runs until every outcome has been delivered. */
static inline void wait_for(struct fixture *f, const struct outcome *outcomes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while (outcomes[i].calls == 0)
            (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline struct outcome fetch(struct fixture *f, struct http_request request)
{
    struct outcome o = {0};
    if (request.method == NULL)
        request.method = "GET";
    if (request.timeout_ms == 0)
        request.timeout_ms = 20000;
    o.call = http_call_start(f->client, &request, on_outcome, &o, NULL);
    assert_non_null(o.call);
    assert_int_equal(o.calls, 0);
    wait_for(f, &o, 1);
    assert_int_equal(o.calls, 1);
    return o;
}

static inline struct outcome get_path(struct fixture *f, const char *path)
{
    char text[256];
    return fetch(
        f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1", server.port, path)});
}

static const struct http_client_config PLAIN = {.user_agent = "test/1"};

/* Runs 100 calls at once; returns how many connections they made. */
static inline int hundred_calls(struct fixture *f, const char *target, int status)
{
    static struct outcome o[100];
    memset(o, 0, sizeof(o));
    int made = 0;
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        const struct http_request request = {.method = "GET", .url = target, .timeout_ms = 20000};
        o[i].call = http_call_start(f->client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    wait_for(f, o, ARRAY_SIZE(o));
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].status, status);
        made += o[i].new_connection;
    }
    return made;
}

#endif
