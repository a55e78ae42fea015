/*
 * volume_commands.c - the commands publish, unpublish and stats: CSI calls about one volume.
 *
 * publish builds its request exactly as a kubelet does for an ephemeral inline volume: volume id, target
 * path, pod attributes, access mode.
 */
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "ctl/call.h"
#include "ctl/command.h"
#include "ctl/input.h"
#include "ctl/output.h"
#include "ctl/volume_ref.h"
#include "proto/csi.pb-c.h"

#define POD_KEY(name) "csi.storage.k8s.io/" name

static int build_context(const struct ctl_options *options, char *tokens, struct string_map *context,
                         struct error **err)
{
    const struct {
        const char *key;
        const char *value;
    } kubelet_keys[] = {
        {POD_KEY("pod.name"), options->pod},    {POD_KEY("pod.namespace"), options->pod_namespace},
        {POD_KEY("pod.uid"), options->pod_uid}, {POD_KEY("serviceAccount.name"), options->service_account},
        {POD_KEY("ephemeral"), "true"},
    };

    if (*options->class_name != '\0' &&
        string_map_set(context, "secretProviderClass", options->class_name, err) < 0)
        return -1;
    if (input_attributes(&options->attributes, "attribute", context, err) < 0)
        return -1;
    /* the kubelet's own keys win over the pod author's */
    for (size_t i = 0; i < ARRAY_SIZE(kubelet_keys); i++)
        if (string_map_set(context, kubelet_keys[i].key, kubelet_keys[i].value, err) < 0)
            return -1;
    if (tokens != NULL && !options->tokens_in_secrets)
        return string_map_set(context, POD_KEY("serviceAccount.tokens"), tokens, err);
    return 0;
}

/* Fills a protobuf map of borrowed strings; `entries` and `pointers` have space for map->n. The two entry
 * types have the same layout but are different types, hence two functions. */
static void fill_context(const struct string_map *map,
                         Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *entries,
                         Csi__V1__NodePublishVolumeRequest__VolumeContextEntry **pointers)
{
    for (size_t i = 0; i < map->n; i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&entries[i]);
        entries[i].key = map->entries[i].key;
        entries[i].value = map->entries[i].value;
        pointers[i] = &entries[i];
    }
}

static void fill_secrets(const struct string_map *map,
                         Csi__V1__NodePublishVolumeRequest__SecretsEntry *entries,
                         Csi__V1__NodePublishVolumeRequest__SecretsEntry **pointers)
{
    for (size_t i = 0; i < map->n; i++) {
        csi__v1__node_publish_volume_request__secrets_entry__init(&entries[i]);
        entries[i].key = map->entries[i].key;
        entries[i].value = map->entries[i].value;
        pointers[i] = &entries[i];
    }
}

static int send_publish(const struct ctl_options *options, const struct volume_ref *volume,
                        const struct string_map *context, const struct string_map *secrets,
                        struct error **err)
{
    Csi__V1__VolumeCapability__MountVolume mount;
    Csi__V1__VolumeCapability__AccessMode mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__NodePublishVolumeRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_free Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *context_entries =
        calloc(context->n + 1, sizeof(*context_entries));
    cleanup_free Csi__V1__NodePublishVolumeRequest__SecretsEntry *secret_entries =
        calloc(secrets->n + 1, sizeof(*secret_entries));
    cleanup_free Csi__V1__NodePublishVolumeRequest__VolumeContextEntry **context_pointers =
        calloc(context->n + 1, sizeof(Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *));
    cleanup_free Csi__V1__NodePublishVolumeRequest__SecretsEntry **secret_pointers =
        calloc(secrets->n + 1, sizeof(Csi__V1__NodePublishVolumeRequest__SecretsEntry *));

    csi__v1__volume_capability__mount_volume__init(&mount);
    csi__v1__node_publish_volume_request__init(&request);
    if (context_entries == NULL || secret_entries == NULL || context_pointers == NULL ||
        secret_pointers == NULL)
        return error_no_memory(err, NULL);
    fill_context(context, context_entries, context_pointers);
    fill_secrets(secrets, secret_entries, secret_pointers);

    mount.volume_mount_group = call_text(options->fs_group);
    mode.mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_WRITER;
    capability.access_mode = &mode;
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    request.volume_id = call_text(volume->id);
    request.target_path = call_text(volume->target);
    request.volume_capability = &capability;
    request.readonly = options->readonly;
    request.volume_context = context_pointers;
    request.n_volume_context = context->n;
    request.secrets = secret_pointers;
    request.n_secrets = secrets->n;
    return call_send(options, "/csi.v1.Node/NodePublishVolume", &request.base,
                     &csi__v1__node_publish_volume_response__descriptor, &message, err);
}

static int print_volume(const struct ctl_options *options, const struct volume_ref *volume, const char *verb,
                        struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (cJSON_AddStringToObject(result, verb, volume->target) == NULL ||
        cJSON_AddStringToObject(result, "volume id", volume->id) == NULL)
        return error_no_memory(err, NULL);
    return output_result(result, options->json, err);
}

static int run_publish(const struct ctl_options *options, struct error **err)
{
    cleanup_string_map struct string_map context = {0};
    cleanup_string_map struct string_map secrets = {0};
    cleanup_secret_free char *tokens = NULL;
    struct volume_ref volume = {0};
    bool given = false;

    if (volume_ref_resolve(&volume, options, err) < 0 ||
        input_tokens(&options->token_files, &tokens, err) < 0 ||
        build_context(options, tokens, &context, err) < 0 ||
        input_secrets(options, &secrets, &given, err) < 0)
        return -1;
    if (tokens != NULL && options->tokens_in_secrets &&
        string_map_set(&secrets, POD_KEY("serviceAccount.tokens"), tokens, err) < 0)
        return -1;
    if (volume_ref_make_parents(&volume, options, err) < 0)
        return -1;
    if (send_publish(options, &volume, &context, &secrets, err) < 0)
        return -1;
    return print_volume(options, &volume, "published", err);
}

static int run_unpublish(const struct ctl_options *options, struct error **err)
{
    Csi__V1__NodeUnpublishVolumeRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    struct volume_ref volume = {0};

    csi__v1__node_unpublish_volume_request__init(&request);
    if (volume_ref_resolve(&volume, options, err) < 0)
        return -1;
    request.volume_id = volume.id;
    request.target_path = volume.target;
    if (call_send(options, "/csi.v1.Node/NodeUnpublishVolume", &request.base,
                  &csi__v1__node_unpublish_volume_response__descriptor, &message, err) < 0)
        return -1;
    volume_ref_remove_parents(&volume, options);
    return print_volume(options, &volume, "unpublished", err);
}

static int add_usage(cJSON *array, const Csi__V1__VolumeUsage *usage, struct error **err)
{
    cJSON *row = cJSON_CreateObject();
    const ProtobufCEnumValue *unit =
        protobuf_c_enum_descriptor_get_value(&csi__v1__volume_usage__unit__descriptor, (int)usage->unit);

    if (row == NULL)
        return error_no_memory(err, NULL);
    cJSON_AddItemToArray(array, row);
    if (cJSON_AddStringToObject(row, "unit", unit != NULL ? unit->name : "UNKNOWN") == NULL ||
        cJSON_AddNumberToObject(row, "total", (double)usage->total) == NULL ||
        cJSON_AddNumberToObject(row, "used", (double)usage->used) == NULL ||
        cJSON_AddNumberToObject(row, "available", (double)usage->available) == NULL)
        return error_no_memory(err, NULL);
    return 0;
}

static int run_stats(const struct ctl_options *options, struct error **err)
{
    Csi__V1__NodeGetVolumeStatsRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();
    cJSON *array = cJSON_AddArrayToObject(result, "unit, total, used, available");
    struct volume_ref volume = {0};

    csi__v1__node_get_volume_stats_request__init(&request);
    if (array == NULL)
        return error_no_memory(err, NULL);
    if (volume_ref_resolve(&volume, options, err) < 0)
        return -1;
    request.volume_id = volume.id;
    request.volume_path = volume.target;
    if (call_send(options, "/csi.v1.Node/NodeGetVolumeStats", &request.base,
                  &csi__v1__node_get_volume_stats_response__descriptor, &message, err) < 0)
        return -1;

    const Csi__V1__NodeGetVolumeStatsResponse *response =
        (const Csi__V1__NodeGetVolumeStatsResponse *)message;
    for (size_t i = 0; i < response->n_usage; i++)
        if (add_usage(array, response->usage[i], err) < 0)
            return -1;
    return output_result(result, options->json, err);
}

#define VOLUME_ROWS                                                                                          \
    CTL_STRING_ROW("volume-id", volume_id, NULL,                                                             \
                   "volume `id`; default: computed from --pod-uid and --volume"),                            \
        CTL_STRING_ROW("volume", volume, "secrets-store", "`name` of the volume in the pod"),                \
        CTL_STRING_ROW("pod-uid", pod_uid, NULL, "`uid` of the pod"),                                        \
        CTL_STRING_ROW("target", target, NULL,                                                               \
                       "target `path`; default: computed from --kubelet-dir, --pod-uid and --volume"),       \
        CTL_STRING_ROW("kubelet-dir", kubelet_dir, "/var/lib/kubelet", "the kubelet's root `directory`")

static const struct option_row volume_rows[] = {CTL_COMMON_ROWS, VOLUME_ROWS};
static const struct option_row publish_rows[] = {
    CTL_COMMON_ROWS,
    VOLUME_ROWS,
    CTL_STRING_ROW("pod", pod, "secrets-store-ctl", "`name` of the pod"),
    CTL_STRING_ROW("namespace", pod_namespace, "default", "`namespace` of the pod"),
    CTL_STRING_ROW("service-account", service_account, "default", "`name` of the pod's service account"),
    CTL_STRING_ROW("class", class_name, NULL, "`name` of the SecretProviderClass"),
    CTL_REPEATED_ROW("attribute", "further volume attribute `key=value`; may be repeated"),
    CTL_STRING_ROW("secrets-dir", secrets_dir, NULL,
                   "`directory` with one file per nodePublishSecretRef key"),
    CTL_REPEATED_ROW("secret-file", "nodePublishSecretRef entry `key=path`; may be repeated"),
    CTL_REPEATED_ROW("token-file", "service account token `audience=path`; may be repeated"),
    {.name = "tokens-in-secrets",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, tokens_in_secrets),
     .help = "pass the tokens among the secrets (serviceAccountTokenInSecrets)"},
    {.name = "read-only",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, readonly),
     .default_value = "true",
     .help = "mount the volume read-only, which the driver requires"},
    CTL_STRING_ROW("fs-group", fs_group, NULL, "the pod's fsGroup, a numeric `gid`"),
};

const struct ctl_command ctl_command_publish = {"publish", "publish a volume", publish_rows,
                                                ARRAY_SIZE(publish_rows), run_publish};
const struct ctl_command ctl_command_unpublish = {"unpublish", "unpublish a volume", volume_rows,
                                                  ARRAY_SIZE(volume_rows), run_unpublish};
const struct ctl_command ctl_command_stats = {"stats", "bytes and inodes of a published volume", volume_rows,
                                              ARRAY_SIZE(volume_rows), run_stats};
