/*
 * secret_report.c - reports how the sync of a volume's Secrets went.
 */
#include "driver/sync/secret_report.h"

#include <stdio.h>

#include "common/base/hash.h"

static uint32_t hash_of(const struct reconcile_result *result)
{
    uint32_t hash = HASH_START;

    for (size_t i = 0; i < result->n_failures && i < SECRET_FAILURES_MAX; i++)
        hash = hash_text(hash, error_message(result->failures[i].error));
    return hash | 1;
}

static void emit(const struct secret_reporter *reporter, const struct volume_names *target,
                 enum event_type type, const char *component, const char *reason, const char *message)
{
    events_emit(reporter->events, &(struct event){.type = type,
                                                  .component = component,
                                                  .reason = reason,
                                                  .pod_name = target->pod_name,
                                                  .pod_namespace = target->ns,
                                                  .pod_uid = target->pod_uid,
                                                  .message = message});
}

static void report_failure(const struct secret_reporter *reporter, const struct volume_names *target,
                           const struct secret_failure *failure)
{
    log_error(reporter->log, "a Kubernetes Secret could not be synced",
              LOG_OBJECT("pod", target->ns, target->pod_name), LOG_STR("spc", target->class_name),
              LOG_STR("secret", failure->secret), LOG_ERR(failure->error));
    emit(reporter, target, EVENT_WARNING, EVENT_CONTROLLER, EVENT_SECRET_FAILED,
         error_message(failure->error));
}

void secret_report_result(const struct secret_reporter *reporter, struct secret_report *report,
                          const struct volume_names *target, const struct reconcile_result *result,
                          uint64_t now_ms)
{
    uint32_t hash = hash_of(result);

    if (result->n_failures == 0) {
        *report = (struct secret_report){0};
        return;
    }
    if (report->hash == hash && now_ms - report->reported_ms < SECRET_REPORT_REPEAT_MS)
        return;
    *report = (struct secret_report){.hash = hash, .reported_ms = now_ms};
    for (size_t i = 0; i < result->n_failures && i < SECRET_FAILURES_MAX; i++)
        report_failure(reporter, target, &result->failures[i]);
    if (result->n_failures > SECRET_FAILURES_MAX)
        log_error(reporter->log, "more Kubernetes Secrets of this volume could not be synced",
                  LOG_OBJECT("pod", target->ns, target->pod_name),
                  LOG_UINT("more", result->n_failures - SECRET_FAILURES_MAX));
}

void secret_report_released(const struct secret_reporter *reporter, const struct volume_names *target,
                            const char *secret)
{
    char message[1200];

    (void)snprintf(
        message, sizeof(message),
        "secretproviderclass %s/%s does not name the Secret '%s' any more: it stays with its data until its other owners are gone; to remove it: kubectl delete secret %s -n %s",
        target->ns, target->class_name, secret, secret, target->ns);
    log_info(reporter->log, "a Kubernetes Secret is not kept any more",
             LOG_OBJECT("secret", target->ns, secret), LOG_STR("spc", target->class_name),
             LOG_OBJECT("pod", target->ns, target->pod_name));
    emit(reporter, target, EVENT_NORMAL, EVENT_CONTROLLER, EVENT_SECRET_RELEASED, message);
}

void secret_report_rotation(const struct secret_reporter *reporter, const struct volume_names *target)
{
    char message[600];

    (void)snprintf(message, sizeof(message),
                   "the Kubernetes Secrets of secretproviderclass %s/%s hold the new contents", target->ns,
                   target->class_name);
    emit(reporter, target, EVENT_NORMAL, EVENT_ROTATION, EVENT_SECRET_ROTATED, message);
}
