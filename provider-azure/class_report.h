/*
 * class_report.h - the findings of a mount, once for each content of a class.
 */
#ifndef PROVIDER_AZURE_CLASS_REPORT_H
#define PROVIDER_AZURE_CLASS_REPORT_H

#include "common/base/log.h"
#include "common/base/string_map.h"
#include "common/lint/class_reports.h"
#include "common/lint/findings.h"

/* All borrowed. */
struct class_report {
    const struct string_map *attributes;
    const char *class_name;
    const char *namespace;
    const struct findings *findings;
};

/* Logs the warnings among the findings in one line, unless `reports` has this content of the class already.
 * Without warnings, and without memory, nothing happens. */
void class_report_log(const struct class_report *report, struct class_reports *reports, struct log *log);

#endif
