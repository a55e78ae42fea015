/*
 * publish.h - one NodePublishVolume: the operation that makes a volume appear, or checks whether its content
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
 *              ├──── complete ──▶ DUE: the class's rotation spec (class_cache.h, rotation.h)
 *         ┌────▼────┐              │ no rotation check is due ─▶ OK
 *         │  CLASS  │              │
 *         └────┬────┘              │ CLASS: the source returns the SecretProviderClass
 *              ├───────────────────┘
 *         ┌────▼────┐ worker: volume_prepare(), only for a provider that may write its files itself
 *         │ PREPARE │ ── from here on a failure leads to ROLLBACK, in a rotation check to CLOSE
 *         └────┬────┘ (volume_close())
 *         ┌────▼─────┐ Mount: the provider returns the files, or writes them
 *         │ PROVIDER │
 *         └────┬─────┘
 *         ┌────▼────┐ worker: volume_publish(), or volume_update() when the volume is there already, or
 *         │  WRITE  │ volume_take() of what the provider wrote
 *         └────┬────┘
 *         ┌────▼────┐ only with observers (observer_chain.h)
 *         │  RECORD │ ── a first mount: a required observer fails ─▶ ROLLBACK (volume_unpublish()) ─▶ error
 *         └────┬────┘
 *              ▼
 *             OK
 *
 * In CLASS a first mount calls the provider at the same time, with the class as it was read last
 * (class_cache.h), if the provider is known to return files. What it returns counts only if the class turns
 * out to be unchanged, by its version; otherwise it is dropped, and fetched again. So a new pod never sees an
 * old class, and waits for the slower of both instead of one after the other.
 *
 * INSPECT is left out when the loop sees that nothing is there (volume_is_surely_absent()). What appears
 * there later is met by WRITE, as after an inspection.
 *
 * A *rotation check* is a publish that finds a complete volume. With rotation off, or before the interval is
 * over, it returns OK at once: the provider may be down, and containers can still be restarted. A rotation
 * check that fails returns OK as well, because older kubelets remove the volume's directory after a failed
 * republish. The failure is logged, counted and recorded (RECORD_FAILURE), the old content stays, and the
 * next rotation check waits (rotation.h). A rotation check never unmounts, and its caller gets the response
 * before anything is recorded.
 *
 * A publish may end early in two ways. Deadline, client gone, shutdown: publish_cancel(). An unpublish of the
 * same target: the operation is interrupted and returns ABORTED. In both cases a running child is cancelled.
 * A running worker is awaited, and only then the lock is given back. A volume that a worker has just
 * completed stays (CSI has no undo: the caller retries, finds it and is done, or unpublishes) and is
 * recorded, unless a required observer is still missing: then it is rolled back. A volume that was found
 * incomplete but showing something is never rolled back: containers may use it.
 *
 * Codes. The kubelet keeps calling unpublish only after non-final codes (CANCELLED, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE). Any other may be returned because a failed first publish leaves
 * nothing behind.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_H
#define DRIVER_PUBLISH_PUBLISH_H

#include <stdint.h>

#include "driver/publish/publish_request.h"
#include "driver/publish/publisher.h"

enum { PUBLISH_TIMEOUT_MS = 120 * 1000 }; /* when the caller sets no deadline; what the kubelet uses */

struct publish;

/* Takes over the content of *request (also on failure). `publisher` must live until its locks are idle.
 * Contract of the operation: common/grpc/client.h. */
struct publish *publish_start(const struct publisher *publisher, struct publish_request *request,
                              uint64_t timeout_ms, publish_callback *callback, void *arg, struct error **err);

/* A publish that takes longer is to be cancelled so long before its deadline: the caller still learns what it
 * waited for. Its children have ended before, and their errors say more. */
uint64_t publish_response_margin(uint64_t timeout_ms);

/* What the publish waits for, for a caller whose time is over: sets *err (DEADLINE_EXCEEDED). */
void publish_pending_error(const struct publish *publish, struct error **err);

/* The caller does not wait any more; `reason` (DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE) is for log and
 * metrics. Sets *publish to NULL. The operation may linger with its lock until its worker is back. */
void publish_cancel(struct publish **publish, enum grpc_status reason);

#endif
