/*
 * similar_name.h - misspelled names, of parameters and fields: what they probably mean.
 */
#ifndef COMMON_LINT_SIMILAR_NAME_H
#define COMMON_LINT_SIMILAR_NAME_H

#include <stddef.h>

enum { SIMILAR_NAME_MAX = 64 };

/* The one of the `n` names in `known` that `name` differs from only in letter case, or else the one it comes
 * closest to by at most two letters added, left out, replaced or swapped with the next one. NULL when there
 * is none. The first of equals. Names of less than six letters are like none. */
const char *similar_name(const char *name, const char *const *known, size_t n);

/* For names of fields and parameters, which are ASCII and in camel case: as similar_name(), of what is ASCII
 * in `name` (a no-break space in front of it cannot be seen), or else the first known name whose last words
 * it is ("permission" of filePermission, with at least four letters), or its last eight letters or more
 * ("vaultName" of keyvaultName). */
const char *similar_field(const char *name, const char *const *known, size_t n);

#endif
