/*
 * observer_call.c - a caller waits until an observer has handled an event.
 */
#include "driver/status/observer_call.h"

#include <assert.h>
#include <stdlib.h>

struct observer_call {
    uv_timer_t timer; /* embedded: its time, or the next turn; the struct lives until it is closed */
    struct observer_call **slot; /* NULL = not parked */
    struct error *answer;        /* when the timer ends it; owned; NULL = success */
    observer_callback *callback;
    void *arg;
};

static void timer_closed(uv_handle_t *handle)
{
    struct observer_call *call = handle->data;

    error_free(call->answer);
    free(call);
}

static void leave_slot(struct observer_call *call)
{
    if (call->slot != NULL)
        *call->slot = NULL;
    call->slot = NULL;
}

void observer_call_cancel(void *state, struct observer_call *call)
{
    (void)state;
    leave_slot(call);
    uv_close((uv_handle_t *)&call->timer, timer_closed);
}

void observer_call_answer(struct observer_call *call, const struct error *error)
{
    observer_callback *callback = call->callback;
    void *arg = call->arg;

    observer_call_cancel(NULL, call);
    callback(error, arg);
}

static void timer_fired(uv_timer_t *timer)
{
    struct observer_call *call = timer->data;
    cleanup_error struct error *answer = steal_ptr(&call->answer);

    observer_call_answer(call, answer);
}

static void answer_after(struct observer_call *call, uint64_t timeout_ms, struct error *answer)
{
    error_free(call->answer);
    call->answer = answer;
    (void)uv_timer_start(&call->timer, timer_fired, timeout_ms, 0);
}

struct observer_call *observer_call_create(uv_loop_t *loop, observer_callback *callback, void *arg,
                                           struct error **err)
{
    struct observer_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *call = (struct observer_call){.callback = callback, .arg = arg};
    (void)uv_timer_init(loop, &call->timer); /* can not fail */
    call->timer.data = call;
    return call;
}

void observer_call_wait(struct observer_call *call, struct observer_call **slot, uint64_t timeout_ms,
                        struct error *late)
{
    assert(*slot == NULL);
    call->slot = slot;
    *slot = call;
    answer_after(call, timeout_ms, late);
}

void observer_call_end(struct observer_call *call, struct error *error)
{
    leave_slot(call);
    answer_after(call, 0, error);
}
