/*
 * sync.h - keeps Kubernetes Secrets equal to mounted files (secretObjects of a class).
 *
 * An observer (volume_observer.h): it follows every volume that was mounted or checked by its provider, and
 * then brings the Secrets of that volume up to date (secret_reconcile.h).
 *
 *   mounted        the Secrets are written at once, and the publish waits for the first try, but no longer
 *                  than SYNC_WAIT_MS: a pod that takes its environment from one of them starts without a
 *                  retry of the kubelet, and an API server that is slow or away delays it by that much and
 *                  no more. A sync that fails never fails a mount.
 *   looked         the Secrets follow; nobody waits. When neither files nor class have changed and the
 *                  record of each Secret is fresh, no request is made.
 *   in between     after check_interval_ms at most, the Secrets of a volume are looked at again, so that one
 *                  that was deleted comes back. Data that differs is left alone then: this node may not know
 *                  the newest contents, and must not put old ones back over those of another node. The next
 *                  look, which has just asked the provider, may.
 *   no Secrets     whether the class names any by now (it was edited, or deleted and made again) is seen by
 *                  the next look; without rotation after SYNC_IDLE_CHECKS times check_interval_ms.
 *   failed         tried again after a pause that doubles from SYNC_RETRY_FIRST_MS to check_interval_ms, and
 *                  within SYNC_RETURN_MS when the API server was away and is back; what only a person can
 *                  correct waits for the next check. Reported as Event, log line and metric, not again while
 *                  it stays the same for SYNC_REPEAT_MS.
 *   unpublished    the sync of that volume ends. Secrets are never deleted here: they go with their owners.
 *
 * At most SYNC_RUNS_MAX volumes are worked on at a time; mounts go to the head of the line. Pods of one class
 * share its Secrets, so their volumes take turns, mounts excepted: the first one writes, the others find it
 * written. Between runs nothing is kept but names, digests and times: files are read back from the volume
 * when they are needed again. Answers to writes come without data. What the API server sends of a Secret that
 * exists passes through buffers of the TLS library, which does not wipe them.
 *
 * After a restart of the driver volumes are found again by the kubelet's calls (requiresRepublish): a volume
 * that is published already and not known here is checked within SYNC_SEEN_MS. Nothing is listed or searched.
 */
#ifndef DRIVER_SECRET_SYNC_H
#define DRIVER_SECRET_SYNC_H

#include "driver/status/events.h"
#include "driver/status/volume_observer.h"
#include "driver/sync/secret_reconcile.h"

enum {
    SYNC_WAIT_MS = 2 * 1000,
    SYNC_RETRY_FIRST_MS = 1000,
    SYNC_REPEAT_MS = 10 * 60 * 1000,
    SYNC_SEEN_MS = 60 * 1000,
    SYNC_IDLE_CHECKS = 12, /* a volume without Secrets is looked at after so many times check_interval_ms */
    SYNC_RUNS_MAX = 8,
    SYNC_RETURN_MS = 2 * 1000,
};

struct secret_sync;

/* Everything is borrowed. */
struct secret_sync_config {
    uv_loop_t *loop;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    struct events *events;          /* may be NULL */
    struct kube_client *client;
    const struct class_source *classes;
    uint64_t check_interval_ms;
    /* Called when the status object that is to own the Secrets of this volume is not there: whoever writes
     * status objects should look. May be NULL. */
    void (*owner_missing)(const char *target_path, void *arg);
    void *owner_missing_arg;
};

struct secret_sync *secret_sync_create(const struct secret_sync_config *config, struct error **err);

/* The observer's interface; `sync` must outlive its use. */
struct volume_observer secret_sync_observer(struct secret_sync *sync);

/* Ends everything that runs, before the client and the classes are destroyed. No record may be running. A
 * worker may linger on the loop. Accepts NULL. */
void secret_sync_destroy(struct secret_sync *sync);

#endif
