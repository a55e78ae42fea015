/*
 * timer_queue.c - many deadlines on one timer.
 */
#include "common/process/timer_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/process/loop_timer.h"

enum { ROOM_MIN = 16 };

struct timer_queue {
    uv_loop_t *loop;
    struct loop_timer *timer; /* for the earliest deadline */
    timer_queue_callback *callback;
    void *arg;
    struct deadline *
        *heap; /* heap[0] is the earliest, the children of heap[i] are heap[2 i + 1] and the next */
    size_t n;
    size_t room;      /* of `heap` */
    size_t n_members; /* at most `room` */
    bool expiring;    /* inside expire() */
    uint64_t visits;
};

/* --- the heap --- */

static void put(struct timer_queue *queue, size_t i, struct deadline *deadline)
{
    queue->heap[i] = deadline;
    deadline->place = (uint32_t)i + 1;
}

static bool is_before(struct timer_queue *queue, const struct deadline *a, const struct deadline *b)
{
    queue->visits++;
    return a->due_ms < b->due_ms;
}

static void rise(struct timer_queue *queue, size_t i)
{
    struct deadline *deadline = queue->heap[i];

    while (i > 0 && is_before(queue, deadline, queue->heap[(i - 1) / 2])) {
        put(queue, i, queue->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(queue, i, deadline);
}

static void sink(struct timer_queue *queue, size_t i)
{
    struct deadline *deadline = queue->heap[i];

    for (size_t child; (child = 2 * i + 1) < queue->n; i = child) {
        if (child + 1 < queue->n && is_before(queue, queue->heap[child + 1], queue->heap[child]))
            child++;
        if (!is_before(queue, queue->heap[child], deadline))
            break;
        put(queue, i, queue->heap[child]);
    }
    put(queue, i, deadline);
}

static void take_out(struct timer_queue *queue, struct deadline *deadline)
{
    size_t i = deadline->place - 1;
    struct deadline *last = queue->heap[--queue->n];

    deadline->place = 0;
    if (last == deadline)
        return;
    put(queue, i, last);
    rise(queue, i);
    sink(queue, last->place - 1);
}

/* --- the timer --- */

static void wind_up(struct timer_queue *queue)
{
    uint64_t now = uv_now(queue->loop);

    if (queue->n == 0)
        loop_timer_stop(queue->timer);
    else
        loop_timer_start(queue->timer, queue->heap[0]->due_ms > now ? queue->heap[0]->due_ms - now : 0);
}

/* What a callback sets for now comes a millisecond later (timer_queue_set): this ends. */
static void expire(void *arg)
{
    struct timer_queue *queue = arg;
    uint64_t now = uv_now(queue->loop);

    queue->expiring = true;
    while (queue->n > 0 && queue->heap[0]->due_ms <= now) {
        struct deadline *deadline = queue->heap[0];

        take_out(queue, deadline);
        queue->callback(deadline, queue->arg);
    }
    queue->expiring = false;
    wind_up(queue);
}

/* --- the interface --- */

struct timer_queue *timer_queue_create(uv_loop_t *loop, timer_queue_callback *callback, void *arg,
                                       struct error **err)
{
    struct timer_queue *queue = alloc_zeroed(sizeof(*queue), err);

    if (queue == NULL)
        return NULL;
    *queue = (struct timer_queue){.loop = loop, .callback = callback, .arg = arg};
    queue->timer = loop_timer_create(loop, expire, queue, err);
    if (queue->timer == NULL) {
        free(queue);
        return NULL;
    }
    return queue;
}

void timer_queue_destroy(struct timer_queue *queue)
{
    if (queue == NULL)
        return;
    loop_timer_destroy(queue->timer);
    free(queue->heap);
    free(queue);
}

int timer_queue_add(struct timer_queue *queue, struct deadline *deadline, struct error **err)
{
    if (queue->n_members == queue->room) {
        size_t room = queue->room == 0 ? ROOM_MIN : queue->room + queue->room / 2;
        struct deadline **grown = reallocarray(queue->heap, room, sizeof(struct deadline *));

        if (grown == NULL)
            return error_no_memory(err, NULL);
        queue->heap = grown;
        queue->room = room;
    }
    queue->n_members++;
    *deadline = (struct deadline){0};
    return 0;
}

void timer_queue_remove(struct timer_queue *queue, struct deadline *deadline)
{
    timer_queue_clear(queue, deadline);
    queue->n_members--;
}

void timer_queue_set(struct timer_queue *queue, struct deadline *deadline, uint64_t due_ms)
{
    uint64_t now = uv_now(queue->loop);

    if (deadline_is_set(deadline))
        take_out(queue, deadline);
    assert(queue->n < queue->n_members);
    deadline->due_ms = queue->expiring && due_ms <= now ? now + 1 : due_ms;
    put(queue, queue->n++, deadline);
    rise(queue, queue->n - 1);
    wind_up(queue);
}

void timer_queue_clear(struct timer_queue *queue, struct deadline *deadline)
{
    if (!deadline_is_set(deadline))
        return;
    take_out(queue, deadline);
    wind_up(queue);
}

uint64_t timer_queue_visits(const struct timer_queue *queue)
{
    return queue->visits;
}
