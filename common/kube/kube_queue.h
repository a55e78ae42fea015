/*
 * kube_queue.h - when a request may go to the Kubernetes API, and how many are in flight at a time.
 *
 * One queue for all requests of the process, first come, first served. A node that restarts publishes
 * hundreds of volumes at once, and all nodes of a cluster share one API server.
 *
 *     kube_queue_enter()
 *          │ delay           a free slot          next turn            kube_queue_responded(),
 *          ▼                                                           kube_queue_no_response()
 *       DELAYED ──▶ QUEUED ──────────────▶ ADMITTED ──────▶ IN_FLIGHT ──────────────────────────▶ IDLE
 *          │           │                      │                 │
 *          └───────────┴──────────────────────┴─────────────────┴──▶ REJECTED ── next turn ──▶ IDLE
 *
 *  - At most KUBE_IN_FLIGHT_MAX requests have a slot. A request that waits for its next try has none.
 *  - While the API server is SUSPECT (kube_health.h) no request is admitted. When it becomes UNREACHABLE all
 *    are rejected, those in flight too, and so is every request that enters.
 *  - An API server that asks for a pause (429 or 503 with Retry-After) gets it from all: no request is
 *    admitted until it is over. A request whose deadline comes first is rejected at once. One response cannot
 *    stop a node for longer than KUBE_RETRY_AFTER_MAX_MS.
 *
 * Loop thread only.
 */
#ifndef COMMON_KUBE_KUBE_QUEUE_H
#define COMMON_KUBE_KUBE_QUEUE_H

#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/kube/kube_health.h"

enum {
    KUBE_IN_FLIGHT_MAX = 16,
    KUBE_RETRY_AFTER_MAX_MS = 60 * 1000,
};

struct kube_queue;

/* `health` is borrowed for life. */
struct kube_queue *kube_queue_create(uv_loop_t *loop, struct kube_health *health, struct error **err);

/* Its entries have been destroyed. Accepts NULL. */
void kube_queue_destroy(struct kube_queue *queue);

/* The API server has asked for a pause. */
void kube_queue_pause(struct kube_queue *queue, uint64_t ms);

/* --- entries --- */

/* One request, with all of its tries. */
struct kube_queue_entry;

struct kube_queue_callbacks {
    /* The request may be sent; it is in flight until kube_queue_responded() or kube_queue_no_response(). */
    void (*on_admitted)(void *arg);
    /* It may not be sent, or has to be given up while in flight. UNAVAILABLE, or DEADLINE_EXCEEDED when no
     * slot became free in time; borrowed. */
    void (*on_rejected)(const struct error *error, void *arg);
};

/* `callbacks` and `arg` are borrowed; the deadline is on uv_now()'s clock. NULL with err set on lack of
 * memory. */
struct kube_queue_entry *kube_queue_entry_create(struct kube_queue *queue, uint64_t deadline_ms,
                                                 const struct kube_queue_callbacks *callbacks, void *arg,
                                                 struct error **err);

/* Leaves the queue; neither callback runs any more. Accepts NULL. */
void kube_queue_entry_destroy(struct kube_queue_entry *entry);

/* Enters the queue after `delay_ms`, giving back the slot it has. One of the two callbacks runs in a later
 * turn of the loop. */
void kube_queue_enter(struct kube_queue_entry *entry, uint64_t delay_ms);

/* The request in flight has got a response, or has ended without one because of `error`; its slot is free. */
void kube_queue_responded(struct kube_queue_entry *entry);
void kube_queue_no_response(struct kube_queue_entry *entry, const struct error *error);

#endif
