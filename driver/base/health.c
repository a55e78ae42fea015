/*
 * health.c - is the driver able to work?
 */
#include "driver/base/health.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/process/loop_timer.h"
#include "driver/base/worker.h"

struct health_check { /* lives until its worker is back */
    struct loop_timer *timer;
    health_callback *callback; /* NULL once called or cancelled */
    void *arg;
};

static void conclude(struct health_check *check, const struct error *error)
{
    health_callback *callback = steal_ptr(&check->callback);

    loop_timer_destroy(steal_ptr(&check->timer));
    if (callback != NULL)
        callback(error, check->arg);
}

static void run_nothing(void *job)
{
    (void)job;
}

static void worker_came_back(void *job)
{
    cleanup_free struct health_check *check = job;

    conclude(check, /* error= */ NULL);
}

static void too_late(void *arg)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "no worker thread has been free for %d ms",
                    HEALTH_TIMEOUT_MS);
    conclude(arg, error);
}

struct health_check *health_check_start(uv_loop_t *loop, health_callback *callback, void *arg,
                                        struct error **err)
{
    struct health_check *check = alloc_zeroed(sizeof(*check), err);

    if (check == NULL)
        return NULL;
    *check = (struct health_check){
        .timer = loop_timer_create(loop, too_late, check, err), .callback = callback, .arg = arg};
    if (check->timer == NULL || worker_start(loop, run_nothing, worker_came_back, check, err) < 0) {
        loop_timer_destroy(check->timer);
        free(check);
        return NULL;
    }
    loop_timer_start(check->timer, HEALTH_TIMEOUT_MS);
    return check;
}

void health_check_cancel(struct health_check **check)
{
    (*check)->callback = NULL;
    loop_timer_destroy(steal_ptr(&(*check)->timer));
    *check = NULL;
}
