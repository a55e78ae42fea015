/*
 * worker.h - one piece of blocking work, beside the loop.
 *
 * The work sees nothing but the plain struct it is given: no loop, no logger, no shared object. It cannot be
 * cancelled, because a mount that is half done must be brought to an end: its owner waits for `done`, even
 * when the result is not needed any more.
 *
 * The pool is not libuv's: there, a thread that is woken waits first for the lock that its waker still holds,
 * in both directions, and the thread that has slept the longest is woken. Here work is handed to the thread
 * that went idle last, whose stack and caches are warm, and no lock is held while another thread is woken.
 *
 * Work that comes alone, while the loop has little else to do, goes to no other thread: the one that runs the
 * loop does it, between two turns. To wake a worker, and then the loop again, takes 30 us of processor time
 * and 40 us of the caller's, a tenth of a mount each, because mostly a processor has to be woken, too. So
 * that no disk stops the loop, a second thread takes the loop over when the work has taken 2 ms, or up to 4;
 * the first one delivers its work as a worker does, and waits for its own turn (Leader/Followers: D. Schmidt
 * and others, Pattern-Oriented Software Architecture, volume 2). So callbacks run on one thread at a time,
 * but not always on the same one: nothing of the loop may depend on its thread.
 */
#ifndef DRIVER_BASE_WORKER_H
#define DRIVER_BASE_WORKER_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"

/* On any thread, the loop's included. `job` is the caller's struct, untouched by the loop until `done`. */
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

/* Whether little else is to be expected on the loop, so that work may keep it for a moment. */
typedef bool worker_loop_is_quiet(const void *arg);

/* Runs the loop, which must have a pool, until nothing keeps it alive, as uv_run() does with UV_RUN_DEFAULT.
 * uv_stop() does not end it. While `is_quiet` says no, and without memory or descriptors for the second
 * thread, the workers do all work, as they do below uv_run(). */
void worker_pool_run(uv_loop_t *loop, worker_loop_is_quiet *is_quiet, const void *arg);

#endif
