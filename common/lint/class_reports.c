/*
 * class_reports.c - the contents of classes that were reported.
 */
#include "common/lint/class_reports.h"

#include <string.h>

bool class_reports_add(struct class_reports *reports, const uint8_t digest[DIGEST_SHA256_LEN])
{
    for (size_t i = 0; i < reports->n; i++) {
        if (memcmp(reports->digests[i], digest, DIGEST_SHA256_LEN) == 0)
            return false;
    }
    memcpy(reports->digests[reports->next], digest, DIGEST_SHA256_LEN);
    reports->next = (reports->next + 1) % CLASS_REPORTS_MAX;
    if (reports->n < CLASS_REPORTS_MAX)
        reports->n++;
    return true;
}
