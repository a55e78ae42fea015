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
