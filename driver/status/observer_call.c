/*
 * observer_call.c - a caller waits until an observer has handled an event.
 */
#include "driver/status/observer_call.h"

#include <assert.h>
#include <stdlib.h>

#include "common/process/loop_timer.h"

struct observer_call {
    struct loop_timer *timer;    /* the timeout, or the next turn */
    struct observer_call **slot; /* NULL = not parked */
    struct error *result;        /* when the timer ends it; owned; NULL = success */
    observer_callback *callback;
    void *arg;
};

static void leave_slot(struct observer_call *call)
{
    if (call->slot != NULL)
        *call->slot = NULL;
    call->slot = NULL;
}

void observer_call_detach(struct observer_call *call)
{
    leave_slot(call);
}

void observer_call_cancel(void *state, struct observer_call *call)
{
    (void)state;
    leave_slot(call);
    loop_timer_destroy(call->timer);
    error_free(call->result);
    free(call);
}

void observer_call_finish(struct observer_call *call, const struct error *error)
{
    observer_callback *callback = call->callback;
    void *arg = call->arg;

    observer_call_cancel(NULL, call);
    callback(error, arg);
}

static void timer_fired(void *arg)
{
    struct observer_call *call = arg;
    cleanup_error struct error *result = steal_ptr(&call->result);

    observer_call_finish(call, result);
}

static void finish_after(struct observer_call *call, uint64_t timeout_ms, struct error *result)
{
    error_free(call->result);
    call->result = result;
    loop_timer_start(call->timer, timeout_ms);
}

struct observer_call *observer_call_create(uv_loop_t *loop, observer_callback *callback, void *arg,
                                           struct error **err)
{
    struct observer_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *call = (struct observer_call){.callback = callback, .arg = arg};
    call->timer = loop_timer_create(loop, timer_fired, call, err);
    if (call->timer == NULL) {
        free(call);
        return NULL;
    }
    return call;
}

void observer_call_wait(struct observer_call *call, struct observer_call **slot, uint64_t timeout_ms,
                        struct error *late)
{
    assert(*slot == NULL);
    call->slot = slot;
    *slot = call;
    finish_after(call, timeout_ms, late);
}

void observer_call_finish_later(struct observer_call *call, struct error *error)
{
    leave_slot(call);
    finish_after(call, 0, error);
}
