/*
 * merge_patch.h - what an API server does with a JSON merge patch (RFC 7396), to test those who write one.
 */
#ifndef TEST_UNIT_MERGE_PATCH_H
#define TEST_UNIT_MERGE_PATCH_H

#include <cjson/cJSON.h>

/* Changes `target`, an object. `patch` is an object, too. */
static inline void merge_patch(cJSON *target, const cJSON *patch)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, patch)
    {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(target, item->string);

        if (cJSON_IsObject(item) && cJSON_IsObject(old)) {
            merge_patch(old, item);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(target, item->string);
        if (cJSON_IsObject(item))
            merge_patch(cJSON_AddObjectToObject(target, item->string), item);
        else if (!cJSON_IsNull(item))
            (void)cJSON_AddItemToObject(target, item->string, cJSON_Duplicate(item, /* recurse= */ 1));
    }
}

#endif
