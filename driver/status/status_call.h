/*
 * status_call.h - somebody waits until a volume is recorded: what start() of a recorder (status.h) returns.
 *
 * A recorder makes a call, then either lets it wait in a place of the volume's, where the recorder finds it
 * when the work is done, or ends it at once. Whichever comes first ends it: an answer, its time, cancelling.
 * Then its place is NULL again, so that nobody answers twice. Loop thread only.
 */
#ifndef DRIVER_STATUS_CALL_H
#define DRIVER_STATUS_CALL_H

#include <uv.h>

#include "driver/status/volume_observer.h"

/* To be followed by one of the next two, or by status_call_cancel(). */
struct status_call *status_call_create(uv_loop_t *loop, status_callback *callback, void *arg,
                                       struct error **err);

/* Waits in *place, which is NULL. After `timeout_ms` (UINT64_MAX = never) its answer is `late`, which is
 * taken over; NULL = success. */
void status_call_wait(struct status_call *call, struct status_call **place, uint64_t timeout_ms,
                      struct error *late);

/* Leaves its place, and answers in the next turn with `error`, which is taken over; NULL = success. */
void status_call_end(struct status_call *call, struct error *error);

/* Answers now: never from inside somebody's start(). `error` is borrowed; NULL = success. */
void status_call_answer(struct status_call *call, const struct error *error);

/* Nobody is answered. Fits `cancel` of a recorder, whose state is not used. */
void status_call_cancel(void *state, struct status_call *call);

#endif
