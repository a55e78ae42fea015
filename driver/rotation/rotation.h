/*
 * rotation.h - when a rotation check of a mounted volume is due. Pure functions: the time comes in as an
 * argument.
 *
 * The kubelet calls again every 60 to 90 seconds per pod and at every event of the pod; the interval only
 * decides which of these calls reach the provider. It counts from the last *successful* rotation check, which
 * the volume itself remembers across restarts of the driver (volume_metadata.h).
 *
 *  - A rotation check is never due before the interval is over, and at most an eighth of the interval later:
 *    each volume has a delay of its own, taken from its target path. Volumes that were published at the same
 *    time (a node has booted) so move apart with every round, whether the driver restarts or not.
 *  - A volume without metadata (published by another driver) is due within one interval, after a delay of its
 *    own.
 *  - The author of a class may set another interval for it, and may demand a rotation check: a volume is due
 *    at once when the class's rotation spec (class_rotation.h) has changed since its last successful rotation
 *    check.
 *  - After a failure the next rotation check waits 15 s, 30 s, 60 s, ... up to the interval (at least a
 *    minute), plus up to a quarter by chance, so that a provider in trouble is not called at every pod sync
 *    by every pod. A rotation spec that has not been tried yet does not wait.
 *  - These pauses do not survive a restart of the driver. So two kinds of volumes wait for a delay of their
 *    own within a minute (or the interval, if that is shorter) after the driver has found them: those whose
 *    rotation checks had been failing, and those whose rotation spec had changed, which may be the cause of
 *    failures.
 */
#ifndef DRIVER_ROTATION_ROTATION_H
#define DRIVER_ROTATION_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/class/class_rotation.h"

/* The input about one volume. */
struct rotation_facts {
    uint64_t last_checked_unix;   /* last successful rotation check; 0 = not known */
    int64_t first_seen_unix;      /* when this process found the volume */
    bool spec_changed_when_found; /* the rotation spec had changed by then */
    uint32_t seed;                /* rotation_seed() of the target path */
    uint64_t spec_digest;         /* at the last successful rotation check; 0 = not known */
    uint64_t failed_spec_digest;  /* at the last failure since then; 0 = none */
    bool waits_after_failure;     /* the pause after its last failure is not over */
};

/* The beginning of a rotation spec's hash, enough to tell two apart; 0 for what is no hash: not known. */
uint64_t rotation_spec_digest(const char *spec_hash);

/* Does the class have another rotation spec than at a rotation check with this digest? False when either is
 * not known. */
bool rotation_spec_changed(uint64_t spec_digest, const struct rotation_spec *spec);

/* Is it time? A clock that was set back counts as time passed. */
bool rotation_due(const struct rotation_facts *facts, const struct rotation_spec *spec, int64_t now_unix);

/* A number that is the same for the same path in every run: shared_names_hash() of a volume's names. */
uint32_t rotation_seed(const char *target_path);

/* Seconds to wait after the `failures`-th failure in a row (1, 2, ...). `random` is any random number. */
int64_t rotation_backoff_s(unsigned failures, int64_t interval_s, uint32_t random);

#endif
