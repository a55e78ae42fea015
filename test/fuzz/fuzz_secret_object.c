/*
 * fuzz_secret_object.c - a Secret as the API server may send it, whatever it says: the patch that is made for
 * it, once applied (RFC 7396), leaves nothing to patch.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "driver/sync/secret_object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void merge(cJSON *target, const cJSON *patch)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, patch)
    {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(target, item->string);

        if (cJSON_IsObject(item) && cJSON_IsObject(old)) {
            merge(old, item);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
        if (cJSON_IsObject(item))
            merge(cJSON_AddObjectToObject(target, item->string), item);
        else if (!cJSON_IsNull(item))
            (void)cJSON_AddItemToObject(target, item->string, cJSON_Duplicate(item, /* recurse= */ 1));
    }
}

static void check(const struct secret_wish *wish, cJSON *current)
{
    cleanup_json cJSON *patch = NULL;
    cleanup_json cJSON *again = NULL;

    if (secret_object_patch(wish, current, &patch, /* err= */ NULL) < 0 || patch == NULL)
        return;
    merge(current, patch);
    if (secret_object_patch(wish, current, &again, /* err= */ NULL) < 0 || again != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct secret_value values[] = {{.key = (char[]){"a"}, .bytes = secret_from_bytes("1", 1)},
                                    {.key = (char[]){"b"}, .bytes = secret_from_bytes("two", 3)}};
    struct secret_content content = {
        .name = (char[]){"s"}, .type = (char[]){SECRET_TYPE_OPAQUE}, .values = values, .n_values = 2};
    cleanup_string_map struct string_map old = {0};
    cleanup_owners struct owners owners = {0};
    cleanup_json cJSON *current = json_parse((const char *)data, size, 1 << 20, /* err= */ NULL);

    if (cJSON_IsObject(current) && string_map_set(&content.labels, SECRET_MANAGED_LABEL, "true", NULL) == 0 &&
        string_map_set(&old, "old", "1", NULL) == 0 && owners_from_object(current, &owners, NULL) <= 0 &&
        owners_add(&owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL) <= 0) {
        struct secret_wish wish = {.content = &content, .owners = &owners, .old_labels = &old};

        wish.authority = size % 2 == 0 ? SECRET_AUTHORITY_FULL : SECRET_AUTHORITY_REPAIR;
        check(&wish, current);
    }
    string_map_finish(&content.labels);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        secret_destroy(values[i].bytes);
    return 0;
}
