/*
 * worker.h - one piece of blocking work on libuv's thread pool.
 *
 * The work sees nothing but the plain struct it is given: no loop, no logger, no shared object. It cannot be
 * cancelled, because a mount that is half done must be brought to an end: its owner waits for `done`, even
 * when the result is not needed any more.
 */
#ifndef DRIVER_BASE_WORKER_H
#define DRIVER_BASE_WORKER_H

#include <uv.h>

#include "common/base/error.h"

/* On a thread of the pool. `job` is the caller's struct, untouched by the loop until `done`. */
typedef void worker_run(void *job);

/* On the loop, exactly once, never inside worker_start(). */
typedef void worker_done(void *job);

/* `job` is borrowed until `done` has been called. Fails only for lack of memory (RESOURCE_EXHAUSTED); then
 * nothing runs. */
int worker_start(uv_loop_t *loop, worker_run *run, worker_done *done, void *job, struct error **err);

/* Starts the threads of the pool now, before they are needed: libuv ends the process when it cannot start
 * one. Their number is $UV_THREADPOOL_SIZE, as libuv reads it. RESOURCE_EXHAUSTED names the number and the
 * reason. */
int worker_pool_start(uv_loop_t *loop, struct error **err);

#endif
