/*
 * mount_request.c - Mount of a provider, as the driver calls it.
 */
#include "ctl/mount_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/secret.h"
#include "ctl/input.h"
#include "proto/provider.pb-c.h"

/* "0644" (octal, as people write it) to "420" (decimal, as the protocol wants it). */
static int convert_permission(const char *octal, char *decimal, size_t size, struct error **err)
{
    char *end = NULL;

    errno = 0;
    unsigned long mode = strtoul(octal, &end, 8);
    if (*octal == '\0' || *octal == '-' || *end != '\0' || errno != 0 || mode > 0777)
        return error_unusable_input(err, "--permission '%s' is not an octal mode up to 0777", octal);
    (void)snprintf(decimal, size, "%lu", mode);
    return 0;
}

int mount_request_add_pod(const struct ctl_options *options, struct string_map *attributes,
                          struct error **err)
{
    cleanup_secret_free char *tokens = NULL;
    const struct {
        const char *key;
        const char *value;
    } pod_keys[] = {
        {"csi.storage.k8s.io/pod.name", options->pod},
        {"csi.storage.k8s.io/pod.namespace", options->pod_namespace},
        {"csi.storage.k8s.io/pod.uid", options->pod_uid},
        {"csi.storage.k8s.io/serviceAccount.name", options->service_account},
        {"csi.storage.k8s.io/ephemeral", "true"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(pod_keys); i++)
        if (string_map_set(attributes, pod_keys[i].key, pod_keys[i].value, err) < 0)
            return -1;
    if (input_attributes(&options->attributes, "attribute", attributes, err) < 0 ||
        input_tokens(&options->token_files, &tokens, err) < 0)
        return -1;
    if (tokens != NULL)
        return string_map_set(attributes, "csi.storage.k8s.io/serviceAccount.tokens", tokens, err);
    return 0;
}

int mount_request_send(const struct ctl_options *options, const struct string_map *attributes,
                       const struct string_map *secrets, ProtobufCMessage **ret_response, struct error **err)
{
    V1alpha1__MountRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_secret_free char *attributes_json = NULL;
    cleanup_secret_free char *secrets_json = NULL;
    char permission[16];

    if (convert_permission(options->permission, permission, sizeof(permission), err) < 0)
        return -1;
    attributes_json = string_map_to_json(attributes, err);
    if (attributes_json == NULL)
        return -1;
    if (secrets != NULL) {
        secrets_json = string_map_to_json(secrets, err);
        if (secrets_json == NULL)
            return -1;
    }

    v1alpha1__mount_request__init(&request);
    request.attributes = attributes_json;
    request.secrets = secrets_json != NULL ? secrets_json : call_text("null");
    request.target_path = call_text(options->target);
    request.permission = permission;
    if (call_send(options, "/v1alpha1.CSIDriverProvider/Mount", &request.base,
                  &v1alpha1__mount_response__descriptor, &message, err) < 0)
        return -1;

    const V1alpha1__MountResponse *response = (const V1alpha1__MountResponse *)message;
    if (response->error != NULL && *response->error->code != '\0') {
        (void)error_set(err, GRPC_STATUS_UNKNOWN, "the provider returned error code '%s'",
                        response->error->code);
        return error_set_type(err, CALL_FAILED);
    }
    *ret_response = steal_ptr(&message);
    return 0;
}
