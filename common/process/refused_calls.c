/*
 * refused_calls.c - the handler of SIGSYS counts, the loop logs.
 */
#include "common/process/refused_calls.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <ucontext.h>

#include "common/base/cleanup.h"
#include "common/process/seccomp_filter.h"

/* Above the numbers of all architectures; calls beyond count as the last one. */
enum { CALLS_MAX = 600 };

struct refused_calls {
    uv_async_t wake;
    uv_loop_t *loop;
    struct log *log;
    struct metric_family *total;
    atomic_uint count[CALLS_MAX]; /* by the handler */
    unsigned reported[CALLS_MAX]; /* of these, in the metric */
    unsigned logged[CALLS_MAX];
    uint64_t logged_ms[CALLS_MAX];
};

/* The only way from a signal handler to an object. */
static struct refused_calls *_Atomic running;

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code: musl lacks it */
#endif

static void set_result(ucontext_t *context, long result)
{
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
    context->uc_mcontext.regs[0] = (unsigned long)result;
#else
#error "the register of a system call's result on this architecture"
#endif
}

/* Async-signal-safe: atomics, and uv_async_send(), which writes to a descriptor. */
static void on_sigsys(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    struct refused_calls *calls = atomic_load(&running);

    (void)number;
    if (info->si_code != SYS_SECCOMP)
        return; /* somebody's kill(2) */
    set_result(context, -EPERM);
    if (calls != NULL) {
        unsigned call = (unsigned)info->si_syscall;

        atomic_fetch_add(&calls->count[call < CALLS_MAX ? call : CALLS_MAX - 1], 1);
        (void)uv_async_send(&calls->wake);
    }
    errno = saved;
}

static void log_call(struct refused_calls *calls, unsigned call, const char *name, unsigned count)
{
    uint64_t now = uv_now(calls->loop);

    if (calls->logged[call] > 0 && now - calls->logged_ms[call] < REFUSED_CALLS_LOG_INTERVAL_MS)
        return;
    log_warning(calls->log, "system call refused by the sandbox", LOG_STR("call", name),
                LOG_UINT("number", call), LOG_UINT("times", count - calls->logged[call]));
    calls->logged[call] = count;
    calls->logged_ms[call] = now;
}

static void on_wake(uv_async_t *handle)
{
    struct refused_calls *calls = handle->data;

    for (unsigned call = 0; call < CALLS_MAX; call++) {
        unsigned count = atomic_load(&calls->count[call]);

        if (count == calls->reported[call])
            continue;
        cleanup_free char *name = seccomp_call_name((int)call);
        metric_add(calls->total, NULL, (double)(count - calls->reported[call]));
        calls->reported[call] = count;
        log_call(calls, call, name, count);
    }
}

int refused_calls_start(uv_loop_t *loop, struct log *log, struct metric_family *total, struct error **err)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct refused_calls *calls = calloc(1, sizeof(*calls));

    if (calls == NULL)
        return error_no_memory(err, NULL);
    calls->loop = loop;
    calls->log = log;
    calls->total = total;
    calls->wake.data = calls;
    if (uv_async_init(loop, &calls->wake, on_wake) != 0 || sigaction(SIGSYS, &action, NULL) == -1) {
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a handle of the loop; the start has failed
        return error_set(err, GRPC_STATUS_INTERNAL, "watch SIGSYS");
    }
    uv_unref((uv_handle_t *)&calls->wake);
    atomic_store(&running, calls);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void refused_calls_stop(void)
{
    struct refused_calls *calls = atomic_exchange(&running, NULL);

    if (calls != NULL)
        uv_close((uv_handle_t *)&calls->wake, on_closed);
}
