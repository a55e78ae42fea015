/*
 * observer_call.h - a caller waits until an observer has handled an event: what start() of an observer
 * (volume_observer.h) returns.
 *
 * The observer creates the call. It then parks the call in a slot of its volume, to be finished when the work
 * is done, or finishes it at once. The result, the timeout or a cancel ends the call, whichever comes first;
 * its slot is NULL from then on, so that no call is finished twice. Loop thread only.
 */
#ifndef DRIVER_STATUS_OBSERVER_CALL_H
#define DRIVER_STATUS_OBSERVER_CALL_H

#include <uv.h>

#include "driver/status/volume_observer.h"

/* To be followed by one of the next two, or by observer_call_cancel(). NULL with err set on lack of memory.
 * */
struct observer_call *observer_call_create(uv_loop_t *loop, observer_callback *callback, void *arg,
                                           struct error **err);

/* Parks the call in *slot, which must be NULL. After `timeout_ms` (UINT64_MAX = never) it finishes with
 * `late`, which is taken over; NULL = success. */
void observer_call_wait(struct observer_call *call, struct observer_call **slot, uint64_t timeout_ms,
                        struct error *late);

/* Leaves its slot, and finishes in the next turn with `error`, which is taken over; NULL = success. */
void observer_call_finish_later(struct observer_call *call, struct error *error);

/* Calls back now: never from inside a start(). `error` is borrowed; NULL = success. */
void observer_call_finish(struct observer_call *call, const struct error *error);

/* Empties its slot. The caller has the call now, and finishes it. */
void observer_call_detach(struct observer_call *call);

/* Ends the call without a callback. Fits `cancel` of an observer; `state` is not used. */
void observer_call_cancel(void *state, struct observer_call *call);

#endif
