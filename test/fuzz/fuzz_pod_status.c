/*
 * fuzz_pod_status.c - any text as a status object: as the API server returns it, and as a file that is
 * swept.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "driver/status/pod_status_object.h"
#include "driver/status/status_file_name.h"
#include "test/fuzz/fuzz.h"

static struct desired_pod_status *desired_of(enum volume_event_type type, const struct error *failure)
{
    char id[] = "secret";
    char version[] = "v1";
    struct string_map_entry entry = {.key = id, .value = version};
    const struct string_map versions = {.entries = &entry, .n = 1};
    const struct volume_event event = {.type = type,
                                       .pod_name = "web-0",
                                       .pod_namespace = "shop",
                                       .pod_uid = "uid-1",
                                       .target_path = "/pods/uid-1/volumes/kubernetes.io~csi/v/mount",
                                       .class_name = "db",
                                       .versions = &versions,
                                       .checked_unix = 1,
                                       .failure = failure};

    return desired_pod_status_create(&event, "node-1", 2, /* err= */ NULL);
}

/* RFC 7386. */
static void merge(cJSON *target, const cJSON *patch)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, patch)
    {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(target, item->string);

        if (!cJSON_IsObject(item) || !cJSON_IsObject(old))
            cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
        if (cJSON_IsNull(item))
            continue;
        if (!cJSON_IsObject(item))
            (void)cJSON_AddItemToObject(target, item->string, cJSON_Duplicate(item, true));
        else
            merge(cJSON_IsObject(old) ? old : cJSON_AddObjectToObject(target, item->string), item);
    }
}

/* Once patched, an object is as desired. */
static void patch_to_desired(const cJSON *json, const struct desired_pod_status *desired)
{
    cleanup_json cJSON *current = cJSON_Duplicate(json, true);
    cleanup_error struct error *error = NULL;
    bool other_path = false;
    cJSON *patch;

    (void)pod_status_relation(current, desired);
    patch = pod_status_patch(current, desired, POD_STATUS_PATCH_ERROR_TEXT, &other_path, &error);
    assert(error == NULL);
    if (patch == NULL || !cJSON_IsObject(current)) {
        cJSON_Delete(patch);
        return;
    }
    merge(current, patch);
    cJSON_Delete(patch);
    assert(pod_status_relation(current, desired) == POD_STATUS_OURS);
    assert(pod_status_patch(current, desired, POD_STATUS_PATCH_ERROR_TEXT, &other_path, &error) == NULL);
}

/* A new object is as desired, and has a name that the API server accepts, whatever the pod's is. */
static void create(const char *text, size_t len, const struct desired_pod_status *desired)
{
    struct fuzz_input rest = {.at = (const uint8_t *)text, .left = len};
    cleanup_free char *pod = fuzz_text(&rest, len);
    cleanup_error struct error *error = NULL;
    bool other_path = false;

    for (unsigned flags = 0; pod != NULL && flags <= POD_STATUS_NAME_UNIQUE; flags++) {
        cleanup_free char *name = pod_status_name(pod, "shop", "db", flags, /* err= */ NULL);
        assert(name == NULL || strlen(name) <= 253);
    }
    cleanup_free char *label = pod != NULL ? pod_status_node_label(pod, /* err= */ NULL) : NULL;
    assert(label == NULL || strlen(label) <= 63);
    cleanup_json cJSON *object = pod_status_object(desired, "name", &error);
    assert(object != NULL && pod_status_relation(object, desired) == POD_STATUS_OURS);
    assert(pod_status_patch(object, desired, POD_STATUS_PATCH_ERROR_TEXT, &other_path, &error) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *json = json_parse((const char *)data, size, 1 << 20, /* err= */ NULL);
    cleanup_free char *target = status_file_target((const char *)data, size);
    cleanup_free char *name = target != NULL ? status_file_name(target, /* err= */ NULL) : NULL;
    cleanup_error struct error *failure = NULL;

    assert(target == NULL || (target[0] == '/' && name != NULL && strchr(name, '/') == NULL));
    (void)error_set(&failure, GRPC_STATUS_UNAVAILABLE, "the vault is gone");
    for (enum volume_event_type type = VOLUME_EVENT_MOUNTED; json != NULL && type <= VOLUME_EVENT_FAILED;
         type++) {
        struct desired_pod_status *desired = desired_of(type, type == VOLUME_EVENT_FAILED ? failure : NULL);

        patch_to_desired(json, desired);
        create((const char *)data, size, desired);
        desired_pod_status_destroy(desired);
    }
    return 0;
}
