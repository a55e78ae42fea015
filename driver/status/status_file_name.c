/*
 * status_file_name.c - which status file belongs to which volume.
 */
#include "driver/status/status_file_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/crypto/digest.h"
#include "driver/volume/target_path.h"

enum { NAME_MAX_LEN = 200, HASH_DIGITS = 32 };

#define SUFFIX ".json"

static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", text[i]) == NULL)
            return false;
    return len > 0 && text[0] != '.';
}

char *status_file_name(const char *target_path, struct error **err)
{
    char hex[DIGEST_SHA256_HEX_LEN + 1];
    struct target_path parts;
    char *name = NULL;
    int made;

    if (target_path_parse(target_path, &parts) && is_plain(parts.pod_uid, parts.pod_uid_len) &&
        is_plain(parts.volume_name, parts.volume_name_len) &&
        parts.pod_uid_len + parts.volume_name_len < NAME_MAX_LEN) {
        made = asprintf(&name, "%.*s_%.*s" SUFFIX, (int)parts.pod_uid_len, parts.pod_uid,
                        (int)parts.volume_name_len, parts.volume_name);
    } else {
        if (digest_sha256_hex(target_path, strlen(target_path), hex) < 0) {
            (void)error_set(err, GRPC_STATUS_INTERNAL, "no SHA-256 for a file name");
            return NULL;
        }
        made = asprintf(&name, "path-%.*s" SUFFIX, HASH_DIGITS, hex);
    }
    if (made < 0) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return name;
}

bool status_file_name_plausible(const char *name)
{
    size_t len = strlen(name);

    return len > strlen(SUFFIX) && strcmp(name + len - strlen(SUFFIX), SUFFIX) == 0;
}

char *status_file_target(const char *text, size_t len)
{
    cleanup_json cJSON *json = json_parse(text, len, STATUS_FILE_MAX, /* err= */ NULL);
    const cJSON *path =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "status"), "targetPath");

    if (!cJSON_IsString(path) || target_path_check("targetPath", path->valuestring, /* err= */ NULL) < 0)
        return NULL;
    return strdup(path->valuestring);
}
