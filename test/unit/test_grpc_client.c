/*
 * test_grpc_client - the client against hand-made HTTP/2 servers, and against our own server.
 */
#include "common/grpc/server.h"
#include "test/unit/grpc_client_fixture.h"

/* --- tests --- */

static void a_call_follows_the_protocol(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.user_agent = "grpc-c-test/1"});
    (void)send_request(f, 5000, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "DATA 1 len=15 END\n"));
    assert_non_null(strstr(
        wire->log,
        "HEADERS 1 :method=POST :scheme=http :path=" VERSION
        " :authority=localhost content-type=application/grpc user-agent=grpc-c-test/1 te=trailers grpc-timeout="));
    reply(wire, 1);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    assert_string_equal(outcome.text, "v1");
    wire_read(wire);
    assert_null(strstr(wire->log, "RST_STREAM"));
    wire_close(wire);
}

/* The whole request of a stream, on the connection that the first one makes. */
static void receive_request(struct fixture *f, struct wire **wire, unsigned id)
{
    char sent[32];

    if (*wire == NULL)
        *wire = accept_client(f);
    (void)snprintf(sent, sizeof(sent), "DATA %u len=15 END\n", id);
    assert_true(wire_wait(*wire, sent));
}

static void responses_are_checked_strictly(void **state)
{
    static const struct {
        const char *headers[12];
        const char *data;
        size_t data_len;
        const char *trailers[8]; /* none: END_STREAM on what came before */
        enum grpc_status code;
        const char *text;
    } cases[] = {
        {{":status", "200", "content-type", "application/grpc", "grpc-status", "5", "grpc-message",
          "n%C3%B6"},
         NULL,
         0,
         {NULL},
         GRPC_STATUS_NOT_FOUND,
         "n\xc3\xb6"},
        {{":status", "200", "content-type", "application/grpc", "grpc-status", "0"},
         NULL,
         0,
         {NULL},
         GRPC_STATUS_INTERNAL,
         "no message"},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\0\0",
         5,
         {NULL},
         GRPC_STATUS_INTERNAL,
         "without sending trailers"},
        {{":status", "200"}, "\0\0\0\0\0", 5, {"grpc-status", "0"}, GRPC_STATUS_UNKNOWN, "content-type"},
        {{":status", "200", "content-type", "application/grpc+proto"},
         "\0\0\0\0\0",
         5,
         {"grpc-status", "0"},
         GRPC_STATUS_OK,
         ""},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\0\0\0\0\0\0\0",
         10,
         {"grpc-status", "0"},
         GRPC_STATUS_INTERNAL,
         "more than one message"},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\0\2a",
         6,
         {"grpc-status", "0"},
         GRPC_STATUS_INTERNAL,
         "ended inside"},
        {{":status", "200", "content-type", "application/grpc"},
         "\1\0\0\0\0",
         5,
         {"grpc-status", "0"},
         GRPC_STATUS_INTERNAL,
         "compressed"},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\0\1\xff",
         6,
         {"grpc-status", "0"},
         GRPC_STATUS_INTERNAL,
         "unmarshal"},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\0\3\x0a\1\xff",
         8,
         {"grpc-status", "0"},
         GRPC_STATUS_INTERNAL,
         "field version of VersionResponse"},
        {{":status", "200", "content-type", "application/grpc"},
         "\0\0\0\3\xe9",
         5,
         {"grpc-status", "0"},
         GRPC_STATUS_RESOURCE_EXHAUSTED,
         "grpc: received message larger than max (1001 vs. 1000)"},
        {{":status", "503"}, "oops", 4, {NULL}, GRPC_STATUS_UNAVAILABLE, "HTTP status 503"},
        {{":status", "404"}, NULL, 0, {NULL}, GRPC_STATUS_UNIMPLEMENTED, "404"},
        {{":status", "200", "content-type", "application/grpc", "grpc-status", "abc"},
         NULL,
         0,
         {NULL},
         GRPC_STATUS_UNKNOWN,
         "malformed grpc-status"},
        {{":status", "200", "content-type", "application/grpc", "grpc-status", "99", "grpc-message", "x"},
         NULL,
         0,
         {NULL},
         GRPC_STATUS_UNKNOWN,
         "x"},
        {{":status", "200", "content-type", "application/grpc", "grpc-status", "5"},
         "\0\0\0\0\0",
         5,
         {"grpc-status", "0"},
         GRPC_STATUS_OK,
         ""},
        {{"content-type", "application/grpc"}, NULL, 0, {NULL}, GRPC_STATUS_INTERNAL, "malformed"},
    };
    struct fixture *f = *state;
    struct wire *wire = NULL;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.max_response_bytes = 1000});
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct outcome outcome = {0};
        unsigned id = 2 * i + 1;
        bool trailers = cases[i].trailers[0] != NULL;

        (void)send_request(f, 5000, on_outcome, &outcome);
        receive_request(f, &wire, id);
        wire_headers(wire, id, cases[i].data == NULL && !trailers ? WIRE_END_STREAM : 0, cases[i].headers);
        if (cases[i].data != NULL)
            wire_frame(wire, WIRE_DATA, trailers ? 0 : WIRE_END_STREAM, id, cases[i].data, cases[i].data_len);
        if (trailers && outcome.n == 0)
            wire_headers(wire, id, WIRE_END_STREAM, cases[i].trailers);
        wait_for(f, &outcome, 1);
        if (outcome.code != cases[i].code || strstr(outcome.text, cases[i].text) == NULL)
            fail_msg("case %u: %s %s", i, grpc_status_name(outcome.code), outcome.text);
    }
    wire_close(wire);
}

static void what_the_peer_says_about_another_try_comes_with_the_failure(void **state)
{
#define GRPC  ":status", "200", "content-type", "application/grpc"
#define FIELD "grpc-retry-pushback-ms"
    static const struct {
        const char *headers[14];
        const char *trailers[8]; /* none: END_STREAM on the headers */
        struct grpc_pushback expected;
    } cases[] = {
        {{GRPC, "grpc-status", "14"}, {NULL}, {GRPC_PUSHBACK_NONE, 0}},
        {{GRPC, "grpc-status", "14", FIELD, "250"}, {NULL}, {GRPC_PUSHBACK_AFTER, 250}},
        {{GRPC, FIELD, "-1", "grpc-status", "14"}, {NULL}, {GRPC_PUSHBACK_NO_RETRY, 0}},
        {{GRPC, "grpc-status", "14", FIELD, "0", FIELD, "0"}, {NULL}, {GRPC_PUSHBACK_NO_RETRY, 0}},
        {{GRPC}, {"grpc-status", "14", FIELD, "soon"}, {GRPC_PUSHBACK_NO_RETRY, 0}},
        {{GRPC, FIELD, "250"}, {"grpc-status", "14"}, {GRPC_PUSHBACK_NONE, 0}},
    };
    struct fixture *f = *state;
    struct wire *wire = NULL;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct outcome outcome = {0};
        struct grpc_pushback pushback = {.kind = GRPC_PUSHBACK_AFTER, .pause_ms = 99};
        unsigned id = 2 * i + 1;
        bool trailers = cases[i].trailers[0] != NULL;

        grpc_client_call_pushback(send_request(f, 5000, on_outcome, &outcome), &pushback);
        receive_request(f, &wire, id);
        wire_headers(wire, id, trailers ? 0 : WIRE_END_STREAM, cases[i].headers);
        if (trailers)
            wire_headers(wire, id, WIRE_END_STREAM, cases[i].trailers);
        wait_for(f, &outcome, 1);
        assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
        assert_int_equal(pushback.kind, cases[i].expected.kind);
        assert_int_equal(pushback.pause_ms, cases[i].expected.pause_ms);
    }
    wire_close(wire);
}

static void resets_are_mapped_to_codes(void **state)
{
    static const struct {
        uint8_t http2;
        enum grpc_status code;
    } cases[] = {{1, GRPC_STATUS_INTERNAL},           {2, GRPC_STATUS_INTERNAL},
                 {3, GRPC_STATUS_RESOURCE_EXHAUSTED}, {7, GRPC_STATUS_UNAVAILABLE},
                 {8, GRPC_STATUS_CANCELLED},          {11, GRPC_STATUS_RESOURCE_EXHAUSTED},
                 {12, GRPC_STATUS_PERMISSION_DENIED}};
    struct fixture *f = *state;
    struct wire *wire = NULL;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct outcome outcome = {0};
        uint8_t code[4] = {0, 0, 0, cases[i].http2};

        (void)send_request(f, 5000, on_outcome, &outcome);
        receive_request(f, &wire, 2 * i + 1);
        wire_frame(wire, WIRE_RST, 0, 2 * i + 1, code, 4);
        wait_for(f, &outcome, 1);
        assert_int_equal(outcome.code, cases[i].code);
    }
    wire_close(wire);
}

static void informational_responses_are_skipped(void **state)
{
    static const char *const early[] = {":status", "103", NULL};
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    (void)send_request(f, 5000, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "END\n"));
    wire_headers(wire, 1, 0, early);
    reply(wire, 1);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    wire_close(wire);
}

static void a_missing_and_a_refusing_socket_fail_quickly_and_are_named(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    char expected[128];

    open_channel(f, (struct grpc_channel_config){0});
    (void)send_request(f, 5000, on_outcome, &outcome);
    assert_int_equal(outcome.n, 0); /* never inside start */
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
    (void)snprintf(expected, sizeof(expected), "socket %s: no such file or directory", f->path);
    assert_string_equal(outcome.text, expected);
    listen_here(f);
    (void)close(f->listen_fd);
    f->listen_fd = -1;
    (void)send_request(f, 5000, on_outcome, &outcome);
    wait_for(f, &outcome, 2);
    (void)snprintf(expected, sizeof(expected), "socket %s: connection refused", f->path);
    assert_string_equal(outcome.text, expected);
}

static void a_call_waits_for_a_provider_that_restarts(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;
    uint64_t begin = uv_hrtime();

    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 60000});
    (void)send_request(f, 60000, on_outcome, &outcome);
    while (uv_hrtime() - begin < 50000000)
        (void)uv_run(&f->loop, UV_RUN_ONCE); /* some attempts fail */
    listen_here(f);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "END\n"));
    reply(wire, 1);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    wire_close(wire);
}

static void the_wait_for_a_restart_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0}, deadline = {0};

    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 60});
    (void)send_request(f, 60000, on_outcome, &outcome);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
    grpc_channel_destroy(f->channel);
    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 60000});
    (void)send_request(f, 60, on_outcome, &deadline);
    wait_for(f, &deadline, 1);
    assert_int_equal(deadline.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(deadline.text, "no such file or directory"));
}

static void a_refused_stream_is_sent_again_and_another_one_never(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 60000});
    (void)send_request(f, 60000, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "DATA 1 len=15 END\n"));
    wire_frame(wire, WIRE_RST, 0, 1, "\0\0\0\7", 4);
    assert_true(wire_wait(wire, "DATA 3 len=15 END\n"));
    reply(wire, 3);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    /* Lost after it was sent: may have been processed, so it must not be repeated. */
    (void)send_request(f, 60000, on_outcome, &outcome);
    assert_true(wire_wait(wire, "DATA 5 len=15 END\n"));
    wire_close(wire);
    wait_for(f, &outcome, 2);
    assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(outcome.text, "connection closed by the peer"));
}

static void after_goaway_unseen_calls_move_to_a_new_connection_and_seen_ones_finish(void **state)
{
    struct fixture *f = *state;
    struct outcome first = {0}, second = {0};
    struct wire *old, *new;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 60000});
    (void)send_request(f, 60000, on_outcome, &first);
    (void)send_request(f, 60000, on_outcome, &second);
    old = accept_client(f);
    assert_true(wire_wait(old, "DATA 3 len=15 END\n"));
    wire_frame(old, WIRE_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    new = accept_client(f);
    assert_true(wire_wait(new, "DATA 1 len=15 END\n"));
    reply(new, 1);
    wait_for(f, &second, 1);
    assert_int_equal(second.code, GRPC_STATUS_OK);
    assert_int_equal(first.n, 0);
    reply(old, 1);
    wait_for(f, &first, 1);
    assert_int_equal(first.code, GRPC_STATUS_OK);
    assert_true(wire_wait(old, "CLOSED"));
    wire_close(old);
    wire_close(new);
}

static void a_peer_that_only_ever_says_goodbye_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;
    int fd;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    (void)send_request(f, 60000, on_outcome, &outcome);
    while ((fd = accept(f->listen_fd, NULL, NULL)) == -1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    wire = wire_from_fd(&f->loop, fd);
    assert_int_equal(send(fd, "\0\0\0\4\0\0\0\0\0\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\0", 26, MSG_NOSIGNAL), 26);
    wait_for(f, &outcome, 1); /* at once, and not by connecting again and again */
    assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(accept(f->listen_fd, NULL, NULL), -1);
    wire_close(wire);
}

static void a_peer_that_accepts_but_is_silent_is_reported(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.connect_timeout_ms = 30});
    (void)send_request(f, 60000, on_outcome, &outcome);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(outcome.text, "does not respond in HTTP/2"));
}

static void a_passed_deadline_resets_the_stream(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    (void)send_request(f, 50, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "RST_STREAM 1 code=8\n"));
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    wire_close(wire);
}

static void a_cancelled_call_resets_the_stream_and_never_calls_back(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0}, other = {0};
    struct grpc_client_call *call;
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    call = send_request(f, 5000, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "DATA 1 len=15 END\n"));
    grpc_client_call_cancel(&call);
    assert_null(call);
    assert_true(wire_wait(wire, "RST_STREAM 1 code=8\n"));
    (void)send_request(f, 5000, on_outcome, &other);
    assert_true(wire_wait(wire, "DATA 3 len=15 END\n"));
    reply(wire, 3);
    wait_for(f, &other, 1);
    assert_int_equal(outcome.n, 0);
    wire_close(wire);
}

static void destroying_with_calls_in_every_state_runs_no_callback(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.retry_unavailable_ms = 1000});
    (void)send_request(f, 5000, on_outcome, &outcome);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "DATA 1 len=15 END\n"));
    (void)send_request(f, 5000, on_outcome, &outcome);
    grpc_channel_destroy(f->channel);
    f->channel = NULL;
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(outcome.n, 0);
    wire_close(wire);
}

static void on_outcome_destroy(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct outcome *outcome = arg;

    on_outcome(response, error, outcome);
    grpc_channel_destroy(outcome->fixture->channel);
    outcome->fixture->channel = NULL;
}

static void a_channel_may_be_destroyed_in_a_callback(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {.fixture = f}, other = {0};
    struct wire *wire;

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    (void)send_request(f, 5000, on_outcome_destroy, &outcome);
    (void)send_request(f, 5000, on_outcome, &other);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "DATA 3 len=15 END\n"));
    reply(wire, 1);
    reply(wire, 3);
    wait_for(f, &outcome, 1);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    assert_in_range(other.n, 0, 1);
    wire_close(wire);
}

static int refuse_peer(uid_t peer_uid, pid_t peer_pid, uid_t socket_owner, void *arg, struct error **err)
{
    (void)arg;
    return error_set(err, GRPC_STATUS_PERMISSION_DENIED, "refused %d %d", peer_uid == socket_owner,
                     peer_pid == getpid());
}

static void a_peer_can_be_refused_by_its_credentials(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};

    listen_here(f);
    open_channel(f, (struct grpc_channel_config){.peer_check = refuse_peer, .retry_unavailable_ms = 60000});
    (void)send_request(f, 60000, on_outcome, &outcome);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(outcome.text, "refused 1 1");
}

static void a_path_that_is_too_long_is_refused_at_creation(void **state)
{
    struct fixture *f = *state;
    cleanup_error struct error *err = NULL;
    char path[109] = {0};

    memset(path, 'x', 108);
    assert_null(grpc_channel_create(&f->loop, &(struct grpc_channel_config){.unix_path = path}, &err));
    assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
}

/* --- both ends ours --- */

static void echo_version(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    V1alpha1__VersionResponse response;

    (void)arg;
    v1alpha1__version_response__init(&response);
    response.version = ((const V1alpha1__VersionRequest *)request)->version;
    grpc_call_reply(call, &response.base);
}

static void a_thousand_calls_and_a_large_message_go_both_ways(void **state)
{
    static const struct grpc_method methods[] = {
        {"Version", &v1alpha1__version_request__descriptor, echo_version}};
    static const struct grpc_service service = {"v1alpha1.CSIDriverProvider", methods, 1, NULL};
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct grpc_server *server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    V1alpha1__VersionRequest request;
    char *text = calloc(1, 3 * 1024 * 1024 + 1);
    bool stopped = false;

    grpc_server_add_service(server, &service);
    assert_int_equal(grpc_server_listen_unix(server, f->path, 0600, NULL), 0);
    open_channel(f, (struct grpc_channel_config){0});
    for (int i = 0; i < 1000; i++)
        (void)send_request(f, WIRE_PATIENCE_MS, on_outcome, &outcome);
    wait_for(f, &outcome, 1000);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    assert_string_equal(outcome.text, "v1alpha1");
    memset(text, 'x', 3 * 1024 * 1024);
    v1alpha1__version_request__init(&request);
    request.version = text;
    assert_non_null(grpc_client_call_start(f->channel, VERSION, &request.base,
                                           &v1alpha1__version_response__descriptor, WIRE_PATIENCE_MS,
                                           on_outcome, &outcome, NULL));
    wait_for(f, &outcome, 1001);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    free(text);
    grpc_server_stop(server, 0, on_stopped, &stopped);
    while (!stopped)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_follows_the_protocol),
        TEST(responses_are_checked_strictly),
        TEST(what_the_peer_says_about_another_try_comes_with_the_failure),
        TEST(resets_are_mapped_to_codes),
        TEST(informational_responses_are_skipped),
        TEST(a_missing_and_a_refusing_socket_fail_quickly_and_are_named),
        TEST(a_call_waits_for_a_provider_that_restarts),
        TEST(the_wait_for_a_restart_is_bounded),
        TEST(a_refused_stream_is_sent_again_and_another_one_never),
        TEST(after_goaway_unseen_calls_move_to_a_new_connection_and_seen_ones_finish),
        TEST(a_peer_that_only_ever_says_goodbye_is_given_up),
        TEST(a_peer_that_accepts_but_is_silent_is_reported),
        TEST(a_passed_deadline_resets_the_stream),
        TEST(a_cancelled_call_resets_the_stream_and_never_calls_back),
        TEST(destroying_with_calls_in_every_state_runs_no_callback),
        TEST(a_channel_may_be_destroyed_in_a_callback),
        TEST(a_peer_can_be_refused_by_its_credentials),
        TEST(a_path_that_is_too_long_is_refused_at_creation),
        TEST(a_thousand_calls_and_a_large_message_go_both_ways),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
