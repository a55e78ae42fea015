/*
 * unpublish.h - one NodeUnpublishVolume: the operation that removes a volume.
 *
 * Interrupts a publish of the same target, waits until its worker (if one runs) is back, then removes mount
 * and directory on a worker. Idempotent: a volume that is not there is success, because any error makes the
 * kubelet repeat the call for ever and keeps the pod's directory. A running worker is not stopped: a caller
 * that gave up repeats the call and finds it done.
 */
#ifndef DRIVER_PUBLISH_UNPUBLISH_H
#define DRIVER_PUBLISH_UNPUBLISH_H

#include "driver/publish/publisher.h"

struct unpublish;

/* `target_path` is copied. The failure's code is volume_unpublish()'s. Contract of the operation:
 * common/grpc/client.h. */
struct unpublish *unpublish_start(const struct publisher *publisher, const char *target_path,
                                  publish_callback *callback, void *arg, struct error **err);

/* The caller does not wait any more. Sets *unpublish to NULL. */
void unpublish_cancel(struct unpublish **unpublish);

#endif
