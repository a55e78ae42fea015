/*
 * backoff.h - how long to wait before a retry: growing pauses with jitter.
 *
 * Pure arithmetic but for backoff_random(). A law is a constant of its user; the user counts the failures in
 * a row and starts its own timer:
 *
 *     static const struct backoff law = {
 *         .first = 100, .growth_percent = 200, .cap = 5000,
 *         .jitter_min_percent = 100, .jitter_max_percent = 125};
 *     loop_timer_start(timer, backoff_pause(&law, ++failures, backoff_random()));
 *
 * Units are the user's: all numbers of one law are milliseconds, or all are seconds.
 */
#ifndef COMMON_BASE_BACKOFF_H
#define COMMON_BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
    uint64_t first;          /* the pause after the first failure, before jitter */
    uint64_t step;           /* added after the growth by each further failure; mostly 0 */
    unsigned growth_percent; /* of the pause at each further failure: 200 doubles it; 0 is as 100 */
    uint64_t cap;            /* the longest pause before jitter, at least `first` */

    /* The pause is spread evenly between these parts of it; both 0: no jitter. */
    unsigned jitter_min_percent;
    unsigned jitter_max_percent;
    bool cap_after_jitter; /* `cap` bounds the pause with its jitter, not the pause before it */
};

/* The pause after the `failures`-th failure in a row (1, 2, ...; 0 is as 1). `random` is any number.
 * Saturates at UINT64_MAX. */
uint64_t backoff_pause(const struct backoff *law, unsigned failures, uint32_t random);

/* A given pause (a server's Retry-After, a fixed one), spread evenly between two parts of it: (100, 125) adds
 * up to a quarter, (75, 100) takes up to a quarter away. */
uint64_t backoff_spread(uint64_t pause, unsigned min_percent, unsigned max_percent, uint32_t random);

/* A number for jitter, not for cryptography. Never blocks. */
uint32_t backoff_random(void);

#endif
