/*
 * request.c - parameters of a mount.
 */
#include "provider-azure/mount_request.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/base/parameter_text.h"

#define HISTORY_EXACT_NAME "objectVersionHistoryExact"

struct parameters {
    char *pod_name;
    char *pod_namespace;
    char *vault_name;
    char *vault_url;
    char *tenant;
    char *cloud_name;
    char *cloud_file;
    char *objects;
    enum history_count history;
    struct identity_switches switches;
    struct egress *egress; /* NULL: as the environment says */
};

static void parameters_finish(struct parameters *p)
{
    free(p->pod_name);
    free(p->pod_namespace);
    free(p->vault_name);
    free(p->vault_url);
    free(p->tenant);
    free(p->cloud_name);
    free(p->cloud_file);
    free(p->objects);
    egress_unref(p->egress);
}

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

static int get(const struct string_map *attributes, const char *name, char **ret, struct error **err)
{
    *ret = parameter_text_trim(string_map_get(attributes, name));
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

int request_parse_bool(const char *name, const char *text, bool *ret, struct error **err)
{
    cleanup_free char *trimmed = parameter_text_trim(text);

    if (trimmed == NULL)
        return error_no_memory(err, NULL);
    if (parameter_text_parse_bool(trimmed, ret))
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "failed to parse %s flag, error: strconv.ParseBool: parsing \"%.128s\": invalid syntax",
                     name, trimmed);
}

static int parse_switches(const struct string_map *attributes, struct identity_switches *ret,
                          struct error **err)
{
    const struct {
        const char *name;
        bool *value;
    } all[] = {{"usePodIdentity", &ret->pod_identity},
               {"useVMManagedIdentity", &ret->vm_identity},
               {"useAzureTokenProxy", &ret->token_proxy}};
    int count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (request_parse_bool(all[i].name, string_map_get(attributes, all[i].name), all[i].value, err) < 0)
            return -1;
        count += *all[i].value ? 1 : 0;
    }
    if (count > 1)
        return invalid(
            err,
            "only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or useAzureTokenProxy");
    return 0;
}

static int read_parameters(const struct string_map *attributes, struct parameters *p, struct error **err)
{
    if (get(attributes, "csi.storage.k8s.io/pod.name", &p->pod_name, err) < 0 ||
        get(attributes, "csi.storage.k8s.io/pod.namespace", &p->pod_namespace, err) < 0 ||
        get(attributes, "keyvaultName", &p->vault_name, err) < 0 ||
        get(attributes, "keyvaultURL", &p->vault_url, err) < 0 ||
        get(attributes, "tenantID", &p->tenant, err) < 0 ||
        get(attributes, "cloudName", &p->cloud_name, err) < 0 ||
        get(attributes, "cloudEnvFileName", &p->cloud_file, err) < 0 ||
        get(attributes, "objects", &p->objects, err) < 0)
        return -1;
    if (*p->tenant == '\0') { /* the old spelling */
        free(steal_ptr(&p->tenant));
        if (get(attributes, "tenantId", &p->tenant, err) < 0)
            return -1;
    }
    if (*p->pod_name == '\0')
        return invalid(err, "pod name is not provided");
    if (*p->pod_namespace == '\0')
        return invalid(err, "pod namespace is not provided");
    if (parse_switches(attributes, &p->switches, err) < 0)
        return -1;
    if (*p->vault_name == '\0' && *p->vault_url == '\0')
        return invalid(err, "keyvaultName is not provided");
    if (*p->tenant == '\0')
        return invalid(err, "tenantId is not provided");
    if (*p->vault_name != '\0' && *p->vault_url != '\0')
        return invalid(err, "only one of keyvaultName and keyvaultURL can be given");
    bool exact = false;
    if (request_parse_bool(HISTORY_EXACT_NAME, string_map_get(attributes, HISTORY_EXACT_NAME), &exact, err) <
        0)
        return -1;
    p->history = exact ? HISTORY_EXACT : HISTORY_ONE_MORE;
    return 0;
}

static int find_cloud(const struct parameters *p, const struct request_defaults *defaults,
                      struct cloud *ret_cloud, struct error **err)
{
    if (*p->cloud_name == '\0')
        return cloud_copy(defaults->cloud, ret_cloud, err);
    const char *path = *p->cloud_file != '\0' ? p->cloud_file : defaults->custom_cloud_path;
    if (cloud_resolve(p->cloud_name, path, ret_cloud, err) < 0)
        return error_wrap(err, "cloudName %s is not valid, error", p->cloud_name);
    return 0;
}

static int find_vault(const struct parameters *p, const struct cloud *cloud, struct mount_request *request,
                      struct error **err)
{
    int result = *p->vault_url != '\0' ? vault_init_url(&request->vault, p->vault_url, cloud, err)
                                       : vault_init(&request->vault, p->vault_name, cloud, err);
    if (result < 0)
        return error_wrap(err, "failed to get vault");
    for (size_t i = 0; i < request->objects.n && request->vault.hsm; i++) {
        const struct object_item *item = &request->objects.items[i];
        if (item->type == OBJECT_KEY)
            continue;
        (void)invalid(err, "a Managed HSM has objects of type key only");
        return object_wrap_error(item, err);
    }
    return 0;
}

static int build(const struct string_map *attributes, const struct string_map *secrets, mode_t permission,
                 const struct request_defaults *defaults, struct parameters *p, struct mount_request *request,
                 struct error **err)
{
    cleanup_cloud struct cloud cloud = {0};
    cleanup_credentials struct credentials credentials = {0};

    if (read_parameters(attributes, p, err) < 0 || find_cloud(p, defaults, &cloud, err) < 0 ||
        credentials_parse(&p->switches, attributes, secrets, &credentials, err) < 0)
        return -1;
    if (egress_parse(attributes, defaults->ca_dir != NULL ? defaults->ca_dir : "", &p->egress, err) < 0)
        return -1;
    if (credentials.newline_trimmed)
        log_debug(defaults->log, 2, "a line break at the end of the Secret's credential was taken off");
    if (*p->objects == '\0')
        return invalid(err, "objects is not set");
    if (!string_map_get(attributes, "tenantID") || *string_map_get(attributes, "tenantID") == '\0')
        log_debug(defaults->log, 3, "tenantId is the old spelling of tenantID");
    log_debug(defaults->log, 2, "objects",
              LOG_STR("vault", *p->vault_url != '\0' ? p->vault_url : p->vault_name),
              LOG_STR("objects", p->objects));
    const struct object_defaults for_objects = {
        .mode = permission, .history = p->history, .log = defaults->log};
    if (objects_parse(p->objects, &for_objects, &request->objects, err) < 0)
        return -1;
    request->pod_name = steal_ptr(&p->pod_name);
    request->pod_namespace = steal_ptr(&p->pod_namespace);
    if (request->objects.n == 0)
        return 0;
    if (find_vault(p, &cloud, request, err) < 0)
        return -1;

    const struct identity_input input = {
        .credentials = &credentials,
        .cloud = &cloud,
        .audience = request->vault.audience,
        .tenant = p->tenant,
        .pod_name = request->pod_name,
        .pod_namespace = request->pod_namespace,
        .pod_uid = string_map_get(attributes, "csi.storage.k8s.io/pod.uid"),
        .endpoints = defaults->endpoints,
        .egress = p->egress,
    };
    request->identity = identity_create(&input, err);
    return request->identity == NULL ? error_wrap(err, "failed to get keyvault client") : 0;
}

int mount_request_parse(const struct string_map *attributes, const struct string_map *secrets,
                        mode_t permission, const struct request_defaults *defaults,
                        struct mount_request *ret_request, struct error **err)
{
    struct parameters p = {0};
    struct mount_request request = {0};
    int result = build(attributes, secrets, permission, defaults, &p, &request, err);

    parameters_finish(&p);
    if (result < 0)
        mount_request_finish(&request);
    else
        *ret_request = request;
    return result;
}

void mount_request_finish(struct mount_request *request)
{
    free(request->pod_name);
    free(request->pod_namespace);
    vault_finish(&request->vault);
    object_list_finish(&request->objects);
    identity_unref(request->identity);
    *request = (struct mount_request){0};
}
