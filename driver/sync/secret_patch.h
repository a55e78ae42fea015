/*
 * secret_patch.h - a synced Secret as JSON: the object to create, and the smallest merge patch that brings an
 * existing one to its desired state. Pure.
 *
 * Ours in an existing Secret are: all of `data`, the labels and annotations of its classes, the managed
 * label, and our owner references. All else (other labels and annotations, finalizers, other owner
 * references) belongs to others and stays as it is.
 *
 * Of what is ours, each class owns its fields (secret_field_owners.h):
 *
 *   a field of this class        is written and owned
 *   a field of another class     stays
 *   of both, with equal values   is owned by both
 *   of both, with other values   is owned by the class of which a pod was mounted last: a mount forces its
 *   value, a
 *                                rotation check reports the conflict
 *   data without an owner        is removed, unless the Secret has no field owners yet
 *   a field that its class       is removed
 *   does not name any more
 */
#ifndef DRIVER_SYNC_SECRET_PATCH_H
#define DRIVER_SYNC_SECRET_PATCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "driver/sync/owner_references.h"
#include "driver/sync/refused_fields.h"
#include "driver/sync/secret_content.h"

enum secret_mode {
    /* The files have just been compared with the vault: differing data is out of date. */
    SECRET_APPLY,
    /* They have not, and another node may know newer contents: data that is there stays. What is missing as a
     * whole (the Secret, the managed label, labels and annotations, owners) is restored. */
    SECRET_RESTORE,
};

/* What a request can leave out, when the API server does not take it. */
enum secret_omit {
    SECRET_OMIT_OWNERS = 1 << 0,
    SECRET_OMIT_LABELS = 1 << 1,      /* but for the managed label of a new object */
    SECRET_OMIT_ANNOTATIONS = 1 << 2, /* that of the field owners among them */
    SECRET_OMIT_DATA = 1 << 3,
    SECRET_OMIT_METADATA = SECRET_OMIT_OWNERS | SECRET_OMIT_LABELS | SECRET_OMIT_ANNOTATIONS,
};

/* All borrowed. */
struct desired_secret {
    const char *class_name;
    const struct secret_content *content;
    const struct owner_references *owners;
    enum secret_mode mode;
    bool force; /* replaces fields of other owners: for a pod that is being mounted */
    /* The Secret's field owners without the outdated ones, valid for this resourceVersion of the Secret. NULL
     * = the outdated ones have not been looked up. */
    const cJSON *field_owners;
    const char *field_owners_version;
    unsigned omit;                        /* enum secret_omit */
    const struct refused_fields *refused; /* are left alone in an existing Secret; NULL = none */
};

/* The change of an existing Secret; {0} is none. */
struct secret_patch {
    cJSON *json; /* a merge patch (RFC 7396); NULL when nothing has to change */
    struct error
        *conflict; /* FAILED_PRECONDITION: fields that keep the value of another class; NULL = none */
};

/* Frees; empty afterwards. */
void secret_patch_finish(struct secret_patch *patch);
#define cleanup_secret_patch CLEANUP(secret_patch_finish)

/* The whole object, for POST. NULL with err set on lack of memory. */
cJSON *secret_patch_new_object(const char *ns, const struct desired_secret *desired, struct error **err);

/* Builds the patch for `current`. UNAVAILABLE when it is being deleted. FAILED_PRECONDITION when the Secret
 * may not be changed at all: its type is another one (types are immutable), it is immutable, or it is not
 * ours. Ours is a Secret with the managed label or with one of the desired owners. Any other is refused,
 * because a user that may create classes could otherwise overwrite Secrets that it may not read; the label
 * hands an existing Secret over. INTERNAL for what is no Secret. `ret` is set on success only. */
int secret_patch_build(const struct desired_secret *desired, const cJSON *current, struct secret_patch *ret,
                       struct error **err);

#endif
