/*
 * pod_status_written.c - what a status object says since its last write.
 */
#include "driver/status/pod_status_written.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/encoding.h"

/* Either text may be NULL, for lack of memory. */
struct pod_status_failure {
    char *written; /* its lastError as written */
    int64_t written_unix;
    char *last; /* of the last failure, which may be a later one */
    int64_t last_unix;
};

static void failure_free(struct pod_status_failure *failure)
{
    if (failure == NULL)
        return;
    free(failure->written);
    free(failure->last);
    free(failure);
}

void pod_status_written_finish(struct pod_status_written *written, struct version_sets *sets)
{
    version_set_unref(sets, written->versions);
    failure_free(written->failure);
    *written = (struct pod_status_written){0};
}

void pod_status_written_forget(struct pod_status_written *written)
{
    written->version = 0;
    written->is_known = false;
}

static uint64_t digest_begin(const struct desired_pod_status *desired)
{
    uint64_t begin = 0;

    for (size_t i = 0; i < 2 * sizeof(begin); i++)
        begin = begin << 4 | hex_digit(desired->digest[i]);
    return begin;
}

bool pod_status_written_error_is_old(const struct pod_status_written *written,
                                     const struct desired_pod_status *desired)
{
    const struct pod_status_failure *shown = written->failure;
    int64_t age = shown != NULL ? desired->now_unix - shown->written_unix : 0;

    return shown == NULL || shown->written == NULL || age < 0 || age >= POD_STATUS_ERROR_RENEWAL_S;
}

bool pod_status_written_matches(const struct pod_status_written *written,
                                const struct desired_pod_status *desired)
{
    if (!written->is_known || written->digest != digest_begin(desired) || desired->changed)
        return false;
    return desired->error == NULL || !pod_status_written_error_is_old(written, desired) ||
           (written->failure != NULL && written->failure->written != NULL &&
            strcmp(written->failure->written, desired->error) == 0);
}

/* 0 for one that is no number in the form of etcd's. */
static uint64_t parse_version(const char *version)
{
    size_t len = strlen(version);

    if (len == 0 || len >= POD_STATUS_VERSION_SIZE - 1 || version[0] == '0' ||
        strspn(version, "0123456789") != len)
        return 0;
    return strtoull(version, NULL, 10);
}

const char *pod_status_written_version(const struct pod_status_written *written,
                                       char buffer[POD_STATUS_VERSION_SIZE])
{
    if (written->version == 0)
        return NULL;
    (void)snprintf(buffer, POD_STATUS_VERSION_SIZE, "%" PRIu64, written->version);
    return buffer;
}

static void set_failure(struct pod_status_written *written, const struct desired_pod_status *desired)
{
    bool renews = pod_status_written_error_is_old(written, desired);
    struct pod_status_failure *failure = written->failure;

    if (desired->error == NULL) {
        failure_free(steal_ptr(&written->failure));
        return;
    }
    if (failure == NULL)
        failure = written->failure = calloc(1, sizeof(*failure));
    if (failure == NULL)
        return;
    free(failure->last);
    failure->last = strdup(desired->error);
    failure->last_unix = desired->now_unix;
    if (!renews)
        return;
    free(failure->written);
    failure->written = strdup(desired->error);
    failure->written_unix = desired->now_unix;
}

void pod_status_written_set(struct pod_status_written *written, struct desired_pod_status *desired,
                            const char *resource_version)
{
    written->version = parse_version(resource_version);
    written->digest = digest_begin(desired);
    written->is_known = true;
    set_failure(written, desired);
    written->has_last = true;
    written->versions_known = desired->objects != NULL;
    written->checked_unix = (uint32_t)desired->checked_unix;
    version_set_unref(desired->sets, written->versions);
    written->versions = steal_ptr(&desired->versions);
}

struct desired_pod_status *pod_status_written_desire(const struct pod_status_written *written,
                                                     struct version_sets *sets,
                                                     const struct volume_names *names, const char *node_label,
                                                     int64_t now_unix)
{
    const struct pod_status_failure *failure = written->failure;
    cleanup_error struct error *error = NULL;
    struct volume_event event = {
        .type = VOLUME_EVENT_CHECKED, /* it does not take over the object of a later pod */
        .pod_name = names->pod_name,
        .pod_namespace = names->ns,
        .pod_uid = names->pod_uid,
        .target_path = names->target_path,
        .class_name = names->class_name,
        .versions = written->versions_known ? version_set_map(written->versions) : NULL,
        .checked_unix = written->checked_unix,
    };

    if (!written->has_last)
        return NULL;
    if (failure != NULL) {
        (void)error_set(&error, GRPC_STATUS_UNKNOWN, "%s", failure->last != NULL ? failure->last : "");
        event.failure = error;
    }
    return desired_pod_status_create_shared(&event, node_label,
                                            failure != NULL ? failure->last_unix : now_unix, sets,
                                            /* err= */ NULL);
}
