/*
 * worker_pool.h - what worker.c, the pool of threads, and worker_turns.c, the two that run the loop, share.
 *
 * Internal to worker.h.
 */
#ifndef DRIVER_BASE_WORKER_POOL_H
#define DRIVER_BASE_WORKER_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "common/base/list.h"
#include "driver/base/worker.h"

enum { WORKER_STACK_BYTES = 8 * 1024 * 1024 };

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
    uv_loop_t *loop;
    uv_async_t done_event;
    unsigned n_unfinished; /* keep the loop alive; used on the loop only */
    /* Of worker_pool_run(); on the loop only. */
    worker_loop_is_quiet *is_quiet;
    const void *is_quiet_arg;
    struct work *alone; /* what the loop's thread does itself after this turn, or NULL */
    uv_idle_t no_wait;  /* while there is some: the turn does not wait for events */
    /* Between the two runners. */
    int timer_fd;               /* the one that does not run the loop waits for it */
    atomic_bool waits;          /* it does */
    atomic_bool ended;          /* the loop has */
    atomic_uint occupied;       /* number of the runner that works instead of running the loop; 0 = none */
    _Atomic(uint64_t) deadline; /* when the timer expires, by uv_hrtime() */
    /* Of the workers. */
    uv_mutex_t mutex;   /* protects the lists; never held while a thread is woken */
    struct list queued; /* only while no thread waits */
    struct list done;
    struct list waiting; /* the thread that waits the longest comes first */
    unsigned n_threads;
    struct thread threads[];
};

/* On the loop: ends the work, and calls `done`. */
void worker_pool_finish(struct worker_pool *pool, struct work *work);

/* On the loop: to a thread of the pool. */
void worker_pool_hand_over(struct worker_pool *pool, struct work *work);

/* Anywhere: the loop is to finish work that was done. */
void worker_pool_deliver(struct worker_pool *pool, struct work *work);

/* On the loop: its own thread does the work after this turn. False: it must not. */
bool worker_turns_take(struct worker_pool *pool, struct work *work);

#endif
