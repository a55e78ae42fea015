/*
 * timer_queue.h - many deadlines on one timer of the loop: a binary heap (D. Knuth, The Art of Computer
 * Programming, volume 3, 5.2.3).
 *
 * A deadline is embedded in the struct of its user and takes 16 bytes and a slot of the heap, a timer of the
 * loop ten times as much. Setting one takes steps by the logarithm of their number, none searches all of
 * them. Loop thread only.
 */
#ifndef COMMON_PROCESS_TIMER_QUEUE_H
#define COMMON_PROCESS_TIMER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

struct deadline {
    uint64_t due_ms; /* on uv_now()'s clock */
    uint32_t place;  /* in the heap, from 1; 0 = it is not set */
};

/* A deadline has come, and is not set any more. From the loop, never inside a function of the queue. It may
 * set, clear and remove any of them, but not destroy the queue. */
typedef void timer_queue_callback(struct deadline *deadline, void *arg);

struct timer_queue;

/* A queue without deadlines. `arg` is borrowed for life. NULL with err set: out of memory. */
struct timer_queue *timer_queue_create(uv_loop_t *loop, timer_queue_callback *callback, void *arg,
                                       struct error **err);

/* Nothing expires any more. Accepts NULL. */
void timer_queue_destroy(struct timer_queue *queue);

/* Makes room for one more deadline, so that none of the functions below fails. -1: out of memory. */
int timer_queue_add(struct timer_queue *queue, struct deadline *deadline, struct error **err);

/* Clears it and gives its room back. */
void timer_queue_remove(struct timer_queue *queue, struct deadline *deadline);

/* Sets the deadline to this time, in place of an earlier one. A time that is over expires in the loop's next
 * turn; set by a callback, a millisecond later. */
void timer_queue_set(struct timer_queue *queue, struct deadline *deadline, uint64_t due_ms);

/* It does not expire. Harmless when it is not set. */
void timer_queue_clear(struct timer_queue *queue, struct deadline *deadline);

static inline bool deadline_is_set(const struct deadline *deadline)
{
    return deadline->place != 0;
}

/* Deadlines looked at so far: what tests count instead of time. */
uint64_t timer_queue_visits(const struct timer_queue *queue);

#endif
