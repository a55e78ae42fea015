/*
 * class_report.h - the findings of a mount, once for each content of a class.
 */
#ifndef PROVIDER_AZURE_CLASS_REPORT_H
#define PROVIDER_AZURE_CLASS_REPORT_H

#include "common/base/log.h"
#include "common/base/string_map.h"
#include "common/lint/class_reports.h"
#include "common/lint/findings.h"

/* The class of a mount. All borrowed. */
struct class_identity {
    const struct string_map *attributes;
    const char *class_name;
    const char *namespace;
};

/* What is said of a content of a class. {0}: nothing. */
struct class_report {
    char *text; /* owned: "rule: message; rule: message"; NULL: there is nothing to say */
    uint8_t digest[DIGEST_SHA256_LEN]; /* of name and parameters of the class */
};

/* Makes the report of the warnings among the findings. Without warnings, and without memory, it stays empty.
 */
void class_report_init(struct class_report *report, const struct class_identity *class,
                       const struct findings *findings);

/* Logs the report, unless `reports` has this content of the class already. */
void class_report_log(const struct class_report *report, const struct class_identity *class,
                      struct class_reports *reports, struct log *log);

void class_report_finish(struct class_report *report);

#endif
