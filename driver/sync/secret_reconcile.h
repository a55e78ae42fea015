/*
 * sync_run.h - brings all Secrets of one volume up to date, once.
 *
 *     start
 *       │ without a class
 *       ├──────────▶ CLASS   look the SecretProviderClass up
 *       ▼              │
 *     BUILD ◀──────────┘     worker: read the files if they are not given; what should each Secret hold?
 *       ▼
 *     OWNERS                 whose are they? (once per volume)
 *       ▼
 *     APPLY                  one Secret after the other: read it, write what differs; when other classes
 *       │                    have a part in it, look whether they still do (claim_lookup.h)
 *       ▼
 *     done                   what failed, and what did not
 *
 * An entry that fails does not touch the next one. Contents are wiped as soon as their Secret is done. A
 * Secret of which the node knows that it is as it should be costs nothing (secret_record.h); when that is
 * true of all of them, no request is made at all.
 *
 * Contract of the operation: common/grpc/client.h. A run that is cancelled while its worker runs lingers
 * until the worker is back.
 */
#ifndef DRIVER_SECRET_RECONCILE_H
#define DRIVER_SECRET_RECONCILE_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/log.h"
#include "driver/base/driver_metrics.h"
#include "driver/class/class_source.h"
#include "driver/kube/kube_client.h"
#include "driver/sync/secret_state.h"
#include "driver/sync/sync_target_pod.h"

enum {
    SYNC_FILES_MAX = 16 << 20, /* bytes of files that are read back; a provider's answer is smaller */
    SYNC_FAILURES_MAX = 10,    /* failures of one run that are told one by one */
};

struct sync_run;

/* What runs share. Everything is borrowed. */
struct sync_run_config {
    uv_loop_t *loop;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    struct kube_client *client;
    const struct class_source *classes;
    struct secret_records *records;
    uint64_t trust_ms; /* a record that is older does not count */
};

struct sync_run_request {
    const struct sync_pod *pod;          /* copied */
    struct secret_provider_class *class; /* taken over, also on failure; NULL = it is looked up */
    struct payload *files;               /* content taken over, also on failure; NULL = they are read back */
    struct owners *owners;               /* content taken over, also on failure; empty = they are looked up */
    enum secret_authority authority;
    bool mount; /* a pod is about to need the Secrets: each is looked at, whatever is remembered, and is given
                   this class's contents, whatever other classes have put there */
};

struct sync_failure {
    char *secret; /* its name; "" when it is not about one Secret */
    struct error *error;
};

/* Content that the callee may take, leaving {0} behind. */
struct sync_result {
    struct sync_failure failures[SYNC_FAILURES_MAX];
    size_t n_failures; /* may be more than SYNC_FAILURES_MAX */
    bool retry;        /* some failure may go away by itself */
    bool gone;         /* the pod, the class or the volume is not there any more: nothing to do, no failure */
    bool no_status;    /* the status object that is to own the Secrets is not there */
    size_t n_objects;  /* Secrets of the class */
    size_t n_written;  /* of these, created or changed */
    char *provider;    /* NULL when the class could not be read */
    char *class_name;
    struct owners owners;
    struct secret_uses uses;
};
void sync_result_finish(struct sync_result *result);

typedef void sync_run_callback(struct sync_result *result, void *arg);

/* `config` is borrowed until the callback or sync_run_cancel(). */
struct sync_run *sync_run_start(const struct sync_run_config *config, const struct sync_run_request *request,
                                sync_run_callback *callback, void *arg, struct error **err);

/* Sets *run to NULL; the callback will not run. */
void sync_run_cancel(struct sync_run **run);

#endif
