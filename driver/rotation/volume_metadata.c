/*
 * volume_metadata.c - what a volume remembers of its last rotation check, as JSON.
 */
#include "driver/rotation/volume_metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"

#define KEY_PROVIDER  "provider"
#define KEY_SPEC_HASH "class"
#define KEY_VERSIONS  "versions"

void volume_metadata_finish(struct volume_metadata *metadata)
{
    free(metadata->provider);
    string_map_finish(&metadata->versions);
    *metadata = (struct volume_metadata){0};
}

static cJSON *make_versions(const struct string_map *versions)
{
    cleanup_json cJSON *object = cJSON_CreateObject();

    for (size_t i = 0; object != NULL && i < versions->n; i++)
        if (cJSON_AddStringToObject(object, versions->entries[i].key, versions->entries[i].value) == NULL)
            return NULL;
    return steal_ptr(&object);
}

char *volume_metadata_print(const char *provider, const char *spec_hash, const struct string_map *versions,
                            struct error **err)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cleanup_json cJSON *map = make_versions(versions);
    char *text;

    if (object == NULL || map == NULL || cJSON_AddStringToObject(object, KEY_PROVIDER, provider) == NULL ||
        cJSON_AddStringToObject(object, KEY_SPEC_HASH, spec_hash) == NULL ||
        !cJSON_AddItemToObject(object, KEY_VERSIONS, map)) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    (void)steal_ptr(&map);
    text = json_print(object, err);
    if (text == NULL || strlen(text) <= VOLUME_METADATA_MAX)
        return text;
    secret_free(text);
    return volume_metadata_print(provider, spec_hash, &(const struct string_map){0}, err);
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

int volume_metadata_parse(const char *text, size_t len, struct volume_metadata *ret, struct error **err)
{
    cleanup_json cJSON *json = json_parse(text, len, VOLUME_METADATA_MAX, err);
    cleanup_volume_metadata struct volume_metadata metadata = {0};
    const char *provider = NULL;
    const char *spec_hash = NULL;

    if (json == NULL)
        return -1;
    if (!cJSON_IsObject(json))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not an object");
    if (json_opt_string(json, KEY_PROVIDER, &provider, err) < 0 ||
        json_opt_string(json, KEY_SPEC_HASH, &spec_hash, err) < 0 ||
        read_versions(json, &metadata.versions, err) < 0)
        return -1;
    if (spec_hash != NULL && strlen(spec_hash) == ROTATION_SPEC_HASH_LEN)
        memcpy(metadata.spec_hash, spec_hash, ROTATION_SPEC_HASH_LEN + 1);
    if (provider != NULL && (metadata.provider = strdup(provider)) == NULL)
        return error_no_memory(err, NULL);
    *ret = metadata;
    metadata = (struct volume_metadata){0};
    return 0;
}
