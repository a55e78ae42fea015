/*
 * rotation.h - when a published volume is due for a new look at the provider. Pure functions: the time comes
 * in as an argument.
 *
 * The kubelet calls again every 60 to 90 seconds per pod and at every event of the pod; the interval only
 * decides which of these calls reach the provider. It counts from the last *successful contact*, which the
 * volume itself remembers across restarts of the driver (volume_metadata.h).
 *
 *  - A volume is never due before its interval is over, and at most an eighth of the interval later: each has
 *    a delay of its own, taken from its target path. Volumes that were published at one moment (a node has
 *    booted) so move apart with every round and never meet again, whether the driver restarts or not.
 *  - A volume without a metadata (published by another driver) is due within one interval, at a moment of its
 *    own, and not at once together with all the others.
 *  - The author of a class may set another interval for it, and may ask for a look: when the provider would
 *    be asked for something else than last time (spec.provider, spec.parameters), or when the annotation
 *    CLASS_ANNOTATION_REFRESH has another value than last time, the volume is due at once.
 *  - After a failure the next try waits 15 s, 30 s, 60 s, ... up to the interval (at least a minute), plus up
 *    to a quarter by chance, so that a provider that is in trouble is not called at every pod sync by every
 *    pod at once. A spec of the class that has not been tried yet does not wait.
 *  - These pauses do not survive a restart of the driver. So volumes whose looks had been failing when it met
 *    them, and those whose class had a spec then (which may be what fails), wait for a moment of their own
 *    within a minute (or the interval, if that is shorter), and do not all come at the kubelet's first call.
 */
#ifndef DRIVER_ROTATION_ROTATION_H
#define DRIVER_ROTATION_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/class/class_rotation.h"

/* What is known about one volume. */
struct rotation_facts {
    uint64_t last_checked_unix;   /* of the last successful contact; 0 = not known */
    int64_t first_seen_unix;      /* when this process met the volume; counts when the contact is not known */
    bool spec_changed_when_found; /* a spec of the class was there already when it met the volume */
    uint32_t seed;                /* rotation_seed() of the target path */
    const char *spec_hash;        /* spec at the last successful contact; "" = not known */
    const char *failed_spec_hash; /* spec at the last failure since then; "" = there was none */
    int64_t retry_unix;           /* not before, because of failures; 0 = none */
};

/* Does the class want a look that a volume with this spec hash has not had? */
bool rotation_spec_changed(const char *spec_hash, const struct rotation_spec *spec);

/* Is it time? A clock that was set back counts as time passed. */
bool rotation_due(const struct rotation_facts *facts, const struct rotation_spec *spec, int64_t now_unix);

/* A number that is the same for the same path in every run. */
uint32_t rotation_seed(const char *target_path);

/* Seconds to wait after the `failures`-th failure in a row (1, 2, ...). `random` is any random number. */
int64_t rotation_backoff_s(unsigned failures, int64_t interval_s, uint32_t random);

#endif
