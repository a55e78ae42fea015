/*
 * csi_probe.h - calls Probe on the driver's own CSI endpoint, by the way that the kubelet's calls take.
 *
 * A success shows that the endpoint leads to a driver that accepts connections, and that its loop and its
 * workers run (csi_identity.h).
 */
#ifndef DRIVER_CSI_CSI_PROBE_H
#define DRIVER_CSI_CSI_PROBE_H

#include <uv.h>

#include "common/base/error.h"
#include "common/process/endpoint.h"

enum { CSI_PROBE_TIMEOUT_MS = 2500 }; /* below the 3 s that liveness probes commonly allow */

/* `error` is NULL when the driver is healthy. Borrowed. */
typedef void csi_probe_callback(const struct error *error, void *arg);

/* Starts a probe over a connection of its own; the callback runs once, from the loop, unless the loop ends
 * before. `endpoint` is borrowed during the call. -1 with err set: nothing was started. */
int csi_probe_start(uv_loop_t *loop, const struct endpoint *endpoint, csi_probe_callback *callback, void *arg,
                    struct error **err);

#endif
