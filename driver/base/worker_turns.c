/*
 * worker_turns.c - the two threads that run the loop in turn, so that one of them can do work itself.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/secret_cache.h"
#include "driver/base/worker.h"
#include "driver/base/worker_pool.h"

/* For how long the loop may stand still for one piece of work, at least and at most. A volume takes a tenth
 * of it. */
enum { PATIENCE_MIN_NS = 2 * 1000 * 1000, PATIENCE_MAX_NS = 2 * PATIENCE_MIN_NS };

struct runner {
    struct worker_pool *pool;
    unsigned number;   /* 1 or 2 */
    size_t kept_bytes; /* of wiped blocks, as the first one keeps (secret_cache.h) */
};

/* --- on the loop --- */

static void on_no_wait(uv_idle_t *idle)
{
    (void)idle;
}

bool worker_turns_take(struct worker_pool *pool, struct work *work)
{
    if (!atomic_load(&pool->waits) || !pool->is_quiet(pool->is_quiet_arg))
        return false;
    pool->alone = work;
    (void)uv_idle_start(&pool->no_wait, on_no_wait);
    return true;
}

/* --- the two threads --- */

static void set_timer(struct worker_pool *pool, long ns)
{
    const struct itimerspec time = {.it_value = {.tv_nsec = ns}};

    (void)timerfd_settime(pool->timer_fd, 0, &time, NULL);
}

/* Starts the timer that lets the other runner take the loop over, unless it runs for long enough. A timer for
 * each work, stopped when the work has ended, would program the processor's clock twice, which costs 10 us in
 * a virtual machine. So one serves all works that begin in its first half, and expires for nothing after the
 * last one. */
static void have_watched(struct worker_pool *pool)
{
    uint64_t now = uv_hrtime();

    if (atomic_load(&pool->deadline) >= now + PATIENCE_MIN_NS)
        return;
    atomic_store(&pool->deadline, now + PATIENCE_MAX_NS);
    set_timer(pool, PATIENCE_MAX_NS);
}

/* Works instead of running the loop. False: the other runner has lost patience and runs it now; the work is
 * delivered as a worker delivers it. */
static bool work_alone(struct runner *runner, struct work *work)
{
    struct worker_pool *pool = runner->pool;
    unsigned self = runner->number;

    atomic_store(&pool->occupied, self); /* first: a timer that expires meanwhile finds this work */
    have_watched(pool);
    work->run(work->job);
    if (atomic_compare_exchange_strong(&pool->occupied, &self, 0)) {
        uv_update_time(pool->loop);
        worker_pool_finish(pool, work);
        return true;
    }
    worker_pool_deliver(pool, work);
    return false;
}

/* True: the loop has ended. False: it is the other one's. */
static bool run_loop(struct runner *runner)
{
    struct worker_pool *pool = runner->pool;

    for (;;) {
        bool alive = uv_run(pool->loop, UV_RUN_ONCE) != 0;
        struct work *work = steal_ptr(&pool->alone);

        if (work == NULL && !alive)
            return true;
        if (work == NULL)
            continue;
        (void)uv_idle_stop(&pool->no_wait);
        if (pool->n_unfinished > 1) /* it is not alone any more */
            worker_pool_hand_over(pool, work);
        else if (!work_alone(runner, work))
            return false;
    }
}

/* The loop is this one's if the other one has worked for too long. A timer that was started again just before
 * it expired says nothing. */
static bool take_over(struct runner *runner)
{
    struct worker_pool *pool = runner->pool;
    unsigned other = 3 - runner->number;

    return uv_hrtime() >= atomic_load(&pool->deadline) &&
           atomic_compare_exchange_strong(&pool->occupied, &other, 0);
}

/* False: the loop has ended. */
static bool wait_for_loop(struct runner *runner)
{
    struct worker_pool *pool = runner->pool;
    uint64_t expirations;
    bool is_mine = false;

    atomic_store(&pool->waits, true);
    while (!is_mine && !atomic_load(&pool->ended)) {
        while (read(pool->timer_fd, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
            ;
        is_mine = take_over(runner);
    }
    atomic_store(&pool->waits, false);
    return is_mine;
}

static void take_turns(struct runner *runner, bool begins)
{
    struct worker_pool *pool = runner->pool;
    bool has_loop = begins || wait_for_loop(runner);

    while (has_loop) {
        if (run_loop(runner)) {
            atomic_store(&pool->ended, true);
            set_timer(pool, 1);
            return;
        }
        has_loop = wait_for_loop(runner);
    }
}

static void run_second(void *arg)
{
    struct runner *runner = arg;

    secret_cache_enable(runner->kept_bytes);
    take_turns(runner, /* begins= */ false);
    secret_cache_disable();
}

void worker_pool_run(uv_loop_t *loop, worker_loop_is_quiet *is_quiet, const void *arg)
{
    struct worker_pool *pool = loop->data;
    struct runner first = {.pool = pool, .number = 1};
    struct runner second = {.pool = pool, .number = 2, .kept_bytes = secret_cache_limit()};
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = WORKER_STACK_BYTES};
    uv_thread_t thread;

    pool->is_quiet = is_quiet;
    pool->is_quiet_arg = arg;
    atomic_store(&pool->ended, false);
    atomic_store(&pool->deadline, 0);
    pool->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (pool->timer_fd < 0 || uv_thread_create_ex(&thread, &options, run_second, &second) != 0) {
        (void)uv_run(loop, UV_RUN_DEFAULT); /* the workers do everything */
    } else {
        take_turns(&first, /* begins= */ true);
        (void)uv_thread_join(&thread);
    }
    if (pool->timer_fd >= 0)
        (void)close(steal_fd(&pool->timer_fd));
}
