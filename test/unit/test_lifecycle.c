/*
 * test_lifecycle.c - signals, the end of the loop, clocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "common/process/lifecycle.h"

struct daemon {
    uv_loop_t loop;
    struct lifecycle *lifecycle;
    uv_timer_t guard; /* ends a test that would hang */
    int stops;
};

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened within ten seconds");
}

static void stop(void *arg)
{
    struct daemon *daemon = arg;
    daemon->stops++;
    lifecycle_destroy(daemon->lifecycle);
    uv_close((uv_handle_t *)&daemon->guard, NULL);
}

static void start(struct daemon *daemon, void (*on_stop)(void *))
{
    *daemon = (struct daemon){0};
    assert_int_equal(uv_loop_init(&daemon->loop), 0);
    assert_int_equal(uv_timer_init(&daemon->loop, &daemon->guard), 0);
    assert_int_equal(uv_timer_start(&daemon->guard, on_guard, 10000, 0), 0);
    daemon->lifecycle = lifecycle_create(&daemon->loop, /* log= */ NULL, on_stop, daemon, NULL);
    assert_non_null(daemon->lifecycle);
}

static void the_first_signal_runs_stop_on_the_loop(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        struct daemon daemon;
        start(&daemon, stop);
        assert_int_equal(raise(signals[i]), 0);
        assert_int_equal(daemon.stops, 0);
        assert_int_equal(uv_run(&daemon.loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(daemon.stops, 1);
        assert_int_equal(uv_loop_close(&daemon.loop), 0);
    }
}

static void stop_and_send_another(void *arg)
{
    (void)arg;
    (void)raise(SIGINT);
}

static void the_second_signal_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct daemon daemon;
        start(&daemon, stop_and_send_another);
        (void)raise(SIGTERM);
        (void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
        _exit(77);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void a_write_to_a_closed_pipe_does_not_kill(void **state)
{
    (void)state;
    struct daemon daemon;
    start(&daemon, stop);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    (void)close(fds[1]);
    stop(&daemon);
    assert_int_equal(uv_run(&daemon.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&daemon.loop), 0);
    lifecycle_destroy(NULL);
}

static void close_next(uv_handle_t *handle)
{
    uv_timer_t *timers = handle->data;
    if (handle == (uv_handle_t *)&timers[0])
        uv_close((uv_handle_t *)&timers[1], close_next);
}

static void closing_the_loop_runs_pending_close_callbacks(void **state)
{
    (void)state;
    uv_loop_t loop;
    uv_timer_t timers[2];
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
        assert_int_equal(uv_timer_init(&loop, &timers[i]), 0);
        timers[i].data = timers;
    }
    lifecycle_destroy(lifecycle_create(&loop, NULL, stop, NULL, NULL));
    uv_close((uv_handle_t *)&timers[0], close_next); /* whose callback closes another one */
    lifecycle_close_loop(&loop, /* log= */ NULL);
    assert_int_equal(uv_is_closing((uv_handle_t *)&timers[1]), 1);
}

static void a_leaked_handle_is_reported(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        uv_loop_t loop;
        uv_timer_t timer;
        (void)uv_loop_init(&loop);
        (void)uv_timer_init(&loop, &timer);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO); /* the text of assert() */
        lifecycle_close_loop(&loop, log_create(fds[1], LOG_FORMAT_TEXT, 0));
        _exit(0); /* without assertions */
    }
    (void)close(fds[1]);
    char text[4096];
    size_t len = 0;
    ssize_t n = 0;
    while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    (void)close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_non_null(strstr(text, "handle still open at exit\" type=\"timer\""));
}

static void the_clocks_agree_with_those_of_the_system(void **state)
{
    (void)state;
    struct timespec before, after;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &before), 0);
    uint64_t now = clock_monotonic_ns();
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &after), 0);
    assert_in_range(now, (uint64_t)before.tv_sec * 1000000000U + (uint64_t)before.tv_nsec,
                    (uint64_t)after.tv_sec * 1000000000U + (uint64_t)after.tv_nsec);
    int64_t earliest = (int64_t)time(NULL);
    int64_t wall = clock_unix_s();
    assert_in_range(wall, earliest - 1, earliest + 2); /* time() may come from a coarser clock */
}

static void the_build_has_a_version_commit_and_date(void **state)
{
    (void)state;
    assert_true(strlen(build_version()) > 0);
    assert_true(strlen(build_commit()) > 0);
    assert_true(strlen(build_date()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_runs_stop_on_the_loop),
        cmocka_unit_test(the_second_signal_ends_the_process),
        cmocka_unit_test(a_write_to_a_closed_pipe_does_not_kill),
        cmocka_unit_test(closing_the_loop_runs_pending_close_callbacks),
        cmocka_unit_test(a_leaked_handle_is_reported),
        cmocka_unit_test(the_clocks_agree_with_those_of_the_system),
        cmocka_unit_test(the_build_has_a_version_commit_and_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
