/*
 * pod_status.h - records mounted volumes as SecretProviderClassPodStatus objects in the Kubernetes API: a
 * volume observer (volume_observer.h).
 *
 * What was written last is remembered per volume, with its resourceVersion. So a volume whose content and
 * outcome stay the same costs no request, a change costs one PATCH, a first mount one POST; after a restart
 * of the driver the kubelet's first call for a volume costs one GET, whether a look is due or not: the driver
 * before may have ended between the mount and its record. There is no list, no watch and no cache of what
 * others own. Instead, what is remembered is doubted after POD_STATUS_TRUST_MS, or when somebody has found
 * the object missing: the next call for the volume costs one GET then, and makes an object anew that was
 * deleted.
 *
 * Who waits: a first mount, until its record is written or its time is over. Looks do not. A record that
 * could not be written stays wanted and is tried again in the background, 5 s later at first, then ever more
 * seldom up to 5 min, and soon after the API server was away and is back, until it is written, replaced by a
 * newer one, or its volume goes away. At most one write per volume is on its way.
 *
 * Needed is the record of a volume whose class has secretObjects: the Secrets of a pod that nobody owns are
 * owned by it. Other pods start without it.
 *
 * Whose object is it:
 *  - of another pod of this name, which was created anew (StatefulSet): a first mount takes it over. A look
 *    does not: it finds the object of its pod's successor, and leaves it alone, or that of its predecessor,
 *    which the garbage collector removes, and tries again until it has;
 *  - of another pod whose names happen to make the same one: another name is taken (pod_status_object.h).
 *
 * An error in the status is written when looks begin to fail, and removed when they stop; its text is renewed
 * at most every POD_STATUS_ERROR_RENEWAL_S, since every provider puts something new into its errors.
 */
#ifndef DRIVER_POD_STATUS_H
#define DRIVER_POD_STATUS_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/kube/kube_client.h"
#include "driver/status/volume_observer.h"

enum {
    POD_STATUS_ERROR_RENEWAL_S = 600,
    POD_STATUS_RETRY_FIRST_MS = 5 * 1000,
    POD_STATUS_RETRY_CAP_MS = 300 * 1000,
    POD_STATUS_TRUST_MS = 60 * 60 * 1000, /* less up to a quarter, by chance */
};

struct pod_status;

struct pod_status_config {
    uv_loop_t *loop;
    struct kube_client *kube;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    const char *node;               /* copied */
    uint64_t retry_first_ms;        /* 0 = POD_STATUS_RETRY_FIRST_MS; for tests */
    uint64_t trust_ms;              /* 0 = POD_STATUS_TRUST_MS; for tests */
};

/* Everything in `config` is borrowed for life. */
struct pod_status *pod_status_create(const struct pod_status_config *config, struct error **err);

/* Fills in the interface. */
struct volume_observer pod_status_observer(struct pod_status *status);

/* What is remembered of the volume's object may be wrong: the next call for it looks. A volume that is not
 * known, or is being written, is passed over. */
void pod_status_doubt(struct pod_status *status, const char *target_path);

/* For shutting down: calls `idle` once, when no write is on its way any more or after `timeout_ms`. Never
 * from inside. */
void pod_status_drain(struct pod_status *status, uint64_t timeout_ms, void (*idle)(void *arg), void *arg);

/* No record may be waited for. What is still wanted is forgotten: the next look finds it missing. Accepts
 * NULL. */
void pod_status_destroy(struct pod_status *status);

#endif
