/*
 * delays.h - waiting until an exact time on a libuv loop, whose own timers know milliseconds only. All from
 * the thread of the loop.
 */
#ifndef EMULATOR_DELAYS_H
#define EMULATOR_DELAYS_H

#include <stdint.h>
#include <uv.h>

/* One place to wait in; embedded in whatever waits, all zero at first. Must stay in place while it waits. */
struct delay {
    struct delay *previous;
    struct delay *next;
    uint64_t deadline_ns;              /* CLOCK_MONOTONIC */
    void (*over)(struct delay *delay); /* called when it has passed; NULL = does not wait */
};

struct delays {
    uv_poll_t poll;
    int timer_fd;
    struct delay *first; /* has the earliest deadline */
    struct delay *last;
};

/* -1: not possible. Must stay in place. */
int delays_open(struct delays *delays, uv_loop_t *loop);

/* Nothing waits any more. */
void delays_close(struct delays *delays);

/* Calls `over` at or after the deadline, in the order of deadlines. Does not wait yet. */
void delays_add(struct delays *delays, struct delay *delay, uint64_t deadline_ns,
                void (*over)(struct delay *delay));

/* Harmless when it does not wait. */
void delays_remove(struct delays *delays, struct delay *delay);

#endif
