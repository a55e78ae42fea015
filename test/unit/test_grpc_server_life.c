/*
 * test_grpc_server_life.c - how calls, connections, the gRPC server and its socket begin and end: deadlines,
 * cancellation, limits, slow peers, draining. The fixture: grpc_server_fixture.h.
 */
#include "test/unit/grpc_server_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

static void a_passed_deadline_fails_the_call_and_notifies_the_handler(void **state)
{
    static const char *const timeout[] = {"grpc-timeout", "200m", NULL};
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    call(wire, 1, "hold", timeout);
    assert_true(wire_wait(wire, "grpc-status=4"));
    pump(f);
    assert_int_equal(f->n_cancelled, 1);
    assert_int_equal(f->reason, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(f->n_observed, 0);
    end_call(f->held);
    assert_int_equal(f->n_observed, 1);
    wire_close(wire);
    stop(f);
}

static void a_call_that_is_cancelled_early_may_respond_until_its_deadline(void **state)
{
    static const char *const long_timeout[] = {"grpc-timeout", "60S", NULL};
    static const char *const short_timeout[] = {"grpc-timeout", "60m", NULL};
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    call(wire, 1, "hold 59990", long_timeout);
    while (f->n_cancelled == 0)
        pump(f);
    assert_int_equal(f->reason, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_true(grpc_call_time_left_ms(f->held) > 30000);
    wire_read(wire);
    assert_null(strstr(wire->log, "grpc-status"));
    end_call(f->held);
    assert_true(wire_wait(wire, "grpc-status=10"));
    call(wire, 3, "hold 40", short_timeout); /* and one whose handler does not respond */
    assert_true(wire_wait(wire, "grpc-status=4"));
    assert_int_equal(f->n_cancelled, 2);
    end_call(f->held);
    call(wire, 5, "hold 10", NULL); /* there is no deadline */
    while (f->n_held < 3)
        pump(f);
    assert_int_equal(f->n_cancelled, 2);
    end_call(f->held);
    wire_close(wire);
    stop(f);
}

static void a_failure_forbids_a_retry_when_its_handler_says_so(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    hold(f, wire, 1);
    end_call(f->held);
    assert_true(wire_wait(wire, "grpc-status=10 grpc-message=ended\n"));
    hold(f, wire, 3);
    grpc_call_forbid_retry(f->held);
    end_call(f->held);
    assert_true(wire_wait(wire, "HEADERS 3 END :status=200 content-type=application/grpc grpc-status=10 "
                                "grpc-retry-pushback-ms=-1 grpc-message=ended\n"));
    wire_close(wire);
    stop(f);
}

static void a_reset_stream_and_a_lost_connection_cancel(void **state)
{
    struct fixture *f = *state;
    struct grpc_call *first;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    hold(f, wire, 1);
    first = f->held;
    wire_frame(wire, WIRE_RST, 0, 1, "\0\0\0\x08", 4);
    while (f->n_cancelled < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->reason, GRPC_STATUS_CANCELLED);
    hold(f, wire, 3);
    wire_close(wire);
    while (f->n_cancelled < 2)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    end_call(first);
    end_call(f->held);
    stop(f);
}

static void a_cancel_callback_set_too_late_still_runs_from_the_loop(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    hold(f, wire, 1);
    grpc_call_on_cancel(f->held, NULL, NULL);
    wire_close(wire);
    while (grpc_call_cancel_reason(f->held) == GRPC_STATUS_OK)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_call_on_cancel(f->held, on_cancel, f);
    assert_int_equal(f->n_cancelled, 0);
    pump(f);
    assert_int_equal(f->n_cancelled, 1);
    end_call(f->held);
    stop(f);
}

static void handlers_count_until_they_end_even_if_their_stream_is_reset(void **state)
{
    struct fixture *f = *state;
    struct grpc_call *held[2];
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.max_calls = 2});
    for (unsigned i = 0; i < 2; i++) {
        hold(f, wire, 2 * i + 1);
        held[i] = f->held;
        wire_frame(wire, WIRE_RST, 0, 2 * i + 1, "\0\0\0\x08", 4);
    }
    call(wire, 5, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 5 END :status=200 content-type=application/grpc grpc-status=8"));
    end_call(held[0]);
    call(wire, 7, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 7 END grpc-status=0\n"));
    end_call(held[1]);
    wire_close(wire);
    stop(f);
}

static void further_connections_wait_until_one_is_closed(void **state)
{
    struct fixture *f = *state;
    struct wire *first, *second, *third;

    start(f, (struct grpc_server_config){.max_connections = 1});
    first = dial(f);
    second = dial(f);
    third = dial(f);
    assert_true(wire_wait(first, "SETTINGS\n"));
    pump(f);
    wire_read(second);
    assert_string_equal(second->log, "");
    wire_close(first);
    assert_true(wire_wait(second, "SETTINGS\n"));
    wire_close(second);
    assert_true(wire_wait(third, "SETTINGS\n"));
    wire_close(third);
    stop(f);
}

static void a_client_that_never_reads_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.write_timeout_ms = 30});
    wire_frame(wire, WIRE_SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff", 6); /* window of 2 GiB */
    wire_frame(wire, WIRE_WINDOW, 0, 0, "\x7f\0\0\0", 4);
    call(wire, 1, "3000000", NULL);
    while (f->n_observed < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    /* Nothing is read here, so only the server's own limit can end this. */
    do
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    while (poll(&(struct pollfd){.fd = wire->fd, .events = POLLRDHUP}, 1, 0) == 0);
    assert_true(wire_wait(wire, "CLOSED"));
    wire_close(wire);
    stop(f);
}

static void a_response_that_gets_no_window_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.write_timeout_ms = 30});
    wire_frame(wire, WIRE_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
    call(wire, 1, "10", NULL);
    assert_true(wire_wait(wire, "RST_STREAM 1 code=8\n"));
    wire_close(wire);
    stop(f);
}

static void a_stream_above_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.max_streams = 2});
    request(wire, 1, 0, MOUNT, NULL);
    request(wire, 3, 0, MOUNT, NULL);
    request(wire, 5, 0, MOUNT, NULL);
    assert_true(wire_wait(wire, "RST_STREAM 5 code=7\n"));
    wire_close(wire);
    stop(f);
}

static void an_idle_connection_is_closed_gracefully(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.idle_timeout_ms = 20});
    assert_true(wire_wait(wire, "GOAWAY last=2147483647 code=0\n"));
    assert_true(wire_wait(wire, "PING\n"));
    wire_frame(wire, WIRE_PING, WIRE_ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    assert_true(wire_wait(wire, "GOAWAY last=0 code=0\n"));
    assert_true(wire_wait(wire, "CLOSED"));
    wire_close(wire);
    stop(f);
}

static void stop_drains_a_running_call_and_then_cancels_it(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;
    struct stat st;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    hold(f, wire, 1);
    grpc_server_stop(f->server, 50, on_stopped, f);
    assert_int_equal(lstat(f->path, &st), -1);
    assert_int_equal(f->n_cancelled, 0);
    assert_true(wire_wait(wire, "GOAWAY last=2147483647"));
    while (f->n_cancelled < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->reason, GRPC_STATUS_UNAVAILABLE);
    pump(f);
    assert_false(f->stopped); /* waits for the handler */
    end_call(f->held);
    assert_true(wire_wait(wire, "grpc-status=10"));
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    wire_close(wire);
}

static void stop_lets_a_call_finish_within_the_drain_time(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    hold(f, wire, 1);
    grpc_server_stop(f->server, 60000, on_stopped, f);
    assert_true(wire_wait(wire, "PING\n"));
    wire_frame(wire, WIRE_PING, WIRE_ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    assert_true(wire_wait(wire, "GOAWAY last=1 code=0"));
    end_call(f->held);
    assert_true(wire_wait(wire, "CLOSED"));
    assert_non_null(strstr(wire->log, "grpc-status=10"));
    assert_int_equal(f->n_cancelled, 0);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    wire_close(wire);
}

static void the_socket_has_exactly_the_given_mode_and_leaves_no_other_file(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    start(f, (struct grpc_server_config){0});
    assert_int_equal(lstat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    stop(f);
    assert_int_equal(rmdir(f->dir), 0);
}

static void a_stale_socket_is_replaced_and_a_successors_is_not_removed(void **state)
{
    struct fixture *f = *state;
    struct grpc_server *first;
    struct stat st;

    start(f, (struct grpc_server_config){0});
    first = f->server;
    start(f, (struct grpc_server_config){0}); /* the successor takes over */
    grpc_server_stop(first, 0, on_stopped, f);
    while (!f->stopped)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_server_destroy(first);
    assert_int_equal(lstat(f->path, &st), 0);
    f->stopped = false;
    stop(f);
    assert_int_equal(lstat(f->path, &st), -1);
}

static void bad_places_for_a_socket_are_named(void **state)
{
    struct fixture *f = *state;
    cleanup_error struct error *empty = NULL, *longer = NULL, *file = NULL;
    struct grpc_server *server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    char path[200] = {0};
    int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    memset(path, 'x', sizeof(path) - 1);
    assert_int_equal(grpc_server_listen_unix(server, "", 0600, &empty), -1);
    assert_int_equal(error_code(empty), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(grpc_server_listen_unix(server, path, 0600, &longer), -1);
    assert_int_equal(error_code(longer), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(grpc_server_listen_unix(server, f->path, 0600, &file), -1);
    assert_int_equal(error_code(file), GRPC_STATUS_FAILED_PRECONDITION);
    (void)close(fd);
    (void)unlink(f->path);
    grpc_server_destroy(server);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
}

static void a_path_of_exactly_107_bytes_works(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char path[108] = {0};
    size_t len = strlen(f->dir);

    memcpy(path, f->dir, len);
    path[len] = '/';
    memset(path + len + 1, 's', 106 - len);
    f->server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    assert_int_equal(strlen(path), 107);
    assert_int_equal(grpc_server_listen_unix(f->server, path, 0700, NULL), 0);
    assert_int_equal(lstat(path, &st), 0);
    stop(f);
    assert_int_equal(lstat(path, &st), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_passed_deadline_fails_the_call_and_notifies_the_handler),
        TEST(a_call_that_is_cancelled_early_may_respond_until_its_deadline),
        TEST(a_failure_forbids_a_retry_when_its_handler_says_so),
        TEST(a_reset_stream_and_a_lost_connection_cancel),
        TEST(a_cancel_callback_set_too_late_still_runs_from_the_loop),
        TEST(handlers_count_until_they_end_even_if_their_stream_is_reset),
        TEST(further_connections_wait_until_one_is_closed),
        TEST(a_client_that_never_reads_is_dropped),
        TEST(a_response_that_gets_no_window_is_given_up),
        TEST(a_stream_above_the_limit_is_refused),
        TEST(an_idle_connection_is_closed_gracefully),
        TEST(stop_drains_a_running_call_and_then_cancels_it),
        TEST(stop_lets_a_call_finish_within_the_drain_time),
        TEST(the_socket_has_exactly_the_given_mode_and_leaves_no_other_file),
        TEST(a_stale_socket_is_replaced_and_a_successors_is_not_removed),
        TEST(bad_places_for_a_socket_are_named),
        TEST(a_path_of_exactly_107_bytes_works),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
