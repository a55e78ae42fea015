/*
 * class_rotation.h - the rotation spec of a SecretProviderClass. Pure functions.
 */
#ifndef COMMON_CLASS_CLASS_ROTATION_H
#define COMMON_CLASS_CLASS_ROTATION_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/class/class.h"

enum {
    ROTATION_SPEC_HASH_LEN = 32,                  /* hexadecimal digits */
    ROTATION_INTERVAL_MAX_S = 365 * 24 * 60 * 60, /* of a class, as of the flag */
};

struct rotation_spec {
    int64_t interval_s; /* between two rotation checks, seconds */
    /* A digest of spec.provider, spec.parameters and the annotations CLASS_ANNOTATION_REFRESH and
     * CLASS_ANNOTATION_IN_PLACE. A volume is due at once when its last successful rotation check had another
     * digest. "" when it cannot be computed: nothing is due because of it. */
    char hash[ROTATION_SPEC_HASH_LEN + 1];
};

/* The interval of `class`. The annotation CLASS_ANNOTATION_INTERVAL is a Go duration between 1 s and
 * ROTATION_INTERVAL_MAX_S. For any other text *ret_s is `default_interval_s`, and the result is -1 with err
 * set (INVALID_ARGUMENT, naming the class, the annotation and the value). */
int class_rotation_interval(const struct secret_provider_class *class, int64_t default_interval_s,
                            int64_t *ret_s, struct error **err);

/* The rotation spec of `class`, which keeps the digest; *ret is usable in any case. Fails as
 * class_rotation_interval(). */
int class_rotation_spec(struct secret_provider_class *class, int64_t default_interval_s,
                        struct rotation_spec *ret, struct error **err);

#endif
