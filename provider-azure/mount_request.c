/*
 * mount_request.c - attributes, parameters and the Secret of a mount.
 */
#include "provider-azure/mount_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/process/options.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/unknown_parameters.h"

#define ATTRIBUTE_TOKENS "csi.storage.k8s.io/serviceAccount.tokens"

/* A mount reports no more of them: a class may have thousands of parameters. */
enum { MOUNT_FINDINGS_MAX = 10 };

/* The attributes as texts, trimmed; "" where there is none. */
struct parameters {
    char *pod_name;
    char *pod_namespace;
    char *pod_uid;
    char *class_name;
    char *vault_name;
    char *vault_url;
    char *fallback_vaults;
    char *tenant;
    char *tenant_old_spelling;
    char *cloud_name;
    char *cloud_file;
    char *objects;
    char *history_exact;
    char *use_pod_identity;
    char *use_vm_identity;
    char *use_token_proxy;
    char *client_id;
    char *user_assigned_id;
    char *https_proxy;
    char *no_proxy;
    char *ca_bundle_file;
    char *serve_stale_max_age;
};

static const struct {
    const char *attribute;
    size_t offset;
} parameter_table[] = {
    {ATTRIBUTE_POD_NAME, offsetof(struct parameters, pod_name)},
    {ATTRIBUTE_POD_NAMESPACE, offsetof(struct parameters, pod_namespace)},
    {"csi.storage.k8s.io/pod.uid", offsetof(struct parameters, pod_uid)},
    {"secretProviderClass", offsetof(struct parameters, class_name)},
    {"keyvaultName", offsetof(struct parameters, vault_name)},
    {"keyvaultURL", offsetof(struct parameters, vault_url)},
    {"fallbackKeyvaults", offsetof(struct parameters, fallback_vaults)},
    {"tenantID", offsetof(struct parameters, tenant)},
    {"tenantId", offsetof(struct parameters, tenant_old_spelling)},
    {"cloudName", offsetof(struct parameters, cloud_name)},
    {"cloudEnvFileName", offsetof(struct parameters, cloud_file)},
    {"objects", offsetof(struct parameters, objects)},
    {"objectVersionHistoryExact", offsetof(struct parameters, history_exact)},
    {"usePodIdentity", offsetof(struct parameters, use_pod_identity)},
    {"useVMManagedIdentity", offsetof(struct parameters, use_vm_identity)},
    {"useAzureTokenProxy", offsetof(struct parameters, use_token_proxy)},
    {"clientID", offsetof(struct parameters, client_id)},
    {"userAssignedIdentityID", offsetof(struct parameters, user_assigned_id)},
    {"httpsProxy", offsetof(struct parameters, https_proxy)},
    {"noProxy", offsetof(struct parameters, no_proxy)},
    {"caBundleFile", offsetof(struct parameters, ca_bundle_file)},
    {"serveStaleMaxAge", offsetof(struct parameters, serve_stale_max_age)},
};

static char **parameter_at(struct parameters *p, size_t index)
{
    return (char **)(void *)((char *)p + parameter_table[index].offset);
}

static void parameters_finish(struct parameters *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameter_table); i++)
        free(*parameter_at(p, i));
}
#define cleanup_parameters CLEANUP(parameters_finish)

static int parameters_read(const struct string_map *attributes, struct parameters *p, struct error **err)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameter_table); i++) {
        char **text = parameter_at(p, i);
        *text = parameter_text_trim(string_map_get(attributes, parameter_table[i].attribute));
        if (*text == NULL)
            return error_no_memory(err, NULL);
    }
    return 0;
}

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

static int parse_bool(const char *name, const char *text, bool *ret, struct error **err)
{
    if (parameter_text_parse_bool(text, ret))
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "failed to parse %s flag, error: strconv.ParseBool: parsing \"%.128s\": invalid syntax",
                     name, text);
}

/* A class may ask for less than the operator allows, which it need not know. */
static int parse_stale_age(const struct parameters *p, const struct request_defaults *defaults,
                           uint64_t *ret_ms, struct error **err)
{
    int64_t ns = 0;

    *ret_ms = defaults->serve_stale_max_age_ms;
    if (*p->serve_stale_max_age == '\0')
        return 0;
    if (duration_parse(p->serve_stale_max_age, &ns, err) < 0)
        return error_wrap(err, "serveStaleMaxAge");
    if (ns < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "serveStaleMaxAge is negative");
    if ((uint64_t)ns / 1000000 < *ret_ms)
        *ret_ms = (uint64_t)ns / 1000000;
    return 0;
}

/* Newer clusters may pass the tokens with the Secret instead of the volume context. Borrowed: tokens stay in
 * wiped memory. NULL when there are none. */
static const char *find_tokens(const struct mount_input *input)
{
    const char *tokens = string_map_get(input->attributes, ATTRIBUTE_TOKENS);
    if ((tokens == NULL || *tokens == '\0') && input->secrets != NULL)
        tokens = string_map_get(input->secrets, ATTRIBUTE_TOKENS);
    return tokens;
}

/* True when the error of a check ends the reading. For lint it is a finding about `parameter`. */
static bool refused(struct findings *findings, const char *parameter, int result, struct error **err)
{
    if (result == 0)
        return false;
    findings_enter(findings, parameter, TEXT_FRAME_WHOLE);
    return !findings_take(findings, &lint_rule_refused, err);
}

static int parse_identity_switches(const struct parameters *p, struct credential_parameters *ret,
                                   struct findings *findings, struct error **err)
{
    static const char pod[] = "usePodIdentity", vm[] = "useVMManagedIdentity", proxy[] = "useAzureTokenProxy";

    if (refused(findings, pod, parse_bool(pod, p->use_pod_identity, &ret->use_pod_identity, err), err) ||
        refused(findings, vm, parse_bool(vm, p->use_vm_identity, &ret->use_vm_identity, err), err) ||
        refused(findings, proxy, parse_bool(proxy, p->use_token_proxy, &ret->use_token_proxy, err), err))
        return -1;
    if (ret->use_pod_identity + ret->use_vm_identity + ret->use_token_proxy > 1)
        return invalid(
            err,
            "only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or useAzureTokenProxy");
    return 0;
}

static int check_pod(const struct parameters *p, struct error **err)
{
    if (*p->pod_name == '\0')
        return invalid(err, "pod name is not provided");
    return *p->pod_namespace == '\0' ? invalid(err, "pod namespace is not provided") : 0;
}

/* A class may leave its vault out when all objects name theirs, which is checked when they are known. */
static int check_vault(const struct parameters *p, struct error **err)
{
    bool named = *p->vault_name != '\0' || *p->vault_url != '\0' ||
                 strstr(p->objects, "keyvaultName") != NULL || strstr(p->objects, "keyvaultURL") != NULL;
    return named ? 0 : invalid(err, "keyvaultName is not provided");
}

static int check_one_vault(const struct parameters *p, struct error **err)
{
    return *p->vault_name != '\0' && *p->vault_url != '\0'
               ? invalid(err, "only one of keyvaultName and keyvaultURL can be given")
               : 0;
}

static int check_objects(const struct parameters *p, struct error **err)
{
    return *p->objects == '\0' ? invalid(err, "objects is not set") : 0;
}

static int check_tenant(const struct parameters *p, struct error **err)
{
    return *p->tenant == '\0' && *p->tenant_old_spelling == '\0' ? invalid(err, "tenantId is not provided")
                                                                 : 0;
}

/* Everything that must be checked before the cloud is. */
static int check_parameters(const struct parameters *p, struct credential_parameters *ret_credentials,
                            enum history_count *ret_history, struct findings *findings, struct error **err)
{
    static const char history[] = "objectVersionHistoryExact";
    bool exact = false;

    if (refused(findings, "", check_pod(p, err), err) ||
        refused(findings, "usePodIdentity", parse_identity_switches(p, ret_credentials, findings, err),
                err) ||
        refused(findings, "keyvaultName", check_vault(p, err), err) ||
        refused(findings, "tenantID", check_tenant(p, err), err) ||
        refused(findings, "keyvaultURL", check_one_vault(p, err), err) ||
        refused(findings, history, parse_bool(history, p->history_exact, &exact, err), err))
        return -1;
    *ret_history = exact ? HISTORY_EXACT : HISTORY_ONE_MORE;
    return 0;
}

static int find_cloud(const struct mount_input *input, const struct parameters *p,
                      const struct request_defaults *defaults, struct cloud *ret_cloud, struct error **err)
{
    /* The file of a custom cloud is on the node. */
    if (*p->cloud_name == '\0' || (input->lint && strcasecmp(p->cloud_name, CLOUD_CUSTOM_NAME) == 0))
        return cloud_copy(defaults->cloud, ret_cloud, err);
    const char *path = *p->cloud_file != '\0' ? p->cloud_file : defaults->custom_cloud_path;
    if (cloud_resolve(p->cloud_name, path, ret_cloud, err) < 0)
        return error_wrap(err, "cloudName %s is not valid, error", p->cloud_name);
    return 0;
}

static int find_class_vault(const struct parameters *p, const char *fallbacks, const struct cloud *cloud,
                            struct vault_set *vaults, struct error **err)
{
    const struct vault_texts texts = {.name = p->vault_name, .url = p->vault_url, .fallbacks = fallbacks};
    return vault_set_add_class(vaults, &texts, cloud, err) < 0 ? error_wrap(err, "failed to get vault") : 0;
}

static int find_order(const struct object_item *item, const struct cloud *cloud, struct vault_set *vaults,
                      struct vault_order *ret_order, struct error **err)
{
    const struct vault_texts texts = {
        .name = item->vault_name, .url = item->vault_url, .fallbacks = item->fallback_vaults};
    if (vault_set_add_item(vaults, &texts, cloud, ret_order, err) < 0)
        return object_item_wrap_error(item, err);
    if (item->type == OBJECT_KEY || !vault_order_has_hsm(vaults, ret_order))
        return 0;
    (void)invalid(err, "a Managed HSM has objects of type key only");
    return object_item_wrap_error(item, err);
}

static int find_orders(const struct cloud *cloud, struct mount_request *request, struct error **err)
{
    request->orders = calloc(request->objects.n, sizeof(*request->orders));
    if (request->orders == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < request->objects.n; i++) {
        if (refused(&request->findings, "objects",
                    find_order(&request->objects.items[i], cloud, &request->vaults, &request->orders[i], err),
                    err))
            return -1;
    }
    return 0;
}

static int make_identities(const struct parameters *p, const struct request_defaults *defaults,
                           const struct cloud *cloud, const struct credentials *credentials,
                           struct egress *egress, struct mount_request *request, struct error **err)
{
    const struct identity_input input = {
        .credentials = credentials,
        .cloud = cloud,
        .audience = request->vaults.audiences[0],
        .tenant = *p->tenant != '\0' ? p->tenant : p->tenant_old_spelling,
        .pod_name = p->pod_name,
        .pod_namespace = p->pod_namespace,
        .pod_uid = p->pod_uid,
        .endpoints = defaults->endpoints,
        .egress = egress,
    };
    request->identities[0] = identity_create(&input, err);
    if (request->identities[0] == NULL)
        return error_wrap(err, "failed to get keyvault client");
    for (size_t i = 1; i < request->vaults.n_audiences; i++) {
        request->identities[i] =
            identity_for_resource(request->identities[0], request->vaults.audiences[i], err);
        if (request->identities[i] == NULL)
            return -1;
    }
    return 0;
}

/* A volume is one volume of one pod; a caller without target paths has one per pod and class. */
static void name_volume(const struct parameters *p, const char *target_path,
                        uint8_t ret_volume[DIGEST_SHA256_LEN])
{
    const char *texts[] = {target_path != NULL ? target_path : "", p->pod_uid, p->pod_namespace, p->pod_name,
                           p->class_name};
    struct digest_field fields[ARRAY_SIZE(texts)];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        fields[i] = (struct digest_field){texts[i], strlen(texts[i])};
    digest_fields(fields, ARRAY_SIZE(fields), ret_volume);
}

static void log_parameters(const struct parameters *p, const struct credentials *credentials, struct log *log)
{
    if (credentials->newline_trimmed)
        log_debug(log, 2, "a line break at the end of the Secret's credential was removed");
    if (*p->tenant == '\0')
        log_debug(log, 3, "tenantId is the old spelling of tenantID");
    log_debug(log, 2, "objects", LOG_STR("vault", *p->vault_url != '\0' ? p->vault_url : p->vault_name),
              LOG_STR("objects", p->objects));
}

/* --- what is probably not meant --- */

static const struct lint_rule pod_identity_rule = {"deprecated-pod-identity", FINDING_WARNING};
static const struct lint_rule cloud_rule = {"deprecated-cloud", FINDING_WARNING};
static const struct lint_rule no_effect_rule = {"parameter-without-effect", FINDING_NOTE};
static const struct lint_rule client_id_rule = {"client-id-without-effect", FINDING_WARNING};
static const struct lint_rule resource_id_rule = {"resource-id", FINDING_WARNING};
static const struct lint_rule impossible_id_rule = {"impossible-id", FINDING_WARNING};

static void add_finding(struct findings *findings, const struct lint_rule *rule, const char *parameter,
                        const char *message)
{
    findings_enter(findings, parameter, TEXT_FRAME_WHOLE);
    findings_add(findings, rule, (struct text_place){0}, "%s", message);
}

/* Ids have letters, digits and '-'; a tenant may be a domain. What stands for one has other characters. */
static void add_id_findings(struct findings *findings, const char *parameter, const char *id)
{
    static const char ordinary[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._";

    if (id[strspn(id, ordinary)] == '\0')
        return;
    findings_enter(findings, parameter, TEXT_FRAME_WHOLE);
    if (*id == '/')
        findings_add(
            findings, &resource_id_rule, (struct text_place){0},
            "%s is the resource id of an identity, and Azure expects its client id (az identity show --query clientId)",
            parameter);
    else
        findings_add(
            findings, &impossible_id_rule, (struct text_place){0},
            "%s is no id: these have letters, digits and '-'; templates and variables have to be replaced before the class is applied",
            parameter);
}

static void add_parameter_findings(const struct parameters *p, const struct credential_parameters *identity,
                                   struct findings *findings)
{
    if (identity->use_pod_identity)
        add_finding(
            findings, &pod_identity_rule, "usePodIdentity",
            "usePodIdentity: pod identity (aad-pod-identity) is no longer maintained; workload identity (clientID) takes its place");
    if (strcasecmp(p->cloud_name, "AzureGermanCloud") == 0)
        add_finding(findings, &cloud_rule, "cloudName", "cloudName: AzureGermanCloud was closed in 2021");
    if (*p->cloud_file != '\0' && strcasecmp(p->cloud_name, CLOUD_CUSTOM_NAME) != 0)
        add_finding(findings, &no_effect_rule, "cloudEnvFileName",
                    "cloudEnvFileName has an effect with cloudName: " CLOUD_CUSTOM_NAME " only");
    if (*p->user_assigned_id != '\0' && !identity->use_vm_identity)
        add_finding(findings, &no_effect_rule, "userAssignedIdentityID",
                    "userAssignedIdentityID has an effect with useVMManagedIdentity: \"true\" only");
    add_id_findings(findings, "userAssignedIdentityID", p->user_assigned_id);
    add_id_findings(findings, "clientID", p->client_id);
    if (identity->use_vm_identity) /* the others refuse such a tenant */
        add_id_findings(findings, *p->tenant != '\0' ? "tenantID" : "tenantId",
                        *p->tenant != '\0' ? p->tenant : p->tenant_old_spelling);
    if (identity->use_vm_identity && *p->client_id != '\0' && *p->user_assigned_id == '\0')
        add_finding(
            findings, &client_id_rule, "clientID",
            "clientID has no effect with useVMManagedIdentity, the system-assigned identity reads the vault; userAssignedIdentityID names another one");
    if (*p->tenant != '\0' && *p->tenant_old_spelling != '\0' &&
        strcmp(p->tenant, p->tenant_old_spelling) != 0)
        add_finding(findings, &no_effect_rule, "tenantId", "tenantId has no effect beside tenantID");
}

/* --- the request --- */

/* Old classes have these; they never did anything. */
static const char *const ignored_parameters[] = {"resourceGroup", "subscriptionId"};

enum { PARAMETERS_KNOWN = ARRAY_SIZE(parameter_table) + ARRAY_SIZE(ignored_parameters) };

static struct field_names known_parameters(const char *names[PARAMETERS_KNOWN])
{
    for (size_t i = 0; i < ARRAY_SIZE(parameter_table); i++)
        names[i] = parameter_table[i].attribute;
    for (size_t i = 0; i < ARRAY_SIZE(ignored_parameters); i++)
        names[ARRAY_SIZE(parameter_table) + i] = ignored_parameters[i];
    return (struct field_names){names, PARAMETERS_KNOWN};
}

/* The text of `objects` is read without the white space in front of it. */
static struct text_frame frame_of_objects(const struct string_map *attributes)
{
    const char *text = string_map_get(attributes, "objects");
    struct text_frame frame = TEXT_FRAME_WHOLE;

    for (; text != NULL && (*text == ' ' || (*text >= '\t' && *text <= '\r')); text++)
        frame.begin.line += *text == '\n' ? 1 : 0;
    return frame;
}

static int read_objects(const struct mount_input *input, const struct parameters *p,
                        struct parsed_objects_cache *cache, const struct object_defaults *defaults,
                        struct mount_request *request, struct error **err)
{
    if (*p->objects == '\0') /* which is a finding already */
        return 0;
    findings_enter(&request->findings, "objects", frame_of_objects(input->attributes));
    cleanup_error struct error *error = NULL;
    request->parsed = parsed_objects_get(cache, p->objects, defaults, &error);
    if (request->parsed != NULL)
        request->objects = *parsed_objects_list(request->parsed);
    else if (!findings_take(&request->findings, &lint_rule_refused, &error))
        return error_move(err, &error);
    return 0;
}

/* The vaults, and the identities for them. */
static int build_target(const struct mount_input *input, const struct parameters *p,
                        const struct request_defaults *defaults, const struct cloud *cloud,
                        const struct credentials *credentials, struct egress *egress,
                        struct mount_request *request, struct error **err)
{
    struct findings *findings = &request->findings;
    bool is_named = *p->vault_name != '\0' || *p->vault_url != '\0';
    /* The file of a custom cloud is on the node. Of its vaults the class's alone is sure to fit. */
    bool is_known = !input->lint || strcasecmp(p->cloud_name, CLOUD_CUSTOM_NAME) != 0;

    if (input->lint && check_vault(p, NULL) < 0) /* which is a finding already */
        return 0;
    if (refused(findings, *p->vault_url != '\0' ? "keyvaultURL" : "keyvaultName",
                find_class_vault(p, is_known ? p->fallback_vaults : "", cloud, &request->vaults, err), err))
        return -1;
    if (input->lint && is_named && request->vaults.of_class.n == 0)
        return 0; /* it was refused */
    if (is_known && find_orders(cloud, request, err) < 0)
        return -1;
    if (input->lint && ((is_known && request->vaults.n_audiences == 0) || credentials->client_id == NULL ||
                        check_tenant(p, NULL) < 0))
        return 0; /* one of these was refused */
    return refused(findings, *p->tenant != '\0' ? "tenantID" : "tenantId",
                   make_identities(p, defaults, cloud, credentials, egress, request, err), err)
               ? -1
               : 0;
}

static void try_without_secret(const struct credential_parameters *given, struct error **ret)
{
    struct credential_parameters without = *given;
    cleanup_credentials struct credentials credentials = {0};

    without.secrets = NULL;
    (void)credentials_parse(&without, &credentials, ret);
}

static int build(const struct mount_input *input, const struct request_defaults *defaults,
                 const struct parameters *p, struct mount_request *request, struct error **err)
{
    cleanup_cloud struct cloud cloud = {0};
    cleanup_credentials struct credentials credentials = {0};
    cleanup_egress struct egress *egress = NULL;
    struct findings *findings = &request->findings;
    const char *names[PARAMETERS_KNOWN];
    struct object_defaults for_objects = {
        .mode = input->permission, .findings = findings, .class_parameters = known_parameters(names)};
    struct credential_parameters for_credentials = {
        .client_id = p->client_id,
        .user_assigned_id = p->user_assigned_id,
        .service_account_tokens = find_tokens(input),
        .secrets = input->secrets,
    };
    const struct egress_parameters for_egress = {
        .https_proxy = p->https_proxy, .no_proxy = p->no_proxy, .ca_bundle_file = p->ca_bundle_file};

    findings_enter(findings, "", (struct text_frame){0});
    if (unknown_parameters_check(input->attributes, &for_objects.class_parameters, findings, &request->hint,
                                 err) < 0)
        return -1;
    if (check_parameters(p, &for_credentials, &for_objects.history, findings, err) < 0 ||
        refused(findings, "cloudName", find_cloud(input, p, defaults, &cloud, err), err) ||
        refused(findings, "clientID", credentials_parse(&for_credentials, &credentials, err), err) ||
        refused(findings, "httpsProxy", egress_create(&for_egress, &defaults->egress, &egress, err), err))
        return -1;
    if (input->lint && credentials.client_id != NULL)
        try_without_secret(&for_credentials, &request->without_secret);
    if (input->lint && cloud.name == NULL && cloud_copy(defaults->cloud, &cloud, err) < 0)
        return -1; /* another one was refused */
    add_parameter_findings(p, &for_credentials, findings);
    if (refused(findings, "objects", check_objects(p, err), err) ||
        refused(findings, "serveStaleMaxAge", parse_stale_age(p, defaults, &request->stale_max_age_ms, err),
                err))
        return -1;
    log_parameters(p, &credentials, defaults->log);
    if (refused(findings, "objects", read_objects(input, p, defaults->parsed, &for_objects, request, err),
                err))
        return -1;
    name_volume(p, input->target_path, request->volume);
    if (request->objects.n == 0)
        return 0;
    return build_target(input, p, defaults, &cloud, &credentials, egress, request, err);
}

int mount_request_parse(const struct mount_input *input, const struct request_defaults *defaults,
                        struct mount_request *ret_request, struct error **err)
{
    cleanup_parameters struct parameters p = {0};
    struct mount_request request = {
        .findings = {.takes_errors = input->lint, .max = input->lint ? 0 : MOUNT_FINDINGS_MAX}};
    int result = parameters_read(input->attributes, &p, err);

    if (result == 0)
        result = build(input, defaults, &p, &request, err);
    const struct class_identity class = {input->attributes, p.class_name, p.pod_namespace};
    class_report_init(&request.report, &class, &request.findings);
    if (defaults->reports != NULL)
        class_report_log(&request.report, &class, defaults->reports, defaults->log);
    if (result < 0) {
        (void)unknown_parameters_append(err, request.hint);
        mount_request_finish(&request);
    } else {
        *ret_request = request;
    }
    return result;
}

void mount_request_finish(struct mount_request *request)
{
    vault_set_finish(&request->vaults);
    parsed_objects_unref(request->parsed);
    free(request->orders);
    for (size_t i = 0; i < ARRAY_SIZE(request->identities); i++)
        identity_unref(request->identities[i]);
    free(request->hint);
    findings_finish(&request->findings);
    class_report_finish(&request->report);
    error_free(request->without_secret);
    *request = (struct mount_request){0};
}
