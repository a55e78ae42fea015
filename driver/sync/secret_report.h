/*
 * secret_report.h - reports how the sync of a volume's Secrets went: log lines and Events on the pod.
 */
#ifndef DRIVER_SYNC_SECRET_REPORT_H
#define DRIVER_SYNC_SECRET_REPORT_H

#include "common/base/log.h"
#include "driver/status/events.h"
#include "driver/sync/secret_reconcile.h"

enum {
    SECRET_REPORT_REPEAT_MS = 10 * 60 * 1000, /* unchanged failures are reported again after that */
};

/* Where reports go. Borrowed. */
struct secret_reporter {
    struct log *log;       /* may be NULL */
    struct events *events; /* may be NULL */
};

/* The last report about one volume; {0} is none. */
struct secret_report {
    uint32_t hash; /* of its failures */
    uint64_t reported_ms;
};

/* Reports the result's failures unless the last report has the same ones. Without failures the report is
 * reset. */
void secret_report_result(const struct secret_reporter *reporter, struct secret_report *report,
                          const struct volume_names *target, const struct reconcile_result *result,
                          uint64_t now_ms);

/* Reports that the class does not name the Secret any more, and what becomes of it. */
void secret_report_released(const struct secret_reporter *reporter, const struct volume_names *target,
                            const char *secret);

/* Reports that the Secrets have the new contents after a rotation. */
void secret_report_rotation(const struct secret_reporter *reporter, const struct volume_names *target);

#endif
