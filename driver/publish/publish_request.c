/*
 * publish_request.c - a NodePublishVolume request, checked and owned.
 */
#include "driver/publish/publish_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "driver/volume/target_path.h"

static bool is_kubelet_key(const char *key)
{
    return strncmp(key, CONTEXT_KUBELET_PREFIX, sizeof(CONTEXT_KUBELET_PREFIX) - 1) == 0;
}

static const char *get_or_empty(const struct string_map *map, const char *key)
{
    const char *value = string_map_get(map, key);

    return value == NULL ? "" : value;
}

static int check_present(const Csi__V1__NodePublishVolumeRequest *message, struct error **err)
{
    if (message->volume_capability == NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Volume capability missing in request");
    if (message->volume_id[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Volume ID missing in request");
    if (message->target_path[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Target path missing in request");
    if (message->n_volume_context == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "Volume attributes missing in request");
    return 0;
}

/* volume_mount_group: a decimal group id, set by the kubelet when the pod has an fsGroup. */
static int decode_gid(const Csi__V1__VolumeCapability *capability, gid_t *ret_gid, struct error **err)
{
    const char *text;
    char *end;
    unsigned long value;

    *ret_gid = (gid_t)-1;
    if (capability->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a block volume cannot hold secrets");
    if (capability->access_type_case != CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT ||
        capability->mount == NULL || capability->mount->volume_mount_group[0] == '\0')
        return 0;
    text = capability->mount->volume_mount_group;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value >= (gid_t)-1)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "volume_mount_group '%s' is not a group id",
                         text);
    *ret_gid = (gid_t)value;
    return 0;
}

static int check_kubelet_keys(const struct publish_request *request, struct error **err)
{
    const char *ephemeral = get_or_empty(&request->context, CONTEXT_EPHEMERAL);
    struct target_path target;

    if (ephemeral[0] != '\0' && strcmp(ephemeral, "true") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "only inline (ephemeral) volumes are supported, not persistent ones");
    if (!target_path_parse(request->target_path, &target))
        return 0; /* the caller is no kubelet */
    if (request->pod_uid[0] == '\0')
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            CONTEXT_POD_UID
            " is missing in the volume context: the CSIDriver object must set podInfoOnMount, otherwise a pod can pass for one of another namespace");
    if (strlen(request->pod_uid) != target.pod_uid_len ||
        memcmp(request->pod_uid, target.pod_uid, target.pod_uid_len) != 0)
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "the pod UID '%s' in the volume context is not the one in the target path '%s': the CSIDriver object must set podInfoOnMount, otherwise a pod can pass for another one",
            request->pod_uid, request->target_path);
    return 0;
}

static int fill(const Csi__V1__NodePublishVolumeRequest *message, struct publish_request *request,
                struct error **err)
{
    request->volume_id = alloc_text(message->volume_id, err);
    if (request->volume_id == NULL)
        return -1;
    request->target_path = alloc_text(message->target_path, err);
    if (request->target_path == NULL)
        return -1;
    for (size_t i = 0; i < message->n_volume_context; i++)
        if (string_map_set(&request->context, message->volume_context[i]->key,
                           message->volume_context[i]->value, err) < 0)
            return -1;
    for (size_t i = 0; i < message->n_secrets; i++)
        if (string_map_set(&request->secrets, message->secrets[i]->key, message->secrets[i]->value, err) < 0)
            return -1;
    request->readonly = message->readonly != 0;
    request->class_name = get_or_empty(&request->context, CONTEXT_CLASS);
    request->provider_hint = get_or_empty(&request->context, CONTEXT_PROVIDER);
    request->pod_name = get_or_empty(&request->context, CONTEXT_POD_NAME);
    request->pod_namespace = get_or_empty(&request->context, CONTEXT_POD_NAMESPACE);
    request->pod_uid = get_or_empty(&request->context, CONTEXT_POD_UID);
    if (target_path_check("target_path", request->target_path, err) < 0 ||
        decode_gid(message->volume_capability, &request->gid, err) < 0)
        return -1;
    return check_kubelet_keys(request, err);
}

int publish_request_decode(const Csi__V1__NodePublishVolumeRequest *message, struct publish_request *ret,
                           struct error **err)
{
    struct publish_request request = {.gid = (gid_t)-1};

    if (check_present(message, err) < 0)
        return -1;
    if (fill(message, &request, err) < 0) {
        publish_request_finish(&request);
        return -1;
    }
    *ret = request; /* the borrowed strings point into heap blocks of the map, which move along */
    return 0;
}

void publish_request_finish(struct publish_request *request)
{
    free(request->volume_id);
    free(request->target_path);
    string_map_finish(&request->context);
    string_map_finish(&request->secrets);
    *request = (struct publish_request){.gid = (gid_t)-1};
}

int publish_request_attributes(const struct publish_request *request, const struct string_map *parameters,
                               bool pod_overrides, struct string_map *ret_attributes, struct error **err)
{
    const char *tokens = string_map_get(&request->secrets, CONTEXT_TOKENS);
    cleanup_string_map struct string_map attributes = {0};

    for (size_t i = 0; i < parameters->n; i++)
        if (!is_kubelet_key(parameters->entries[i].key) &&
            string_map_set(&attributes, parameters->entries[i].key, parameters->entries[i].value, err) < 0)
            return -1;
    for (size_t i = 0; i < request->context.n; i++) {
        const struct string_map_entry *entry = &request->context.entries[i];

        if (!is_kubelet_key(entry->key) && !pod_overrides && string_map_get(parameters, entry->key) != NULL)
            continue;
        if (strcmp(entry->key, CONTEXT_TOKENS) == 0 && entry->value[0] == '\0')
            continue;
        if (string_map_set(&attributes, entry->key, entry->value, err) < 0)
            return -1;
    }
    if (tokens != NULL && tokens[0] != '\0' && string_map_set(&attributes, CONTEXT_TOKENS, tokens, err) < 0)
        return -1;
    *ret_attributes = attributes;
    attributes = (struct string_map){0};
    return 0;
}
