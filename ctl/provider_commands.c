/*
 * provider_commands.c - the commands version, mount and health: calls to a provider.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "common/base/utf8.h"
#include "ctl/call.h"
#include "ctl/command.h"
#include "ctl/input.h"
#include "ctl/mount_request.h"
#include "ctl/output.h"
#include "ctl/response_files.h"
#include "proto/health.pb-c.h"
#include "proto/provider.pb-c.h"

static int run_version(const struct ctl_options *options, struct error **err)
{
    V1alpha1__VersionRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();

    v1alpha1__version_request__init(&request);
    request.version = call_text("v1alpha1");
    if (call_send(options, "/v1alpha1.CSIDriverProvider/Version", &request.base,
                  &v1alpha1__version_response__descriptor, &message, err) < 0)
        return -1;

    const V1alpha1__VersionResponse *response = (const V1alpha1__VersionResponse *)message;
    if (cJSON_AddStringToObject(result, "name", response->runtime_name) == NULL ||
        cJSON_AddStringToObject(result, "version", response->runtime_version) == NULL ||
        cJSON_AddStringToObject(result, "protocol", response->version) == NULL)
        return error_no_memory(err, NULL);
    return output_result(result, options->json, err);
}

static int run_health(const struct ctl_options *options, struct error **err)
{
    Grpc__Health__V1__HealthCheckRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();

    grpc__health__v1__health_check_request__init(&request);
    request.service = call_text(options->service);
    if (call_send(options, "/grpc.health.v1.Health/Check", &request.base,
                  &grpc__health__v1__health_check_response__descriptor, &message, err) < 0)
        return -1;

    const Grpc__Health__V1__HealthCheckResponse *response =
        (const Grpc__Health__V1__HealthCheckResponse *)message;
    const ProtobufCEnumValue *status = protobuf_c_enum_descriptor_get_value(
        &grpc__health__v1__health_check_response__serving_status__descriptor, (int)response->status);
    if (cJSON_AddStringToObject(result, "status", status != NULL ? status->name : "UNKNOWN") == NULL)
        return error_no_memory(err, NULL);
    if (output_result(result, options->json, err) < 0)
        return -1;
    if (response->status != GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "the service is not serving");
    return 0;
}

static int build_attributes(const struct ctl_options *options, struct string_map *attributes,
                            struct error **err)
{
    if (*options->class_name != '\0' &&
        input_class(options->class_name, attributes, /* ret_provider= */ NULL, err) < 0)
        return -1;
    return mount_request_add_pod(options, attributes, err);
}

static bool is_text(const ProtobufCBinaryData *bytes)
{
    return utf8_valid((const char *)bytes->data, bytes->len) &&
           (bytes->len == 0 || memchr(bytes->data, '\0', bytes->len) == NULL);
}

/* Text as it is, anything else in hexadecimal. */
static int add_contents(cJSON *row, const ProtobufCBinaryData *bytes, struct error **err)
{
    static const char digits[] = "0123456789abcdef";
    bool text = is_text(bytes);
    size_t len = text ? bytes->len : 2 * bytes->len;
    cleanup_secret_free char *copy = secret_calloc(1, len + 1);

    if (copy == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < bytes->len; i++) {
        if (text) {
            copy[i] = (char)bytes->data[i];
        } else {
            copy[2 * i] = digits[bytes->data[i] >> 4];
            copy[2 * i + 1] = digits[bytes->data[i] & 0x0f];
        }
    }
    return cJSON_AddStringToObject(row, text ? OUTPUT_CONTENTS : "contents_hex", copy) != NULL
               ? 0
               : error_no_memory(err, NULL);
}

static int add_file(cJSON *files, const V1alpha1__File *file, bool contents, struct error **err)
{
    cJSON *row = cJSON_CreateObject();
    char mode[10];

    if (row == NULL)
        return error_no_memory(err, NULL);
    cJSON_AddItemToArray(files, row);
    output_mode((unsigned)file->mode, mode);
    if (cJSON_AddStringToObject(row, "mode", mode) == NULL ||
        cJSON_AddNumberToObject(row, "bytes", (double)file->contents.len) == NULL ||
        cJSON_AddStringToObject(row, "path", file->path) == NULL)
        return error_no_memory(err, NULL);
    return contents ? add_contents(row, &file->contents, err) : 0;
}

/* Only where there are any: most responses have none. */
static int add_warnings(cJSON *result, const V1alpha1__MountResponse *response)
{
    cJSON *warnings = response->n_warnings > 0 ? cJSON_AddArrayToObject(result, "warnings") : NULL;

    for (size_t i = 0; i < response->n_warnings; i++) {
        cJSON *text = warnings != NULL ? cJSON_CreateString(response->warnings[i]) : NULL;
        if (text == NULL)
            return -1;
        cJSON_AddItemToArray(warnings, text);
    }
    return 0;
}

static int print_mount(const struct ctl_options *options, const V1alpha1__MountResponse *response,
                       struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();
    cJSON *files = cJSON_AddArrayToObject(result, "files");
    cJSON *versions = cJSON_AddObjectToObject(result, "versions");

    if (files == NULL || versions == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < response->n_files; i++)
        if (add_file(files, response->files[i], options->show_contents, err) < 0)
            return -1;
    for (size_t i = 0; i < response->n_object_version; i++) {
        const V1alpha1__ObjectVersion *version = response->object_version[i];

        if (cJSON_AddStringToObject(versions, version->id, version->version) == NULL)
            return error_no_memory(err, NULL);
    }
    if (add_warnings(result, response) < 0)
        return error_no_memory(err, NULL);
    return output_result(result, options->json, err);
}

static int run_mount(const struct ctl_options *options, struct error **err)
{
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_string_map struct string_map attributes = {0};
    cleanup_string_map struct string_map secrets = {0};
    bool given = false;

    if (build_attributes(options, &attributes, err) < 0 ||
        input_secrets(options, &secrets, &given, err) < 0 ||
        mount_request_send(options, &attributes, given ? &secrets : NULL, &message, err) < 0)
        return -1;

    const V1alpha1__MountResponse *response = (const V1alpha1__MountResponse *)message;
    if (*options->out != '\0' && response_files_write(options->out, response, err) < 0)
        return -1;
    return print_mount(options, response, err);
}

static const struct option_row plain_rows[] = {CTL_COMMON_ROWS};
static const struct option_row health_rows[] = {
    CTL_COMMON_ROWS,
    CTL_STRING_ROW("service", service, NULL, "full `name` of a service; default: the server as a whole"),
};
static const struct option_row mount_rows[] = {
    CTL_COMMON_ROWS,
    CTL_STRING_ROW("class", class_name, NULL,
                   "`file` with a SecretProviderClass; its parameters become attributes"),
    CTL_REPEATED_ROW("attribute", "further attribute `key=value`; may be repeated"),
    CTL_STRING_ROW("secrets-dir", secrets_dir, NULL,
                   "`directory` with one file per nodePublishSecretRef key"),
    CTL_REPEATED_ROW("secret-file", "nodePublishSecretRef entry `key=path`; may be repeated"),
    CTL_REPEATED_ROW("token-file", "service account token `audience=path`; may be repeated"),
    CTL_STRING_ROW("pod", pod, "secrets-store-ctl", "`name` of the pod"),
    CTL_STRING_ROW("pod-uid", pod_uid, "00000000-0000-0000-0000-000000000000", "`uid` of the pod"),
    CTL_STRING_ROW("namespace", pod_namespace, "default", "`namespace` of the pod"),
    CTL_STRING_ROW("service-account", service_account, "default", "`name` of the pod's service account"),
    CTL_STRING_ROW("target", target, "/var/lib/kubelet/pods/none/mount",
                   "target `path` sent to the provider"),
    CTL_STRING_ROW("permission", permission, "0644", "default file `mode`, octal"),
    {.name = "show-contents",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, show_contents),
     .help = "also print the contents of the files"},
    CTL_STRING_ROW("out", out, NULL, "write the files below this `directory`, mode 0600"),
};

const struct ctl_command ctl_command_version = {"version", "name, version and protocol of the provider",
                                                plain_rows, ARRAY_SIZE(plain_rows), run_version};
const struct ctl_command ctl_command_mount = {"mount", "fetch the files of a volume", mount_rows,
                                              ARRAY_SIZE(mount_rows), run_mount};
const struct ctl_command ctl_command_health = {"health", "gRPC health check", health_rows,
                                               ARRAY_SIZE(health_rows), run_health};
