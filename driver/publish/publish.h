/*
 * publish.h - one NodePublishVolume: the operation that makes a volume appear, or looks whether its content
 * has changed.
 *
 *            start
 *              │
 *         ┌────▼────┐ another operation is at this path
 *         │  QUEUE  │ (volume_locks.h)
 *         └────┬────┘
 *         ┌────▼────┐ worker: what is at the target path?
 *         │ INSPECT │ ── complete, rotation is off ──────▶ OK
 *         └────┬────┘ ── something else is mounted there ▶ error
 *              ├──── complete ──▶ DUE: what does the class wish (class_cache.h, rotation.h)?
 *         ┌────▼────┐              │ nothing is due ─────▶ OK
 *         │  CLASS  │              │
 *         └────┬────┘              │ CLASS: look the SecretProviderClass up
 *              ├───────────────────┘ judge the request by it
 *         ┌────▼────┐ Mount: the provider returns the files
 *         │ PROVIDER│
 *         └────┬────┘
 *         ┌────▼────┐ worker: volume_publish(), or volume_update() when the volume is there already
 *         │  WRITE  │
 *         └────┬────┘
 *         ┌────▼────┐ with observers (observer_chain.h)
 *         │  STATUS │ ── a first mount lacks a record it needs ─▶ ROLLBACK (volume_unpublish()) ─▶ error
 *         └────┬────┘
 *              ▼
 *             OK
 *
 * A *look* is a publish that finds a complete volume. With rotation off, or before the interval is over, it
 * is answered OK at once: the provider may be down, containers can still be restarted. When a look is due and
 * fails, the answer is OK too, because older kubelets take the volume's directory away after a failed
 * republish; the failure is logged, counted and recorded, the old content stays, and the next try waits
 * (rotation.h). A look never unmounts, and its caller is answered before anything is recorded.
 *
 * The end has one path. Deadline, client gone, shutdown: publish_cancel(). An unpublish of the same target:
 * the operation is interrupted and answers ABORTED. In both cases running children are cancelled; a worker
 * that runs is awaited, and only then the lock is given back. A volume that a worker has just completed stays
 * (there is no undo in CSI: the caller retries, finds it and is done, or unpublishes) and is recorded, unless
 * it needs a record that is still to be made: then it is rolled back. Never is a volume rolled back that was
 * found incomplete but showing something: containers may use it.
 *
 * Codes. The kubelet keeps calling unpublish only after non-final codes (CANCELLED, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE). Any other may be returned because a failed first publish leaves
 * nothing behind.
 */
#ifndef DRIVER_PUBLISH_H
#define DRIVER_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/class/class_cache.h"
#include "driver/class/class_source.h"
#include "driver/provider/provider_registry.h"
#include "driver/publish/publish_request.h"
#include "driver/publish/volume_locks.h"
#include "driver/rotation/volume_state.h"
#include "driver/status/events.h"
#include "driver/status/observer_chain.h"

enum {
    /* Of a publish as a whole when its caller sets no deadline; what the kubelet uses. */
    PUBLISH_TIMEOUT_MS = 120 * 1000,
    /* Kept from the caller's deadline, so that "provider did not answer" reaches it before it gives up. A
       tenth, at most this. */
    PUBLISH_ANSWER_MARGIN_MS = 2000,
};

/* What all publishes and unpublishes of the process share. Everything is borrowed. */
struct publisher {
    uv_loop_t *loop;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    struct volume_locks *locks;
    struct volume_states *volumes;
    const struct class_source *classes;
    struct class_cache *class_cache; /* NULL only without rotation */
    struct provider_registry *providers;
    const struct volume_observers *observers; /* NULL: none */
    struct events *events;                    /* NULL: nobody is told */
    bool rotation;                            /* --enable-secret-rotation */
    int64_t rotation_interval_s;
    bool pod_overrides_class; /* --allow-attribute-override */
};

struct publish;

/* `error` is NULL on success, else borrowed. */
typedef void publish_callback(const struct error *error, void *arg);

/* Takes over the content of *request (also on failure). `publisher` must live until its locks are idle.
 * Contract of the operation: common/grpc/client.h. */
struct publish *publish_start(const struct publisher *publisher, struct publish_request *request,
                              uint64_t timeout_ms, publish_callback *callback, void *arg, struct error **err);

/* Nobody waits any more; `reason` (DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE) is for log and metrics. Sets
 * *publish to NULL. The operation may linger with its lock until its worker is back. */
void publish_cancel(struct publish **publish, enum grpc_status reason);

#endif
