/*
 * health.c - is the driver able to work?
 */
#include "driver/base/health.h"

#include <stdbool.h>
#include <stdlib.h>

#include "driver/base/worker.h"

struct health_check {
    uv_timer_t timer;          /* embedded; freed when it is closed and the worker is back */
    health_callback *callback; /* NULL once called or cancelled */
    void *arg;
    bool timer_closed;
    bool worker_back;
};

static void release(struct health_check *check)
{
    if (check->timer_closed && check->worker_back)
        free(check);
}

static void timer_closed(uv_handle_t *handle)
{
    struct health_check *check = handle->data;

    check->timer_closed = true;
    release(check);
}

static void conclude(struct health_check *check, const struct error *error)
{
    health_callback *callback = check->callback;

    if (callback == NULL)
        return;
    check->callback = NULL;
    uv_close((uv_handle_t *)&check->timer, timer_closed);
    callback(error, check->arg);
}

static void run_nothing(void *job)
{
    (void)job;
}

static void worker_came_back(void *job)
{
    struct health_check *check = job;

    check->worker_back = true;
    conclude(check, NULL);
    release(check);
}

static void too_late(uv_timer_t *timer)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "no worker thread has been free for %d ms",
                    HEALTH_TIMEOUT_MS);
    conclude(timer->data, error);
}

struct health_check *health_check_start(uv_loop_t *loop, health_callback *callback, void *arg,
                                        struct error **err)
{
    struct health_check *check = calloc(1, sizeof(*check));

    if (check == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    check->callback = callback;
    check->arg = arg;
    (void)uv_timer_init(loop, &check->timer); /* can not fail */
    check->timer.data = check;
    if (worker_start(loop, run_nothing, worker_came_back, check, err) < 0) {
        check->worker_back = true;
        uv_close((uv_handle_t *)&check->timer, timer_closed);
        return NULL;
    }
    (void)uv_timer_start(&check->timer, too_late, HEALTH_TIMEOUT_MS, 0);
    return check;
}

void health_check_cancel(struct health_check **check)
{
    (*check)->callback = NULL;
    uv_close((uv_handle_t *)&(*check)->timer, timer_closed);
    *check = NULL;
}
