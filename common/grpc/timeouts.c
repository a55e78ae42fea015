/*
 * timeouts.c - many timeouts on one libuv timer.
 */
#include "common/grpc/timeouts.h"

static void arm_timer(struct timeouts *timeouts);

static void on_timer(void *arg)
{
    struct timeouts *timeouts = arg;
    uint64_t now = timeouts_now(timeouts);
    struct list due;
    struct list *link = timeouts->pending.next;
    const struct loop_timer *timer = timeouts->timer;

    /* The due ones are taken out first: a callback that arms a timeout of 0 ms must not prolong this loop. */
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
        if (!loop_timer_is_destroyed(timer))
            timeout->expired(timeout);
    }
    if (!loop_timer_is_destroyed(timer)) /* otherwise `timeouts` may be gone */
        arm_timer(timeouts);
}

static void arm_timer(struct timeouts *timeouts)
{
    uint64_t now = timeouts_now(timeouts);
    uint64_t due;

    if (list_empty(&timeouts->pending)) {
        loop_timer_stop(timeouts->timer);
        return;
    }
    due = container_of(timeouts->pending.next, struct timeout, link)->due_ms;
    loop_timer_start(timeouts->timer, due > now ? due - now : 0);
}

int timeouts_init(struct timeouts *timeouts, uv_loop_t *loop, struct error **err)
{
    *timeouts = (struct timeouts){.loop = loop, .timer = loop_timer_create(loop, on_timer, timeouts, err)};
    list_init(&timeouts->pending);
    return timeouts->timer != NULL ? 0 : -1;
}

void timeouts_finish(struct timeouts *timeouts)
{
    if (timeouts->timer == NULL)
        return;
    while (!list_empty(&timeouts->pending))
        list_remove(timeouts->pending.next);
    loop_timer_destroy(timeouts->timer);
    timeouts->timer = NULL;
}

uint64_t timeouts_now(const struct timeouts *timeouts)
{
    return uv_now(timeouts->loop);
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

    if (timeouts->timer == NULL)
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
