/*
 * lifecycle.c - start and stop of a daemon: signals, clocks, the end of the libuv loop.
 */
#include "common/process/lifecycle.h"

#include <assert.h>
#include <signal.h>
#include <time.h>

enum {
    N_SIGNALS = 2,
    LAST_FLUSH_MS = 100, /* the process is wanted to end at once */
    CLOSE_TURNS = 64,    /* close callbacks may close more handles, but never nested deeper than this */
};

struct lifecycle {
    uv_signal_t signals[N_SIGNALS];
    unsigned open; /* handles not yet closed; the struct is freed at 0 */
    bool stopping; /* the first signal has been seen */
    struct log *log;
    void (*stop)(void *arg);
    void *arg;
};

static const int watched[N_SIGNALS] = {SIGTERM, SIGINT};

static const char *signal_name(int number)
{
    return number == SIGTERM ? "SIGTERM" : "SIGINT";
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct lifecycle *lifecycle = handle->data;
    if (lifecycle->stopping) {
        log_warning(lifecycle->log, "second signal, leaving at once", LOG_STR("signal", signal_name(number)));
        log_flush(lifecycle->log, LAST_FLUSH_MS);
        _exit(1);
    }
    lifecycle->stopping = true;
    log_info(lifecycle->log, "stopping", LOG_STR("signal", signal_name(number)));
    lifecycle->stop(lifecycle->arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct lifecycle *lifecycle = handle->data;
    if (--lifecycle->open == 0)
        free(lifecycle);
}

struct lifecycle *lifecycle_create(uv_loop_t *loop, struct log *log, void (*stop)(void *arg), void *arg,
                                   struct error **err)
{
    struct lifecycle *lifecycle = malloc(sizeof(*lifecycle));
    if (lifecycle == NULL) {
        (void)error_no_memory(err, /* what= */ NULL);
        return NULL;
    }
    *lifecycle = (struct lifecycle){.log = log, .stop = stop, .arg = arg};

    /* A peer that goes away is an EPIPE of one write, never the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);

    int status = 0;
    for (size_t i = 0; i < N_SIGNALS && status == 0; i++) {
        status = uv_signal_init(loop, &lifecycle->signals[i]);
        if (status != 0)
            break;
        lifecycle->signals[i].data = lifecycle;
        lifecycle->open++;
        status = uv_signal_start(&lifecycle->signals[i], on_signal, watched[i]);
    }
    if (status != 0) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "watch signals: %s", uv_strerror(status));
        lifecycle_destroy(lifecycle);
        return NULL;
    }
    return lifecycle;
}

void lifecycle_destroy(struct lifecycle *lifecycle)
{
    if (lifecycle == NULL)
        return;
    unsigned open = lifecycle->open;
    if (open == 0) {
        free(lifecycle);
        return;
    }
    for (unsigned i = 0; i < open; i++) {
        assert(!uv_is_closing((uv_handle_t *)&lifecycle->signals[i]));
        uv_close((uv_handle_t *)&lifecycle->signals[i], on_closed);
    }
}

static void report_leak(uv_handle_t *handle, void *arg)
{
    const struct log *log = arg;
    log_warning(log, "handle still open at exit",
                LOG_STR("type", uv_handle_type_name(uv_handle_get_type(handle))),
                LOG_BOOL("active", uv_is_active(handle)), LOG_BOOL("closing", uv_is_closing(handle)));
}

void lifecycle_close_loop(uv_loop_t *loop, struct log *log)
{
    int status = uv_loop_close(loop);
    for (unsigned turn = 0; turn < CLOSE_TURNS && status != 0; turn++) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        status = uv_loop_close(loop);
    }
    if (status == 0)
        return;
    log_warning(log, "event loop not empty at exit");
    uv_walk(loop, report_leak, log);
    assert(status == 0); /* a handle or a request was leaked: a bug, to be found in debug builds */
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int64_t clock_steady_s(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000000U);
}

int64_t clock_unix_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}
