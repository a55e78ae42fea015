/*
 * loop_timer.c - a timer on the loop whose owner need not outlive it.
 */
#include "common/process/loop_timer.h"

#include <assert.h>
#include <stdlib.h>

struct loop_timer {
    uv_timer_t handle; /* the struct is freed when it is closed */
    loop_timer_callback *callback;
    void *arg; /* borrowed */
};

static void on_expired(uv_timer_t *handle)
{
    const struct loop_timer *timer = handle->data;

    timer->callback(timer->arg);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct loop_timer *loop_timer_create(uv_loop_t *loop, loop_timer_callback *callback, void *arg,
                                     struct error **err)
{
    struct loop_timer *timer = malloc(sizeof(*timer));

    if (timer == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *timer = (struct loop_timer){.callback = callback, .arg = arg};
    (void)uv_timer_init(loop, &timer->handle); /* documented to succeed always */
    timer->handle.data = timer;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    (void)uv_timer_start(&timer->handle, on_expired, delay_ms, /* repeat= */ 0); /* fails only when closing */
}

void loop_timer_repeat(struct loop_timer *timer, uint64_t interval_ms)
{
    (void)uv_timer_start(&timer->handle, on_expired, interval_ms, interval_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
    (void)uv_timer_stop(&timer->handle); /* never fails */
}

void loop_timer_unref(struct loop_timer *timer)
{
    uv_unref((uv_handle_t *)&timer->handle);
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->handle);
}

bool loop_timer_is_destroyed(const struct loop_timer *timer)
{
    return uv_is_closing((const uv_handle_t *)&timer->handle);
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    assert(!uv_is_closing((uv_handle_t *)&timer->handle));
    uv_close((uv_handle_t *)&timer->handle, on_closed);
}
