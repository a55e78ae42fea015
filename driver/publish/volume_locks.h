/*
 * volume_locks.h - one operation at a time per target path, first come, first served.
 *
 * The kubelet serialises its calls per volume, but it may send a second one while the first, given up at its
 * deadline, still unwinds here. Such a call waits behind the first instead of being refused with ABORTED:
 * usually it then finds the work done. An unpublish makes the operations ahead of it pointless, so it
 * interrupts them.
 *
 * A lock is a link embedded in the operation that takes it. Loop thread only.
 */
#ifndef DRIVER_PUBLISH_VOLUME_LOCKS_H
#define DRIVER_PUBLISH_VOLUME_LOCKS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/base/list.h"

struct volume_locks;
struct volume_lock;

/* The lock is held from now on. Never called inside volume_lock_take(). */
typedef void volume_lock_granted(struct volume_lock *lock);

/* An unpublish wants the path: call your caller back, stop, and release (now or after the running step). */
typedef void volume_lock_interrupted(struct volume_lock *lock);

struct volume_lock {
    struct list link;
    const char *path; /* borrowed from the operation, which must keep it while it holds or waits */
    volume_lock_granted *granted;
    volume_lock_interrupted *interrupted; /* NULL: not interruptible */
    struct volume_locks *locks;           /* NULL when it neither waits nor holds */
    struct list waiting;                  /* of the holder: locks in line behind it */
    bool held;
};

struct volume_locks *volume_locks_create(struct error **err);

/* No lock may be held or waited for. Accepts NULL. */
void volume_locks_destroy(struct volume_locks *locks);

/* Takes the lock of `path` or queues for it. True: held already, `granted` will not be called. */
bool volume_lock_take(struct volume_locks *locks, struct volume_lock *lock, const char *path,
                      volume_lock_granted *granted, volume_lock_interrupted *interrupted);

/* Gives the lock back, or leaves the queue. May call `granted` of the next in line before it returns, so it
 * comes last. Harmless for a lock that is not in use. */
void volume_lock_release(struct volume_lock *lock);

/* Calls `interrupted` of the holder of `path` and of all locks in line. */
void volume_locks_interrupt(struct volume_locks *locks, const char *path);

/* How many locks are held or waited for. */
size_t volume_locks_count(const struct volume_locks *locks);

/* Calls `idle` once, as soon as no lock is held or waited for; inside this call when that is so already. */
void volume_locks_on_idle(struct volume_locks *locks, void (*idle)(void *arg), void *arg);

#endif
