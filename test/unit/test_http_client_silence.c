/*
 * test_http_client_silence.c - kept connections that fall silent: over HTTP/1.1 (http_server.py) and HTTP/2
 * (nghttpd), through a proxy that forgets them (silent_proxy.py).
 */
#include "test/unit/http_client_fixture.h"
#include "test/unit/tls_server_fixture.h"

/* --- the proxy --- */

struct proxy {
    pid_t pid;
    FILE *out;
    unsigned port;
};

static unsigned read_number(FILE *out)
{
    char line[32];
    char *end = NULL;
    assert_non_null(fgets(line, sizeof(line), out));
    unsigned long number = strtoul(line, &end, 10);
    assert_true(end != line && *end == '\n');
    return (unsigned)number;
}

static void start_proxy(struct proxy *proxy, unsigned upstream)
{
    int pipe_fds[2];
    char port[16];
    (void)snprintf(port, sizeof(port), "%u", upstream);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    proxy->pid = start((const char *const[]){"/usr/bin/python3", "test/unit/silent_proxy.py", port, NULL},
                       pipe_fds[1]);
    (void)close(pipe_fds[1]);
    proxy->out = fdopen(pipe_fds[0], "r");
    proxy->port = read_number(proxy->out);
}

/* Every connection that there is falls silent. Returns how many were ever made. */
static unsigned fall_silent(struct proxy *proxy)
{
    (void)kill(proxy->pid, SIGUSR1);
    return read_number(proxy->out);
}

static void stop_proxy(struct proxy *proxy)
{
    (void)kill(proxy->pid, SIGKILL);
    assert_int_equal(waitpid(proxy->pid, NULL, 0), proxy->pid);
    (void)fclose(proxy->out);
}

/* --- the kinds of servers --- */

struct kind {
    const char *scheme;
    unsigned *port;
    int connections; /* that eight requests at once use */
};

static const struct kind http1 = {"http", &server.port, 8};
static const struct kind http2 = {"https", &tls.port, 1};

struct setup {
    struct fixture f;
    struct proxy proxy;
    char hello[256];
};

static void open_setup(struct setup *setup, const struct kind *kind)
{
    start_proxy(&setup->proxy, *kind->port);
    open_client(&setup->f, &(const struct http_client_config){.ca_file = tls.ca});
    (void)url(setup->hello, sizeof(setup->hello), kind->scheme, "localhost", setup->proxy.port, "/hello");
}

static void close_setup(struct setup *setup)
{
    close_client(&setup->f);
    stop_proxy(&setup->proxy);
}

enum { AT_ONCE = 8 };

/* Returns how many connections eight requests at once have made. */
static int eight_calls(struct setup *setup)
{
    struct outcome o[AT_ONCE] = {0};
    int made = 0;
    for (size_t i = 0; i < AT_ONCE; i++) {
        const struct http_request request = {.method = "GET", .url = setup->hello, .timeout_ms = 20000};
        o[i].call = http_call_start(setup->f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    wait_for(&setup->f, o, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_string_equal(o[i].message, "");
        assert_int_equal(o[i].status, 200);
        assert_memory_equal(o[i].body, "hello", 5);
        made += o[i].new_connection;
    }
    return made;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(uv_hrtime() - start_ns) / 1e9;
}

/* --- tests --- */

static void requests_on_silent_connections_start_again_once_and_the_next_meet_none(const struct kind *kind)
{
    struct setup setup;
    open_setup(&setup, kind);
    (void)eight_calls(&setup);
    (void)eight_calls(&setup);
    unsigned before = fall_silent(&setup.proxy);
    assert_int_equal(before, kind->connections);

    uint64_t start_ns = uv_hrtime();
    assert_int_equal(eight_calls(&setup), kind->connections);
    assert_true(seconds_since(start_ns) < 3);
    assert_true(seconds_since(start_ns) > 0.9); /* not in a hurry: a server may pause */
    start_ns = uv_hrtime();
    assert_int_equal(eight_calls(&setup), 0);
    assert_true(seconds_since(start_ns) < 0.9);
    assert_int_equal(fall_silent(&setup.proxy), before + (unsigned)kind->connections);
    close_setup(&setup);
}

static void silence_over_http1(void **state)
{
    (void)state;
    requests_on_silent_connections_start_again_once_and_the_next_meet_none(&http1);
}

static void silence_over_http2(void **state)
{
    (void)state;
    requests_on_silent_connections_start_again_once_and_the_next_meet_none(&http2);
}

/* One request finds out for all: the idle connections of the host are not tried one after the other. */
static void idle_connections_of_the_host_go_too(void **state)
{
    (void)state;
    struct setup setup;
    open_setup(&setup, &http1);
    (void)eight_calls(&setup);
    (void)fall_silent(&setup.proxy);
    struct outcome o = fetch(&setup.f, (struct http_request){.url = setup.hello});
    assert_int_equal(o.status, 200);
    assert_true(o.new_connection);
    uint64_t start_ns = uv_hrtime();
    assert_int_equal(eight_calls(&setup), 7); /* the new one is kept */
    assert_true(seconds_since(start_ns) < 0.9);
    close_setup(&setup);
}

static void a_write_starts_again_only_if_the_server_may_get_it_twice(void **state)
{
    (void)state;
    struct setup setup;
    open_setup(&setup, &http1);
    for (int repeatable = 0; repeatable < 2; repeatable++) {
        assert_int_equal(fetch(&setup.f, (struct http_request){.url = setup.hello}).status, 200);
        (void)fall_silent(&setup.proxy);
        struct outcome o =
            fetch(&setup.f, (struct http_request){.method = "POST",
                                                  .url = setup.hello,
                                                  .headers = (const char *const[]){"Content-Type: a/b", NULL},
                                                  .body = "a=b",
                                                  .body_len = 3,
                                                  .repeatable = repeatable == 1});
        if (repeatable == 1) {
            assert_string_equal(o.body, "POST a/b a=b");
            continue;
        }
        assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
        assert_int_equal(o.hop, HTTP_HOP_RECEIVE);
        assert_non_null(strstr(o.message, "no response from localhost: its connection fell silent"));
    }
    close_setup(&setup);
}

/* Seconds of a request after one that ended without a byte. */
static double seconds_after_an_end(const struct kind *kind)
{
    struct setup setup;
    open_setup(&setup, kind);
    assert_int_equal(fetch(&setup.f, (struct http_request){.url = setup.hello}).status, 200);
    (void)fall_silent(&setup.proxy);
    struct outcome o = fetch(&setup.f, (struct http_request){.url = setup.hello, .timeout_ms = 300});
    assert_int_equal(o.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    uint64_t start_ns = uv_hrtime();
    o = fetch(&setup.f, (struct http_request){.url = setup.hello});
    double seconds = seconds_since(start_ns);
    assert_int_equal(o.status, 200);
    assert_true(o.new_connection);
    close_setup(&setup);
    return seconds;
}

/* One that waited for the silent connection would take a second each time; a busy machine, now and then. */
static void a_request_that_ends_without_a_byte_takes_its_connection_along(void **state)
{
    (void)state;
    static const struct kind *const kinds[] = {&http1, &http2};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        bool at_once = false;
        for (int attempt = 0; attempt < 5 && !at_once; attempt++)
            at_once = seconds_after_an_end(kinds[i]) < 0.9;
        assert_true(at_once);
    }
}

/* The caller has lost its interest, which says nothing about the connection. */
static void a_request_that_is_cancelled_at_once_leaves_its_connection(void **state)
{
    (void)state;
    struct setup setup;
    open_setup(&setup, &http2);
    assert_int_equal(fetch(&setup.f, (struct http_request){.url = setup.hello}).status, 200);
    const struct http_request request = {.method = "POST", .url = setup.hello, .timeout_ms = 20000};
    struct outcome cancelled = {0};
    (void)kill(setup.proxy.pid, SIGSTOP);
    cancelled.call = http_call_start(setup.f.client, &request, on_outcome, &cancelled, NULL);
    assert_non_null(cancelled.call);
    for (int i = 0; i < 3; i++) /* it is sent */
        (void)uv_run(&setup.f.loop, UV_RUN_NOWAIT);
    http_call_cancel(&cancelled.call);
    (void)kill(setup.proxy.pid, SIGCONT);
    struct outcome o = fetch(&setup.f, (struct http_request){.url = setup.hello});
    assert_int_equal(o.status, 200);
    assert_false(o.new_connection);
    assert_int_equal(cancelled.calls, 0);
    close_setup(&setup);
}

/* Two are sent: nobody can know that the server is only slow. From then on it is given its time. */
static void a_server_that_is_slow_gets_a_request_twice_once(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    assert_string_equal(get_path(&f, "/hello").body, "hello");
    assert_string_equal(get_path(&f, "/late").body, "2");
    assert_string_equal(get_path(&f, "/late").body, "3");
    close_client(&f);

    open_client(&f, &PLAIN); /* on a connection that has not brought a response it never is */
    assert_string_equal(get_path(&f, "/late").body, "4");
    close_client(&f);
}

static void a_request_that_takes_long_by_design_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    open_client(&f, &PLAIN);
    assert_string_equal(get_path(&f, "/hello").body, "hello");
    struct outcome o = fetch(
        &f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/late"),
                                  .slow = true});
    assert_string_equal(o.body, "5");
    close_client(&f);
}

/* The queue: at most so many in flight, the others wait within their own time and leave at no cost. */
static void requests_that_wait_keep_their_deadline(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    struct outcome busy = {0};
    static struct outcome o[2000];
    open_client(&f, &(const struct http_client_config){.max_connections_per_host = 1});
    struct http_request request = {.method = "GET",
                                   .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/slow"),
                                   .timeout_ms = 60000};
    assert_string_equal(get_path(&f, "/hello").body, "hello");
    request.slow = true;
    busy.call = http_call_start(f.client, &request, on_outcome, &busy, NULL);
    request.timeout_ms = 300;
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        o[i].call = http_call_start(f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    for (size_t i = 1; i < ARRAY_SIZE(o); i += 2)
        http_call_cancel(&o[i].call);
    for (size_t i = 0; i < ARRAY_SIZE(o); i += 2)
        wait_for(&f, &o[i], 1);
    assert_int_equal(o[0].code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_string_equal(o[0].message,
                        "no response from 127.0.0.1 within 300 ms: not sent (requests in flight to it: 1)");
    assert_int_equal(o[1].calls, 0);
    assert_int_equal(busy.calls, 0);
    close_client(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_over_http1),
        cmocka_unit_test(silence_over_http2),
        cmocka_unit_test(idle_connections_of_the_host_go_too),
        cmocka_unit_test(a_write_starts_again_only_if_the_server_may_get_it_twice),
        cmocka_unit_test(a_request_that_ends_without_a_byte_takes_its_connection_along),
        cmocka_unit_test(a_request_that_is_cancelled_at_once_leaves_its_connection),
        cmocka_unit_test(a_server_that_is_slow_gets_a_request_twice_once),
        cmocka_unit_test(a_request_that_takes_long_by_design_is_left_alone),
        cmocka_unit_test(requests_that_wait_keep_their_deadline),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
