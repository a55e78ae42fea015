/*
 * lint_secret_objects.h - the Kubernetes Secrets that a class asks for.
 */
#ifndef CTL_LINT_SECRET_OBJECTS_H
#define CTL_LINT_SECRET_OBJECTS_H

#include "common/class/class.h"
#include "common/lint/field_names.h"
#include "common/lint/lint_protocol.h"
#include "ctl/lint_context.h"

/* The fields of an entry. */
extern const struct field_names lint_secret_object_fields;

/* Checks the names of the fields; `list` is secretObjects, or NULL. */
void lint_secret_objects_names(const struct lint_document *document, const struct yaml_node *list);

/* Checks the entries: names, keys, and that there are the files, as far as `response` knows. -1 only without
 * memory. */
int lint_secret_objects(const struct lint_document *document, const struct yaml_node *list,
                        const struct secret_provider_class *class, const struct lint_response *response,
                        struct error **err);

#endif
