/*
 * secret_sync.h - keeps Kubernetes Secrets equal to mounted files (secretObjects of a class).
 *
 * A volume observer (volume_observer.h): after each event of a volume it brings the volume's Secrets up to
 * date (secret_reconcile.h).
 *
 *   mounted        the Secrets are written at once, and the publish waits for the first try, at most
 *                  SECRET_SYNC_WAIT_MS: a pod that takes its environment from one of them starts without a
 *                  retry of the kubelet, and a slow or unreachable API server delays it by that much and no
 *                  more. A sync that fails never fails a mount.
 *   checked        the Secrets follow; no publish waits. When neither files nor class have changed and the
 *                  state of each Secret is fresh, no request is made.
 *   in between     after check_interval_ms at most, the Secrets of a volume are reconciled again, so that a
 *                  deleted one comes back, and the status object that owns it. Rotation checks do not put
 *                  this off; one that comes shortly before includes it. Data that differs stays: this node
 *                  may not know the newest contents, and must not put old ones back over those of another
 *                  node. The next rotation check, which has just asked the provider, may.
 *   no Secrets     a class that names Secrets by now (it was edited, or deleted and created again) is noticed
 *                  by the next rotation check; without rotation after SECRET_SYNC_IDLE_CHECKS times
 *                  check_interval_ms.
 *   failed         retried after a pause that doubles from SECRET_SYNC_RETRY_FIRST_MS to check_interval_ms,
 *                  and within SECRET_SYNC_RECOVERY_MS when the API server has recovered. What only a person
 *                  can correct waits for the next check. Reported as Event, log line and metric
 *                  (secret_report.h).
 *   unpublished    the sync of that volume ends. Secrets are never deleted here: they go with their owners.
 *
 * At most SECRET_SYNC_RUNNING_MAX volumes are reconciled at a time; mounts go to the head of the queue. Pods
 * of one class share its Secrets, so their volumes take turns, mounts excepted: the first one writes, the
 * others find it written. Between runs nothing is kept but names, digests and times: files are read back from
 * the volume when they are needed again. Responses to writes come without data. What the API server sends of
 * a Secret that exists passes through buffers of the TLS library, which does not wipe them.
 *
 * After a restart of the driver volumes are found again by the kubelet's calls (requiresRepublish): a volume
 * that is published already and not known here is reconciled within SECRET_SYNC_ADOPT_MS. Nothing is listed
 * or searched.
 */
#ifndef DRIVER_SYNC_SECRET_SYNC_H
#define DRIVER_SYNC_SECRET_SYNC_H

#include "driver/status/events.h"
#include "driver/status/volume_observer.h"
#include "driver/sync/secret_reconcile.h"

enum {
    SECRET_SYNC_WAIT_MS = 2 * 1000,
    SECRET_SYNC_RETRY_FIRST_MS = 1000,
    SECRET_SYNC_RECOVERY_MS = 2 * 1000,
    SECRET_SYNC_ADOPT_MS = 60 * 1000,
    SECRET_SYNC_IDLE_CHECKS = 12,
    SECRET_SYNC_RUNNING_MAX = 8,
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
    struct class_cache *class_cache;
    struct volume_names_pool *names; /* shared with other components; NULL = not shared */
    uint64_t check_interval_ms;
    /* The status object that should own the Secrets of this volume does not exist: its writer should check.
     * May be NULL. */
    void (*on_owner_missing)(const char *target_path, void *arg);
    void *owner_missing_arg;
};

struct secret_sync *secret_sync_create(const struct secret_sync_config *config, struct error **err);

/* The interface; `sync` must outlive its use. */
struct volume_observer secret_sync_observer(struct secret_sync *sync);

/* Volumes and deadlines looked at so far: what tests count instead of time. */
uint64_t secret_sync_visits(const struct secret_sync *sync);

/* Ends everything that runs, before the client and the classes are destroyed. No call may be running. A
 * worker may linger on the loop. Accepts NULL. */
void secret_sync_destroy(struct secret_sync *sync);

#endif
