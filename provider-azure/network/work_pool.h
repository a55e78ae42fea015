/*
 * work_pool.h - a few threads for work that takes long: opening and writing PKCS#12 files, signing.
 *
 * They are not libuv's, which name lookups and files use, and they run at a lower priority than the loop: a
 * file that costs seconds delays neither a lookup nor the mounts of others. A mount has one job at a time.
 *
 * There are two lanes. Every job begins in the quick one, where it may cost WORK_POOL_QUICK_COST. A job that
 * needs more says so before it has spent it, and runs again in the slow one. One thread takes jobs of the
 * quick lane only, so files as Key Vault makes them never wait for those that need a second. In the quick
 * lane the job goes first whose mount has used the least so far, then the oldest one; in the slow lane, among
 * equals, the one that costs the least.
 */
#ifndef PROVIDER_AZURE_NETWORK_WORK_POOL_H
#define PROVIDER_AZURE_NETWORK_WORK_POOL_H

#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/crypto/pkcs12_cost.h"

enum {
    WORK_POOL_QUICK_THREADS = 1,
    WORK_POOL_THREADS = 3,
    WORK_POOL_QUICK_COST = 200000, /* 20 to 60 ms: ten times what a file of Key Vault costs */
};

struct work_pool;
struct work_job;

/* `run` says how far it may go. When it sets run->later, it is called again. */
typedef void work_function(void *arg, struct pkcs12_run *run);
typedef void work_callback(void *arg);

struct work {
    work_function *run;  /* in a thread; until `done` only it uses the memory that `arg` reaches */
    work_callback *done; /* on the loop, in a later turn, in any case; the job is gone then */
    void *arg;
    uint64_t used; /* what earlier jobs of the same mount have cost; 0 for its first one */
};

/* Starts the threads. `loop` is borrowed. NULL with err set. */
struct work_pool *work_pool_create(uv_loop_t *loop, struct error **err);

/* Queues a job. NULL with err set on lack of memory; then neither function is called. */
struct work_job *work_pool_add(struct work_pool *pool, const struct work *work, struct error **err);

/* Nobody waits for the job any more. One that has not begun does not run, one that runs sees run->stop;
 * `done` is called all the same, so that it frees `arg`. Sets *job to NULL; accepts a pointer to NULL. */
void work_job_cancel(struct work_job **job);

/* Stops the jobs that run, calls `done` of all that are left and closes the pool, which is freed when the
 * loop turns. Accepts NULL. */
void work_pool_destroy(struct work_pool *pool);

#endif
