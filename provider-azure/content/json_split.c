/*
 * json_split.c - members of a JSON object as files.
 */
#include "provider-azure/content/json_split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/objects/object_path.h"
#include "provider-azure/vault/vault_json.h"

static int bad_name(size_t index, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "objectSplit: json: the name of member %zu has a control character", index);
}

/* A member's name becomes part of a path; that is checked again with all paths of the mount. */
static int check_member(const char *name, size_t index, struct error **err)
{
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return bad_name(index, err);
    }
    if (json_has_nul(name))
        return bad_name(index, err);
    if (object_path_check(name, err) < 0) {
        error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
        return error_wrap(err, "objectSplit: json: member \"%.128s\"", name);
    }
    return 0;
}

/* A file with the member's value; `source` is the value as it stands in the secret. */
static int add_member(const char *path, const cJSON *member, const struct json_text *source,
                      struct content_files *files, struct error **err)
{
    cleanup_free char *directory = NULL;
    if (asprintf(&directory, "%s/", path) < 0) {
        directory = NULL;
        return error_no_memory(err, NULL);
    }
    const char *text = cJSON_IsString(member) ? member->valuestring : source->at;
    size_t len = cJSON_IsString(member) ? json_restore_nul(member->valuestring) : source->len;
    return content_files_add(files, directory, member->string, text, len, err);
}

int json_split(const char *path, const char *text, size_t len, cJSON **ret_json, struct content_files *files,
               struct error **err)
{
    const struct json_options options = {
        .max_len = VAULT_RESPONSE_MAX, .max_values = VAULT_VALUES_MAX, .flags = JSON_KEEP_NUL | JSON_SHALLOW};
    const cJSON *json = *ret_json = json_parse_options(text, len, &options, err);
    if (json == NULL) {
        error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
        error_wrap(err, "objectSplit: json");
        return error_check_memory(err, "objectSplit: json");
    }
    if (!cJSON_IsObject(json))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json: the secret is not a JSON object");
    size_t n = (size_t)cJSON_GetArraySize(json);
    if (n > JSON_SPLIT_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json: %zu members, at most %d are allowed", n, JSON_SPLIT_MAX);
    cleanup_free struct json_text *values = calloc(n + 1, sizeof(*values));
    if (values == NULL)
        return error_no_memory(err, NULL);
    json_child_texts(text, len, values, n);
    const cJSON *member = json->child;
    for (size_t i = 0; i < n; i++, member = member->next) {
        if (check_member(member->string, i, err) < 0 || add_member(path, member, &values[i], files, err) < 0)
            return -1;
    }
    return 0;
}
