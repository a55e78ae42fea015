/*
 * test_admin_server.c - the admin server, asked by libcurl (through our client) on the same loop and by a
 * bare socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "common/http/admin_server.h"
#include "common/http/client.h"

struct fixture {
    uv_loop_t loop;
    struct admin_server *server;
    struct http_client *client;
    struct admin_request *held; /* /late keeps it */
    int late;
};

struct outcome {
    int calls;
    int status;
    char body[128];
    char type[64];
};

static void handle_hello(struct admin_request *request, void *arg)
{
    (void)arg;
    admin_request_reply(request, 200, "text/plain; charset=utf-8", "hello", 5);
}

static void handle_empty(struct admin_request *request, void *arg)
{
    (void)arg;
    admin_request_reply(request, 503, "text/plain", NULL, 0);
}

static void handle_late(struct admin_request *request, void *arg)
{
    struct fixture *f = arg;
    f->held = request;
    f->late++;
}

static void handle_destroy(struct admin_request *request, void *arg)
{
    struct fixture *f = arg;
    f->held = request;
    f->late++;
    admin_server_destroy(f->server);
    f->server = NULL;
}

static void open_all(struct fixture *f)
{
    *f = (struct fixture){.late = 0};
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->server = admin_server_create(&f->loop, NULL, NULL);
    assert_non_null(f->server);
    admin_server_add_route(f->server, "/hello", handle_hello, NULL);
    admin_server_add_route(f->server, "/empty", handle_empty, NULL);
    admin_server_add_route(f->server, "/late", handle_late, f);
    admin_server_add_route(f->server, "/destroy", handle_destroy, f);
    assert_int_equal(admin_server_listen(f->server, "127.0.0.1:0", NULL), 0);
    assert_true(admin_server_port(f->server) > 0);
    f->client = http_client_create(&f->loop, &(const struct http_client_config){.user_agent = "t"}, NULL);
    assert_non_null(f->client);
}

static void close_all(struct fixture *f)
{
    http_client_destroy(f->client);
    admin_server_destroy(f->server);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void on_outcome(struct http_response *response, enum http_hop hop, const struct error *error,
                       void *arg)
{
    (void)hop;
    (void)error;
    struct outcome *o = arg;
    o->calls++;
    if (response == NULL)
        return;
    const char *type = http_response_header(response, "content-type");
    o->status = response->status;
    (void)snprintf(o->body, sizeof(o->body), "%s", buffer_str(&response->body));
    (void)snprintf(o->type, sizeof(o->type), "%s", type != NULL ? type : "");
}

static void send_request(struct fixture *f, const char *method, const char *path, const char *const *headers,
                         struct outcome *o)
{
    char url[128];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", admin_server_port(f->server), path);
    const struct http_request request = {
        .method = method, .url = url, .timeout_ms = 15000, .headers = headers};
    *o = (struct outcome){0};
    assert_non_null(http_call_start(f->client, &request, on_outcome, o, NULL));
}

static void wait_for(struct fixture *f, const int *count)
{
    while (*count == 0)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
}

static void routes_serve_get_and_head_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body;
        int status;
    } cases[] = {
        {"GET", "/hello", "hello", 200},
        {"GET", "/hello?x=1", "hello", 200},
        {"HEAD", "/hello", "", 200},
        {"GET", "/empty", "", 503},
        {"GET", "/nothing", "not found\n", 404},
        {"GET", "/hello/../x", "not found\n", 404},
        {"POST", "/hello", "only GET and HEAD\n", 405},
        {"DELETE", "/hello", "only GET and HEAD\n", 405},
    };
    struct fixture f;
    open_all(&f);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct outcome o;
        send_request(&f, cases[i].method, cases[i].path, NULL, &o);
        wait_for(&f, &o.calls);
        assert_int_equal(o.status, cases[i].status);
        assert_string_equal(o.body, cases[i].body);
    }
    close_all(&f);
}

static void a_reply_may_come_later(void **state)
{
    (void)state;
    struct fixture f;
    open_all(&f);
    struct outcome late;
    struct outcome quick;
    send_request(&f, "GET", "/late", NULL, &late);
    wait_for(&f, &f.late);
    send_request(&f, "GET", "/hello", NULL, &quick); /* others are served meanwhile */
    wait_for(&f, &quick.calls);
    assert_int_equal(late.calls, 0);
    admin_request_reply(f.held, 200, "a/b", "done", 4);
    wait_for(&f, &late.calls);
    assert_int_equal(late.status, 200);
    assert_string_equal(late.body, "done");
    assert_string_equal(late.type, "a/b");
    close_all(&f);
}

static void destroying_the_server_drops_open_requests(void **state)
{
    (void)state;
    static const char *const paths[] = {"/late", "/destroy"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct fixture f;
        open_all(&f);
        struct outcome o;
        send_request(&f, "GET", paths[i], NULL, &o);
        wait_for(&f, &f.late);
        admin_server_destroy(f.server);
        f.server = NULL;
        wait_for(&f, &o.calls);
        assert_int_equal(o.status, 0);
        admin_request_reply(f.held, 200, "a/b", "late", 4); /* frees it */
        close_all(&f);
    }
}

static void too_large_a_header_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    open_all(&f);
    static char line[16 * 1024];
    memset(line, 'x', sizeof(line) - 1);
    line[1] = ':';
    const char *const headers[] = {line, NULL};
    struct outcome o;
    send_request(&f, "GET", "/hello", headers, &o);
    wait_for(&f, &o.calls);
    assert_int_not_equal(o.status, 200);
    send_request(&f, "GET", "/hello", NULL, &o);
    wait_for(&f, &o.calls);
    assert_int_equal(o.status, 200);
    close_all(&f);
}

static void addresses_are_checked_and_conflicts_reported(void **state)
{
    (void)state;
    struct fixture f;
    open_all(&f);
    static const char *const bad[] = {"",       "8080",       "host.example:80", "1.2.3.4:", "1.2.3.4:99999",
                                      "::1:80", "127.0.0.1:x"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_error struct error *error = NULL;
        assert_int_equal(admin_server_listen(f.server, bad[i], &error), -1);
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    }
    char taken[32];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", admin_server_port(f.server));
    cleanup_error struct error *error = NULL;
    assert_int_equal(admin_server_listen(f.server, taken, &error), -1);
    assert_int_equal(error_code(error), GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(error_message(error), taken));
    assert_int_equal(admin_server_listen(f.server, ":0", NULL), 0); /* a second address */
    close_all(&f);
}

static int install_hooks(void **state)
{
    (void)state;
    return http_library_init(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_serve_get_and_head_and_nothing_else),
        cmocka_unit_test(a_reply_may_come_later),
        cmocka_unit_test(destroying_the_server_drops_open_requests),
        cmocka_unit_test(too_large_a_header_is_refused),
        cmocka_unit_test(addresses_are_checked_and_conflicts_reported),
    };
    return cmocka_run_group_tests(tests, install_hooks, NULL);
}
