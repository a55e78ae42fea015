/*
 * timeouts.c - many timeouts on one libuv timer.
 */
#include "common/grpc/timeouts.h"

#include <assert.h>

static void arm_timer(struct timeouts *timeouts);

static void on_timer(uv_timer_t *timer)
{
    struct timeouts *timeouts = container_of(timer, struct timeouts, timer);
    uint64_t now = timeouts_now(timeouts);
    struct list due;
    struct list *link = timeouts->pending.next;

    /* What is due is taken out first: a callback that arms a timeout of 0 ms must not keep us here for
     * ever. */
    list_init(&due);
    while (link != &timeouts->pending && container_of(link, struct timeout, link)->due_ms <= now) {
        struct list *next = link->next;

        list_remove(link);
        list_insert_before(&due, link);
        link = next;
    }
    while (!list_empty(&due)) {
        struct timeout *timeout = container_of(due.next, struct timeout, link);

        list_remove(&timeout->link); /* a callback may clear (and free) any other member of `due` */
        timeout->expired(timeout);
    }
    arm_timer(timeouts);
}

static void arm_timer(struct timeouts *timeouts)
{
    uint64_t now;
    uint64_t due;

    if (uv_is_closing((uv_handle_t *)&timeouts->timer))
        return;
    if (list_empty(&timeouts->pending)) {
        (void)uv_timer_stop(&timeouts->timer); /* never fails */
        return;
    }
    now = timeouts_now(timeouts);
    due = container_of(timeouts->pending.next, struct timeout, link)->due_ms;
    (void)uv_timer_start(&timeouts->timer, on_timer, due > now ? due - now : 0,
                         0); /* fails only without callback */
}

void timeouts_init(struct timeouts *timeouts, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &timeouts->timer); /* never fails */
    list_init(&timeouts->pending);
}

void timeouts_close(struct timeouts *timeouts, uv_close_cb closed)
{
    while (!list_empty(&timeouts->pending))
        list_remove(timeouts->pending.next);
    assert(!uv_is_closing((uv_handle_t *)&timeouts->timer));
    uv_close((uv_handle_t *)&timeouts->timer, closed);
}

uint64_t timeouts_now(const struct timeouts *timeouts)
{
    return uv_now(timeouts->timer.loop);
}

void timeout_init(struct timeout *timeout)
{
    *timeout = (struct timeout){.expired = NULL};
    list_init(&timeout->link);
}

void timeout_set(struct timeouts *timeouts, struct timeout *timeout, uint64_t delay_ms,
                 timeout_callback *expired)
{
    uint64_t now = timeouts_now(timeouts);
    struct list *after;

    if (uv_is_closing((uv_handle_t *)&timeouts->timer))
        return;
    list_remove(&timeout->link);
    timeout->due_ms = delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms;
    timeout->expired = expired;
    after = timeouts->pending.prev;
    while (after != &timeouts->pending && container_of(after, struct timeout, link)->due_ms > timeout->due_ms)
        after = after->prev;
    list_insert_before(after->next, &timeout->link);
    if (timeouts->pending.next == &timeout->link)
        arm_timer(timeouts);
}

void timeout_clear(struct timeout *timeout)
{
    list_remove(&timeout->link); /* the timer may fire for nothing: cheaper than setting it again */
}

bool timeout_armed(const struct timeout *timeout)
{
    return !list_empty(&timeout->link);
}
