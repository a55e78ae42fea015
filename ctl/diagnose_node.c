/*
 * diagnose_node.c - the links of the chain that are on the node.
 */
#include "ctl/diagnose_node.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/mount_request.h"
#include "ctl/node.h"
#include "ctl/volume_ref.h"
#include "proto/csi.pb-c.h"
#include "proto/pluginregistration.pb-c.h"
#include "proto/provider.pb-c.h"

static struct ctl_options at_endpoint(const struct ctl_options *options, const char *endpoint)
{
    struct ctl_options copy = *options;

    copy.endpoint = endpoint;
    return copy;
}

/* --- driver --- */

static int find_driver(const struct ctl_options *options, char ret_endpoint[PATH_MAX], struct error **err)
{
    if (*options->endpoint == '\0')
        return node_find_driver(options, ret_endpoint, err);
    (void)snprintf(ret_endpoint, PATH_MAX, "%s", options->endpoint);
    return 0;
}

static bool compare_node(struct checks *checks, const Csi__V1__NodeGetInfoResponse *info, const char *node)
{
    if (*node != '\0' && strcmp(info->node_id, node) != 0) {
        checks_skipped(checks, "driver", "this is node %s and the pod is on node %s: run diagnose there",
                       info->node_id, node);
        return false;
    }
    checks_ok(checks, "driver", "the driver of node %s responds", info->node_id);
    return true;
}

bool diagnose_driver(struct checks *checks, const struct ctl_options *options, const char *node,
                     char ret_endpoint[PATH_MAX])
{
    Csi__V1__NodeGetInfoRequest request = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_error struct error *error = NULL;

    if (find_driver(options, ret_endpoint, &error) < 0) {
        *ret_endpoint = '\0';
        if (node_is_here(options))
            checks_wrong(
                checks, "driver", "secrets-store-ctl-diagnose",
                "check that the DaemonSet's pod runs on this node, or name its socket with --endpoint",
                "no driver on this node: %s", error_message(error));
        else
            checks_skipped(
                checks, "driver",
                "there is no kubelet here (--kubelet-dir, --host-root): run diagnose on the pod's node%s%s",
                *node != '\0' ? " " : "", node);
        return node_is_here(options);
    }

    const struct ctl_options driver = at_endpoint(options, ret_endpoint);
    if (call_send(&driver, "/csi.v1.Node/NodeGetInfo", &request.base,
                  &csi__v1__node_get_info_response__descriptor, &message, &error) < 0) {
        checks_wrong(checks, "driver", "secrets-store-ctl-diagnose",
                     "kubectl logs of the driver's pod on this node", "the driver is not responding: %s",
                     error_message(error));
        *ret_endpoint = '\0';
        return true;
    }
    return compare_node(checks, (const Csi__V1__NodeGetInfoResponse *)message, node);
}

/* The kubelet's directory of plugins, or with a driver's name its socket in there. */
static int registration_path(const struct ctl_options *options, const char *driver, char ret_path[PATH_MAX])
{
    char inside[PATH_MAX];
    int len = snprintf(inside, sizeof(inside), "%s/plugins_registry%s%s%s", options->kubelet_dir,
                       *driver != '\0' ? "/" : "", driver, *driver != '\0' ? "-reg.sock" : "");

    return len < 0 || (size_t)len >= sizeof(inside) ? -1
                                                    : node_path(options, inside, ret_path, /* err= */ NULL);
}

void diagnose_registration_socket(struct checks *checks, const struct ctl_options *options)
{
    Pluginregistration__InfoRequest request = PLUGINREGISTRATION__INFO_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_error struct error *error = NULL;
    char directory[PATH_MAX];
    char path[PATH_MAX];

    if (registration_path(options, "", directory) < 0 ||
        registration_path(options, options->driver_name, path) < 0) {
        checks_skipped(checks, "registered", "--kubelet-dir is too long");
        return;
    }
    if (access(directory, F_OK) < 0) {
        checks_skipped(checks, "registered", "no kubelet registers drivers here: %s", directory);
        return;
    }

    const struct ctl_options registration = at_endpoint(options, path);
    if (call_send(&registration, "/pluginregistration.Registration/GetInfo", &request.base,
                  &pluginregistration__plugin_info__descriptor, &message, &error) < 0) {
        checks_wrong(checks, "registered", "kubernetes",
                     "check that the DaemonSet's pod runs on this node (taints, node selector)",
                     "driver name %s not found in the list of registered CSI drivers", options->driver_name);
        return;
    }

    const Pluginregistration__PluginInfo *info = (const Pluginregistration__PluginInfo *)message;
    checks_ok(checks, "registered", "the kubelet finds %s, at %s", info->name, info->endpoint);
}

/* --- provider --- */

bool diagnose_provider(struct checks *checks, const struct ctl_options *options, const char *provider,
                       char ret_endpoint[PATH_MAX])
{
    V1alpha1__VersionRequest request;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_error struct error *error = NULL;

    if (node_find_provider(options, provider, ret_endpoint, &error) < 0) {
        checks_wrong(checks, "provider", "the-provider", "check that its DaemonSet runs here",
                     "provider not found: provider \"%s\": %s", provider, error_message(error));
        return false;
    }

    const struct ctl_options there = at_endpoint(options, ret_endpoint);
    v1alpha1__version_request__init(&request);
    request.version = call_text("v1alpha1");
    if (call_send(&there, "/v1alpha1.CSIDriverProvider/Version", &request.base,
                  &v1alpha1__version_response__descriptor, &message, &error) < 0) {
        checks_wrong(checks, "provider", "the-provider", "the provider's log",
                     "provider \"%s\" is not responding: %s", provider, error_message(error));
        return false;
    }

    const V1alpha1__VersionResponse *response = (const V1alpha1__VersionResponse *)message;
    checks_ok(checks, "provider", "%s %s responds", response->runtime_name, response->runtime_version);
    return true;
}

void diagnose_fetch(struct checks *checks, const struct ctl_options *options, const char *endpoint,
                    struct string_map *parameters, const struct string_map *secrets)
{
    struct ctl_options provider = at_endpoint(options, endpoint);
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_error struct error *error = NULL;
    char target[PATH_MAX];

    (void)snprintf(target, sizeof(target), "%s/pods/none/mount", options->kubelet_dir);
    provider.target = target; /* of no pod: the provider of Azure writes nothing there */
    provider.permission = "0644";
    if (mount_request_add_pod(options, parameters, &error) < 0 ||
        mount_request_send(&provider, parameters, secrets, &message, &error) < 0) {
        const char *check = checks_name_of_mount_error(error_message(error));

        if (strcmp(check, "vault") == 0)
            checks_ok(checks, "token", "the provider got one");
        checks_reported(checks, check, error_message(error));
        return;
    }

    const V1alpha1__MountResponse *response = (const V1alpha1__MountResponse *)message;
    checks_ok(checks, "token", "the provider got one");
    checks_ok(checks, "vault", "objects: %zu, files: %zu", response->n_object_version, response->n_files);
}

/* --- volume --- */

/* A mount is on another device than the directory above it. */
static bool is_mount(const char *path)
{
    char above[PATH_MAX + 3];
    struct stat here;
    struct stat parent;

    (void)snprintf(above, sizeof(above), "%s/..", path);
    return stat(path, &here) == 0 && stat(above, &parent) == 0 && here.st_dev != parent.st_dev;
}

void diagnose_volume(struct checks *checks, const struct ctl_options *options, const char *endpoint)
{
    const struct ctl_options driver = at_endpoint(options, endpoint);
    Csi__V1__NodeGetVolumeStatsRequest request = CSI__V1__NODE_GET_VOLUME_STATS_REQUEST__INIT;
    cleanup_response ProtobufCMessage *message = NULL;
    cleanup_error struct error *error = NULL;
    struct volume_ref volume = {0};
    char seen[PATH_MAX];

    if (volume_ref_resolve(&volume, options, &error) < 0 ||
        node_path(options, volume.target, seen, &error) < 0) {
        checks_skipped(checks, "volume", "%s", error_message(error));
        return;
    }
    request.volume_id = volume.id;
    request.volume_path = volume.target;
    if (call_send(&driver, "/csi.v1.Node/NodeGetVolumeStats", &request.base,
                  &csi__v1__node_get_volume_stats_response__descriptor, &message, &error) < 0) {
        checks_wrong(
            checks, "volume", "secrets-store-ctl-diagnose",
            "the first link that is wrong above is the cause; without one wait for the kubelet's next call",
            "volume %s is not mounted: %s", options->volume, error_message(error));
        return;
    }
    if (is_mount(seen))
        checks_ok(checks, "volume", "%s is mounted", options->volume);
    else if (*options->host_root !=
             '\0') /* mounts made after a debugging container started do not reach it */
        checks_ok(checks, "volume", "%s is mounted, the driver says", options->volume);
    else
        checks_wrong(
            checks, "volume", "start-and-health", "mountPropagation: Bidirectional",
            "mounts do not reach the pods, which see empty volumes: the kubelet's directory of pods is not on a shared mount");
}
