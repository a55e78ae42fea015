/*
 * csi_identity.c - csi.v1.Identity.
 */
#include "driver/csi/csi_identity.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/process/lifecycle.h"
#include "driver/base/health.h"
#include "proto/csi.pb-c.h"

bool csi_identity_name_valid(const char *name)
{
    static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(name);

    return len > 0 && len <= CSI_IDENTITY_NAME_MAX && strspn(name, alphanumeric) > 0 &&
           strchr(alphanumeric, name[len - 1]) != NULL &&
           strspn(name, "-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == len;
}

static void get_plugin_info(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_identity *identity = arg;
    Csi__V1__GetPluginInfoResponse response = CSI__V1__GET_PLUGIN_INFO_RESPONSE__INIT;

    (void)request;
    response.name = (char *)(uintptr_t)identity->driver_name; /* packed, not changed */
    response.vendor_version = (char *)(uintptr_t)build_version();
    grpc_call_reply(call, &response.base);
}

static void get_plugin_capabilities(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    Csi__V1__GetPluginCapabilitiesResponse response = CSI__V1__GET_PLUGIN_CAPABILITIES_RESPONSE__INIT;

    (void)request;
    (void)arg;
    grpc_call_reply(call, &response.base);
}

/* --- Probe --- */

struct probe {
    struct grpc_call *call;
    struct health_check *check;
};

static void probe_checked(const struct error *error, void *arg)
{
    struct probe *probe = arg;
    Csi__V1__ProbeResponse response = CSI__V1__PROBE_RESPONSE__INIT;
    Csi__V1__BoolValue ready = CSI__V1__BOOL_VALUE__INIT;
    cleanup_error struct error *failure = NULL;

    if (error == NULL) {
        ready.value = 1;
        response.ready = &ready;
        grpc_call_reply(probe->call, &response.base);
    } else {
        (void)error_set(&failure, GRPC_STATUS_FAILED_PRECONDITION, "not healthy: %s", error_message(error));
        grpc_call_fail(probe->call, failure);
    }
    free(probe);
}

static void probe_cancelled(struct grpc_call *call, void *arg)
{
    struct probe *probe = arg;
    cleanup_error struct error *error = NULL;

    health_check_cancel(&probe->check);
    (void)error_set(&error, grpc_call_cancel_reason(call), "cancelled");
    grpc_call_fail(call, error);
    free(probe);
}

static void probe_handler(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct csi_identity *identity = arg;
    cleanup_free struct probe *probe = calloc(1, sizeof(*probe));
    cleanup_error struct error *error = NULL;

    (void)request;
    if (probe == NULL)
        (void)error_no_memory(&error, NULL);
    else
        probe->check = health_check_start(identity->loop, probe_checked, probe, &error);
    if (probe == NULL || probe->check == NULL) {
        grpc_call_fail(call, error);
        return;
    }
    probe->call = call;
    grpc_call_on_cancel(call, probe_cancelled, probe);
    (void)steal_ptr(&probe);
}

void csi_identity_add(struct grpc_server *server, struct csi_identity *identity, struct grpc_service *storage)
{
    static const struct grpc_method methods[] = {
        {"GetPluginInfo", &csi__v1__get_plugin_info_request__descriptor, get_plugin_info},
        {"GetPluginCapabilities", &csi__v1__get_plugin_capabilities_request__descriptor,
         get_plugin_capabilities},
        {"Probe", &csi__v1__probe_request__descriptor, probe_handler},
    };

    *storage = (struct grpc_service){
        .name = "csi.v1.Identity", .methods = methods, .n_methods = ARRAY_SIZE(methods), .arg = identity};
    grpc_server_add_service(server, storage);
}
