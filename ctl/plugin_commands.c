/*
 * plugin_commands.c - the commands info and probe: CSI calls about a node plugin as a whole.
 */
#include "common/base/json.h"
#include "ctl/call.h"
#include "ctl/command.h"
#include "ctl/output.h"
#include "proto/csi.pb-c.h"

static int add_plugin_info(const struct ctl_options *options, cJSON *result, struct error **err)
{
    Csi__V1__GetPluginInfoRequest request = CSI__V1__GET_PLUGIN_INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;

    if (call_send(options, "/csi.v1.Identity/GetPluginInfo", &request.base,
                  &csi__v1__get_plugin_info_response__descriptor, &message, err) < 0)
        return -1;

    const Csi__V1__GetPluginInfoResponse *info = (const Csi__V1__GetPluginInfoResponse *)message;
    if (cJSON_AddStringToObject(result, "name", info->name) == NULL ||
        cJSON_AddStringToObject(result, "version", info->vendor_version) == NULL)
        return error_no_memory(err, NULL);
    return 0;
}

static int add_node_info(const struct ctl_options *options, cJSON *result, struct error **err)
{
    Csi__V1__NodeGetInfoRequest request = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;

    if (call_send(options, "/csi.v1.Node/NodeGetInfo", &request.base,
                  &csi__v1__node_get_info_response__descriptor, &message, err) < 0)
        return -1;

    const Csi__V1__NodeGetInfoResponse *info = (const Csi__V1__NodeGetInfoResponse *)message;
    return cJSON_AddStringToObject(result, "node", info->node_id) != NULL ? 0 : error_no_memory(err, NULL);
}

/* Adds the name of an enum value, or the number of an unknown one. */
static int add_enum(cJSON *array, const ProtobufCEnumDescriptor *type, int value, struct error **err)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, value);
    cJSON *item = known != NULL ? cJSON_CreateString(known->name) : cJSON_CreateNumber(value);

    if (item == NULL)
        return error_no_memory(err, NULL);
    cJSON_AddItemToArray(array, item);
    return 0;
}

static int add_plugin_capabilities(const struct ctl_options *options, cJSON *result, struct error **err)
{
    Csi__V1__GetPluginCapabilitiesRequest request = CSI__V1__GET_PLUGIN_CAPABILITIES_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cJSON *array = cJSON_AddArrayToObject(result, "plugin capabilities");

    if (array == NULL)
        return error_no_memory(err, NULL);
    if (call_send(options, "/csi.v1.Identity/GetPluginCapabilities", &request.base,
                  &csi__v1__get_plugin_capabilities_response__descriptor, &message, err) < 0)
        return -1;

    const Csi__V1__GetPluginCapabilitiesResponse *response =
        (const Csi__V1__GetPluginCapabilitiesResponse *)message;
    for (size_t i = 0; i < response->n_capabilities; i++) {
        const Csi__V1__PluginCapability *capability = response->capabilities[i];

        if (capability->type_case == CSI__V1__PLUGIN_CAPABILITY__TYPE_SERVICE &&
            add_enum(array, &csi__v1__plugin_capability__service__type__descriptor,
                     (int)capability->service->type, err) < 0)
            return -1;
    }
    return 0;
}

static int add_node_capabilities(const struct ctl_options *options, cJSON *result, struct error **err)
{
    Csi__V1__NodeGetCapabilitiesRequest request = CSI__V1__NODE_GET_CAPABILITIES_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cJSON *array = cJSON_AddArrayToObject(result, "node capabilities");

    if (array == NULL)
        return error_no_memory(err, NULL);
    if (call_send(options, "/csi.v1.Node/NodeGetCapabilities", &request.base,
                  &csi__v1__node_get_capabilities_response__descriptor, &message, err) < 0)
        return -1;

    const Csi__V1__NodeGetCapabilitiesResponse *response =
        (const Csi__V1__NodeGetCapabilitiesResponse *)message;
    for (size_t i = 0; i < response->n_capabilities; i++) {
        const Csi__V1__NodeServiceCapability *capability = response->capabilities[i];

        if (capability->type_case == CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC &&
            add_enum(array, &csi__v1__node_service_capability__rpc__type__descriptor,
                     (int)capability->rpc->type, err) < 0)
            return -1;
    }
    return 0;
}

static int run_info(const struct ctl_options *options, struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (result == NULL)
        return error_no_memory(err, NULL);
    if (add_plugin_info(options, result, err) < 0 || add_node_info(options, result, err) < 0 ||
        add_plugin_capabilities(options, result, err) < 0 || add_node_capabilities(options, result, err) < 0)
        return -1;
    return output_result(result, options->json, err);
}

static int run_probe(const struct ctl_options *options, struct error **err)
{
    Csi__V1__ProbeRequest request = CSI__V1__PROBE_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (result == NULL)
        return error_no_memory(err, NULL);
    if (call_send(options, "/csi.v1.Identity/Probe", &request.base, &csi__v1__probe_response__descriptor,
                  &message, err) < 0)
        return -1;

    /* an absent `ready` means ready (CSI specification, Probe) */
    const Csi__V1__ProbeResponse *response = (const Csi__V1__ProbeResponse *)message;
    bool ready = response->ready == NULL || response->ready->value;
    if (cJSON_AddBoolToObject(result, "ready", ready) == NULL)
        return error_no_memory(err, NULL);
    if (output_result(result, options->json, err) < 0)
        return -1;
    return ready ? 0 : error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the plugin is not ready");
}

static const struct option_row rows[] = {CTL_COMMON_ROWS};

const struct ctl_command ctl_command_info = {"info", "name, version, node and capabilities of the plugin",
                                             rows, ARRAY_SIZE(rows), run_info};
const struct ctl_command ctl_command_probe = {"probe", "whether the plugin is ready", rows, ARRAY_SIZE(rows),
                                              run_probe};
