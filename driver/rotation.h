/*
 * rotation.h - when a published volume is due for a new look at the provider. Pure functions: the time comes
 * in as an argument.
 *
 * The kubelet calls again every 60 to 90 seconds per pod, at times that differ from pod to pod; the interval
 * only decides which of these calls reach the provider. It counts from the last *successful contact*, which
 * the volume itself remembers across restarts. After a failure the next try waits 15 s, 30 s, 60 s, ... up to
 * the interval (at least a minute), plus up to a quarter by chance, so that a provider that is in trouble is
 * not called at every pod sync by every pod at once.
 */
#ifndef DRIVER_ROTATION_H
#define DRIVER_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

/* Is it time? `last_checked_unix` 0 = unknown (a volume of an earlier driver): yes. A clock that was set back
 * counts as time passed. */
bool rotation_due(int64_t now_unix, uint64_t last_checked_unix, int64_t interval_s);

/* Seconds to wait after the `failures`-th failure in a row (1, 2, ...). `random` is any random number. */
int64_t rotation_backoff_s(unsigned failures, int64_t interval_s, uint32_t random);

#endif
