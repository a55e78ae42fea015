/*
 * object.c - members of JSON objects of the Kubernetes API by their paths.
 */
#include "ctl/object.h"

#include <stdio.h>
#include <string.h>

const cJSON *object_at(const cJSON *object, const char *path)
{
    while (cJSON_IsObject(object)) {
        const char *slash = strchrnul(path, '/');
        char key[64];
        int len = snprintf(key, sizeof(key), "%.*s", (int)(slash - path), path);

        if (len < 0 || (size_t)len >= sizeof(key))
            return NULL;
        object = cJSON_GetObjectItemCaseSensitive(object, key);
        if (*slash == '\0')
            return object;
        path = slash + 1;
    }
    return NULL;
}

const char *object_text(const cJSON *object, const char *path)
{
    const char *text = cJSON_GetStringValue(object_at(object, path));

    return text != NULL ? text : "";
}

bool object_true(const cJSON *object, const char *path)
{
    return cJSON_IsTrue(object_at(object, path));
}

const cJSON *object_find(const cJSON *object, const char *path, const char *key, const char *value)
{
    const cJSON *list = object_at(object, path);
    const cJSON *element;

    if (!cJSON_IsArray(list))
        return NULL;
    cJSON_ArrayForEach(element, list)
    {
        if (strcmp(object_text(element, key), value) == 0)
            return element;
    }
    return NULL;
}
