/*
 * secret_object.h - a synced Secret as JSON: the object to create, and the smallest merge patch that makes an
 * existing one what it should be. Pure.
 *
 * What is ours in an existing Secret: all of `data`, the labels and annotations of the class, the managed
 * label, and our owner references. Everything else (other labels and annotations, finalizers, other owner
 * references) belongs to others and is left as it is.
 */
#ifndef DRIVER_SYNC_SECRET_OBJECT_H
#define DRIVER_SYNC_SECRET_OBJECT_H

#include <cjson/cJSON.h>

#include "common/error.h"
#include "driver/sync/owners.h"
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
    const struct secret_content *content;
    const struct owners *owners;
    enum secret_authority authority;
    /* Labels and annotations that this driver has set before: those which the class does not have any more
     * are removed. May be NULL. */
    const struct string_map *old_labels;
    const struct string_map *old_annotations;
};

/* The whole object, for POST. NULL with err set on lack of memory. */
cJSON *secret_object_create(const char *ns, const struct secret_wish *wish, struct error **err);

/* What has to change in `current`. *ret_patch is NULL when nothing has. FAILED_PRECONDITION when the Secret
 * may not be changed: its type is another one (types are immutable), it is marked immutable, or it is
 * somebody else's. Ours is a Secret that carries the managed label or has one of the wanted owners; any other
 * is refused, because whoever may create a class could otherwise overwrite Secrets that he may not even read.
 * To hand an existing Secret over, label it. INTERNAL for what is no Secret. */
int secret_object_patch(const struct secret_wish *wish, const cJSON *current, cJSON **ret_patch,
                        struct error **err);

#endif
