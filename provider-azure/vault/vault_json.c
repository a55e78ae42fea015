/*
 * vault_json.c - Key Vault's JSON: bodies and ids.
 */
#include "provider-azure/vault/vault_json.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/base/url.h"

cJSON *vault_json_parse(const char *json, size_t len, const char *const *members, unsigned flags,
                        struct error **err)
{
    const struct json_options options = {
        .max_len = VAULT_RESPONSE_MAX, .max_values = VAULT_VALUES_MAX, .flags = flags, .members = members};
    cleanup_json cJSON *root = json_parse_options(json, len, &options, err);
    if (root == NULL) {
        /* JSON of the vault's own that cannot be taken is no web page, and stays as it is. */
        bool own = len > 0 && json[0] == '{';
        error_recode(err, own ? GRPC_STATUS_FAILED_PRECONDITION : GRPC_STATUS_UNAVAILABLE);
        error_wrap(err, own ? "the vault's response cannot be read"
                            : "the vault's response is not JSON (a proxy in between?)");
        error_check_memory(err, "the vault's response");
        return NULL;
    }
    if (!cJSON_IsObject(root)) {
        error_set(err, GRPC_STATUS_UNAVAILABLE, "the vault's response is not a JSON object");
        return NULL;
    }
    return steal_ptr(&root);
}

int vault_json_attribute(struct error **err)
{
    if (err == NULL || error_code(*err) != GRPC_STATUS_INVALID_ARGUMENT)
        return -1;
    error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
    return error_wrap(err, "the vault's response");
}

/* Segment `index` of a path. NULL on lack of memory. */
static char *path_segment(const char *path, int index)
{
    for (int segment = 0; *path == '/'; segment++) {
        path++;
        size_t len = strcspn(path, "/?#");
        if (segment == index)
            return strndup(path, len);
        path += len;
    }
    return strdup("");
}

char *vault_id_segment(const char *id, enum vault_id_segment which, struct error **err)
{
    const char *path = "";
    cleanup_error struct error *error = NULL;
    cleanup_free char *host = url_host(id, &path, &error);
    char *segment = NULL;

    if (error_code(error) != GRPC_STATUS_RESOURCE_EXHAUSTED)
        segment = path_segment(host != NULL ? path : "", (int)which);
    if (segment == NULL)
        (void)error_no_memory(err, NULL);
    return segment;
}
