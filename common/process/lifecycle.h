/*
 * lifecycle.h - start and stop of a daemon: signals, version, the libuv loop.
 */
#ifndef COMMON_PROCESS_LIFECYCLE_H
#define COMMON_PROCESS_LIFECYCLE_H

#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"

/* Set by the build: version ("1.0.0"), commit, build date (RFC 3339 or "unknown"). String literals. */
const char *build_version(void);
const char *build_commit(void);
const char *build_date(void);

/* Watches SIGTERM and SIGINT on the loop and ignores SIGPIPE. The first signal runs `stop` on the loop; the
 * second ends the process at once with status 1. */
struct lifecycle;
struct lifecycle *lifecycle_create(uv_loop_t *loop, struct log *log, void (*stop)(void *arg), void *arg,
                                   struct error **err);

/* Stops watching, so that uv_run() can return; the memory goes with the close callbacks, so the loop must run
 * (or lifecycle_close_loop()) once more. Accepts NULL. */
void lifecycle_destroy(struct lifecycle *lifecycle);

/* Closes the loop after uv_run() has returned: runs the pending close callbacks, checks that no handle leaked
 * (assert in debug builds, a log line otherwise). */
void lifecycle_close_loop(uv_loop_t *loop, struct log *log);

/* Time since boot (CLOCK_BOOTTIME) in nanoseconds and in seconds, and the wall clock in seconds.
 *
 * Which clock for what: ages of what was read from others, and expiry that is given as a duration (tokens),
 * count on the one since boot: it cannot be set, and goes on while the machine sleeps. The wall clock is for
 * times that others read (logs, status objects) or that have to survive a reboot. Pauses, deadlines and
 * intervals of the loop count on uv_now() (CLOCK_MONOTONIC), which stands still with the timers: a call does
 * not fail because the machine slept. */
uint64_t clock_monotonic_ns(void);
int64_t clock_steady_s(void);
int64_t clock_unix_s(void);

#endif
