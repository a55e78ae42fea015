/*
 * csi_commands.c - info, probe, publish, unpublish and stats: what a kubelet says to a CSI node plugin.
 *
 * publish builds its request exactly as a kubelet does for an ephemeral inline volume: volume id, target
 * path, pod attributes, access mode.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "common/crypto/digest.h"
#include "ctl/call.h"
#include "ctl/command.h"
#include "ctl/input.h"
#include "ctl/output.h"
#include "proto/csi.pb-c.h"

#define POD_KEY(name) "csi.storage.k8s.io/" name

static int no_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

/* protobuf-c's structs take `char *` even for what is only read. */
static char *borrowed(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* --- info and probe --- */

static int add_plugin_info(const struct ctl_options *options, cJSON *result, bool *ret_rpc,
                           struct error **err)
{
    Csi__V1__GetPluginInfoRequest request = CSI__V1__GET_PLUGIN_INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;

    if (ctl_call(options, "/csi.v1.Identity/GetPluginInfo", &request.base,
                 &csi__v1__get_plugin_info_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "GetPluginInfo");

    const Csi__V1__GetPluginInfoResponse *info = (const Csi__V1__GetPluginInfoResponse *)message;
    if (cJSON_AddStringToObject(result, "name", info->name) == NULL ||
        cJSON_AddStringToObject(result, "version", info->vendor_version) == NULL)
        return no_memory(err);
    return 0;
}

static int add_node_info(const struct ctl_options *options, cJSON *result, bool *ret_rpc, struct error **err)
{
    Csi__V1__NodeGetInfoRequest request = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;

    if (ctl_call(options, "/csi.v1.Node/NodeGetInfo", &request.base,
                 &csi__v1__node_get_info_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "NodeGetInfo");

    const Csi__V1__NodeGetInfoResponse *info = (const Csi__V1__NodeGetInfoResponse *)message;
    return cJSON_AddStringToObject(result, "node", info->node_id) != NULL ? 0 : no_memory(err);
}

/* The name of an enum value, or its number for one we do not know. */
static int add_enum(cJSON *array, const ProtobufCEnumDescriptor *type, int value, struct error **err)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, value);
    cJSON *item = known != NULL ? cJSON_CreateString(known->name) : cJSON_CreateNumber(value);

    if (item == NULL)
        return no_memory(err);
    cJSON_AddItemToArray(array, item);
    return 0;
}

static int add_plugin_capabilities(const struct ctl_options *options, cJSON *result, bool *ret_rpc,
                                   struct error **err)
{
    Csi__V1__GetPluginCapabilitiesRequest request = CSI__V1__GET_PLUGIN_CAPABILITIES_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cJSON *array = cJSON_AddArrayToObject(result, "plugin capabilities");

    if (array == NULL)
        return no_memory(err);
    if (ctl_call(options, "/csi.v1.Identity/GetPluginCapabilities", &request.base,
                 &csi__v1__get_plugin_capabilities_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "GetPluginCapabilities");

    const Csi__V1__GetPluginCapabilitiesResponse *answer =
        (const Csi__V1__GetPluginCapabilitiesResponse *)message;
    for (size_t i = 0; i < answer->n_capabilities; i++) {
        const Csi__V1__PluginCapability *capability = answer->capabilities[i];

        if (capability->type_case == CSI__V1__PLUGIN_CAPABILITY__TYPE_SERVICE &&
            add_enum(array, &csi__v1__plugin_capability__service__type__descriptor,
                     (int)capability->service->type, err) < 0)
            return -1;
    }
    return 0;
}

static int add_node_capabilities(const struct ctl_options *options, cJSON *result, bool *ret_rpc,
                                 struct error **err)
{
    Csi__V1__NodeGetCapabilitiesRequest request = CSI__V1__NODE_GET_CAPABILITIES_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cJSON *array = cJSON_AddArrayToObject(result, "node capabilities");

    if (array == NULL)
        return no_memory(err);
    if (ctl_call(options, "/csi.v1.Node/NodeGetCapabilities", &request.base,
                 &csi__v1__node_get_capabilities_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "NodeGetCapabilities");

    const Csi__V1__NodeGetCapabilitiesResponse *answer =
        (const Csi__V1__NodeGetCapabilitiesResponse *)message;
    for (size_t i = 0; i < answer->n_capabilities; i++) {
        const Csi__V1__NodeServiceCapability *capability = answer->capabilities[i];

        if (capability->type_case == CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC &&
            add_enum(array, &csi__v1__node_service_capability__rpc__type__descriptor,
                     (int)capability->rpc->type, err) < 0)
            return -1;
    }
    return 0;
}

static int run_info(const struct ctl_options *options, bool *ret_rpc, struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (result == NULL)
        return no_memory(err);
    if (add_plugin_info(options, result, ret_rpc, err) < 0 ||
        add_node_info(options, result, ret_rpc, err) < 0 ||
        add_plugin_capabilities(options, result, ret_rpc, err) < 0 ||
        add_node_capabilities(options, result, ret_rpc, err) < 0)
        return -1;
    *ret_rpc = false;
    return output_result(result, options->json, err);
}

static int run_probe(const struct ctl_options *options, bool *ret_rpc, struct error **err)
{
    Csi__V1__ProbeRequest request = CSI__V1__PROBE_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (result == NULL)
        return no_memory(err);
    if (ctl_call(options, "/csi.v1.Identity/Probe", &request.base, &csi__v1__probe_response__descriptor,
                 &message, ret_rpc, err) < 0)
        return error_wrap(err, "Probe");

    /* an absent `ready` means ready (CSI specification, Probe) */
    const Csi__V1__ProbeResponse *answer = (const Csi__V1__ProbeResponse *)message;
    bool ready = answer->ready == NULL || answer->ready->value;
    if (cJSON_AddBoolToObject(result, "ready", ready) == NULL)
        return no_memory(err);
    *ret_rpc = false;
    if (output_result(result, options->json, err) < 0)
        return -1;
    return ready ? 0 : error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the plugin is not ready");
}

/* --- which volume --- */

struct volume_place {
    char id[PATH_MAX];
    char target[PATH_MAX];
};

static int copy_text(char *to, size_t size, const char *from, const char *flag, struct error **err)
{
    int len = snprintf(to, size, "%s", from);

    if (len < 0 || (size_t)len >= size)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--%s is too long", flag);
    return 0;
}

/* "csi-" and the SHA-256 of the pod's uid followed by the volume's name. */
static int compute_volume_id(const struct ctl_options *options, char *id, size_t size, struct error **err)
{
    char text[1024];
    char hex[DIGEST_SHA256_HEX_LEN + 1];
    int len = snprintf(text, sizeof(text), "%s%s", options->pod_uid, options->volume);

    if (len < 0 || (size_t)len >= sizeof(text))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--pod-uid or --volume is too long");
    if (digest_sha256_hex(text, (size_t)len, hex) < 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "SHA-256 failed");
    (void)snprintf(id, size, "csi-%s", hex);
    return 0;
}

/* Fills id and target from --volume-id and --target, or else from --pod-uid, --volume and --kubelet-dir. */
static int locate_volume(const struct ctl_options *options, struct volume_place *place, struct error **err)
{
    bool named = *options->pod_uid != '\0' && *options->volume != '\0';

    if (*options->volume_id != '\0') {
        if (copy_text(place->id, sizeof(place->id), options->volume_id, "volume-id", err) < 0)
            return -1;
    } else if (named) {
        if (compute_volume_id(options, place->id, sizeof(place->id), err) < 0)
            return -1;
    } else {
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--volume-id, or --pod-uid and --volume, is required");
    }

    if (*options->target != '\0')
        return copy_text(place->target, sizeof(place->target), options->target, "target", err);
    if (!named || *options->kubelet_dir == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--target, or --kubelet-dir with --pod-uid and --volume, is required");

    int len = snprintf(place->target, sizeof(place->target), "%s/pods/%s/volumes/kubernetes.io~csi/%s/mount",
                       options->kubelet_dir, options->pod_uid, options->volume);
    if (len < 0 || (size_t)len >= sizeof(place->target))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--kubelet-dir is too long");
    return 0;
}

/* The directories above the target, as the kubelet makes them (mode 0750), below --kubelet-dir only. */
static int make_parents(const struct ctl_options *options, const char *target, struct error **err)
{
    char path[PATH_MAX];
    size_t root_len = strlen(options->kubelet_dir);

    if (*options->target != '\0')
        return 0;
    for (const char *slash = strchr(target + root_len + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(path, sizeof(path), "%.*s", (int)(slash - target), target);
        if (mkdir(path, 0750) == -1 && errno != EEXIST)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "can not create '%s'", path);
    }
    return 0;
}

/* Removes what make_parents() made, as far as it is empty; "<kubelet-dir>/pods" stays, other pods share
 * it. */
static void remove_parents(const struct ctl_options *options, const char *target)
{
    char path[PATH_MAX];
    size_t keep = strlen(options->kubelet_dir) + strlen("/pods");

    if (*options->target != '\0')
        return;
    (void)snprintf(path, sizeof(path), "%s", target);
    for (;;) {
        char *slash = strrchr(path, '/');

        if (slash == NULL || (size_t)(slash - path) <= keep)
            return;
        *slash = '\0';
        if (rmdir(path) == -1)
            return;
    }
}

/* --- publish --- */

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

/* A protobuf map of borrowed strings; `entries` and `pointers` have room for map->n. The two entry types are
 * twins in layout but not for the compiler, hence two functions. */
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

static int send_publish(const struct ctl_options *options, const struct volume_place *place,
                        const struct string_map *context, const struct string_map *secrets, bool *ret_rpc,
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
        return no_memory(err);
    fill_context(context, context_entries, context_pointers);
    fill_secrets(secrets, secret_entries, secret_pointers);

    mount.volume_mount_group = borrowed(options->fs_group);
    mode.mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_WRITER;
    capability.access_mode = &mode;
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    request.volume_id = borrowed(place->id);
    request.target_path = borrowed(place->target);
    request.volume_capability = &capability;
    request.readonly = options->readonly;
    request.volume_context = context_pointers;
    request.n_volume_context = context->n;
    request.secrets = secret_pointers;
    request.n_secrets = secrets->n;
    return ctl_call(options, "/csi.v1.Node/NodePublishVolume", &request.base,
                    &csi__v1__node_publish_volume_response__descriptor, &message, ret_rpc, err);
}

static int print_volume(const struct ctl_options *options, const struct volume_place *place, const char *verb,
                        struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (cJSON_AddStringToObject(result, verb, place->target) == NULL ||
        cJSON_AddStringToObject(result, "volume id", place->id) == NULL)
        return no_memory(err);
    return output_result(result, options->json, err);
}

static int run_publish(const struct ctl_options *options, bool *ret_rpc, struct error **err)
{
    cleanup_string_map struct string_map context = {0};
    cleanup_string_map struct string_map secrets = {0};
    cleanup_secret_free char *tokens = NULL;
    struct volume_place place = {0};
    bool given = false;

    if (locate_volume(options, &place, err) < 0 || input_tokens(&options->token_files, &tokens, err) < 0 ||
        build_context(options, tokens, &context, err) < 0 ||
        input_secrets(options, &secrets, &given, err) < 0)
        return -1;
    if (tokens != NULL && options->tokens_in_secrets &&
        string_map_set(&secrets, POD_KEY("serviceAccount.tokens"), tokens, err) < 0)
        return -1;
    if (make_parents(options, place.target, err) < 0)
        return -1;
    if (send_publish(options, &place, &context, &secrets, ret_rpc, err) < 0)
        return error_wrap(err, "NodePublishVolume");
    *ret_rpc = false;
    return print_volume(options, &place, "published", err);
}

/* --- unpublish and stats --- */

static int run_unpublish(const struct ctl_options *options, bool *ret_rpc, struct error **err)
{
    Csi__V1__NodeUnpublishVolumeRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    struct volume_place place = {0};

    csi__v1__node_unpublish_volume_request__init(&request);
    if (locate_volume(options, &place, err) < 0)
        return -1;
    request.volume_id = place.id;
    request.target_path = place.target;
    if (ctl_call(options, "/csi.v1.Node/NodeUnpublishVolume", &request.base,
                 &csi__v1__node_unpublish_volume_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "NodeUnpublishVolume");
    *ret_rpc = false;
    remove_parents(options, place.target);
    return print_volume(options, &place, "unpublished", err);
}

static int add_usage(cJSON *array, const Csi__V1__VolumeUsage *usage, struct error **err)
{
    cJSON *row = cJSON_CreateObject();
    const ProtobufCEnumValue *unit =
        protobuf_c_enum_descriptor_get_value(&csi__v1__volume_usage__unit__descriptor, (int)usage->unit);

    if (row == NULL)
        return no_memory(err);
    cJSON_AddItemToArray(array, row);
    if (cJSON_AddStringToObject(row, "unit", unit != NULL ? unit->name : "UNKNOWN") == NULL ||
        cJSON_AddNumberToObject(row, "total", (double)usage->total) == NULL ||
        cJSON_AddNumberToObject(row, "used", (double)usage->used) == NULL ||
        cJSON_AddNumberToObject(row, "available", (double)usage->available) == NULL)
        return no_memory(err);
    return 0;
}

static int run_stats(const struct ctl_options *options, bool *ret_rpc, struct error **err)
{
    Csi__V1__NodeGetVolumeStatsRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();
    cJSON *array = cJSON_AddArrayToObject(result, "unit, total, used, available");
    struct volume_place place = {0};

    csi__v1__node_get_volume_stats_request__init(&request);
    if (array == NULL)
        return no_memory(err);
    if (locate_volume(options, &place, err) < 0)
        return -1;
    request.volume_id = place.id;
    request.volume_path = place.target;
    if (ctl_call(options, "/csi.v1.Node/NodeGetVolumeStats", &request.base,
                 &csi__v1__node_get_volume_stats_response__descriptor, &message, ret_rpc, err) < 0)
        return error_wrap(err, "NodeGetVolumeStats");

    const Csi__V1__NodeGetVolumeStatsResponse *answer = (const Csi__V1__NodeGetVolumeStatsResponse *)message;
    for (size_t i = 0; i < answer->n_usage; i++)
        if (add_usage(array, answer->usage[i], err) < 0)
            return -1;
    *ret_rpc = false;
    return output_result(result, options->json, err);
}

/* --- tables --- */

#define VOLUME_ROWS                                                                                          \
    CTL_STRING_ROW("volume-id", volume_id, NULL,                                                             \
                   "volume `id`; default: computed from --pod-uid and --volume"),                            \
        CTL_STRING_ROW("volume", volume, "secrets-store", "`name` of the volume in the pod"),                \
        CTL_STRING_ROW("pod-uid", pod_uid, NULL, "`uid` of the pod"),                                        \
        CTL_STRING_ROW("target", target, NULL,                                                               \
                       "target `path`; default: computed from --kubelet-dir, --pod-uid and --volume"),       \
        CTL_STRING_ROW("kubelet-dir", kubelet_dir, "/var/lib/kubelet", "the kubelet's root `directory`")

static const struct option_row plain_rows[] = {CTL_COMMON_ROWS};
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
     .help = "what the pod asked for"},
    CTL_STRING_ROW("fs-group", fs_group, NULL, "the pod's fsGroup, a numeric `gid`"),
};

const struct ctl_command ctl_csi_commands[] = {
    {"info", "who the plugin is and what it can do", plain_rows, ARRAY_SIZE(plain_rows), run_info},
    {"probe", "whether the plugin is ready", plain_rows, ARRAY_SIZE(plain_rows), run_probe},
    {"publish", "publish a volume", publish_rows, ARRAY_SIZE(publish_rows), run_publish},
    {"unpublish", "unpublish a volume", volume_rows, ARRAY_SIZE(volume_rows), run_unpublish},
    {"stats", "bytes and inodes of a published volume", volume_rows, ARRAY_SIZE(volume_rows), run_stats},
};
const size_t ctl_n_csi_commands = ARRAY_SIZE(ctl_csi_commands);
