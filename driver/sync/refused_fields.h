/*
 * refused_fields.h - the fields of a Secret that the API server keeps from their desired value: an admission
 * plugin, a policy or a webhook refuses them, or changes them on the way. The driver reports such a field
 * once and then leaves it alone, until another value is desired or REFUSED_FIELDS_RETRY_MS have passed. Pure.
 */
#ifndef DRIVER_SYNC_REFUSED_FIELDS_H
#define DRIVER_SYNC_REFUSED_FIELDS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/crypto/digest.h"

enum {
    REFUSED_FIELDS_RETRY_MS = 60 * 60 * 1000, /* policies change; one more request in that time */
};

#define REFUSED_OWNERS "ownerReferences" /* a part beside those of secret_fields.h; its keys are uids */

struct refused_field {
    char *part;
    char *key;
    uint8_t digest[DIGEST_SHA256_LEN]; /* of the desired value */
};

struct refused_fields { /* {0} is an empty list */
    struct refused_field *items;
    size_t n;
};

/* Is this value of the field refused? `value` NULL: its removal is. */
bool refused_fields_has(const struct refused_fields *fields, const char *part, const char *key,
                        const char *value);

/* Adds the field, or gives it another value. -1 only on lack of memory. */
int refused_fields_add(struct refused_fields *fields, const char *part, const char *key, const char *value);

/* Adds what was `sent` (a merge patch of metadata: labels, annotations, ownerReferences) and is not so in the
 * `metadata` that the API server has in the end. -1 only on lack of memory. */
int refused_fields_compare(struct refused_fields *fields, const cJSON *sent, const cJSON *metadata);

/* Adds all of `from`. -1 only on lack of memory. */
int refused_fields_merge(struct refused_fields *fields, const struct refused_fields *from);

/* The first one that is not in `old`, and how many there are. NULL when there is none. Borrowed. */
const struct refused_field *refused_fields_new(const struct refused_fields *fields,
                                               const struct refused_fields *old, size_t *ret_n);

/* Frees; empty afterwards. */
void refused_fields_finish(struct refused_fields *fields);
#define cleanup_refused_fields CLEANUP(refused_fields_finish)

#endif
