/*
 * secret_reconcile.h - brings all Secrets of one volume up to date, once.
 *
 *     start
 *       │ without a class
 *       ├──────────▶ CLASS   get the SecretProviderClass from the class cache, which fetches it if need be
 *       ▼              │
 *     BUILD ◀──────────┘     worker: read the files unless they are given, build the content of each Secret
 *       ▼
 *     OWNERS                 fetch the owners (once per volume), unless nothing is to be written or released
 *       ▼
 *     WRITE                  one Secret after the other: read it, write what differs; if other classes
 *       │                    own fields of it, check that they still do (field_owner_lookup.h)
 *       ▼
 *     RELEASE                the Secrets that the class does not name any more, without the owners
 *       │                    (secret_release.h)
 *       ▼
 *     done                   the failures, and what was written
 *
 * An entry that fails does not touch the next one. Contents are wiped as soon as their Secret is done. A
 * Secret that the node knows to be up to date costs nothing (secret_state.h); when all of them are, no
 * request is made at all.
 *
 * Contract of the operation: common/grpc/client.h. A reconciliation that is cancelled while its worker runs
 * lingers until the worker is back.
 */
#ifndef DRIVER_SYNC_SECRET_RECONCILE_H
#define DRIVER_SYNC_SECRET_RECONCILE_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/log.h"
#include "common/kube/kube_client.h"
#include "driver/base/driver_metrics.h"
#include "driver/class/class_cache.h"
#include "driver/class/class_source.h"
#include "driver/sync/secret_state.h"
#include "driver/volume/volume_names.h"

enum {
    SECRET_FILES_MAX = 16 << 20, /* bytes of files that are read back; a provider's response is smaller */
    SECRET_FAILURES_MAX = 10,    /* failures of one reconciliation that are reported one by one */
};

struct secret_reconcile;

/* Shared by all. Everything is borrowed. */
struct secret_reconcile_config {
    uv_loop_t *loop;
    struct log *log;                /* may be NULL */
    struct driver_metrics *metrics; /* may be NULL */
    struct kube_client *client;
    const struct class_source *classes; /* for what must not come from a cache */
    struct class_cache *class_cache;
    struct secret_states *states;
    uint64_t max_age_ms; /* an older state does not count */
};

struct secret_reconcile_request {
    const struct volume_names *target;   /* copied */
    struct secret_provider_class *class; /* taken over, also on failure; NULL = it is fetched */
    struct payload *files;               /* content taken over, also on failure; NULL = they are read back */
    struct owner_references *owners;     /* content taken over, also on failure; empty = they are fetched */
    bool bare; /* the pod is known to have no owners: its status object is one, and may be gone */
    /* The Secrets of the last reconciliation, borrowed during start. Those that the class does not name any
     * more are released (secret_release.h). */
    const struct secret_state_refs *previous;
    enum secret_mode mode;
    /* A pod is about to need the Secrets: each is read, whatever its known state, and fields of other classes
     * are taken over. */
    bool force;
};

struct secret_failure {
    char *secret; /* its name; "" when it is not about one Secret */
    struct error *error;
};

/* Content that the callee may take, leaving {0} behind. */
struct reconcile_result {
    struct secret_failure failures[SECRET_FAILURES_MAX];
    size_t n_failures; /* may be more than SECRET_FAILURES_MAX */
    bool retry;        /* some failure may go away by itself */
    bool gone;         /* the pod, the class or the volume does not exist any more: no failure */
    bool no_status;    /* the status object that should own the Secrets does not exist */
    size_t n_objects;  /* Secrets of the class */
    size_t n_written;  /* of these, created or changed */
    bool data_written; /* data of some Secret among it */
    struct owner_references owners;
    struct secret_state_refs states; /* of these, and of previous ones that could not be released */
    char **released;                 /* names of Secrets that the class does not name any more */
    size_t n_released;
};
void reconcile_result_finish(struct reconcile_result *result);

typedef void secret_reconcile_callback(struct reconcile_result *result, void *arg);

/* `config` is borrowed until the callback or secret_reconcile_cancel(). */
struct secret_reconcile *secret_reconcile_start(const struct secret_reconcile_config *config,
                                                const struct secret_reconcile_request *request,
                                                secret_reconcile_callback *callback, void *arg,
                                                struct error **err);

/* Sets *reconcile to NULL; the callback will not run. */
void secret_reconcile_cancel(struct secret_reconcile **reconcile);

#endif
