/*
 * worker.c - the loop's threads for blocking work.
 */
#include "driver/base/worker.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "driver/base/worker_pool.h"

enum {
    /* Mounts and class files mostly wait for the kernel, so a few more threads than cores help; each costs
     * little while it is idle. */
    THREADS_DEFAULT = 8,
    THREADS_MAX = 1024,
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

static bool add_done(struct worker_pool *pool, struct work *work)
{
    bool is_first = list_empty(&pool->done);

    list_insert_before(&pool->done, &work->link);
    return is_first;
}

void worker_pool_deliver(struct worker_pool *pool, struct work *work)
{
    bool is_first;

    uv_mutex_lock(&pool->mutex);
    is_first = add_done(pool, work);
    uv_mutex_unlock(&pool->mutex);
    if (is_first)
        (void)uv_async_send(&pool->done_event);
}

/* Returns what to do next, once there is something; NULL: end. `done` is what the thread has done, or
 * NULL. */
static struct work *exchange(struct thread *thread, struct work *done)
{
    struct worker_pool *pool = thread->pool;
    struct work *next;
    bool first_done = false;

    uv_mutex_lock(&pool->mutex);
    if (done != NULL)
        first_done = add_done(pool, done);
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

void worker_pool_finish(struct worker_pool *pool, struct work *work)
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
        worker_pool_finish(pool, work);
}

void worker_pool_hand_over(struct worker_pool *pool, struct work *work)
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
    if (pool->n_unfinished > 1 || !worker_turns_take(pool, work))
        worker_pool_hand_over(pool, work);
    return 0;
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
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = WORKER_STACK_BYTES};

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
    pool->timer_fd = -1;
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
