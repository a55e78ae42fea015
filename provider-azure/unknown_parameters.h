/*
 * unknown_parameters.h - the parameters of a class that the provider does not know: one warning for each
 * content of a class, and a hint for errors.
 */
#ifndef PROVIDER_AZURE_UNKNOWN_PARAMETERS_H
#define PROVIDER_AZURE_UNKNOWN_PARAMETERS_H

#include "common/base/log.h"
#include "common/base/string_map.h"
#include "provider-azure/base/parameter_names.h"

/* All borrowed. */
struct unknown_parameters_input {
    const struct string_map *attributes;
    const char *const *known; /* names of parameters */
    size_t n_known;
    const char *class_name;
    const char *namespace;
    struct class_reports *reports; /* NULL: no warning */
    struct log *log;               /* may be NULL */
};

/* Warns, and sets *ret_hint to "parameter keyVaultName is not known, keyvaultName is" for the parameters that
 * are nearly known ones, or to NULL if there are none; the caller frees it. Attributes with a '/' in their
 * names are Kubernetes' own and are not looked at. RESOURCE_EXHAUSTED on lack of memory. */
int unknown_parameters_check(const struct unknown_parameters_input *input, char **ret_hint,
                             struct error **err);

/* Appends " [hint: <hint>]" to the error; not if `hint` is NULL. Returns -1. */
int unknown_parameters_append(struct error **err, const char *hint);

#endif
