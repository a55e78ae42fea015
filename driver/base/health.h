/*
 * health.h - is the driver able to work?
 *
 * A response shows that the loop turns. An empty piece of work that comes back from the thread pool shows
 * that mounts are not stuck in the kernel, which no restart of a peer would cure. The Kubernetes API and the
 * providers do not count: restarting the driver does not help them.
 */
#ifndef DRIVER_BASE_HEALTH_H
#define DRIVER_BASE_HEALTH_H

#include <uv.h>

#include "common/base/error.h"

enum { HEALTH_TIMEOUT_MS = 2000 }; /* below the 3 s that liveness probes commonly allow */

struct health_check;

/* `error` is NULL when all is well; UNAVAILABLE otherwise. Borrowed. */
typedef void health_callback(const struct error *error, void *arg);

/* Contract of the operation: common/grpc/client.h. */
struct health_check *health_check_start(uv_loop_t *loop, health_callback *callback, void *arg,
                                        struct error **err);

/* Sets *check to NULL; the callback will not run any more. */
void health_check_cancel(struct health_check **check);

#endif
