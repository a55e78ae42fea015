/*
 * lint_report.h - prints findings: lines for people, JSON, or SARIF 2.1.0 for what shows them beside the
 * code.
 */
#ifndef CTL_LINT_REPORT_H
#define CTL_LINT_REPORT_H

#include "common/lint/findings.h"

struct lint_totals {
    size_t classes, volumes;
    size_t of_level[FINDING_ERROR + 1]; /* lint_report_sort() fills them */
};

enum lint_output { LINT_OUTPUT_TEXT, LINT_OUTPUT_JSON, LINT_OUTPUT_SARIF };

/* "text", "json", "sarif". INVALID_ARGUMENT. */
int lint_output_parse(const char *text, enum lint_output *ret, struct error **err);

/* Orders the findings of each file by their place, and counts them. Files keep their order. */
void lint_report_sort(struct findings *report, struct lint_totals *totals);

/* Prints to stdout; the totals of the text form to stderr. */
int lint_report_print(const struct findings *report, const struct lint_totals *totals,
                      enum lint_output output, struct error **err);

#endif
