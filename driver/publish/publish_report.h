/*
 * publish_report.h - the outcomes of a publish in log, metrics and Events. Changes nothing of the publish.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_REPORT_H
#define DRIVER_PUBLISH_PUBLISH_REPORT_H

#include "driver/publish/publish_state.h"

/* --- success --- */

/* The volume is complete and no rotation check is due. */
void publish_report_unchanged(const struct publish *publish);

/* The volume shows the provider's files. */
void publish_report_success(const struct publish *publish);

/* Of the modes. */
void publish_report_mounted(const struct publish *publish);
void publish_report_checked(const struct publish *publish);

/* --- failure --- */

/* One line and one count per failure, whatever its origin. `type` NULL or "": from the error. */
void publish_report_failure(const struct publish *publish, const struct error *error, const char *type);

/* Of the modes. */
void publish_report_failed_mount(const struct publish *publish, const struct error *error,
                                 const char *provider, const char *type);
void publish_report_failed_check(const struct publish *publish, const struct error *error,
                                 const char *provider, const char *type);

/* --- neither --- */

/* The class has an invalid annotation: an Event on the pod. The log has it once per class (class_cache.h). */
void publish_report_annotation(const struct publish *publish, const struct error *error);

/* The time of a Mount of the provider that has ended with `code`. */
void publish_report_provider_call(const struct publish *publish, enum grpc_status code);

#endif
