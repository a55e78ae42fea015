/*
 * delays.c - see delays.h. A list in the order of deadlines, and one timerfd for its first.
 */
#include "test/emulator/delays.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "test/emulator/stamp.h"

static void set_timer(const struct delays *delays)
{
    struct itimerspec when = {0};
    if (delays->first != NULL) {
        when.it_value.tv_sec = (time_t)(delays->first->deadline_ns / 1000000000U);
        when.it_value.tv_nsec = (long)(delays->first->deadline_ns % 1000000000U);
    }
    (void)timerfd_settime(delays->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_time(uv_poll_t *poll, int status, int events)
{
    struct delays *delays = poll->data;
    uint64_t expirations;
    ssize_t got = read(delays->timer_fd, &expirations, sizeof(expirations));
    (void)got; /* only drains it */
    (void)status;
    (void)events;
    while (delays->first != NULL && delays->first->deadline_ns <= monotonic_ns()) {
        struct delay *delay = delays->first;
        void (*over)(struct delay *) = delay->over;
        delays_remove(delays, delay);
        over(delay);
    }
    set_timer(delays);
}

int delays_open(struct delays *delays, uv_loop_t *loop)
{
    *delays = (struct delays){.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (delays->timer_fd < 0 || uv_poll_init(loop, &delays->poll, delays->timer_fd) != 0)
        return -1;
    delays->poll.data = delays;
    return uv_poll_start(&delays->poll, UV_READABLE, on_time);
}

static void on_closed(uv_handle_t *handle)
{
    const struct delays *delays = handle->data;
    (void)close(delays->timer_fd);
}

void delays_close(struct delays *delays)
{
    uv_close((uv_handle_t *)&delays->poll, on_closed);
}

void delays_add(struct delays *delays, struct delay *delay, uint64_t deadline_ns,
                void (*over)(struct delay *delay))
{
    struct delay *before = delays->last;
    while (before != NULL && before->deadline_ns > deadline_ns)
        before = before->previous;
    *delay = (struct delay){.previous = before,
                            .next = before != NULL ? before->next : delays->first,
                            .deadline_ns = deadline_ns,
                            .over = over};
    *(before != NULL ? &before->next : &delays->first) = delay;
    *(delay->next != NULL ? &delay->next->previous : &delays->last) = delay;
    if (before == NULL)
        set_timer(delays);
}

void delays_remove(struct delays *delays, struct delay *delay)
{
    if (delay->over == NULL)
        return;
    *(delay->previous != NULL ? &delay->previous->next : &delays->first) = delay->next;
    *(delay->next != NULL ? &delay->next->previous : &delays->last) = delay->previous;
    *delay = (struct delay){0};
}
