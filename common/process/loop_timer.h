/*
 * loop_timer.h - a timer on the loop whose owner need not outlive it.
 *
 * libuv wants the memory of a uv_timer_t until its close callback has run, so an owner that embeds one lives
 * on after its own end. This timer holds its memory itself: the owner destroys the timer and frees itself at
 * once.
 */
#ifndef COMMON_PROCESS_LOOP_TIMER_H
#define COMMON_PROCESS_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

struct loop_timer;

/* From the loop, never inside loop_timer_start(). It may start, stop or destroy the timer. */
typedef void loop_timer_callback(void *arg);

/* A timer that is not running. `arg` is borrowed until loop_timer_destroy(). NULL: out of memory. */
struct loop_timer *loop_timer_create(uv_loop_t *loop, loop_timer_callback *callback, void *arg,
                                     struct error **err);

/* Runs the callback once, `delay_ms` after the loop's time; 0: in the loop's next turn. It replaces an
 * earlier start. */
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms);

/* Runs the callback every `interval_ms` (above 0), for the first time after one of them. */
void loop_timer_repeat(struct loop_timer *timer, uint64_t interval_ms);

/* The callback does not run any more until the next start. Harmless when the timer is not running. */
void loop_timer_stop(struct loop_timer *timer);

/* The loop may end while the timer runs. */
void loop_timer_unref(struct loop_timer *timer);

bool loop_timer_is_running(const struct loop_timer *timer);

/* Inside the timer's own callback: true when the callback has destroyed the timer. The memory is there until
 * the callback returns. */
bool loop_timer_is_destroyed(const struct loop_timer *timer);

/* The callback does not run any more; the memory goes once libuv has released it. Accepts NULL. */
void loop_timer_destroy(struct loop_timer *timer);

#endif
