/*
 * worker.c - one piece of blocking work on libuv's thread pool.
 */
#include "driver/base/worker.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

struct worker {
    uv_work_t work;
    worker_run *run;
    worker_done *done;
    void *job;
};

static void run_on_pool(uv_work_t *work)
{
    struct worker *worker = work->data;

    worker->run(worker->job);
}

static void done_on_loop(uv_work_t *work, int status)
{
    struct worker *worker = work->data;
    worker_done *done = worker->done;
    void *job = worker->job;

    (void)status; /* UV_ECANCELED only, and it is never cancelled */
    free(worker);
    done(job);
}

int worker_start(uv_loop_t *loop, worker_run *run, worker_done *done, void *job, struct error **err)
{
    cleanup_free struct worker *worker = malloc(sizeof(*worker));
    int ret;

    if (worker == NULL)
        return error_no_memory(err, NULL);
    *worker = (struct worker){.run = run, .done = done, .job = job};
    worker->work.data = worker;
    ret = uv_queue_work(loop, &worker->work, run_on_pool, done_on_loop);
    if (ret < 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "start a worker: %s", uv_strerror(ret));
    (void)steal_ptr(&worker);
    return 0;
}

/* --- the threads --- */

/* libuv's own limits. */
enum { POOL_DEFAULT = 4, POOL_MAX = 1024, POOL_STACK_BYTES = 8 * 1024 * 1024 };

static unsigned pool_size(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : POOL_DEFAULT;

    return n == 0 ? 1 : n > POOL_MAX ? POOL_MAX : (unsigned)n;
}

static void wait_to_end(void *arg)
{
    uv_sem_wait(arg);
}

/* Threads of the pool's kind, all at the same time, and away again. */
static int try_threads(unsigned n, uv_thread_t *threads, uv_sem_t *end)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = POOL_STACK_BYTES};
    unsigned started = 0;
    int status = 0;

    while (started < n && status == 0) {
        status = uv_thread_create_ex(&threads[started], &options, wait_to_end, end);
        started += status == 0;
    }
    for (unsigned i = 0; i < started; i++)
        uv_sem_post(end);
    for (unsigned i = 0; i < started; i++)
        (void)uv_thread_join(&threads[i]);
    return status;
}

static void do_nothing(void *job)
{
    (void)job;
}

int worker_pool_start(uv_loop_t *loop, struct error **err)
{
    unsigned n = pool_size();
    cleanup_free uv_thread_t *threads = calloc(n, sizeof(*threads));
    uv_sem_t end;
    int status;

    if (threads == NULL || uv_sem_init(&end, 0) != 0)
        return error_no_memory(err, "the worker pool");
    status = try_threads(n, threads, &end);
    uv_sem_destroy(&end);
    if (status != 0)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "start the worker pool: %u threads (UV_THREADPOOL_SIZE) cannot be started: %s", n,
                         uv_strerror(status));
    return worker_start(loop, do_nothing, do_nothing, NULL, err); /* libuv starts them with the first work */
}
