/*
 * request.c - parameters of a mount.
 */
#include "provider-azure/request.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/text.h"

struct parameters {
    char *pod_name;
    char *pod_namespace;
    char *vault_name;
    char *tenant;
    char *cloud_name;
    char *cloud_file;
    char *objects;
    struct auth_switches switches;
};

static void parameters_finish(struct parameters *p)
{
    free(p->pod_name);
    free(p->pod_namespace);
    free(p->vault_name);
    free(p->tenant);
    free(p->cloud_name);
    free(p->cloud_file);
    free(p->objects);
}

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

static int get(const struct string_map *attributes, const char *name, char **ret, struct error **err)
{
    *ret = text_trim_copy(string_map_get(attributes, name));
    return *ret == NULL ? error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory") : 0;
}

int request_parse_bool(const char *name, const char *text, bool *ret, struct error **err)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"", "0", "f", "F", "FALSE", "false", "False"};
    cleanup_free char *trimmed = text_trim_copy(text);

    if (trimmed == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcmp(trimmed, yes[i]) == 0) {
            *ret = true;
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        if (strcmp(trimmed, no[i]) == 0) {
            *ret = false;
            return 0;
        }
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "failed to parse %s flag, error: strconv.ParseBool: parsing \"%.128s\": invalid syntax",
                     name, trimmed);
}

static int parse_switches(const struct string_map *attributes, struct auth_switches *ret, struct error **err)
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
            err, "only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or "
                 "useAzureTokenProxy");
    return 0;
}

static int read_parameters(const struct string_map *attributes, struct parameters *p, struct error **err)
{
    if (get(attributes, "csi.storage.k8s.io/pod.name", &p->pod_name, err) < 0 ||
        get(attributes, "csi.storage.k8s.io/pod.namespace", &p->pod_namespace, err) < 0 ||
        get(attributes, "keyvaultName", &p->vault_name, err) < 0 ||
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
    if (*p->vault_name == '\0')
        return invalid(err, "keyvaultName is not provided");
    if (*p->tenant == '\0')
        return invalid(err, "tenantId is not provided");
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

static int build(const struct string_map *attributes, const struct string_map *secrets, mode_t permission,
                 const struct request_defaults *defaults, struct parameters *p, struct mount_request *request,
                 struct error **err)
{
    cleanup_cloud struct cloud cloud = {0};
    cleanup_auth struct auth auth = {0};

    if (read_parameters(attributes, p, err) < 0 || find_cloud(p, defaults, &cloud, err) < 0 ||
        auth_parse(&p->switches, attributes, secrets, &auth, err) < 0)
        return -1;
    if (auth.newline_trimmed)
        log_debug(defaults->log, 2, "a line break at the end of the Secret's credential was taken off");
    if (*p->objects == '\0')
        return invalid(err, "objects is not set");
    log_debug(defaults->log, 2, "objects", LOG_STR("vault", p->vault_name), LOG_STR("objects", p->objects));
    if (objects_parse(p->objects, permission, defaults->log, &request->objects, err) < 0)
        return -1;
    request->pod_name = steal_ptr(&p->pod_name);
    request->pod_namespace = steal_ptr(&p->pod_namespace);
    if (request->objects.n == 0)
        return 0;
    if (vault_init(&request->vault, p->vault_name, &cloud, err) < 0)
        return error_wrap(err, "failed to get vault");

    const struct identity_input input = {
        .auth = &auth,
        .cloud = &cloud,
        .tenant = p->tenant,
        .pod_name = request->pod_name,
        .pod_namespace = request->pod_namespace,
        .pod_uid = string_map_get(attributes, "csi.storage.k8s.io/pod.uid"),
        .endpoints = defaults->endpoints,
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
