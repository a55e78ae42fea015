/*
 * work_pool.c - threads with two queues.
 */
#include "provider-azure/network/work_pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"

enum {
    STACK_BYTES = 1024 * 1024, /* RSA and bignum code needs a tenth of it */
    NICE = 10,                 /* a tenth of the weight of the loop's thread */
};

struct work_job {
    struct list link; /* in one of the pool's lists */
    struct work_pool *pool;
    struct work work;
    bool queued;
    uint64_t cost;    /* known after a run in the quick lane that did not suffice */
    atomic_bool stop; /* read by the thread that runs it */
};

struct work_thread {
    uv_thread_t id;
    struct work_pool *pool;
    bool quick_only;
};

struct work_pool {
    uv_async_t finished_event;
    uv_mutex_t mutex; /* protects what follows */
    uv_cond_t changed;
    struct list quick, slow; /* the next one first */
    struct list running, finished;
    bool stopping;
    unsigned n_threads;
    struct work_thread threads[WORK_POOL_THREADS];
};

static struct work_job *job_at(struct list *link)
{
    return container_of(link, struct work_job, link);
}

/* --- in the threads, and with the mutex held --- */

static void finish_job(struct work_job *job)
{
    list_insert_before(&job->pool->finished, &job->link);
    (void)uv_async_send(&job->pool->finished_event);
}

static bool goes_before(const struct work_job *a, const struct work_job *b)
{
    return a->work.used != b->work.used ? a->work.used < b->work.used : a->cost < b->cost;
}

static void queue_job(struct work_job *job, struct list *queue)
{
    struct list *before = queue;
    while (before->prev != queue && goes_before(job, job_at(before->prev)))
        before = before->prev;
    list_insert_before(before, &job->link);
    job->queued = true;
    uv_cond_broadcast(&job->pool->changed);
}

static struct work_job *next_job(const struct work_thread *thread)
{
    struct work_pool *pool = thread->pool;
    if (!thread->quick_only && !list_empty(&pool->slow))
        return job_at(pool->slow.next);
    return list_empty(&pool->quick) ? NULL : job_at(pool->quick.next);
}

static void run_job(struct work_job *job)
{
    struct work_pool *pool = job->pool;
    struct pkcs12_run run = {.cost_now = job->cost == 0 ? WORK_POOL_QUICK_COST : UINT64_MAX,
                             .stop = &job->stop};

    list_remove(&job->link);
    list_insert_before(&pool->running, &job->link);
    job->queued = false;
    uv_mutex_unlock(&pool->mutex);
    job->work.run(job->work.arg, &run);
    uv_mutex_lock(&pool->mutex);
    list_remove(&job->link);
    job->cost = run.cost;
    if (run.later && !atomic_load(&job->stop))
        queue_job(job, &pool->slow);
    else
        finish_job(job);
}

static void run_jobs(void *arg)
{
    const struct work_thread *thread = arg;
    struct work_pool *pool = thread->pool;
    struct work_job *job = NULL;

    (void)setpriority(PRIO_PROCESS, /* this thread */ 0, NICE); /* best effort */
    uv_mutex_lock(&pool->mutex);
    while (!pool->stopping) {
        job = next_job(thread);
        if (job != NULL)
            run_job(job);
        else
            uv_cond_wait(&pool->changed, &pool->mutex);
    }
    uv_mutex_unlock(&pool->mutex);
}

/* --- on the loop --- */

/* Calls `done` of what is in the list, which no thread knows any more. */
static void deliver(struct list *jobs)
{
    while (!list_empty(jobs)) {
        struct work_job *job = job_at(jobs->next);
        struct work work = job->work;
        list_remove(&job->link);
        free(job);
        work.done(work.arg);
    }
}

static void on_finished(uv_async_t *event)
{
    struct work_pool *pool = event->data;
    struct list finished;

    list_init(&finished);
    uv_mutex_lock(&pool->mutex);
    list_move_all(&finished, &pool->finished);
    uv_mutex_unlock(&pool->mutex);
    deliver(&finished);
}

static void stop_threads(struct work_pool *pool)
{
    uv_mutex_lock(&pool->mutex);
    pool->stopping = true;
    for (struct list *link = pool->running.next; link != &pool->running; link = link->next)
        atomic_store(&job_at(link)->stop, true);
    uv_cond_broadcast(&pool->changed);
    uv_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->n_threads; i++)
        (void)uv_thread_join(&pool->threads[i].id);
    pool->n_threads = 0;
}

static void on_closed(uv_handle_t *event)
{
    struct work_pool *pool = event->data;
    uv_cond_destroy(&pool->changed);
    uv_mutex_destroy(&pool->mutex);
    free(pool);
}

void work_pool_destroy(struct work_pool *pool)
{
    if (pool == NULL)
        return;
    stop_threads(pool);
    list_move_all(&pool->finished, &pool->quick);
    list_move_all(&pool->finished, &pool->slow);
    deliver(&pool->finished);
    uv_close((uv_handle_t *)&pool->finished_event, on_closed);
}

static int start_threads(struct work_pool *pool)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    int status = 0;

    while (status == 0 && pool->n_threads < WORK_POOL_THREADS) {
        struct work_thread *thread = &pool->threads[pool->n_threads];
        *thread = (struct work_thread){.pool = pool, .quick_only = pool->n_threads < WORK_POOL_QUICK_THREADS};
        status = uv_thread_create_ex(&thread->id, &options, run_jobs, thread);
        if (status == 0)
            pool->n_threads++;
    }
    return status;
}

struct work_pool *work_pool_create(uv_loop_t *loop, struct error **err)
{
    struct work_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    list_init(&pool->quick);
    list_init(&pool->slow);
    list_init(&pool->running);
    list_init(&pool->finished);
    if (uv_mutex_init(&pool->mutex) != 0) {
        (void)error_no_memory(err, NULL);
        free(pool);
        return NULL;
    }
    if (uv_cond_init(&pool->changed) != 0 || uv_async_init(loop, &pool->finished_event, on_finished) != 0) {
        (void)error_no_memory(err, NULL);
        uv_mutex_destroy(&pool->mutex);
        free(pool);
        return NULL;
    }
    pool->finished_event.data = pool;
    int status = start_threads(pool);
    if (status == 0)
        return pool;
    (void)error_set(err, GRPC_STATUS_INTERNAL, "a thread cannot be started: %s", uv_strerror(status));
    work_pool_destroy(pool);
    return NULL;
}

struct work_job *work_pool_add(struct work_pool *pool, const struct work *work, struct error **err)
{
    struct work_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *job = (struct work_job){.pool = pool, .work = *work};
    list_init(&job->link);
    uv_mutex_lock(&pool->mutex);
    queue_job(job, &pool->quick);
    uv_mutex_unlock(&pool->mutex);
    return job;
}

void work_job_cancel(struct work_job **job)
{
    struct work_job *gone = steal_ptr(job);
    if (gone == NULL)
        return;
    struct work_pool *pool = gone->pool;
    uv_mutex_lock(&pool->mutex);
    atomic_store(&gone->stop, true);
    if (gone->queued) {
        gone->queued = false;
        list_remove(&gone->link);
        finish_job(gone);
    }
    uv_mutex_unlock(&pool->mutex);
}
