/*
 * pod_status_object.c - what a SecretProviderClassPodStatus says, and how one that is there differs.
 */
#include "driver/status/pod_status_object.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "driver/kube/kube_client.h"
#include "driver/volume/target_path.h"

enum { HASH_DIGITS = 16 };

static int no_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

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
        (void)no_memory(err);
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
        (void)no_memory(err);
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
        (void)no_memory(err);
    return label;
}

/* --- wishes --- */

void pod_status_wish_destroy(struct pod_status_wish *wish)
{
    if (wish == NULL)
        return;
    free(wish->pod_name);
    free(wish->pod_namespace);
    free(wish->pod_uid);
    free(wish->class_name);
    free(wish->target_path);
    free(wish->node_label);
    cJSON_Delete(wish->objects);
    free(wish->error);
    free(wish);
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

static int make_digest(struct pod_status_wish *wish, struct error **err)
{
    cleanup_json cJSON *json = cJSON_CreateObject();
    char *printed;
    int result;

    if (json == NULL || !add_text(json, "namespace", wish->pod_namespace) ||
        !add_text(json, "pod", wish->pod_name) || !add_text(json, "uid", wish->pod_uid) ||
        !add_text(json, "class", wish->class_name) || !add_text(json, "path", wish->target_path) ||
        !add_text(json, "node", wish->node_label) ||
        cJSON_AddBoolToObject(json, "failed", wish->error != NULL) == NULL ||
        (wish->objects != NULL && !add_copy(json, "objects", wish->objects)))
        return no_memory(err);
    printed = json_print(json, err);
    if (printed == NULL)
        return -1;
    result = digest_sha256_hex(printed, strlen(printed), wish->digest);
    secret_free(printed);
    return result < 0 ? error_set(err, GRPC_STATUS_INTERNAL, "no SHA-256 for a status") : 0;
}

static int fill(struct pod_status_wish *wish, const struct status_record *record, const char *node_label,
                struct error **err)
{
    wish->pod_name = strdup(record->pod_name);
    wish->pod_namespace = strdup(record->pod_namespace);
    wish->pod_uid = strdup(record->pod_uid);
    wish->class_name = strdup(record->class_name);
    wish->target_path = strdup(record->target_path);
    wish->node_label = strdup(node_label);
    if (record->versions != NULL)
        wish->objects = objects_of(record->versions);
    if (record->failure != NULL) {
        const char *message = error_message(record->failure);

        wish->error = strndup(message, strlen(message) > POD_STATUS_ERROR_MAX
                                           ? utf8_floor(message, POD_STATUS_ERROR_MAX)
                                           : strlen(message));
    }
    if (wish->pod_name == NULL || wish->pod_namespace == NULL || wish->pod_uid == NULL ||
        wish->class_name == NULL || wish->target_path == NULL || wish->node_label == NULL ||
        (record->versions != NULL && wish->objects == NULL) ||
        (record->failure != NULL && wish->error == NULL))
        return no_memory(err);
    return make_digest(wish, err);
}

struct pod_status_wish *pod_status_wish_create(const struct status_record *record, const char *node_label,
                                               int64_t now_unix, struct error **err)
{
    struct pod_status_wish *wish = calloc(1, sizeof(*wish));

    if (wish == NULL) {
        (void)no_memory(err);
        return NULL;
    }
    wish->event = record->event;
    wish->changed = record->changed;
    wish->checked_unix = record->checked_unix;
    wish->now_unix = now_unix;
    if (fill(wish, record, node_label, err) < 0) {
        pod_status_wish_destroy(wish);
        return NULL;
    }
    return wish;
}

/* --- the object --- */

static bool add_time(cJSON *object, const char *key, int64_t unix_s)
{
    char text[KUBE_TIME_SIZE];

    kube_time(unix_s, text);
    return text[0] == '\0' || add_text(object, key, text);
}

static bool add_owner(cJSON *metadata, const struct pod_status_wish *wish)
{
    cJSON *list = cJSON_AddArrayToObject(metadata, "ownerReferences");
    cJSON *owner = cJSON_CreateObject();

    if (list == NULL || owner == NULL || !cJSON_AddItemToArray(list, owner)) {
        cJSON_Delete(owner);
        return false;
    }
    return add_text(owner, "apiVersion", "v1") && add_text(owner, "kind", "Pod") &&
           add_text(owner, "name", wish->pod_name) && add_text(owner, "uid", wish->pod_uid);
}

static bool add_label(cJSON *metadata, const struct pod_status_wish *wish)
{
    cJSON *labels = cJSON_AddObjectToObject(metadata, "labels");

    return labels != NULL && add_text(labels, POD_STATUS_NODE_LABEL, wish->node_label);
}

/* What is neither times nor errors. */
static bool add_facts(cJSON *status, const struct pod_status_wish *wish, bool path)
{
    return add_text(status, "podName", wish->pod_name) &&
           add_text(status, "secretProviderClassName", wish->class_name) &&
           cJSON_AddBoolToObject(status, "mounted", true) != NULL &&
           (!path || add_text(status, "targetPath", wish->target_path)) &&
           (wish->objects == NULL || add_copy(status, "objects", wish->objects));
}

static bool add_times(cJSON *status, const struct pod_status_wish *wish)
{
    if (wish->checked_unix > 0 && !add_time(status, "lastCheckedTime", wish->checked_unix))
        return false;
    if (wish->changed && !add_time(status, "lastRotatedTime", wish->now_unix))
        return false;
    return wish->error == NULL ||
           (add_text(status, "lastError", wish->error) && add_time(status, "lastErrorTime", wish->now_unix));
}

cJSON *pod_status_object(const struct pod_status_wish *wish, const char *name, struct error **err)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *metadata;
    cJSON *status;

    if (object == NULL || !add_text(object, "apiVersion", CLASS_API_GROUP "/v1") ||
        !add_text(object, "kind", POD_STATUS_KIND) ||
        (metadata = cJSON_AddObjectToObject(object, "metadata")) == NULL ||
        !add_text(metadata, "name", name) || !add_text(metadata, "namespace", wish->pod_namespace) ||
        !add_label(metadata, wish) || !add_owner(metadata, wish) ||
        (status = cJSON_AddObjectToObject(object, "status")) == NULL || !add_facts(status, wish, true) ||
        !add_times(status, wish)) {
        (void)no_memory(err);
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

enum pod_status_relation pod_status_relation(const cJSON *current, const struct pod_status_wish *wish)
{
    const cJSON *status = member(current, "status");
    const char *pod = text_of(status, "podName");
    const char *class_name = text_of(status, "secretProviderClassName");
    const char *uid = owner_uid(current);

    if ((pod[0] != '\0' && strcmp(pod, wish->pod_name) != 0) ||
        (class_name[0] != '\0' && strcmp(class_name, wish->class_name) != 0))
        return POD_STATUS_OTHER_NAME;
    return uid[0] == '\0' || strcmp(uid, wish->pod_uid) == 0 ? POD_STATUS_OURS : POD_STATUS_OTHER_POD;
}

static bool is_owned_as_wished(const cJSON *current, const struct pod_status_wish *wish)
{
    const cJSON *owners = owners_of(current);
    const cJSON *owner = cJSON_GetArrayItem(owners, 0);

    return cJSON_IsArray(owners) && cJSON_GetArraySize(owners) == 1 && cJSON_GetArraySize(owner) == 4 &&
           is_text(owner, "apiVersion", "v1") && is_text(owner, "kind", "Pod") &&
           is_text(owner, "name", wish->pod_name) && is_text(owner, "uid", wish->pod_uid);
}

static bool is_labelled_as_wished(const cJSON *current, const struct pod_status_wish *wish)
{
    return is_text(member(member(current, "metadata"), "labels"), POD_STATUS_NODE_LABEL, wish->node_label);
}

/* Is the path another volume's, of the same pod, that goes before ours? Then it stays. */
static bool other_path_stays(const cJSON *current, const struct pod_status_wish *wish)
{
    const char *path = text_of(member(current, "status"), "targetPath");
    struct target_path theirs;
    struct target_path ours;

    return strcmp(owner_uid(current), wish->pod_uid) == 0 && strcmp(path, wish->target_path) < 0 &&
           target_path_parse(path, &theirs) && target_path_parse(wish->target_path, &ours) &&
           theirs.pod_uid_len == ours.pod_uid_len &&
           memcmp(theirs.pod_uid, ours.pod_uid, ours.pod_uid_len) == 0;
}

static bool has_facts(const cJSON *current, const struct pod_status_wish *wish, bool path)
{
    const cJSON *status = member(current, "status");

    return is_text(status, "podName", wish->pod_name) &&
           is_text(status, "secretProviderClassName", wish->class_name) &&
           cJSON_IsTrue(member(status, "mounted")) &&
           (!path || is_text(status, "targetPath", wish->target_path)) &&
           (wish->objects == NULL || cJSON_Compare(member(status, "objects"), wish->objects, true));
}

/* A failure has begun, or ended, or (with the flag) is another one. */
static bool has_error_as_wished(const cJSON *current, const struct pod_status_wish *wish, unsigned flags)
{
    const char *error = text_of(member(current, "status"), "lastError");

    if (wish->error == NULL || error[0] == '\0')
        return wish->error == NULL && error[0] == '\0';
    return (flags & POD_STATUS_PATCH_ERROR_TEXT) == 0 || strcmp(error, wish->error) == 0;
}

static bool add_null(cJSON *object, const char *key)
{
    return cJSON_AddNullToObject(object, key) != NULL;
}

/* What an earlier pod or an earlier failure has left. */
static bool add_removals(cJSON *status, const cJSON *current, const struct pod_status_wish *wish)
{
    const cJSON *old = member(current, "status");
    bool blind = current == NULL;

    if (wish->error == NULL && (blind || member(old, "lastError") != NULL) && !add_null(status, "lastError"))
        return false;
    if (wish->error == NULL && (blind || member(old, "lastErrorTime") != NULL) &&
        !add_null(status, "lastErrorTime"))
        return false;
    return wish->event != STATUS_MOUNTED || blind || member(old, "lastRotatedTime") == NULL ||
           add_null(status, "lastRotatedTime");
}

cJSON *pod_status_patch(const cJSON *current, const struct pod_status_wish *wish, unsigned flags,
                        bool *ret_other_path, struct error **err)
{
    bool other_path =
        current == NULL ? (flags & POD_STATUS_PATCH_KEEP_PATH) != 0 : other_path_stays(current, wish);
    cleanup_json cJSON *patch = NULL;
    cJSON *metadata;
    cJSON *status;

    *ret_other_path = other_path;
    if (current != NULL && is_owned_as_wished(current, wish) && is_labelled_as_wished(current, wish) &&
        has_facts(current, wish, !other_path) && has_error_as_wished(current, wish, flags) && !wish->changed)
        return NULL;
    patch = cJSON_CreateObject();
    if (patch == NULL || (metadata = cJSON_AddObjectToObject(patch, "metadata")) == NULL ||
        !add_label(metadata, wish) || !add_owner(metadata, wish) ||
        (status = cJSON_AddObjectToObject(patch, "status")) == NULL ||
        !add_facts(status, wish, !other_path) || !add_times(status, wish) ||
        !add_removals(status, current, wish)) {
        (void)no_memory(err);
        return NULL;
    }
    return steal_ptr(&patch);
}
