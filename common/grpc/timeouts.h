/*
 * timeouts.h - many timeouts on one libuv timer.
 *
 * A `struct timeout` is only a link: it costs nothing until it is set, can be cleared, and its memory reused
 * at once. A timeout of 0 ms is the way to run something "from the loop, not now".
 *
 * Kept as a list sorted by time; the usual timeouts are equal and long, so a new one goes to the end in one
 * step.
 */
#ifndef COMMON_GRPC_TIMEOUTS_H
#define COMMON_GRPC_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/list.h"
#include "common/process/loop_timer.h"

struct timeouts {
    uv_loop_t *loop;
    struct loop_timer *timer; /* NULL: finished */
    struct list pending;
};

struct timeout;
typedef void timeout_callback(struct timeout *timeout);

struct timeout {
    struct list link;
    uint64_t due_ms; /* on uv_now()'s clock */
    timeout_callback *expired;
};

/* -1 with err set (RESOURCE_EXHAUSTED) on lack of memory. */
int timeouts_init(struct timeouts *timeouts, uv_loop_t *loop, struct error **err);

/* Clears all timeouts; the memory may be reused at once, also inside `expired`. A timeout that is freed then
 * must have been cleared by its owner. Safe to call twice, and on a struct that is all zero. */
void timeouts_finish(struct timeouts *timeouts);

/* Milliseconds on the clock of the timeouts (uv_now()). */
uint64_t timeouts_now(const struct timeouts *timeouts);

/* Prepares a timeout that is not armed. */
void timeout_init(struct timeout *timeout);

/* Arms (again): `expired` runs once, from the loop, after `delay_ms`; in the next turn at the earliest. */
void timeout_set(struct timeouts *timeouts, struct timeout *timeout, uint64_t delay_ms,
                 timeout_callback *expired);

/* Disarms. Harmless when it is not armed. */
void timeout_clear(struct timeout *timeout);

bool timeout_armed(const struct timeout *timeout);

#endif
