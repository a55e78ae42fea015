/*
 * class_reports.h - the contents of classes that were reported, so that each is reported once.
 */
#ifndef COMMON_LINT_CLASS_REPORTS_H
#define COMMON_LINT_CLASS_REPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/digest.h"

enum { CLASS_REPORTS_MAX = 256 };

/* The contents of classes that have been reported, the oldest given up for a new one. {0} is empty. */
struct class_reports {
    uint8_t digests[CLASS_REPORTS_MAX][DIGEST_SHA256_LEN];
    size_t n;    /* in use */
    size_t next; /* the one that is replaced next */
};

/* Notes a content. True if it is new. */
bool class_reports_add(struct class_reports *reports, const uint8_t digest[DIGEST_SHA256_LEN]);

#endif
