/*
 * volume_record.c - what a volume remembers of its last look, as JSON.
 */
#include "driver/rotation/volume_metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"

#define KEY_PROVIDER "provider"
#define KEY_MARK     "class"
#define KEY_VERSIONS "versions"

void volume_record_finish(struct volume_record *record)
{
    free(record->provider);
    string_map_finish(&record->versions);
    *record = (struct volume_record){0};
}

static cJSON *make_versions(const struct string_map *versions)
{
    cleanup_json cJSON *object = cJSON_CreateObject();

    for (size_t i = 0; object != NULL && i < versions->n; i++)
        if (cJSON_AddStringToObject(object, versions->entries[i].key, versions->entries[i].value) == NULL)
            return NULL;
    return steal_ptr(&object);
}

char *volume_record_print(const char *provider, const char *mark, const struct string_map *versions,
                          struct error **err)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cleanup_json cJSON *map = make_versions(versions);
    char *text;

    if (object == NULL || map == NULL || cJSON_AddStringToObject(object, KEY_PROVIDER, provider) == NULL ||
        cJSON_AddStringToObject(object, KEY_MARK, mark) == NULL ||
        !cJSON_AddItemToObject(object, KEY_VERSIONS, map)) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    (void)steal_ptr(&map);
    text = json_print(object, err);
    if (text == NULL || strlen(text) <= VOLUME_RECORD_MAX)
        return text;
    secret_free(text);
    return volume_record_print(provider, mark, &(const struct string_map){0}, err);
}

static int read_versions(const cJSON *object, struct string_map *ret, struct error **err)
{
    const cJSON *versions = NULL;
    const cJSON *item;

    if (json_opt_object(object, KEY_VERSIONS, &versions, err) < 0)
        return -1;
    cJSON_ArrayForEach(item, versions)
    {
        if (!cJSON_IsString(item))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a version is not a string");
        if (string_map_set(ret, item->string, item->valuestring, err) < 0)
            return -1;
    }
    return 0;
}

int volume_record_parse(const char *text, size_t len, struct volume_record *ret, struct error **err)
{
    cleanup_json cJSON *json = json_parse(text, len, VOLUME_RECORD_MAX, err);
    cleanup_volume_record struct volume_record record = {0};
    const char *provider = NULL;
    const char *mark = NULL;

    if (json == NULL)
        return -1;
    if (!cJSON_IsObject(json))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not an object");
    if (json_opt_string(json, KEY_PROVIDER, &provider, err) < 0 ||
        json_opt_string(json, KEY_MARK, &mark, err) < 0 || read_versions(json, &record.versions, err) < 0)
        return -1;
    if (mark != NULL && strlen(mark) == ROTATION_SPEC_HASH_LEN)
        memcpy(record.mark, mark, ROTATION_SPEC_HASH_LEN + 1);
    if (provider != NULL && (record.provider = strdup(provider)) == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    *ret = record;
    record = (struct volume_record){0};
    return 0;
}
