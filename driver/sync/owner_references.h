/*
 * owners.h - owner references: for whose sake a synced Secret exists.
 *
 * The garbage collector deletes a Secret when its last owner is gone. Owners are told apart by uid alone: a
 * name comes back when a StatefulSet is made anew, a uid does not.
 */
#ifndef DRIVER_OWNER_REFERENCES_H
#define DRIVER_OWNER_REFERENCES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

enum {
    OWNERS_MAX = 32, /* of one pod; a pod has one, or none */
};

/* As the API has it, reduced to what identifies: no `controller`, no `blockOwnerDeletion` (which would need
 * rights on the owner). Strings are owned. */
struct owner {
    char *api_version;
    char *kind;
    char *name;
    char *uid;
};

struct owners { /* {0} is an empty list */
    struct owner *items;
    size_t n;
};

/* Adds a copy unless the uid is there already. INVALID_ARGUMENT beyond OWNERS_MAX, RESOURCE_EXHAUSTED. */
int owners_add(struct owners *owners, const char *api_version, const char *kind, const char *name,
               const char *uid, struct error **err);

/* The metadata.ownerReferences of `object`; none is an empty list. INVALID_ARGUMENT when
 * they are malformed. */
int owners_from_object(const cJSON *object, struct owners *ret, struct error **err);

bool owners_have(const struct owners *owners, const char *uid);

/* True when all of `some` are in `owners`. */
bool owners_have_all(const struct owners *owners, const struct owners *some);

/* One reference in JSON; NULL without memory. */
cJSON *owner_to_json(const struct owner *owner);

/* Frees; empty afterwards. */
void owners_finish(struct owners *owners);
#define cleanup_owners CLEANUP(owners_finish)

#endif
