/*
 * secret_object.h - a synced Secret as JSON: the object to create, and the smallest merge patch that makes an
 * existing one what it should be. Pure.
 *
 * What is ours in an existing Secret: all of `data`, the labels and annotations of its classes, the managed
 * label, and our owner references. Everything else (other labels and annotations, finalizers, other owner
 * references) belongs to others and is left as it is.
 *
 * Of what is ours, each class has its own fields (secret_claims.h):
 *
 *   a field of this class        is written, and claimed
 *   a field of another class     stays
 *   of both, with equal values   is claimed by both
 *   of both, with other values   belongs to the class of which a pod was mounted last: a mount takes the
 *                                field over, anything else leaves it alone and says so
 *   data of no class             is removed, unless the Secret carries no claims yet
 *   what a class has given up    is removed
 */
#ifndef DRIVER_SECRET_PATCH_H
#define DRIVER_SECRET_PATCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "driver/sync/owner_references.h"
#include "driver/sync/secret_content.h"

enum secret_authority {
    /* The files have just been compared with the vault: what differs is out of date. */
    SECRET_AUTHORITY_FULL,
    /* They have not: another node may know newer contents. Data that is there is left alone; what is missing
     * as a whole (the Secret, the managed label, labels and annotations, owners) is restored. */
    SECRET_AUTHORITY_REPAIR,
};

/* What is wanted of a Secret. All borrowed. */
struct secret_wish {
    const char *class_name;
    const struct secret_content *content;
    const struct owners *owners;
    enum secret_authority authority;
    bool mount; /* for a pod that is being mounted */
    /* The Secret's claims without those that have been found outdated, for the Secret as it was when it had
     * this resourceVersion. NULL = none has been looked for. */
    const cJSON *pruned;
    const char *pruned_version;
};

/* What to do to an existing Secret; {0} is nothing. */
struct secret_patch {
    cJSON *patch;          /* a merge patch (RFC 7396); NULL when nothing has to change */
    struct error *refused; /* FAILED_PRECONDITION: what stays different, and whose it is; NULL when nothing */
};

/* Frees; empty afterwards. */
void secret_patch_finish(struct secret_patch *patch);
#define cleanup_secret_patch CLEANUP(secret_patch_finish)

/* The whole object, for POST. NULL with err set on lack of memory. */
cJSON *secret_object_create(const char *ns, const struct secret_wish *wish, struct error **err);

/* What has to change in `current`. FAILED_PRECONDITION when the Secret may not be changed at all: its type is
 * another one (types are immutable), it is marked immutable, or it is somebody else's. Ours is a Secret that
 * carries the managed label or has one of the wanted owners; any other is refused, because whoever may create
 * a class could otherwise overwrite Secrets that he may not even read. To hand an existing Secret over, label
 * it. INTERNAL for what is no Secret. `ret` is set on success only. */
int secret_object_patch(const struct secret_wish *wish, const cJSON *current, struct secret_patch *ret,
                        struct error **err);

#endif
