/*
 * worker.c - the loop's threads for blocking work.
 */
#include "driver/base/worker.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"

enum {
    /* Mounts and class files mostly wait for the kernel, so a few more threads than cores help; each costs
     * little while it is idle. */
    THREADS_DEFAULT = 8,
    THREADS_MAX = 1024,
    STACK_BYTES = 8 * 1024 * 1024,
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

struct worker_pool {
    uv_async_t done_event;
    unsigned n_unfinished; /* keep the loop alive; used on the loop only */
    uv_mutex_t mutex;      /* protects the lists; never held while a thread is woken */
    struct list queued;    /* only while no thread waits */
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

static void on_done(uv_async_t *event)
{
    struct worker_pool *pool = container_of(event, struct worker_pool, done_event);
    struct work *work;
    struct list done;

    list_init(&done);
    uv_mutex_lock(&pool->mutex);
    list_move_all(&done, &pool->done);
    uv_mutex_unlock(&pool->mutex);
    while ((work = take_first(&done)) != NULL) {
        worker_done *callback = work->done;
        void *job = work->job;

        free(work);
        if (--pool->n_unfinished == 0)
            uv_unref((uv_handle_t *)event);
        callback(job);
    }
}

int worker_start(uv_loop_t *loop, worker_run *run, worker_done *done, void *job, struct error **err)
{
    struct worker_pool *pool = loop->data;
    struct work *work = malloc(sizeof(*work));
    struct thread *thread = NULL;

    if (work == NULL)
        return error_no_memory(err, NULL);
    *work = (struct work){.run = run, .done = done, .job = job};
    list_init(&work->link);
    if (pool->n_unfinished++ == 0)
        uv_ref((uv_handle_t *)&pool->done_event);
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
    return 0;
}

/* --- the pool --- */

static void on_closed(uv_handle_t *event)
{
    struct worker_pool *pool = container_of((uv_async_t *)event, struct worker_pool, done_event);

    uv_mutex_destroy(&pool->mutex);
    free(pool);
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
    uv_close((uv_handle_t *)&pool->done_event, on_closed);
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
    list_init(&pool->queued);
    list_init(&pool->done);
    list_init(&pool->waiting);
    status = uv_async_init(loop, &pool->done_event, on_done);
    if (status != 0) {
        uv_mutex_destroy(&pool->mutex);
        return error_set(err, GRPC_STATUS_INTERNAL, "start the worker pool: %s", uv_strerror(status));
    }
    uv_unref((uv_handle_t *)&pool->done_event);
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
