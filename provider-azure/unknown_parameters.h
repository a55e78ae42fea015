/*
 * unknown_parameters.h - the parameters of a class that the provider does not know: findings, and a hint for
 * errors.
 */
#ifndef PROVIDER_AZURE_UNKNOWN_PARAMETERS_H
#define PROVIDER_AZURE_UNKNOWN_PARAMETERS_H

#include "common/base/string_map.h"
#include "common/lint/field_names.h"

/* Adds findings, and sets *ret_hint to "parameter keyVaultName is not known, keyvaultName is" for the
 * parameters that are nearly known ones, or to NULL if there are none; the caller frees it. Attributes with a
 * '/' in their names are Kubernetes' own and are not looked at. RESOURCE_EXHAUSTED on lack of memory. */
int unknown_parameters_check(const struct string_map *attributes, const struct field_names *known,
                             struct findings *findings, char **ret_hint, struct error **err);

/* Appends " [hint: <hint>]" to the error; not if `hint` is NULL. Returns -1. */
int unknown_parameters_append(struct error **err, const char *hint);

#endif
