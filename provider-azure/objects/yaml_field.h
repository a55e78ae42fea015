/*
 * yaml_field.h - fields of a YAML mapping as Go's decoder reads them, with its errors.
 */
#ifndef PROVIDER_AZURE_OBJECTS_YAML_FIELD_H
#define PROVIDER_AZURE_OBJECTS_YAML_FIELD_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/yaml.h"

/* The source text of any scalar, trimmed; "" when the field is missing or null. The caller frees *ret.
 * INVALID_ARGUMENT for another kind of node. */
int yaml_field_text(const struct yaml_node *mapping, const char *field, char **ret, struct error **err);

/* A plain number, floats cut towards zero; 0 when the field is missing or null. INVALID_ARGUMENT for anything
 * else. */
int yaml_field_int32(const struct yaml_node *mapping, const char *field, int32_t *ret, struct error **err);

/* INVALID_ARGUMENT: the node is not what `wanted` says. Returns -1. */
int yaml_field_wrong_shape(const struct yaml_node *node, const char *wanted, struct error **err);

#endif
