/*
 * unpublish.h - one NodeUnpublishVolume: the operation that takes a volume away.
 *
 * It interrupts whatever publish is at the same path (nobody wants its result any more), waits for the lock,
 * and lets a worker unmount and remove. A volume that is not there is success: any error would keep the pod
 * from being deleted. The work is short and goes on even when the caller has left: a second unpublish then
 * finds it done.
 */
#ifndef DRIVER_UNPUBLISH_H
#define DRIVER_UNPUBLISH_H

#include "common/error.h"
#include "driver/publish.h"

struct unpublish;

/* `error` is NULL on success, else borrowed. */
typedef void unpublish_callback(const struct error *error, void *arg);

/* `target_path` is copied. Contract of the operation: common/grpc/client.h. */
struct unpublish *unpublish_start(const struct publisher *publisher, const char *target_path,
                                  unpublish_callback *callback, void *arg, struct error **err);

/* The callback will not run; the work goes on. Sets *unpublish to NULL. */
void unpublish_cancel(struct unpublish **unpublish);

#endif
