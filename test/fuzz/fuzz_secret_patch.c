/*
 * fuzz_secret_patch.c - any Secret of an API server: the patches for it, once applied (RFC 7396), soon leave
 * nothing to patch.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "driver/sync/refused_fields.h"
#include "driver/sync/secret_patch.h"
#include "driver/sync/secret_release.h"
#include "test/unit/merge_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was sent and is there is not refused; what is not there is, and then nothing more is. */
static void refuse(const cJSON *sent, const cJSON *object)
{
    cleanup_refused_fields struct refused_fields fields = {0}, again = {0};
    const cJSON *patch = cJSON_GetObjectItemCaseSensitive(sent, "metadata");
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
    size_t n = 0;

    if (refused_fields_compare(&fields, patch, patch) < 0 || fields.n != 0)
        abort();
    if (refused_fields_compare(&fields, patch, metadata) < 0 || refused_fields_merge(&again, &fields) < 0 ||
        refused_fields_compare(&again, patch, metadata) < 0 || again.n != fields.n)
        abort();
    if (refused_fields_new(&again, &fields, &n) != NULL || n != 0)
        abort();
}

/* Returns true when there was nothing to change. */
static bool settle(const struct desired_secret *desired, cJSON *current)
{
    cleanup_secret_patch struct secret_patch patch = {0};

    if (secret_patch_build(desired, current, &patch, /* err= */ NULL) < 0 || patch.json == NULL)
        return true;
    refuse(patch.json, current);
    merge_patch(current, patch.json);
    return false;
}

/* A new Secret is as desired. */
static void create(const struct desired_secret *desired)
{
    cleanup_json cJSON *object = secret_patch_new_object("shop", desired, /* err= */ NULL);

    if (object == NULL || (!settle(desired, object) && !settle(desired, object)))
        abort();
}

/* After its release nothing of it is left to release. */
static void release(const struct owner_references *owners, cJSON *current)
{
    const struct secret_release_request request = {.name = "s", .class_name = "web", .owners = owners};
    cleanup_json cJSON *patch = secret_release_patch(&request, current, /* err= */ NULL);
    cJSON *again;

    if (patch == NULL)
        return;
    merge_patch(current, patch);
    again = secret_release_patch(&request, current, /* err= */ NULL);
    if (again != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct secret_value values[] = {{.key = (char[]){"a"}, .bytes = secret_from_bytes("1", 1)},
                                    {.key = (char[]){"b"}, .bytes = secret_from_bytes("two", 3)}};
    struct secret_content content = {
        .name = (char[]){"s"}, .type = (char[]){SECRET_TYPE_OPAQUE}, .values = values, .n_values = 2};
    cleanup_owner_references struct owner_references owners = {0};
    cleanup_json cJSON *current = json_parse((const char *)data, size, 1 << 20, /* err= */ NULL);

    if (cJSON_IsObject(current) && string_map_set(&content.labels, SECRET_MANAGED_LABEL, "true", NULL) == 0 &&
        owner_references_from_object(current, &owners, NULL) <= 0 &&
        owner_references_add(&owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL) <= 0) {
        const struct desired_secret desired = {.class_name = "web",
                                               .content = &content,
                                               .owners = &owners,
                                               .mode = size % 2 == 0 ? SECRET_APPLY : SECRET_RESTORE,
                                               .force = size % 4 < 2};

        /* the first patch may only add the field owners, the second removes fields without one */
        if (!settle(&desired, current) && !settle(&desired, current) && !settle(&desired, current))
            abort();
        release(&owners, current);
        create(&desired);
    }
    string_map_finish(&content.labels);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        secret_destroy(values[i].bytes);
    return 0;
}
