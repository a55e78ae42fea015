/*
 * work_pool.h - a few threads for work that takes long: opening PKCS#12 files, signing.
 *
 * They are not libuv's, which name lookups and files use, and they run at a lower priority than the loop: a
 * file that costs seconds delays neither a lookup nor the mounts of others. A mount has one job at a time;
 * of the jobs that wait, the one goes first whose mount has used the least so far, then the oldest one.
 */
#ifndef PROVIDER_AZURE_NETWORK_WORK_POOL_H
#define PROVIDER_AZURE_NETWORK_WORK_POOL_H

#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

enum { WORK_POOL_THREADS = 2 };

struct work_pool;
struct work_job;

typedef void work_function(void *arg);

struct work {
    work_function *run;  /* in a thread; until `done` only it uses the memory that `arg` reaches */
    work_function *done; /* on the loop, in a later turn, in any case; the job is gone then */
    void *arg;
    uint64_t used; /* what earlier jobs of the same mount have cost; 0 for its first one */
};

/* Starts the threads. `loop` is borrowed. NULL with err set. */
struct work_pool *work_pool_create(uv_loop_t *loop, struct error **err);

/* Queues a job. NULL with err set on lack of memory; then neither function is called. */
struct work_job *work_pool_add(struct work_pool *pool, const struct work *work, struct error **err);

/* Nobody waits for the job any more. One that has not begun does not run; `done` is called all the same, so
 * that it frees `arg`. Sets *job to NULL; accepts a pointer to NULL. */
void work_job_cancel(struct work_job **job);

/* Waits for the jobs that run, calls `done` of all that are left and closes the pool, which is freed when the
 * loop turns. Accepts NULL. */
void work_pool_destroy(struct work_pool *pool);

#endif
