/*
 * diagnose_command.c - the command diagnose: walks the chain between a vault and one pod.
 *
 *   pod ─ registered ─ driver ─ class ─ provider ─ token ─ vault ─ volume ─ status ─ secret
 *
 * It reads and changes nothing. What the caller may not read, or is not on this node, is skipped.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/string_map.h"
#include "common/crypto/encoding.h"
#include "common/kube/kube_meta.h"
#include "ctl/api.h"
#include "ctl/checks.h"
#include "ctl/diagnose_node.h"
#include "ctl/diagnose_objects.h"
#include "ctl/input.h"
#include "ctl/node.h"
#include "ctl/object.h"
#include "ctl/output.h"

#define STORE_GROUP "secrets-store.csi.x-k8s.io"
#define NODE_LABEL  "internal.secrets-store.csi.k8s.io/node-name" /* '/' and '=' may stand in a query */

enum { NODE_LABEL_MAX = 63 }; /* a longer name is not the label's value (docs/status.md) */

struct diagnosis {
    const struct ctl_options *options; /* borrowed */
    struct checks *checks;             /* borrowed */
    struct api *api;                   /* owned; NULL without a Kubernetes configuration */
    cJSON *pod;                        /* owned; NULL without the API */
    cJSON *csi_driver;                 /* owned; NULL: there is none, or it cannot be read */
    bool node_applies;                 /* this is the pod's node */
    char driver_socket[PATH_MAX];      /* "": no driver responds here */
};

static void diagnosis_finish(struct diagnosis *diagnosis)
{
    cJSON_Delete(diagnosis->pod);
    cJSON_Delete(diagnosis->csi_driver);
    api_close(diagnosis->api);
}

/* --- reading from the API --- */

enum reading { WHOLE, METADATA };

/* The object at `path`, which is freed; NULL counts as a lack of memory. Without the object *ret_missing is
 * whether there is none; otherwise the check is skipped, with the reason. */
static cJSON *read_object(struct diagnosis *diagnosis, const char *check, char *path, enum reading reading,
                          bool *ret_missing)
{
    cleanup_error struct error *error = NULL;
    cJSON *object = NULL;
    int result = path != NULL ? api_get(diagnosis->api, path, reading == METADATA, &object, &error)
                              : error_no_memory(&error, NULL);

    free(path);
    *ret_missing = result < 0 && error_code(error) == GRPC_STATUS_NOT_FOUND;
    if (result < 0 && !*ret_missing)
        checks_skipped(diagnosis->checks, check, "%s", error_message(error));
    return object;
}

/* A list in the pod's namespace, with a selector unless it is "". */
static cJSON *read_list(struct diagnosis *diagnosis, const char *check, const char *group,
                        const char *resource, const char *selector)
{
    cleanup_free char *path = kube_path(group, "v1", diagnosis->options->pod_namespace, resource,
                                        /* name= */ NULL, /* err= */ NULL);
    char *query = NULL;
    bool missing;

    if (path == NULL || asprintf(&query, "%s%s%s", path, *selector != '\0' ? "?" : "", selector) < 0)
        query = NULL;
    return read_object(diagnosis, check, query, WHOLE, &missing);
}

/* --- the links --- */

static void open_api(struct diagnosis *diagnosis)
{
    cleanup_error struct error *error = NULL;

    diagnosis->api = api_open(diagnosis->options, &error);
    if (diagnosis->api != NULL)
        return;
    if (error_code(error) == GRPC_STATUS_NOT_FOUND)
        checks_skipped(diagnosis->checks, "api", "%s", error_message(error));
    else
        checks_reported(diagnosis->checks, "api", error_message(error));
}

/* Returns the number of the pod's volumes, 0 if there is nothing to go on with. */
static size_t examine_pod(struct diagnosis *diagnosis, struct pod_volume volumes[DIAGNOSE_VOLUMES_MAX])
{
    const struct ctl_options *options = diagnosis->options;
    cleanup_error struct error *error = NULL;
    cleanup_free char *path =
        kube_path("", "v1", options->pod_namespace, "pods", options->operand, /* err= */ NULL);

    if (path != NULL &&
        api_get(diagnosis->api, path, /* metadata_only= */ false, &diagnosis->pod, &error) == 0)
        return diagnose_pod(diagnosis->checks, diagnosis->pod, options->driver_name, options->volume,
                            volumes);
    if (error_code(error) == GRPC_STATUS_NOT_FOUND)
        checks_wrong(diagnosis->checks, "pod", "secrets-store-ctl-diagnose", "check its name and --namespace",
                     "there is no pod %s/%s: %s", options->pod_namespace, options->operand,
                     error_message(error));
    else
        checks_reported(diagnosis->checks, "api", error_message(error));
    if (error_code(error) == GRPC_STATUS_UNAVAILABLE || error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED) {
        api_close(diagnosis->api); /* what is on the node can be examined without it */
        diagnosis->api = NULL;
    }
    return 0;
}

static void examine_registration(struct diagnosis *diagnosis)
{
    const char *driver = diagnosis->options->driver_name;
    const char *node = object_text(diagnosis->pod, "spec/nodeName");
    bool missing;

    diagnosis->csi_driver =
        read_object(diagnosis, "registered",
                    kube_path("storage.k8s.io", "v1", /* ns= */ "", "csidrivers", driver, /* err= */ NULL),
                    WHOLE, &missing);
    if (diagnosis->csi_driver != NULL || missing)
        diagnose_csi_driver(diagnosis->checks, diagnosis->csi_driver, driver);
    if (*node == '\0')
        return;

    cleanup_json cJSON *csi_node = read_object(
        diagnosis, "registered",
        kube_path("storage.k8s.io", "v1", /* ns= */ "", "csinodes", node, /* err= */ NULL), WHOLE, &missing);
    if (csi_node != NULL || missing)
        diagnose_csi_node(diagnosis->checks, csi_node, driver);
}

static cJSON *read_class(struct diagnosis *diagnosis, const char *name)
{
    const char *ns = diagnosis->options->pod_namespace;
    bool missing;
    cJSON *class = read_object(
        diagnosis, "class", kube_path(STORE_GROUP, "v1", ns, "secretproviderclasses", name, /* err= */ NULL),
        WHOLE, &missing);

    if (missing)
        checks_wrong(diagnosis->checks, "class", "secrets-store-ctl-diagnose",
                     "create it in the pod's namespace, or correct its name in the pod",
                     "failed to get secretproviderclass %s/%s: there is none", ns, name);
    return class;
}

/* data of a Secret; values are base64. */
static int decode_secret(const cJSON *secret, struct string_map *map, struct error **err)
{
    const cJSON *value;

    cJSON_ArrayForEach(value, object_at(secret, "data"))
    {
        if (!cJSON_IsString(value))
            continue;
        cleanup_secret struct secret *bytes =
            base64_decode(value->valuestring, strlen(value->valuestring), err);
        if (bytes == NULL || string_map_set(map, value->string, (const char *)secret_bytes(bytes), err) < 0)
            return error_wrap(err, "%s", value->string);
    }
    return 0;
}

/* Fills in the Secret of nodePublishSecretRef, from files or from the API. -1: the check "token" says why not. */
static int read_credentials(struct diagnosis *diagnosis, const cJSON *class, const char *secret_name,
                            struct string_map *map, bool *ret_given)
{
    cleanup_error struct error *error = NULL;
    bool missing;

    if (input_secrets(diagnosis->options, map, ret_given, &error) < 0) {
        checks_skipped(diagnosis->checks, "token", "%s", error_message(error));
        return -1;
    }
    if (*ret_given)
        return 0;
    if (diagnosis->api == NULL && diagnose_needs_secret(class)) {
        checks_skipped(diagnosis->checks, "token",
                       "the class needs a Secret: give its keys as files with --secrets-dir");
        return -1;
    }
    if (*secret_name == '\0')
        return 0;

    cleanup_json cJSON *secret = read_object(
        diagnosis, "token",
        kube_path("", "v1", diagnosis->options->pod_namespace, "secrets", secret_name, /* err= */ NULL),
        WHOLE, &missing);
    if (secret == NULL) {
        if (missing)
            checks_wrong(diagnosis->checks, "token", "kubernetes", "create it there",
                         "secret \"%s\" not found", secret_name);
        return -1;
    }
    *ret_given = true;
    if (decode_secret(secret, map, &error) < 0) {
        checks_reported(diagnosis->checks, "token", error_message(error));
        return -1;
    }
    return 0;
}

static bool is_azure(const cJSON *class)
{
    return strcmp(object_text(class, "spec/provider"), "azure") == 0;
}

/* Nothing is known against a fetch: the Azure provider writes nothing, and its token can be had. */
static bool may_fetch(struct diagnosis *diagnosis, const cJSON *class)
{
    const char *audience = diagnose_audience(class);

    if (audience != NULL && diagnosis->csi_driver != NULL &&
        !diagnose_token_request(diagnosis->checks, diagnosis->csi_driver, audience))
        return false;
    if (!diagnosis->options->fetch) {
        checks_skipped(diagnosis->checks, "token", "--fetch=false");
        return false;
    }
    if (!is_azure(class)) {
        checks_skipped(diagnosis->checks, "token",
                       "provider %s may write files when it is called: see its log",
                       object_text(class, "spec/provider"));
        return false;
    }
    if (audience != NULL && diagnosis->options->token_files.n == 0) {
        checks_skipped(
            diagnosis->checks, "token",
            "the class needs a token of the pod's service account: kubectl create token NAME --audience %s > FILE, then --token-file %s=FILE",
            audience, audience);
        return false;
    }
    return true;
}

static void examine_fetch(struct diagnosis *diagnosis, const cJSON *class, const char *secret_name,
                          const struct ctl_options *options, const char *endpoint)
{
    cleanup_string_map struct string_map parameters = {0};
    cleanup_string_map struct string_map secrets = {0};
    cleanup_error struct error *error = NULL;
    cleanup_secret_free char *text = NULL;
    bool given = false;

    if (!may_fetch(diagnosis, class) || read_credentials(diagnosis, class, secret_name, &secrets, &given) < 0)
        return;
    text = json_print(object_at(class, "spec/parameters"), &error);
    if (text == NULL ||
        string_map_from_json(&parameters, text, strlen(text), /* ret_null= */ NULL, &error) < 0) {
        checks_reported(diagnosis->checks, "class", error_message(error));
        return;
    }
    diagnose_fetch(diagnosis->checks, options, endpoint, &parameters, given ? &secrets : NULL);
}

/* Each Secret of secretObjects; only its metadata is read. */
static void examine_secrets(struct diagnosis *diagnosis, const cJSON *class)
{
    const cJSON *secret_object;

    cJSON_ArrayForEach(secret_object, object_at(class, "spec/secretObjects"))
    {
        const char *name = object_text(secret_object, "secretName");
        bool missing;
        cleanup_json cJSON *secret = read_object(
            diagnosis, "secret",
            kube_path("", "v1", diagnosis->options->pod_namespace, "secrets", name, /* err= */ NULL),
            METADATA, &missing);

        if (secret != NULL)
            checks_ok(diagnosis->checks, "secret", "%s exists", name);
        else if (missing)
            checks_wrong(
                diagnosis->checks, "secret", "secrets-store-ctl-diagnose",
                "the event FailedToCreateSecret has the reason; without one the pod has not mounted its volume yet",
                "the synced secret \"%s\" does not exist", name);
    }
}

static void examine_status(struct diagnosis *diagnosis, const char *class_name)
{
    const char *node = object_text(diagnosis->pod, "spec/nodeName");
    const char *phase = object_text(diagnosis->pod, "status/phase");
    char selector[256] = "";

    if (strlen(node) <= NODE_LABEL_MAX)
        (void)snprintf(selector, sizeof(selector), "labelSelector=" NODE_LABEL "=%s", node);

    cleanup_json cJSON *list =
        read_list(diagnosis, "status", STORE_GROUP, "secretproviderclasspodstatuses", selector);
    if (list == NULL || diagnose_status(diagnosis->checks, list, diagnosis->options->operand, class_name))
        return;
    if (strcmp(phase, "Running") == 0)
        checks_wrong(diagnosis->checks, "status", "secrets-store-ctl-diagnose",
                     "the driver's log; it writes the object again within an hour",
                     "there is no status object of pod %s and class %s", diagnosis->options->operand,
                     class_name);
    else
        checks_skipped(diagnosis->checks, "status", "the driver writes it with the first mount");
}

/* Events are history: those of a pod that runs are over. */
static void examine_events(struct diagnosis *diagnosis)
{
    static const char *const of_mounts[] = {"FailedMount", "MountTimedOut", "FailedToCreateSecret", NULL};
    static const char *const of_secrets[] = {"FailedToCreateSecret", NULL};
    bool running = strcmp(object_text(diagnosis->pod, "status/phase"), "Running") == 0;
    char selector[256];

    if (running && diagnosis->checks->n_wrong == 0)
        return;
    (void)snprintf(selector, sizeof(selector), "fieldSelector=involvedObject.uid=%s",
                   object_text(diagnosis->pod, "metadata/uid"));

    cleanup_json cJSON *list = read_list(diagnosis, "event", "", "events", selector);
    if (list != NULL)
        diagnose_events(diagnosis->checks, list, running ? of_secrets : of_mounts);
}

static void examine_volume(struct diagnosis *diagnosis, const struct pod_volume *volume, const cJSON *class)
{
    struct ctl_options options = *diagnosis->options;
    char provider_socket[PATH_MAX];
    const char *account = object_text(diagnosis->pod, "spec/serviceAccountName");

    if (diagnosis->pod != NULL) {
        options.pod = options.operand;
        options.pod_uid = object_text(diagnosis->pod, "metadata/uid");
        options.service_account = *account != '\0' ? account : "default";
    }
    options.volume = volume->name;

    const char *provider = class != NULL ? diagnose_class(diagnosis->checks, class) : NULL;
    if (provider != NULL && diagnosis->node_applies &&
        diagnose_provider(diagnosis->checks, &options, provider, provider_socket))
        examine_fetch(diagnosis, class, volume->secret_name, &options, provider_socket);
    if (*options.pod_uid == '\0')
        checks_skipped(diagnosis->checks, "volume", "without the Kubernetes API it needs --pod-uid");
    else if (diagnosis->node_applies && *diagnosis->driver_socket != '\0')
        diagnose_volume(diagnosis->checks, &options, diagnosis->driver_socket);
}

/* --- the chain --- */

static void walk_with_api(struct diagnosis *diagnosis)
{
    struct pod_volume volumes[DIAGNOSE_VOLUMES_MAX];
    size_t n = examine_pod(diagnosis, volumes);

    if (diagnosis->pod == NULL)
        return;
    examine_registration(diagnosis);
    if (*object_text(diagnosis->pod, "spec/nodeName") != '\0')
        diagnosis->node_applies =
            diagnose_driver(diagnosis->checks, diagnosis->options,
                            object_text(diagnosis->pod, "spec/nodeName"), diagnosis->driver_socket);
    for (size_t i = 0; i < n; i++) {
        if (*volumes[i].class_name == '\0')
            continue;
        cleanup_json cJSON *class = read_class(diagnosis, volumes[i].class_name);
        examine_volume(diagnosis, &volumes[i], class);
        examine_status(diagnosis, volumes[i].class_name);
        examine_secrets(diagnosis, class);
    }
    examine_events(diagnosis);
}

/* A class from a file as the API would return it. */
static cJSON *class_of_file(const struct ctl_options *options, struct error **err)
{
    cleanup_string_map struct string_map parameters = {0};
    cleanup_free char *provider = NULL;
    cleanup_json cJSON *class = cJSON_CreateObject();
    cJSON *spec = cJSON_AddObjectToObject(class, "spec");
    cJSON *metadata = cJSON_AddObjectToObject(class, "metadata");
    cJSON *object = cJSON_AddObjectToObject(spec, "parameters");
    const char *slash = strrchr(options->class_name, '/');

    if (input_class(options->class_name, &parameters, &provider, err) < 0)
        return NULL;
    if (cJSON_AddStringToObject(metadata, "namespace", options->pod_namespace) == NULL ||
        cJSON_AddStringToObject(metadata, "name", slash != NULL ? slash + 1 : options->class_name) == NULL ||
        cJSON_AddStringToObject(spec, "provider", provider) == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    for (size_t i = 0; i < parameters.n; i++) {
        if (cJSON_AddStringToObject(object, parameters.entries[i].key, parameters.entries[i].value) == NULL) {
            (void)error_no_memory(err, NULL);
            return NULL;
        }
    }
    return steal_ptr(&class);
}

static int walk_without_api(struct diagnosis *diagnosis, struct error **err)
{
    const struct ctl_options *options = diagnosis->options;
    const struct pod_volume volume = {.name = *options->volume != '\0' ? options->volume : "secrets-store",
                                      .class_name = "",
                                      .secret_name = ""};
    cleanup_json cJSON *class = NULL;

    if (*options->class_name != '\0') {
        class = class_of_file(options, err);
        if (class == NULL)
            return -1;
    } else {
        checks_skipped(diagnosis->checks, "class", "without the Kubernetes API it needs --class");
    }
    diagnosis->node_applies =
        diagnose_driver(diagnosis->checks, options, /* node= */ "", diagnosis->driver_socket);
    if (diagnosis->node_applies && node_is_here(options))
        diagnose_registration_socket(diagnosis->checks, options);
    examine_volume(diagnosis, &volume, class);
    return 0;
}

/* --- the result --- */

static int print_text(const struct checks *checks, struct error **err)
{
    const cJSON *row;

    cJSON_ArrayForEach(row, checks->rows)
    {
        (void)printf("%-10s %-8s ", object_text(row, "check"), object_text(row, "result"));
        output_text(stdout, object_text(row, "text"));
        (void)putchar('\n');
        if (*object_text(row, "fix") != '\0')
            (void)printf("%-19s fix: %s\n", "", object_text(row, "fix"));
        if (*object_text(row, "see") != '\0')
            (void)printf("%-19s see: %s\n", "", object_text(row, "see"));
    }
    return output_flush(err);
}

static int print_json(const struct checks *checks, const char *pod, struct error **err)
{
    cleanup_json cJSON *result = cJSON_CreateObject();

    if (cJSON_AddStringToObject(result, "pod", pod) == NULL ||
        !cJSON_AddItemReferenceToObject(result, "checks", checks->rows) ||
        cJSON_AddNumberToObject(result, "wrong", (double)checks->n_wrong) == NULL)
        return error_no_memory(err, NULL);
    return output_result(result, /* json= */ true, err);
}

static int print_checks(const struct checks *checks, const char *pod, bool json, struct error **err)
{
    if (checks->incomplete)
        return error_no_memory(err, "the checks");
    return json ? print_json(checks, pod, err) : print_text(checks, err);
}

static int run_diagnose(const struct ctl_options *given, struct error **err)
{
    struct ctl_options filled = *given;
    const struct ctl_options *options = &filled;
    cleanup_checks struct checks checks = {0};
    CLEANUP(diagnosis_finish)
    struct diagnosis diagnosis = {.options = options, .checks = &checks};
    char pod[512];

    filled.pod = *given->operand != '\0' ? given->operand : "secrets-store-ctl"; /* without the API */
    filled.service_account = "default";
    filled.volume_id = filled.target = ""; /* computed as the kubelet does */
    if (*options->operand == '\0' && *options->pod_uid == '\0')
        return error_unusable_input(err, "POD is required, or --pod-uid without the Kubernetes API");
    if (*options->operand != '\0')
        open_api(&diagnosis);
    if (diagnosis.api != NULL)
        walk_with_api(&diagnosis);
    if (diagnosis.api == NULL && walk_without_api(&diagnosis, err) < 0)
        return -1;

    (void)snprintf(pod, sizeof(pod), "%s/%s", options->pod_namespace,
                   *options->operand != '\0' ? options->operand : options->pod_uid);
    if (print_checks(&checks, pod, options->json, err) < 0)
        return -1;
    if (checks.n_wrong == 0)
        return 0;
    (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "checks of pod %s that found something wrong: %zu",
                    pod, checks.n_wrong);
    return error_set_type(err, SOMETHING_WRONG);
}

static const struct option_row rows[] = {
    CTL_COMMON_ROWS,
    CTL_STRING_ROW("namespace", pod_namespace, "default", "`namespace` of the pod"),
    CTL_STRING_ROW("kubeconfig", kubeconfig, NULL,
                   "kubeconfig `file`; default: $KUBECONFIG, the pod's service account, ~/.kube/config"),
    CTL_STRING_ROW("volume", volume, NULL, "`name` of the volume in the pod; default: all of the driver"),
    CTL_STRING_ROW("drivername", driver_name, "secrets-store.csi.k8s.io", "`name` of the driver"),
    CTL_STRING_ROW("kubelet-dir", kubelet_dir, "/var/lib/kubelet", "the kubelet's root `directory`"),
    CTL_STRING_ROW("providers-dir", providers_dir, NULL,
                   "`directory` of provider sockets; default: those of the manifests, charts and packages"),
    CTL_STRING_ROW("pod-uid", pod_uid, NULL, "without the Kubernetes API: `uid` of the pod"),
    CTL_STRING_ROW("class", class_name, NULL,
                   "without the Kubernetes API: `file` with the SecretProviderClass"),
    {.name = "fetch",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, fetch),
     .default_value = "true",
     .help = "call the Azure provider as the driver does, to try token and vault; no content is shown"},
    CTL_STRING_ROW("secrets-dir", secrets_dir, NULL,
                   "`directory` with one file per nodePublishSecretRef key; default: read the Secret"),
    CTL_REPEATED_ROW("secret-file", "nodePublishSecretRef entry `key=path`; may be repeated"),
    CTL_REPEATED_ROW("token-file", "service account token `audience=path`; may be repeated"),
};

const struct ctl_command ctl_command_diagnose = {"diagnose", "what is wrong with the volumes of a pod", rows,
                                                 ARRAY_SIZE(rows), run_diagnose};
