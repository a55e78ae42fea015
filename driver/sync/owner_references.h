/*
 * owner_references.h - the owners of a synced Secret (metav1.OwnerReference).
 *
 * The garbage collector deletes a Secret when its last owner is gone. Owners are identified by uid alone: a
 * name comes back when a StatefulSet is created again, a uid does not.
 */
#ifndef DRIVER_SYNC_OWNER_REFERENCES_H
#define DRIVER_SYNC_OWNER_REFERENCES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

enum {
    OWNER_REFERENCES_MAX = 32, /* of one pod; a pod has one, or none */
};

/* As in the API, reduced to what identifies: no `controller`, no `blockOwnerDeletion` (which would need
 * rights on the owner). The strings are owned, and lie in one allocation that begins with the first. */
struct owner_reference {
    char *api_version;
    char *kind;
    char *name;
    char *uid;
};

struct owner_references { /* {0} is an empty list */
    struct owner_reference *items;
    size_t n;
};

/* Adds a copy unless the uid is there already. INVALID_ARGUMENT beyond OWNER_REFERENCES_MAX,
 * RESOURCE_EXHAUSTED. */
int owner_references_add(struct owner_references *owners, const char *api_version, const char *kind,
                         const char *name, const char *uid, struct error **err);

/* The metadata.ownerReferences of `object`; none is an empty list. INVALID_ARGUMENT when they are malformed.
 */
int owner_references_from_object(const cJSON *object, struct owner_references *ret, struct error **err);

bool owner_references_contain(const struct owner_references *owners, const char *uid);

/* True when all of `some` are in `owners`. */
bool owner_references_contain_all(const struct owner_references *owners, const struct owner_references *some);

/* One reference in JSON; NULL without memory. */
cJSON *owner_reference_to_json(const struct owner_reference *owner);

/* Frees; empty afterwards. */
void owner_references_finish(struct owner_references *owners);
#define cleanup_owner_references CLEANUP(owner_references_finish)

#endif
