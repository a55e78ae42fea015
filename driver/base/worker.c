/*
 * worker.c - the loop's threads for blocking work, and the two that take turns at the loop.
 */
#include "driver/base/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"

enum {
    /* Mounts and class files mostly wait for the kernel, so a few more threads than cores help; each costs
     * little while it is idle. */
    THREADS_DEFAULT = 8,
    THREADS_MAX = 1024,
    STACK_BYTES = 8 * 1024 * 1024,
    /* So long the loop may stand still for one piece of work. A volume takes a tenth of it. */
    PATIENCE_NS = 2 * 1000 * 1000,
};

struct work {
    struct list link; /* in one of the pool's lists */
    worker_run *run;
    worker_done *done;
    void *job;
};

struct thread {
    struct list link; /* in the pool's list while it waits */
    struct worker_pool *pool;
    uv_thread_t id;
    uv_sem_t wake;
    struct work *work; /* handed over with `wake`; NULL: the thread ends */
};

/* One of the two threads that run the loop in turn. */
struct runner {
    struct worker_pool *pool;
    unsigned number; /* 1 or 2 */
};

struct worker_pool {
    uv_loop_t *loop;
    uv_async_t done_event;
    unsigned n_unfinished; /* keep the loop alive; used on the loop only */
    /* Of worker_pool_run(); on the loop only. */
    worker_loop_is_quiet *is_quiet;
    const void *is_quiet_arg;
    struct work *alone; /* what the loop's thread does itself after this turn, or NULL */
    uv_idle_t no_wait;  /* while there is some: the turn does not wait for events */
    /* Between the two runners. */
    int patience_fd;      /* a timerfd: the one that does not run the loop waits for it */
    atomic_bool waits;    /* it does */
    atomic_bool ended;    /* the loop has */
    atomic_uint occupied; /* number of the runner that works instead of running the loop; 0 = none */
    /* Of the workers. */
    uv_mutex_t mutex;   /* protects the lists; never held while a thread is woken */
    struct list queued; /* only while no thread waits */
    struct list done;
    struct list waiting; /* the thread that waits the longest comes first */
    unsigned n_threads;
    struct thread threads[];
};

static struct work *take_first(struct list *list)
{
    struct list *link = list->next;

    if (link == list)
        return NULL;
    list_remove(link);
    return container_of(link, struct work, link);
}

/* --- in the threads --- */

/* Returns what to do next, once there is something; NULL: end. `done` is what the thread has done, or
 * NULL. */
static struct work *exchange(struct thread *thread, struct work *done)
{
    struct worker_pool *pool = thread->pool;
    struct work *next;
    bool first_done = false;

    uv_mutex_lock(&pool->mutex);
    if (done != NULL) {
        first_done = list_empty(&pool->done);
        list_insert_before(&pool->done, &done->link);
    }
    next = take_first(&pool->queued);
    if (next == NULL)
        list_insert_before(&pool->waiting, &thread->link);
    uv_mutex_unlock(&pool->mutex);
    if (first_done)
        (void)uv_async_send(&pool->done_event);
    if (next != NULL)
        return next;
    uv_sem_wait(&thread->wake);
    return thread->work;
}

static void run_works(void *arg)
{
    struct thread *thread = arg;
    struct work *work = NULL;

    while ((work = exchange(thread, work)) != NULL)
        work->run(work->job);
}

/* --- on the loop --- */

static void finish(struct worker_pool *pool, struct work *work)
{
    worker_done *callback = work->done;
    void *job = work->job;

    free(work);
    if (--pool->n_unfinished == 0)
        uv_unref((uv_handle_t *)&pool->done_event);
    callback(job);
}

static void on_done(uv_async_t *event)
{
    struct worker_pool *pool = container_of(event, struct worker_pool, done_event);
    struct work *work;
    struct list done;

    list_init(&done);
    uv_mutex_lock(&pool->mutex);
    list_move_all(&done, &pool->done);
    uv_mutex_unlock(&pool->mutex);
    while ((work = take_first(&done)) != NULL)
        finish(pool, work);
}

static void hand_over(struct worker_pool *pool, struct work *work)
{
    struct thread *thread = NULL;

    uv_mutex_lock(&pool->mutex);
    if (list_empty(&pool->waiting)) {
        list_insert_before(&pool->queued, &work->link);
    } else {
        thread = container_of(pool->waiting.prev, struct thread, link);
        list_remove(&thread->link);
    }
    uv_mutex_unlock(&pool->mutex);
    if (thread != NULL) {
        thread->work = work;
        uv_sem_post(&thread->wake);
    }
}

static void on_no_wait(uv_idle_t *idle)
{
    (void)idle;
}

int worker_start(uv_loop_t *loop, worker_run *run, worker_done *done, void *job, struct error **err)
{
    struct worker_pool *pool = loop->data;
    struct work *work = malloc(sizeof(*work));

    if (work == NULL)
        return error_no_memory(err, NULL);
    *work = (struct work){.run = run, .done = done, .job = job};
    list_init(&work->link);
    if (pool->n_unfinished++ == 0)
        uv_ref((uv_handle_t *)&pool->done_event);
    if (pool->n_unfinished > 1 || !atomic_load(&pool->waits) || !pool->is_quiet(pool->is_quiet_arg)) {
        hand_over(pool, work);
        return 0;
    }
    pool->alone = work;
    (void)uv_idle_start(&pool->no_wait, on_no_wait);
    return 0;
}

/* --- the two runners --- */

static void set_patience(struct worker_pool *pool, long ns)
{
    const struct itimerspec patience = {.it_value = {.tv_nsec = ns}};

    (void)timerfd_settime(pool->patience_fd, 0, &patience, NULL);
}

/* Works instead of running the loop. False: the other runner has lost patience and runs it now; the work is
 * delivered as a worker delivers it. */
static bool work_alone(struct runner *runner, struct work *work)
{
    struct worker_pool *pool = runner->pool;
    unsigned self = runner->number;
    bool first_done;

    atomic_store(&pool->occupied, self);
    set_patience(pool, PATIENCE_NS);
    work->run(work->job);
    if (atomic_compare_exchange_strong(&pool->occupied, &self, 0)) {
        set_patience(pool, 0);
        uv_update_time(pool->loop);
        finish(pool, work);
        return true;
    }
    uv_mutex_lock(&pool->mutex);
    first_done = list_empty(&pool->done);
    list_insert_before(&pool->done, &work->link);
    uv_mutex_unlock(&pool->mutex);
    if (first_done)
        (void)uv_async_send(&pool->done_event);
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
            hand_over(pool, work);
        else if (!work_alone(runner, work))
            return false;
    }
}

/* Waits until the other one has worked for too long. False: the loop has ended. */
static bool wait_for_loop(struct runner *runner)
{
    struct worker_pool *pool = runner->pool;
    unsigned other = 3 - runner->number;
    uint64_t expirations;
    bool is_mine = false;

    atomic_store(&pool->waits, true);
    while (!is_mine && !atomic_load(&pool->ended)) {
        unsigned occupied = other;

        while (read(pool->patience_fd, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
            ;
        is_mine = atomic_compare_exchange_strong(&pool->occupied, &occupied, 0);
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
            set_patience(pool, 1);
            return;
        }
        has_loop = wait_for_loop(runner);
    }
}

static void run_second(void *arg)
{
    take_turns(arg, /* begins= */ false);
}

void worker_pool_run(uv_loop_t *loop, worker_loop_is_quiet *is_quiet, const void *arg)
{
    struct worker_pool *pool = loop->data;
    struct runner first = {.pool = pool, .number = 1}, second = {.pool = pool, .number = 2};
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    uv_thread_t thread;

    pool->is_quiet = is_quiet;
    pool->is_quiet_arg = arg;
    pool->patience_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (pool->patience_fd < 0 || uv_thread_create_ex(&thread, &options, run_second, &second) != 0) {
        (void)uv_run(loop, UV_RUN_DEFAULT); /* the workers do everything */
    } else {
        take_turns(&first, /* begins= */ true);
        (void)uv_thread_join(&thread);
    }
    if (pool->patience_fd >= 0)
        (void)close(steal_fd(&pool->patience_fd));
}

/* --- the pool --- */

static void on_closed(uv_handle_t *event)
{
    struct worker_pool *pool = container_of((uv_async_t *)event, struct worker_pool, done_event);

    uv_mutex_destroy(&pool->mutex);
    free(pool);
}

static void on_idle_closed(uv_handle_t *idle)
{
    struct worker_pool *pool = container_of((uv_idle_t *)idle, struct worker_pool, no_wait);

    uv_close((uv_handle_t *)&pool->done_event, on_closed);
}

void worker_pool_stop(uv_loop_t *loop)
{
    struct worker_pool *pool = steal_ptr(&loop->data);

    assert(pool != NULL && pool->n_unfinished == 0);
    for (unsigned i = 0; i < pool->n_threads; i++) {
        /* A thread that is not in the list yet is on its way there, and has nothing to do any more. */
        pool->threads[i].work = NULL;
        uv_sem_post(&pool->threads[i].wake);
    }
    for (unsigned i = 0; i < pool->n_threads; i++) {
        (void)uv_thread_join(&pool->threads[i].id);
        uv_sem_destroy(&pool->threads[i].wake);
    }
    uv_close((uv_handle_t *)&pool->no_wait, on_idle_closed);
}

static int start_threads(struct worker_pool *pool, unsigned n)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};

    while (pool->n_threads < n) {
        struct thread *thread = &pool->threads[pool->n_threads];
        int status = uv_sem_init(&thread->wake, 0);

        if (status != 0)
            return status;
        list_init(&thread->link);
        thread->pool = pool;
        status = uv_thread_create_ex(&thread->id, &options, run_works, thread);
        if (status != 0) {
            uv_sem_destroy(&thread->wake);
            return status;
        }
        pool->n_threads++;
    }
    return 0;
}

static unsigned pool_size(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : THREADS_DEFAULT;

    return n == 0 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

int worker_pool_start(uv_loop_t *loop, struct error **err)
{
    unsigned n = pool_size();
    cleanup_free struct worker_pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pool->threads[0]));
    int status;

    if (pool == NULL || uv_mutex_init(&pool->mutex) != 0)
        return error_no_memory(err, "the worker pool");
    pool->loop = loop;
    pool->patience_fd = -1;
    list_init(&pool->queued);
    list_init(&pool->done);
    list_init(&pool->waiting);
    status = uv_async_init(loop, &pool->done_event, on_done);
    if (status != 0) {
        uv_mutex_destroy(&pool->mutex);
        return error_set(err, GRPC_STATUS_INTERNAL, "start the worker pool: %s", uv_strerror(status));
    }
    uv_unref((uv_handle_t *)&pool->done_event);
    (void)uv_idle_init(loop, &pool->no_wait); /* cannot fail */
    loop->data = pool;
    status = start_threads(steal_ptr(&pool), n);
    if (status != 0) {
        worker_pool_stop(loop);
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "start the worker pool: %u threads (UV_THREADPOOL_SIZE) cannot be started: %s", n,
                         uv_strerror(status));
    }
    return 0;
}
