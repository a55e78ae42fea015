/*
 * test_http_client.c - calls of the HTTP client over plain HTTP/1.1: what is sent, what comes back, what
 * misbehaving servers do to it, how it ends early. The fixture: http_client_fixture.h.
 */
#include "test/unit/http_client_fixture.h"

static void any_status_is_a_response_with_headers(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    struct outcome o = get_path(&f, "/hello");
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "hello");
    o = get_path(&f, "/status");
    assert_int_equal(o.status, 410);
    assert_string_equal(o.body, "gone");
    assert_string_equal(o.why, "test");
    assert_int_equal(o.retry_after_ms, 3000);
    o = get_path(&f, "/busy");
    assert_int_equal(o.status, 429);
    assert_string_equal(o.why, "");
    assert_int_equal(o.retry_after_ms, 250); /* the more precise header that can be read */
    o = get_path(&f, "/later");              /* a date counts from the server's clock; this one is at 1970 */
    assert_int_equal(o.retry_after_ms, 30000);
    o = get_path(&f, "/redirect");
    assert_int_equal(o.status, 302); /* not followed */
    close_client(&f);
}

static void connections_are_kept_and_closed_when_broken(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    assert_true(get_path(&f, "/hello").new_connection);
    assert_false(get_path(&f, "/hello").new_connection);
    (void)get_path(&f, "/reset");
    assert_true(get_path(&f, "/hello").new_connection);
    close_client(&f);
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

static void on_turn(uv_check_t *check)
{
    (*(unsigned *)check->data)++;
}

static void a_connection_that_ends_while_nothing_uses_it_wakes_the_loop_once(void **state)
{
    (void)state;
    struct fixture f;
    uv_timer_t timer;
    uv_check_t check;
    unsigned turns = 0;
    open_client(&f, &PLAIN);
    assert_string_equal(get_path(&f, "/leave").body, "bye");
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0); /* a kept connection is nothing to wait for */

    assert_int_equal(uv_timer_init(&f.loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_timer, /* timeout= */ 300, /* repeat= */ 0), 0);
    assert_int_equal(uv_check_init(&f.loop, &check), 0);
    check.data = &turns;
    assert_int_equal(uv_check_start(&check, on_turn), 0);
    uv_unref((uv_handle_t *)&check);
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    assert_in_range(turns, 1, 5);
    uv_close((uv_handle_t *)&check, NULL);

    assert_true(get_path(&f, "/hello").new_connection);
    assert_false(get_path(&f, "/hello").new_connection);
    close_client(&f);
}

static void requests_carry_the_given_headers_and_nothing_more(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    char text[256];
    static const char *const headers[] = {"X-Mine: 1", NULL};
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1",
                                                                  server.port, "/headers"),
                                                       .headers = headers,
                                                       .bearer_token = "token"});
    assert_non_null(strstr(o.body, "X-Mine: 1"));
    assert_non_null(strstr(o.body, "Authorization: Bearer token"));
    assert_non_null(strstr(o.body, "User-Agent: test/1"));
    assert_null(strstr(o.body, "Content-Type"));
    static const char *const methods[] = {"POST", "PUT", "PATCH"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        char expected[64];
        o = fetch(&f,
                  (struct http_request){.method = methods[i],
                                        .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/"),
                                        .headers = (const char *const[]){"Content-Type: a/b", NULL},
                                        .body = "a=b",
                                        .body_len = 3});
        (void)snprintf(expected, sizeof(expected), "%s a/b a=b", methods[i]);
        assert_string_equal(o.body, expected);
    }
    o = fetch(&f,
              (struct http_request){.method = "POST",
                                    .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/")});
    assert_string_equal(o.body, "POST None ");
    close_client(&f);
}

static void misbehaving_servers_give_named_errors(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum grpc_status code;
        enum http_hop hop;
        const char *message;
    } cases[] = {
        {"/truncated?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE,
         "response from 127.0.0.1 broke off"},
        {"/reset?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no response from 127.0.0.1"},
        {"/garbage?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no response from 127.0.0.1"},
        {"/line-version?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE,
         "no response from 127.0.0.1: the response is not HTTP"},
        {"/line-status?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no response from 127.0.0.1"},
        {"/line-short?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no response from 127.0.0.1"},
        {"/line-name?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no response from 127.0.0.1"},
        {"/hugeheader?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE, "too large a header"},
        {"/manyheaders?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE, "too large a header"},
        {"/big?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE, "is larger than 1000 bytes"},
        {"/bigchunks?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE,
         "is larger than 1000 bytes"},
        {"/slow?q=canary", GRPC_STATUS_DEADLINE_EXCEEDED, HTTP_HOP_TIMEOUT,
         "no response from 127.0.0.1 within 300 ms"},
        {"/stall?q=canary", GRPC_STATUS_DEADLINE_EXCEEDED, HTTP_HOP_TIMEOUT, "not complete within 300 ms"},
    };
    struct fixture f;
    open_client(&f, &PLAIN);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[256];
        struct outcome o =
            fetch(&f, (struct http_request){
                          .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, cases[i].path),
                          .max_response_bytes = 1000,
                          .timeout_ms = cases[i].hop == HTTP_HOP_TIMEOUT ? 300 : 20000});
        assert_non_null(strstr(o.message, cases[i].message));
        assert_null(strstr(o.message, "canary"));
        assert_int_equal(o.code, cases[i].code);
        assert_int_equal(o.hop, cases[i].hop);
    }
    close_client(&f);
}

/* The client need not parse where a URL leads when the one before led there, too. */
static void a_known_origin_makes_no_other_url_good(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"https://127.0.0.1:1/x", true},     {"https://127.0.0.1:1/y?z#f", true},
        {"https://127.0.0.1:1/a b", false},  {"https://127.0.0.1:1/a\tb", false},
        {"https://127.0.0.1:1", true},       {"https://127.0.0.1:1x/", false},
        {"https://127.0.0.1:1?q", true},     {"https://u@127.0.0.1:1/", true}, /* curl refuses it */
        {"https://127.0.0.1:1/", true},      {"https:///127.0.0.1:1/x y", false},
        {"https://127.0.0.1:99999/", false},
    };
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *error = NULL;
        const struct http_request request = {.method = "GET", .url = rows[i].url, .timeout_ms = 1000};
        struct http_call *call = http_call_start(f.client, &request, on_outcome, NULL, &error);
        assert_int_equal(call != NULL, rows[i].good);
        if (call == NULL)
            assert_string_equal(error_message(error), "malformed URL");
        http_call_cancel(&call);
    }
    close_client(&f);
}

static void a_known_origin_is_where_the_next_request_goes(void **state)
{
    static const char *const messages[] = {"127.0.0.1:1", "127.0.0.1:1", "127.0.0.2:1",
                                           "127.0.0.2:3", "127.0.0.2:3", "127.0.0.1:1"};
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "https://%s/x", messages[i]);
        struct outcome o = fetch(&f, (struct http_request){.url = text});
        assert_int_equal(o.hop, HTTP_HOP_CONNECT);
        assert_non_null(strstr(o.message, messages[i]));
    }
    close_client(&f);
}

static void bad_requests_are_refused_at_the_start(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    static const char *const split_header[] = {"X: a\nY: b", NULL};
    const struct http_request cases[] = {
        {.method = "GET", .url = "ftp://host/x", .timeout_ms = 1000},
        {.method = "GET", .url = "https://", .timeout_ms = 1000},
        {.method = "GET", .url = "not a url", .timeout_ms = 1000},
        {.method = "GET", .url = "http://host/\r\nX: y", .timeout_ms = 1000},
        {.method = "G T", .url = "http://host/", .timeout_ms = 1000},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .bearer_token = "a\r\nX: y"},
        {.method = "GET",
         .url = "http://host/",
         .timeout_ms = 1000,
         .bearer_token = "0123456789abcdef0123\x7f"},
        {.method = "GET", .url = "http://host/0123456789abcdef\t0123456789", .timeout_ms = 1000},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .headers = split_header},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .proxy_url = "http://"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        assert_null(http_call_start(f.client, &cases[i], on_outcome, NULL, &error));
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    }
    close_client(&f);
}

struct last_call {
    struct fixture *fixture;
    struct outcome *others;
    char body[16];
};

static void cancel_and_destroy(struct http_response *response, enum http_hop hop, const struct error *error,
                               void *arg)
{
    struct last_call *last = arg;
    assert_null(error);
    assert_int_equal(hop, HTTP_HOP_NONE);
    http_call_cancel(&last->others[0].call);
    http_client_destroy(steal_ptr(&last->fixture->client));
    assert_non_null(http_response_header(response, "content-length"));
    (void)snprintf(last->body, sizeof(last->body), "%s", buffer_str(&response->body));
}

static void a_callback_may_cancel_other_calls_and_destroy_the_client(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    struct outcome others[2] = {0};
    struct last_call last = {.fixture = &f, .others = others};
    char text[256];
    struct http_request request = {.method = "GET",
                                   .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/stall"),
                                   .timeout_ms = 20000};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        others[i].call = http_call_start(f.client, &request, on_outcome, &others[i], NULL);
        assert_non_null(others[i].call);
    }
    request.url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/hello");
    assert_non_null(http_call_start(f.client, &request, cancel_and_destroy, &last, NULL));
    while (last.body[0] == '\0')
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    close_client(&f);
    assert_string_equal(last.body, "hello");
    assert_int_equal(others[0].calls + others[1].calls, 0);
}

static void a_cancelled_connect_and_a_destroyed_client_run_no_callback(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    struct outcome o[20] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        char text[256];
        const struct http_request request = {
            .method = "GET",
            .url = url(text, sizeof(text), "http", "127.0.0.1", server.port, "/slow"),
            .timeout_ms = 60000};
        o[i].call = http_call_start(f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    http_call_cancel(&o[0].call);
    (void)uv_run(&f.loop, UV_RUN_ONCE);
    http_call_cancel(&o[1].call);
    (void)uv_run(&f.loop, UV_RUN_ONCE);
    close_client(&f);
    for (size_t i = 0; i < ARRAY_SIZE(o); i++)
        assert_int_equal(o[i].calls, 0);
}

static void a_hundred_parallel_calls_use_a_bounded_number_of_connections(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    open_client(&f, &(const struct http_client_config){.max_connections_per_host = 8});
    int made = hundred_calls(&f, url(text, sizeof(text), "http", "127.0.0.1", server.port, "/hello"), 200);
    assert_in_range(made, 1, 8);
    assert_int_equal(hundred_calls(&f, text, 200), 0);
    close_client(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_status_is_a_response_with_headers),
        cmocka_unit_test(connections_are_kept_and_closed_when_broken),
        cmocka_unit_test(a_connection_that_ends_while_nothing_uses_it_wakes_the_loop_once),
        cmocka_unit_test(requests_carry_the_given_headers_and_nothing_more),
        cmocka_unit_test(misbehaving_servers_give_named_errors),
        cmocka_unit_test(bad_requests_are_refused_at_the_start),
        cmocka_unit_test(a_known_origin_makes_no_other_url_good),
        cmocka_unit_test(a_known_origin_is_where_the_next_request_goes),
        cmocka_unit_test(a_callback_may_cancel_other_calls_and_destroy_the_client),
        cmocka_unit_test(a_cancelled_connect_and_a_destroyed_client_run_no_callback),
        cmocka_unit_test(a_hundred_parallel_calls_use_a_bounded_number_of_connections),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
