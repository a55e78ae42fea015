/*
 * publish_report.c - the outcomes of a publish in log, metrics and Events.
 */
#include "driver/publish/publish_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/process/lifecycle.h"

/* With so little left the caller gives up before the response reaches it. */
enum { OUT_OF_TIME_MS = 100 };

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* The class's provider; before the class is known that of the last publish, or of the pod. */
static const char *provider_label(const struct publish *publish)
{
    const struct volume_state *volume;

    if (publish->class != NULL)
        return publish->class->provider;
    volume = volume_states_find(publish->publisher->volumes, publish->request.target_path);
    return volume != NULL && volume->provider != NULL ? volume->provider : publish->request.provider_hint;
}

static struct log_field pod_field(const struct publish *publish)
{
    return LOG_OBJECT("pod", publish->request.pod_namespace, publish->request.pod_name);
}

/* An Event on the pod; `detail` may be "". */
static void emit_event(const struct publish *publish, enum event_type type, const char *component,
                       const char *reason, const char *text, const char *detail)
{
    cleanup_free char *message = NULL;

    if (asprintf(&message, "%s: SecretProviderClass %s%s%s", text, publish->request.class_name,
                 detail[0] != '\0' ? ": " : "", detail) < 0)
        message = NULL;
    events_emit(publish->publisher->events, &(struct event){.type = type,
                                                            .component = component,
                                                            .reason = reason,
                                                            .message = message != NULL ? message : text,
                                                            .pod_name = publish->request.pod_name,
                                                            .pod_namespace = publish->request.pod_namespace,
                                                            .pod_uid = publish->request.pod_uid});
}

/* --- success --- */

void publish_report_unchanged(const struct publish *publish)
{
    log_debug(publish->publisher->log, 4, "volume is published already, no rotation check is due",
              LOG_STR("targetPath", publish->request.target_path));
    driver_metrics_publish_ok(publish->publisher->metrics, provider_label(publish));
}

static void report_written(const struct publish *publish, const char *message)
{
    const struct publish_job *job = &publish->job;

    log_info(publish->publisher->log, message, pod_field(publish), LOG_STR("spc", publish->class->name),
             LOG_STR("provider", publish->class->provider),
             LOG_STR("targetPath", publish->request.target_path),
             LOG_UINT("files", job->taken ? job->plain.files : publish->response.payload.n),
             LOG_STR("writtenBy", job->taken ? "provider" : "driver"));
    driver_metrics_files_written(publish->publisher->metrics, publish->class->provider,
                                 job->taken ? job->plain.bytes : payload_size(&publish->response.payload));
}

void publish_report_mounted(const struct publish *publish)
{
    report_written(publish, "volume published");
}

void publish_report_checked(const struct publish *publish)
{
    driver_metrics_rotation_ok(publish->publisher->metrics, publish->class->provider, publish->job.changed,
                               seconds_since(publish->started_ns));
    if (!publish->job.changed)
        return;
    emit_event(publish, EVENT_NORMAL, EVENT_ROTATION, EVENT_ROTATED,
               "the contents of the volume have been updated", /* detail= */ "");
    report_written(publish, "volume content updated");
}

static void report_warnings(const struct publish *publish)
{
    const struct provider_response *response = &publish->response;

    for (size_t i = 0; i < response->n_warnings; i++) {
        log_warning(publish->publisher->log, "the provider warns", pod_field(publish),
                    LOG_STR("spc", publish->class->name), LOG_STR("provider", publish->class->provider),
                    LOG_STR("warning", response->warnings[i]));
        emit_event(publish, EVENT_WARNING, publish->mode->is_republish ? EVENT_ROTATION : EVENT_CONTROLLER,
                   EVENT_PROVIDER_WARNS, "the provider warns", response->warnings[i]);
    }
}

void publish_report_success(const struct publish *publish)
{
    publish->mode->report_success(publish);
    report_warnings(publish);
    driver_metrics_publish_ok(publish->publisher->metrics, publish->class->provider);
}

/* --- failure --- */

static void log_failure(const struct publish *publish, const char *message, const struct error *error,
                        const char *provider)
{
    log_error(publish->publisher->log, message, pod_field(publish),
              LOG_STR("spc", publish->request.class_name), LOG_STR("provider", provider),
              LOG_STR("targetPath", publish->request.target_path), LOG_ERR(error));
}

void publish_report_failed_mount(const struct publish *publish, const struct error *error,
                                 const char *provider, const char *type)
{
    (void)type;
    log_failure(publish, "volume could not be published", error, provider);
    /* The kubelet's own Event says only that a deadline has passed. */
    if (publish_time_left(publish) < OUT_OF_TIME_MS && publish->caller != PUBLISH_CALLER_INTERRUPTED)
        emit_event(publish, EVENT_WARNING, EVENT_CONTROLLER, EVENT_MOUNT_TIMEOUT,
                   "the volume could not be mounted in time", error_message(error));
}

void publish_report_failed_check(const struct publish *publish, const struct error *error,
                                 const char *provider, const char *type)
{
    driver_metrics_rotation_error(publish->publisher->metrics, provider, type);
    log_failure(publish, "rotation check failed, keeping the previous contents", error, provider);
    if (publish->caller != PUBLISH_CALLER_INTERRUPTED)
        emit_event(publish, EVENT_WARNING, EVENT_ROTATION, EVENT_ROTATE_FAILED,
                   "rotation check failed, keeping the previous contents", error_message(error));
}

void publish_report_failure(const struct publish *publish, const struct error *error, const char *type)
{
    const char *provider = provider_label(publish);

    if (type == NULL || type[0] == '\0')
        type = error_type(error)[0] != '\0' ? error_type(error) : ERROR_TYPE_MOUNT;
    driver_metrics_publish_error(publish->publisher->metrics, provider, type);
    publish->mode->report_failure(publish, error, provider, type);
}

/* --- neither --- */

void publish_report_annotation(const struct publish *publish, const struct error *error)
{
    emit_event(publish, EVENT_WARNING, EVENT_ROTATION, EVENT_ANNOTATION,
               "an annotation is ignored, the driver's own interval applies", error_message(error));
}

void publish_report_provider_call(const struct publish *publish, enum grpc_status code)
{
    driver_metrics_provider_call(publish->publisher->metrics, publish->class->provider, code,
                                 seconds_since(publish->provider_started_ns));
}
