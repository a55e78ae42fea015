/*
 * secret_write.h - brings one Secret to its desired state.
 *
 *     start ─▶ read, write what differs ─┬─ no other class owns fields of it ─────▶ done
 *               ▲                         └▶ check them (field_owner_lookup.h)
 *               │ less metadata                ├─ none is outdated ────────────────▶ done
 *               │                              └▶ read, write what differs ────────▶ done
 *               └─ refused because of metadata
 *
 * Refused metadata does not hold back data. When an admission plugin, a policy or a webhook refuses owner
 * references, labels or annotations, the write is repeated without them. If the refusal does not name the
 * part, the data is written alone and each part is tried by itself after it. A new Secret keeps its owners as
 * long as it can be created with them, because nothing removes a Secret without owners. Metadata that is not
 * as it was sent in the end (refused, or changed by a webhook) is left alone from then on (refused_fields.h).
 * So is data that a webhook changes.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_SYNC_SECRET_WRITE_H
#define DRIVER_SYNC_SECRET_WRITE_H

#include "common/kube/kube_client.h"
#include "driver/class/class_source.h"
#include "driver/sync/secret_state.h"

struct secret_write;

/* All borrowed until the end, with what `desired` points to; its field owners are found here. */
struct secret_write_request {
    struct kube_client *client;
    const struct class_source *classes;
    const char *ns;
    struct desired_secret desired;
    struct secret_state *state; /* of this Secret: is updated */
    /* The desired owners were read in an earlier run. They are not put into a Secret that lacks them: if they
     * are gone, the garbage collector would delete it. */
    bool owners_cached;
};

/* Borrowed. */
struct secret_write_result {
    unsigned n_written;        /* requests that have created or changed the Secret */
    bool data_written;         /* the data, or a new Secret, is among it */
    bool owners_uncertain;     /* nothing was written: the Secret needs an owner that may be gone */
    const struct error *error; /* NULL on success */
    /* Fields that keep the value of another class (secret_patch.h); NULL = none. */
    const struct error *conflict;
    /* Fields that the API server refuses or changes and this node did not know (FAILED_PRECONDITION); NULL =
     * none. */
    const struct error *refused;
};

typedef void secret_write_callback(const struct secret_write_result *result, void *arg);

struct secret_write *secret_write_start(const struct secret_write_request *request,
                                        secret_write_callback *callback, void *arg, struct error **err);

/* Sets *write to NULL; the callback will not run. */
void secret_write_cancel(struct secret_write **write);

#endif
