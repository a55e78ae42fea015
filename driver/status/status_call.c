/*
 * status_call.c - somebody waits until a volume is recorded.
 */
#include "driver/status/status_call.h"

#include <assert.h>
#include <stdlib.h>

struct status_call {
    uv_timer_t timer; /* embedded: its time, or the next turn; the struct lives until it is closed */
    struct status_call **place; /* NULL = waits nowhere */
    struct error *answer;       /* when the timer ends it; owned; NULL = success */
    status_callback *callback;
    void *arg;
};

static void timer_closed(uv_handle_t *handle)
{
    struct status_call *call = handle->data;

    error_free(call->answer);
    free(call);
}

static void leave_place(struct status_call *call)
{
    if (call->place != NULL)
        *call->place = NULL;
    call->place = NULL;
}

void status_call_cancel(void *state, struct status_call *call)
{
    (void)state;
    leave_place(call);
    uv_close((uv_handle_t *)&call->timer, timer_closed);
}

void status_call_answer(struct status_call *call, const struct error *error)
{
    status_callback *callback = call->callback;
    void *arg = call->arg;

    status_call_cancel(NULL, call);
    callback(error, arg);
}

static void timer_fired(uv_timer_t *timer)
{
    struct status_call *call = timer->data;
    cleanup_error struct error *answer = steal_ptr(&call->answer);

    status_call_answer(call, answer);
}

static void answer_after(struct status_call *call, uint64_t timeout_ms, struct error *answer)
{
    error_free(call->answer);
    call->answer = answer;
    (void)uv_timer_start(&call->timer, timer_fired, timeout_ms, 0);
}

struct status_call *status_call_create(uv_loop_t *loop, status_callback *callback, void *arg,
                                       struct error **err)
{
    struct status_call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *call = (struct status_call){.callback = callback, .arg = arg};
    (void)uv_timer_init(loop, &call->timer); /* can not fail */
    call->timer.data = call;
    return call;
}

void status_call_wait(struct status_call *call, struct status_call **place, uint64_t timeout_ms,
                      struct error *late)
{
    assert(*place == NULL);
    call->place = place;
    *place = call;
    answer_after(call, timeout_ms, late);
}

void status_call_end(struct status_call *call, struct error *error)
{
    leave_place(call);
    answer_after(call, 0, error);
}
