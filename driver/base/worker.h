/*
 * worker.h - one piece of blocking work on a thread of the loop's pool.
 *
 * The work sees nothing but the plain struct it is given: no loop, no logger, no shared object. It cannot be
 * cancelled, because a mount that is half done must be brought to an end: its owner waits for `done`, even
 * when the result is not needed any more.
 *
 * The pool is not libuv's: there, a thread that is woken waits first for the lock that its waker still holds,
 * in both directions, and the thread that has slept the longest is woken. Here work is handed to the thread
 * that went idle last, whose stack and caches are warm, and no lock is held while another thread is woken.
 */
#ifndef DRIVER_BASE_WORKER_H
#define DRIVER_BASE_WORKER_H

#include <uv.h>

#include "common/base/error.h"

/* On a thread of the pool. `job` is the caller's struct, untouched by the loop until `done`. */
typedef void worker_run(void *job);

/* On the loop, exactly once, never inside worker_start(). */
typedef void worker_done(void *job);

/* Starts the threads of the loop's pool, which loop->data then names. Their number is $UV_THREADPOOL_SIZE,
 * the variable of libuv's pool, or 8. RESOURCE_EXHAUSTED names the number and the reason. */
int worker_pool_start(uv_loop_t *loop, struct error **err);

/* Ends the threads. All work must be done: uv_run() returns no earlier. The pool is freed when the loop turns
 * once more. */
void worker_pool_stop(uv_loop_t *loop);

/* The loop must have a pool. It stays alive until `done` has been called, and `job` is borrowed as long.
 * Fails only for lack of memory (RESOURCE_EXHAUSTED); then nothing runs. */
int worker_start(uv_loop_t *loop, worker_run *run, worker_done *done, void *job, struct error **err);

#endif
