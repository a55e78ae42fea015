/*
 * pod_status.h - writes mounted volumes as SecretProviderClassPodStatus objects to the Kubernetes API: a
 * volume observer (volume_observer.h).
 *
 * The last write is remembered per volume, with its resourceVersion (a number, as etcd makes them; one that
 * is none is read again). So an unchanged volume costs no request, a change costs one PATCH, a first mount
 * one POST. There is no list, no watch and no cache of other drivers' objects. What is remembered is checked
 * with one GET at the next call for the volume
 *
 *  - after a restart of the driver: the process before may have ended between the mount and the write;
 *  - after POD_STATUS_RECHECK_MS, or when the sync of Secrets misses the object. A deleted object is created
 *    again.
 *
 * A mount whose class has secretObjects requires the status, which owns the Secrets of a pod without an
 * owner: it waits until the status is written or its time is over. Other mounts and rotation checks do not
 * wait. A status that could not be written is retried in the background, after 5 s at first, then ever less
 * often up to 5 min, and soon after the API server has recovered, until it is written, replaced by a newer
 * one, or its volume is removed. At most one write per volume is in flight.
 *
 * An object that belongs to another pod:
 *
 *  - of the same name, which was created again (StatefulSet): a first mount takes the object over. A rotation
 *    check does not: the object is that of the pod's successor and stays, or that of its predecessor, which
 *    the garbage collector removes, and the write is retried until it has;
 *  - whose names happen to make the same object name: another name is taken (pod_status_object.h).
 *
 * An object that is being deleted (a finalizer holds it) is left alone, and created again when it is gone:
 * the write is retried as above. A mount does not wait for that.
 *
 * An error is written when rotation checks begin to fail, and removed when they succeed again. Its text is
 * renewed at most every POD_STATUS_ERROR_RENEWAL_S, since providers put something new into each error.
 */
#ifndef DRIVER_STATUS_POD_STATUS_H
#define DRIVER_STATUS_POD_STATUS_H

#include <uv.h>

#include "common/base/log.h"
#include "common/kube/kube_client.h"
#include "driver/base/driver_metrics.h"
#include "driver/rotation/version_set.h"
#include "driver/status/volume_observer.h"
#include "driver/volume/volume_names.h"

enum {
    POD_STATUS_RETRY_FIRST_MS = 5 * 1000,
    POD_STATUS_RETRY_CAP_MS = 300 * 1000,
    POD_STATUS_RECHECK_MS = 60 * 60 * 1000, /* less up to a quarter, by chance */
};

struct pod_status;

struct pod_status_config {
    uv_loop_t *loop;
    struct kube_client *kube;
    struct log *log;                 /* may be NULL */
    struct driver_metrics *metrics;  /* may be NULL */
    const char *node;                /* copied */
    struct volume_names_pool *names; /* shared with other components; NULL = not shared */
    struct version_sets *versions;   /* likewise */
    uint64_t retry_first_ms;         /* 0 = POD_STATUS_RETRY_FIRST_MS; for tests */
    uint64_t recheck_ms;             /* 0 = POD_STATUS_RECHECK_MS; for tests */
};

/* Everything in `config` is borrowed for life. */
struct pod_status *pod_status_create(const struct pod_status_config *config, struct error **err);

/* The interface; `status` must outlive its use. */
struct volume_observer pod_status_observer(struct pod_status *status);

/* Reads the object of this volume and restores it: at once, or at the next call if this process has not
 * written it. Has no effect on a volume that is not known or is being written. */
void pod_status_recheck(struct pod_status *status, const char *target_path);

/* For shutting down: calls `idle` once, when no write is in flight any more or after `timeout_ms`. Never from
 * inside. */
void pod_status_drain(struct pod_status *status, uint64_t timeout_ms, void (*idle)(void *arg), void *arg);

/* No call may be running. What is not written yet is dropped: the next process finds it missing. Accepts
 * NULL. */
void pod_status_destroy(struct pod_status *status);

#endif
