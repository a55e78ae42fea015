/*
 * diagnose_objects.c - what objects of the Kubernetes API say about the chain between a vault and a pod.
 */
#include "ctl/diagnose_objects.h"

#include <string.h>

#include "ctl/object.h"

static bool is_unset(const char *text)
{
    return *text == '\0';
}

/* --- the pod --- */

static void check_volume(struct checks *checks, const cJSON *volume, const struct pod_volume *found)
{
    if (is_unset(found->class_name))
        checks_wrong(checks, "pod", "the-class", "volumeAttributes: {secretProviderClass: NAME}",
                     "secretProviderClass is not set in the volume attributes");
    if (!object_true(volume, "csi/readOnly"))
        checks_wrong(checks, "pod", "the-class", "readOnly: true in the volume",
                     "readOnly is not true in the volume: secrets can only be mounted read-only");
}

size_t diagnose_pod(struct checks *checks, const cJSON *pod, const char *driver_name, const char *only,
                    struct pod_volume ret[DIAGNOSE_VOLUMES_MAX])
{
    const cJSON *volumes = object_at(pod, "spec/volumes");
    const char *node = object_text(pod, "spec/nodeName");
    const cJSON *volume;
    size_t n = 0;
    size_t n_wrong = checks->n_wrong;

    cJSON_ArrayForEach(volume, volumes)
    {
        if (strcmp(object_text(volume, "csi/driver"), driver_name) != 0 ||
            (!is_unset(only) && strcmp(object_text(volume, "name"), only) != 0) || n == DIAGNOSE_VOLUMES_MAX)
            continue;
        ret[n] =
            (struct pod_volume){.name = object_text(volume, "name"),
                                .class_name = object_text(volume, "csi/volumeAttributes/secretProviderClass"),
                                .secret_name = object_text(volume, "csi/nodePublishSecretRef/name")};
        check_volume(checks, volume, &ret[n++]);
    }
    if (n == 0)
        checks_wrong(checks, "pod", "secrets-store-ctl-diagnose",
                     "a csi volume with the driver and a class, as in manifests/examples",
                     "the pod has no volume of the driver %s", driver_name);
    if (is_unset(node))
        checks_wrong(checks, "pod", "secrets-store-ctl-diagnose",
                     "kubectl describe pod: the event FailedScheduling has the reason",
                     "the pod is on no node yet");
    if (checks->n_wrong == n_wrong)
        checks_ok(checks, "pod", "%s, on node %s, volumes: %zu",
                  is_unset(object_text(pod, "status/phase")) ? "Unknown" : object_text(pod, "status/phase"),
                  node, n);
    return n;
}

/* --- the registration --- */

void diagnose_csi_driver(struct checks *checks, const cJSON *csi_driver, const char *driver_name)
{
    if (csi_driver == NULL)
        checks_wrong(checks, "registered", "secrets-store-ctl-diagnose",
                     "kubectl apply -f manifests/deploy/csidriver.yaml", "there is no CSIDriver object %s",
                     driver_name);
    else if (!object_true(csi_driver, "spec/podInfoOnMount"))
        checks_wrong(
            checks, "registered", "the-class", "kubectl apply -f manifests/deploy/csidriver.yaml",
            "the pod is not named in the volume context: podInfoOnMount must be true in the CSIDriver object");
}

void diagnose_csi_node(struct checks *checks, const cJSON *csi_node, const char *driver_name)
{
    if (object_find(csi_node, "spec/drivers", "name", driver_name) == NULL)
        checks_wrong(checks, "registered", "kubernetes",
                     "check that the DaemonSet's pod runs on this node (taints, node selector)",
                     "driver name %s not found in the list of registered CSI drivers", driver_name);
    else
        checks_ok(checks, "registered", "the kubelet of node %s has registered %s",
                  object_text(csi_node, "metadata/name"), driver_name);
}

/* --- the class --- */

const char *diagnose_class(struct checks *checks, const cJSON *class)
{
    const char *ns = object_text(class, "metadata/namespace");
    const char *name = object_text(class, "metadata/name");
    const char *provider = object_text(class, "spec/provider");
    const cJSON *parameters = object_at(class, "spec/parameters");

    if (is_unset(provider)) {
        checks_wrong(checks, "class", "the-class", "set it",
                     "provider is not set in secretproviderclass %s/%s", ns, name);
        return NULL;
    }
    if (!cJSON_IsObject(parameters)) {
        checks_wrong(checks, "class", "the-class", "set it",
                     "parameters are not set in secretproviderclass %s/%s", ns, name);
        return NULL;
    }
    checks_ok(checks, "class", "%s/%s, provider %s, parameters: %d", ns, name, provider,
              cJSON_GetArraySize(parameters));
    return provider;
}

/* As the provider reads it: a boolean of Go's strconv.ParseBool. */
static bool is_on(const cJSON *class, const char *path)
{
    char first = object_text(class, path)[0];

    return first == 't' || first == 'T' || first == '1';
}

static bool uses_node_identity(const cJSON *class)
{
    return is_on(class, "spec/parameters/usePodIdentity") ||
           is_on(class, "spec/parameters/useVMManagedIdentity");
}

static bool is_azure(const cJSON *class)
{
    return strcmp(object_text(class, "spec/provider"), "azure") == 0;
}

const char *diagnose_audience(const cJSON *class)
{
    if (!is_azure(class) || uses_node_identity(class))
        return NULL;
    if (is_on(class, "spec/parameters/useAzureTokenProxy"))
        return DIAGNOSE_TOKEN_BINDING;
    return is_unset(object_text(class, "spec/parameters/clientID")) ? NULL : DIAGNOSE_TOKEN_WORKLOAD;
}

bool diagnose_needs_secret(const cJSON *class)
{
    return is_azure(class) && !uses_node_identity(class) && diagnose_audience(class) == NULL;
}

bool diagnose_token_request(struct checks *checks, const cJSON *csi_driver, const char *audience)
{
    if (object_find(csi_driver, "spec/tokenRequests", "audience", audience) != NULL)
        return true;
    checks_wrong(checks, "token", "identity", "tokenRequests of the CSIDriver object",
                 "token for audience %s not found", audience);
    return false;
}

/* --- what the driver reports --- */

static const cJSON *find_status(const cJSON *list, const char *pod, const char *class_name)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, object_at(list, "items"))
    {
        if (strcmp(object_text(item, "status/podName"), pod) == 0 &&
            strcmp(object_text(item, "status/secretProviderClassName"), class_name) == 0)
            return item;
    }
    return NULL;
}

bool diagnose_status(struct checks *checks, const cJSON *list, const char *pod, const char *class_name)
{
    const cJSON *status = find_status(list, pod, class_name);

    if (status == NULL)
        return false;
    if (!is_unset(object_text(status, "status/lastError")))
        checks_reported(checks, "status", object_text(status, "status/lastError"));
    else
        checks_ok(checks, "status", "%s: objects: %d, last checked %s", object_text(status, "metadata/name"),
                  cJSON_GetArraySize(object_at(status, "status/objects")),
                  object_text(status, "status/lastCheckedTime"));
    return true;
}

/* Times of the API are RFC 3339 in UTC: their order is that of their bytes. */
static const char *time_of(const cJSON *event)
{
    const char *last = object_text(event, "lastTimestamp");

    return is_unset(last) ? object_text(event, "eventTime") : last;
}

static bool has_reason(const cJSON *event, const char *const *reasons)
{
    for (; *reasons != NULL; reasons++)
        if (strcmp(object_text(event, "reason"), *reasons) == 0)
            return true;
    return false;
}

void diagnose_events(struct checks *checks, const cJSON *list, const char *const *reasons)
{
    const cJSON *newest = NULL;
    const cJSON *event;

    cJSON_ArrayForEach(event, object_at(list, "items"))
    {
        if (has_reason(event, reasons) && (newest == NULL || strcmp(time_of(event), time_of(newest)) >= 0))
            newest = event;
    }
    if (newest != NULL)
        checks_reported(checks, "event", object_text(newest, "message"));
}
