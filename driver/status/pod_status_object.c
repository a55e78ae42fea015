/*
 * pod_status_object.c - the content of a SecretProviderClassPodStatus, and how an existing one differs from
 * it.
 */
#include "driver/status/pod_status_object.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/kube/kube_client.h"
#include "driver/volume/target_path.h"

enum { HASH_DIGITS = 16 };

/* --- names --- */

/* The beginning of `text` that fits into `max` together with '-' and digits of the digest of `unique`. */
static char *shorten(const char *text, const char *unique, size_t max, struct error **err)
{
    char hex[DIGEST_SHA256_HEX_LEN + 1];
    size_t len = strlen(text);
    char *result = NULL;

    if (len > max - HASH_DIGITS - 1)
        len = max - HASH_DIGITS - 1;
    /* "a.-1234" would not be a name */
    while (len > 0 && strchr("-._", text[len - 1]) != NULL)
        len--;
    if (digest_sha256_hex(unique, strlen(unique), hex) < 0) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "no SHA-256 for a name");
        return NULL;
    }
    if (asprintf(&result, "%.*s-%.*s", (int)len, text, HASH_DIGITS, hex) < 0) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return result;
}

char *pod_status_name(const char *pod, const char *ns, const char *class_name, unsigned flags,
                      struct error **err)
{
    cleanup_free char *plain = NULL;
    cleanup_free char *unique = NULL;

    if (asprintf(&plain, "%s-%s-%s", pod, ns, class_name) < 0)
        plain = NULL;
    if (asprintf(&unique, "%s/%s/%s", pod, ns, class_name) < 0)
        unique = NULL;
    if (plain == NULL || unique == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    if (strlen(plain) <= POD_STATUS_NAME_MAX && (flags & POD_STATUS_NAME_UNIQUE) == 0)
        return steal_ptr(&plain);
    return shorten(plain, unique, POD_STATUS_NAME_MAX, err);
}

char *pod_status_node_label(const char *node, struct error **err)
{
    char *label;

    if (strlen(node) > POD_STATUS_LABEL_MAX)
        return shorten(node, node, POD_STATUS_LABEL_MAX, err);
    label = strdup(node);
    if (label == NULL)
        (void)error_no_memory(err, NULL);
    return label;
}

/* --- the desired status --- */

void desired_pod_status_destroy(struct desired_pod_status *desired)
{
    if (desired == NULL)
        return;
    free(desired->pod_name);
    free(desired->pod_namespace);
    free(desired->pod_uid);
    free(desired->class_name);
    free(desired->target_path);
    free(desired->node_label);
    cJSON_Delete(desired->objects);
    free(desired->error);
    version_set_unref(desired->sets, desired->versions);
    free(desired);
}

static bool add_text(cJSON *object, const char *key, const char *text)
{
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

/* Providers may send any bytes. */
static bool add_clean_text(cJSON *object, const char *key, const char *text)
{
    cleanup_free char *copy = strdup(text);

    if (copy == NULL)
        return false;
    utf8_sanitize(copy);
    return add_text(object, key, copy);
}

static bool add_copy(cJSON *object, const char *key, const cJSON *json)
{
    cleanup_json cJSON *copy = cJSON_Duplicate(json, true);

    if (copy == NULL || !cJSON_AddItemToObject(object, key, copy))
        return false;
    copy = NULL; /* belongs to the object now */
    return true;
}

/* A string_map is sorted bytewise already. */
static cJSON *objects_of(const struct string_map *versions)
{
    cleanup_json cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; list != NULL && i < versions->n; i++) {
        cJSON *object = cJSON_CreateObject();

        if (object == NULL || !cJSON_AddItemToArray(list, object)) {
            cJSON_Delete(object);
            return NULL;
        }
        if (!add_clean_text(object, "id", versions->entries[i].key) ||
            !add_clean_text(object, "version", versions->entries[i].value))
            return NULL;
    }
    return steal_ptr(&list);
}

static int make_digest(struct desired_pod_status *desired, struct error **err)
{
    cleanup_json cJSON *json = cJSON_CreateObject();
    char *printed;
    int result;

    if (json == NULL || !add_text(json, "namespace", desired->pod_namespace) ||
        !add_text(json, "pod", desired->pod_name) || !add_text(json, "uid", desired->pod_uid) ||
        !add_text(json, "class", desired->class_name) || !add_text(json, "path", desired->target_path) ||
        !add_text(json, "node", desired->node_label) ||
        cJSON_AddBoolToObject(json, "failed", desired->error != NULL) == NULL ||
        (desired->objects != NULL && !add_copy(json, "objects", desired->objects)))
        return error_no_memory(err, NULL);
    printed = json_print(json, err);
    if (printed == NULL)
        return -1;
    result = digest_sha256_hex(printed, strlen(printed), desired->digest);
    secret_free(printed);
    return result < 0 ? error_set(err, GRPC_STATUS_INTERNAL, "no SHA-256 for a status") : 0;
}

static int fill(struct desired_pod_status *desired, const struct volume_event *event, const char *node_label,
                struct error **err)
{
    desired->pod_name = strdup(event->pod_name);
    desired->pod_namespace = strdup(event->pod_namespace);
    desired->pod_uid = strdup(event->pod_uid);
    desired->class_name = strdup(event->class_name);
    desired->target_path = strdup(event->target_path);
    desired->node_label = strdup(node_label);
    if (event->versions != NULL)
        desired->objects = objects_of(event->versions);
    if (event->failure != NULL) {
        const char *message = error_message(event->failure);

        desired->error = strndup(message, strlen(message) > POD_STATUS_ERROR_MAX
                                              ? utf8_floor(message, POD_STATUS_ERROR_MAX)
                                              : strlen(message));
    }
    if (desired->pod_name == NULL || desired->pod_namespace == NULL || desired->pod_uid == NULL ||
        desired->class_name == NULL || desired->target_path == NULL || desired->node_label == NULL ||
        (event->versions != NULL && desired->objects == NULL) ||
        (event->failure != NULL && desired->error == NULL))
        return error_no_memory(err, NULL);
    return make_digest(desired, err);
}

struct desired_pod_status *desired_pod_status_create(const struct volume_event *event, const char *node_label,
                                                     int64_t now_unix, struct error **err)
{
    struct desired_pod_status *desired = calloc(1, sizeof(*desired));

    if (desired == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    desired->event_type = event->type;
    desired->changed = event->changed;
    desired->checked_unix = event->checked_unix;
    desired->now_unix = now_unix;
    if (fill(desired, event, node_label, err) < 0) {
        desired_pod_status_destroy(desired);
        return NULL;
    }
    return desired;
}

static int check_pod(const struct volume_event *event, struct error **err)
{
    if (event->pod_name[0] != '\0' && event->pod_uid[0] != '\0' && event->pod_namespace[0] != '\0')
        return 0;
    return error_set(
        err, GRPC_STATUS_INVALID_ARGUMENT,
        "the pod is not named in the volume context: podInfoOnMount must be true in the CSIDriver object");
}

struct desired_pod_status *desired_pod_status_create_shared(const struct volume_event *event,
                                                            const char *node_label, int64_t now_unix,
                                                            struct version_sets *sets, struct error **err)
{
    struct desired_pod_status *desired =
        check_pod(event, err) < 0 ? NULL : desired_pod_status_create(event, node_label, now_unix, err);

    if (desired == NULL || event->versions == NULL)
        return desired;
    desired->sets = sets;
    desired->versions = version_sets_get(sets, event->versions);
    if (desired->versions != NULL || event->versions->n == 0)
        return desired;
    desired_pod_status_destroy(desired);
    (void)error_no_memory(err, NULL);
    return NULL;
}

/* --- the object --- */

static bool add_time(cJSON *object, const char *key, int64_t unix_s)
{
    char text[KUBE_TIME_SIZE];

    kube_time(unix_s, text);
    return text[0] == '\0' || add_text(object, key, text);
}

static bool add_owner(cJSON *metadata, const struct desired_pod_status *desired)
{
    cJSON *list = cJSON_AddArrayToObject(metadata, "ownerReferences");
    cJSON *owner = cJSON_CreateObject();

    if (list == NULL || owner == NULL || !cJSON_AddItemToArray(list, owner)) {
        cJSON_Delete(owner);
        return false;
    }
    return add_text(owner, "apiVersion", "v1") && add_text(owner, "kind", "Pod") &&
           add_text(owner, "name", desired->pod_name) && add_text(owner, "uid", desired->pod_uid);
}

static bool add_label(cJSON *metadata, const struct desired_pod_status *desired)
{
    cJSON *labels = cJSON_AddObjectToObject(metadata, "labels");

    return labels != NULL && add_text(labels, POD_STATUS_NODE_LABEL, desired->node_label);
}

/* All but times and errors. */
static bool add_facts(cJSON *status, const struct desired_pod_status *desired, bool path)
{
    return add_text(status, "podName", desired->pod_name) &&
           add_text(status, "secretProviderClassName", desired->class_name) &&
           cJSON_AddBoolToObject(status, "mounted", true) != NULL &&
           (!path || add_text(status, "targetPath", desired->target_path)) &&
           (desired->objects == NULL || add_copy(status, "objects", desired->objects));
}

static bool add_times(cJSON *status, const struct desired_pod_status *desired)
{
    if (desired->checked_unix > 0 && !add_time(status, "lastCheckedTime", desired->checked_unix))
        return false;
    if (desired->changed && !add_time(status, "lastRotatedTime", desired->now_unix))
        return false;
    return desired->error == NULL || (add_text(status, "lastError", desired->error) &&
                                      add_time(status, "lastErrorTime", desired->now_unix));
}

cJSON *pod_status_object(const struct desired_pod_status *desired, const char *name, struct error **err)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *metadata;
    cJSON *status;

    if (object == NULL || !add_text(object, "apiVersion", CLASS_API_GROUP "/v1") ||
        !add_text(object, "kind", POD_STATUS_KIND) ||
        (metadata = cJSON_AddObjectToObject(object, "metadata")) == NULL ||
        !add_text(metadata, "name", name) || !add_text(metadata, "namespace", desired->pod_namespace) ||
        !add_label(metadata, desired) || !add_owner(metadata, desired) ||
        (status = cJSON_AddObjectToObject(object, "status")) == NULL || !add_facts(status, desired, true) ||
        !add_times(status, desired)) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return steal_ptr(&object);
}

/* --- comparing --- */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = member(object, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static bool is_text(const cJSON *object, const char *key, const char *text)
{
    const cJSON *item = member(object, key);

    return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

static const cJSON *owners_of(const cJSON *current)
{
    return member(member(current, "metadata"), "ownerReferences");
}

/* The uid of the pod that owns it, "" when none does. */
static const char *owner_uid(const cJSON *current)
{
    const cJSON *owner = NULL;

    cJSON_ArrayForEach(owner, owners_of(current))
    {
        if (is_text(owner, "kind", "Pod"))
            return text_of(owner, "uid");
    }
    return "";
}

enum pod_status_relation pod_status_relation(const cJSON *current, const struct desired_pod_status *desired)
{
    const cJSON *status = member(current, "status");
    const char *pod = text_of(status, "podName");
    const char *class_name = text_of(status, "secretProviderClassName");
    const char *uid = owner_uid(current);

    if ((pod[0] != '\0' && strcmp(pod, desired->pod_name) != 0) ||
        (class_name[0] != '\0' && strcmp(class_name, desired->class_name) != 0))
        return POD_STATUS_OTHER_NAME;
    return uid[0] == '\0' || strcmp(uid, desired->pod_uid) == 0 ? POD_STATUS_OURS : POD_STATUS_OTHER_POD;
}

static bool has_desired_owner(const cJSON *current, const struct desired_pod_status *desired)
{
    const cJSON *owners = owners_of(current);
    const cJSON *owner = cJSON_GetArrayItem(owners, 0);

    return cJSON_IsArray(owners) && cJSON_GetArraySize(owners) == 1 && cJSON_GetArraySize(owner) == 4 &&
           is_text(owner, "apiVersion", "v1") && is_text(owner, "kind", "Pod") &&
           is_text(owner, "name", desired->pod_name) && is_text(owner, "uid", desired->pod_uid);
}

static bool has_desired_label(const cJSON *current, const struct desired_pod_status *desired)
{
    return is_text(member(member(current, "metadata"), "labels"), POD_STATUS_NODE_LABEL, desired->node_label);
}

/* Is the path another volume's, of the same pod, that goes before ours? Then it stays. */
static bool other_path_stays(const cJSON *current, const struct desired_pod_status *desired)
{
    const char *path = text_of(member(current, "status"), "targetPath");
    struct target_path theirs;
    struct target_path ours;

    return strcmp(owner_uid(current), desired->pod_uid) == 0 && strcmp(path, desired->target_path) < 0 &&
           target_path_parse(path, &theirs) && target_path_parse(desired->target_path, &ours) &&
           theirs.pod_uid_len == ours.pod_uid_len &&
           memcmp(theirs.pod_uid, ours.pod_uid, ours.pod_uid_len) == 0;
}

static bool has_facts(const cJSON *current, const struct desired_pod_status *desired, bool path)
{
    const cJSON *status = member(current, "status");

    return is_text(status, "podName", desired->pod_name) &&
           is_text(status, "secretProviderClassName", desired->class_name) &&
           cJSON_IsTrue(member(status, "mounted")) &&
           (!path || is_text(status, "targetPath", desired->target_path)) &&
           (desired->objects == NULL || cJSON_Compare(member(status, "objects"), desired->objects, true));
}

/* A failure has begun, or ended, or (with the flag) is another one. */
static bool has_desired_error(const cJSON *current, const struct desired_pod_status *desired, unsigned flags)
{
    const char *error = text_of(member(current, "status"), "lastError");

    if (desired->error == NULL || error[0] == '\0')
        return desired->error == NULL && error[0] == '\0';
    return (flags & POD_STATUS_PATCH_ERROR_TEXT) == 0 || strcmp(error, desired->error) == 0;
}

static bool add_null(cJSON *object, const char *key)
{
    return cJSON_AddNullToObject(object, key) != NULL;
}

/* What an earlier pod or an earlier failure has left. */
static bool add_removals(cJSON *status, const cJSON *current, const struct desired_pod_status *desired)
{
    const cJSON *old = member(current, "status");
    bool blind = current == NULL;

    if (desired->error == NULL && (blind || member(old, "lastError") != NULL) &&
        !add_null(status, "lastError"))
        return false;
    if (desired->error == NULL && (blind || member(old, "lastErrorTime") != NULL) &&
        !add_null(status, "lastErrorTime"))
        return false;
    return desired->event_type != VOLUME_EVENT_MOUNTED || blind || member(old, "lastRotatedTime") == NULL ||
           add_null(status, "lastRotatedTime");
}

cJSON *pod_status_patch(const cJSON *current, const struct desired_pod_status *desired, unsigned flags,
                        bool *ret_other_path, struct error **err)
{
    bool other_path =
        current == NULL ? (flags & POD_STATUS_PATCH_KEEP_PATH) != 0 : other_path_stays(current, desired);
    cleanup_json cJSON *patch = NULL;
    cJSON *metadata;
    cJSON *status;

    *ret_other_path = other_path;
    if (current != NULL && has_desired_owner(current, desired) && has_desired_label(current, desired) &&
        has_facts(current, desired, !other_path) && has_desired_error(current, desired, flags) &&
        !desired->changed)
        return NULL;
    patch = cJSON_CreateObject();
    if (patch == NULL || (metadata = cJSON_AddObjectToObject(patch, "metadata")) == NULL ||
        !add_label(metadata, desired) || !add_owner(metadata, desired) ||
        (status = cJSON_AddObjectToObject(patch, "status")) == NULL ||
        !add_facts(status, desired, !other_path) || !add_times(status, desired) ||
        !add_removals(status, current, desired)) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return steal_ptr(&patch);
}
