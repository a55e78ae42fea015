/*
 * secret_fields.h - the named fields of a Kubernetes Secret, and which of them a class names in its
 * secretObjects. Pure.
 */
#ifndef DRIVER_SYNC_SECRET_FIELDS_H
#define DRIVER_SYNC_SECRET_FIELDS_H

#include <stdbool.h>

#include "common/class/secret_object.h"

/* The parts of a Secret that consist of named fields. */
enum secret_part { SECRET_DATA, SECRET_LABELS, SECRET_ANNOTATIONS, SECRET_PARTS };

/* Their names in the API: "data", "labels", "annotations". */
const char *secret_part_name(enum secret_part part);

/* Does `class` name this field in the Secret `secret`? Lack of memory counts as yes. */
bool secret_field_named(const struct secret_provider_class *class, const char *secret, enum secret_part part,
                        const char *key);

#endif
