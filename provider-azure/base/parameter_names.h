/*
 * parameter_names.h - misspelled names of class parameters: what they probably mean, and who has been warned.
 */
#ifndef PROVIDER_AZURE_BASE_PARAMETER_NAMES_H
#define PROVIDER_AZURE_BASE_PARAMETER_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/digest.h"

enum { PARAMETER_NAME_MAX = 64, CLASS_REPORTS_MAX = 256 };

/* The one of the `n` names in `known` that `name` differs from only in letter case, or else the one it comes
 * closest to by at most two letters added, left out, replaced or swapped with the next one. NULL when there
 * is none. The first of equals. */
const char *parameter_name_similar(const char *name, const char *const *known, size_t n);

/* The contents of classes that have been reported, the oldest given up for a new one. {0} is empty. */
struct class_reports {
    uint8_t digests[CLASS_REPORTS_MAX][DIGEST_SHA256_LEN];
    size_t n;    /* in use */
    size_t next; /* the one that is replaced next */
};

/* Notes a content. True if it is new. */
bool class_reports_add(struct class_reports *reports, const uint8_t digest[DIGEST_SHA256_LEN]);

#endif
