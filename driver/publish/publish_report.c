/*
 * publish_report.c - what is told, counted and remembered of a publish.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/process/lifecycle.h"
#include "driver/publish/publish_private.h"

/* With so little left the caller has given up, or will before it hears of it. */
enum { OUT_OF_TIME_MS = 100 };

const char *publish_provider_label(const struct publish *publish)
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

/* --- remembering --- */

void publish_remember_success(struct publish *publish)
{
    volume_states_succeeded(publish->publisher->volumes, publish->request.target_path,
                            publish->class->provider, &publish->spec, &publish->answer.versions,
                            clock_unix_s());
}

static void remember_failure(struct publish *publish)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint32_t)clock_monotonic_ns(); /* it only spreads retries */
    volume_states_failed(publish->publisher->volumes, publish->request.target_path, &publish->spec, random,
                         clock_unix_s());
}

/* --- outcomes --- */

double publish_seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* Tells those who look at the pod. */
static void tell_pod(const struct publish *publish, const struct event *what, const struct error *error)
{
    struct event event = *what;
    cleanup_free char *message = NULL;

    if (asprintf(&message, "%s: SecretProviderClass %s%s%s", what->message, publish->request.class_name,
                 error != NULL ? ": " : "", error_message(error)) < 0)
        message = NULL;
    event.pod_name = publish->request.pod_name;
    event.pod_namespace = publish->request.pod_namespace;
    event.pod_uid = publish->request.pod_uid;
    event.message = message != NULL ? message : what->message;
    events_emit(publish->publisher->events, &event);
}

void publish_report_annotation(const struct publish *publish, const struct secret_provider_class *class,
                               struct volume_state *volume, const struct error *error)
{
    uint32_t seed = error != NULL ? rotation_seed(class->rotation_interval) | 1 : 0;

    if (seed != 0 && seed != volume->reported_annotation_hash)
        tell_pod(publish,
                 &(struct event){.type = EVENT_WARNING,
                                 .component = EVENT_ROTATION,
                                 .reason = EVENT_ANNOTATION,
                                 .message = "an annotation is ignored, the driver's own interval applies"},
                 error);
    volume->reported_annotation_hash = seed;
}

static void report_look(const struct publish *publish)
{
    const struct publisher *publisher = publish->publisher;

    driver_metrics_rotation_ok(publisher->metrics, publish->class->provider, publish->job.changed,
                               publish_seconds_since(publish->started_ns));
    if (!publish->job.changed)
        return;
    tell_pod(publish,
             &(struct event){.type = EVENT_NORMAL,
                             .component = EVENT_ROTATION,
                             .reason = EVENT_ROTATED,
                             .message = "the contents of the volume have been updated"},
             NULL);
    log_info(publisher->log, "volume content updated", pod_field(publish),
             LOG_STR("spc", publish->class->name), LOG_STR("provider", publish->class->provider),
             LOG_STR("targetPath", publish->request.target_path),
             LOG_UINT("files", publish->answer.payload.n));
}

static void report_mount(const struct publish *publish)
{
    const struct publisher *publisher = publish->publisher;

    log_info(publisher->log, "volume published", pod_field(publish), LOG_STR("spc", publish->class->name),
             LOG_STR("provider", publish->class->provider),
             LOG_STR("targetPath", publish->request.target_path),
             LOG_UINT("files", publish->answer.payload.n));
}

void publish_report_success(struct publish *publish)
{
    if (publish->callback == NULL)
        return;
    if (publish->look)
        report_look(publish);
    else
        report_mount(publish);
    if (!publish->look || publish->job.changed)
        driver_metrics_files_written(publish->publisher->metrics, publish->class->provider,
                                     payload_size(&publish->answer.payload));
    driver_metrics_publish_ok(publish->publisher->metrics, publish->class->provider);
    publish_answer(publish, NULL);
}

void publish_report_failure(struct publish *publish, const struct error *error, const char *type)
{
    const struct publisher *publisher = publish->publisher;
    const char *provider = publish_provider_label(publish);

    if (type == NULL || type[0] == '\0')
        type = error_type(error)[0] != '\0' ? error_type(error) : ERROR_TYPE_MOUNT;
    driver_metrics_publish_error(publisher->metrics, provider, type);
    if (publish->look) {
        driver_metrics_rotation_error(publisher->metrics, provider, type);
        log_error(publisher->log, "volume content could not be checked for changes, the old content stays",
                  pod_field(publish), LOG_STR("spc", publish->request.class_name),
                  LOG_STR("provider", provider), LOG_STR("targetPath", publish->request.target_path),
                  LOG_ERR(error));
        if (!publish->interrupted)
            tell_pod(publish,
                     &(struct event){
                         .type = EVENT_WARNING,
                         .component = EVENT_ROTATION,
                         .reason = EVENT_ROTATE_FAILED,
                         .message = "the contents of the volume could not be checked, the old ones stay"},
                     error);
        remember_failure(publish);
        error_free(publish->failure);
        publish->failure = error_copy(error);
    } else {
        /* All that the kubelet's own event says then is that a deadline has passed. */
        if (publish_time_left(publish) < OUT_OF_TIME_MS && !publish->interrupted)
            tell_pod(publish,
                     &(struct event){.type = EVENT_WARNING,
                                     .component = EVENT_CONTROLLER,
                                     .reason = EVENT_MOUNT_TIMEOUT,
                                     .message = "the volume could not be mounted in time"},
                     error);
        log_error(publisher->log, "volume could not be published", pod_field(publish),
                  LOG_STR("spc", publish->request.class_name), LOG_STR("provider", provider),
                  LOG_STR("targetPath", publish->request.target_path), LOG_ERR(error));
    }
}
