/*
 * cloud.c - clouds, vault names and vault URLs.
 */
#include "provider-azure/cloud.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/file.h"
#include "common/json.h"

/* A file written by hand or by a script from the cloud's metadata; real ones have 2 to 4 KiB. */
enum { CLOUD_FILE_MAX = 64 * 1024 };
enum { VAULT_NAME_MIN = 3, VAULT_NAME_MAX = 24 };

static const struct known_cloud {
    const char *name;
    const char *alias; /* may be NULL */
    const char *authority;
    const char *vault;
    const char *vault_suffix;
} known_clouds[] = {
    {"AzurePublicCloud", "AzureCloud", "https://login.microsoftonline.com/", "https://vault.azure.net",
     "vault.azure.net"},
    {"AzureUSGovernmentCloud", "AzureUSGovernment", "https://login.microsoftonline.us/",
     "https://vault.usgovcloudapi.net", "vault.usgovcloudapi.net"},
    {"AzureChinaCloud", NULL, "https://login.chinacloudapi.cn/", "https://vault.azure.cn", "vault.azure.cn"},
    {"AzureGermanCloud", NULL, "https://login.microsoftonline.de/", "https://vault.microsoftazure.de",
     "vault.microsoftazure.de"},
};

static int no_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static int fill(struct cloud *cloud, const char *name, const char *authority, const char *vault,
                const char *suffix, struct error **err)
{
    cleanup_cloud struct cloud made = {
        .name = strdup(name), .vault = strdup(vault), .vault_suffix = strdup(suffix)};
    size_t len = strlen(authority);
    const char *slash = len > 0 && authority[len - 1] == '/' ? "" : "/";
    if (asprintf(&made.authority, "%s%s", authority, slash) < 0)
        made.authority = NULL;
    if (made.name == NULL || made.authority == NULL || made.vault == NULL || made.vault_suffix == NULL)
        return no_memory(err);
    len = strlen(made.vault);
    if (len > 0 && made.vault[len - 1] == '/')
        made.vault[len - 1] = '\0';
    *cloud = made;
    made = (struct cloud){0};
    return 0;
}

/* The value of a string key compared without case, as the Go decoder does; NULL when absent or null. */
static int any_case_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    const cJSON *item = NULL;
    *ret = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (strcasecmp(item->string, key) != 0 || cJSON_IsNull(item))
            continue;
        if (!cJSON_IsString(item))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the value of %s is not a string",
                             item->string);
        *ret = item->valuestring;
    }
    return 0;
}

static int required_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    if (any_case_string(object, key, ret, err) < 0)
        return -1;
    if (*ret == NULL || **ret == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is missing", key);
    return 0;
}

static int check_https(const char *key, const char *url, struct error **err)
{
    cleanup_free char *host = NULL;
    if (strncasecmp(url, "https://", 8) != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is not an https URL", key);
    host = url_host(url, NULL, err);
    return host == NULL ? error_wrap(err, "%s", key) : 0;
}

int cloud_parse(const char *json, size_t len, struct cloud *ret_cloud, struct error **err)
{
    cleanup_json cJSON *root = json_parse(json, len, CLOUD_FILE_MAX, err);
    const char *name = NULL;
    const char *authority = NULL;
    const char *vault = NULL;
    const char *suffix = NULL;

    if (root == NULL)
        return -1;
    if (!cJSON_IsObject(root))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the cloud file is not a JSON object");
    if (any_case_string(root, "name", &name, err) < 0 ||
        required_string(root, "activeDirectoryEndpoint", &authority, err) < 0 ||
        required_string(root, "keyVaultEndpoint", &vault, err) < 0 ||
        required_string(root, "keyVaultDNSSuffix", &suffix, err) < 0 ||
        check_https("activeDirectoryEndpoint", authority, err) < 0 ||
        check_https("keyVaultEndpoint", vault, err) < 0)
        return -1;
    if (suffix[0] == '.' || strpbrk(suffix, "/@?# \t\r\n\\") != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "keyVaultDNSSuffix must be a DNS name without a leading dot");
    return fill(ret_cloud, name != NULL ? name : CLOUD_CUSTOM_NAME, authority, vault, suffix, err);
}

static int read_custom(const char *path, struct cloud *ret_cloud, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    struct error *failure = NULL;

    if (path == NULL || *path == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "open : no such file or directory");
    if (file_read(path, CLOUD_FILE_MAX, &text, &failure) < 0) {
        enum grpc_status code = error_code(failure);
        if (code == GRPC_STATUS_NOT_FOUND || code == GRPC_STATUS_PERMISSION_DENIED)
            error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "open %s: %s", path,
                      code == GRPC_STATUS_NOT_FOUND ? "no such file or directory" : "permission denied");
        else
            error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", error_message(failure));
        error_free(failure);
        return -1;
    }
    if (cloud_parse(buffer_str(&text), text.len, ret_cloud, err) < 0) {
        error_recode(err, GRPC_STATUS_INVALID_ARGUMENT);
        return error_wrap(err, "%s", path);
    }
    return 0;
}

int cloud_resolve(const char *name, const char *custom_path, struct cloud *ret_cloud, struct error **err)
{
    if (strcasecmp(name, CLOUD_CUSTOM_NAME) == 0)
        return read_custom(custom_path, ret_cloud, err);

    for (size_t i = 0; i < ARRAY_SIZE(known_clouds); i++) {
        const struct known_cloud *known = &known_clouds[i];
        if (strcasecmp(name, known->name) == 0 ||
            (known->alias != NULL && strcasecmp(name, known->alias) == 0))
            return fill(ret_cloud, known->name, known->authority, known->vault, known->vault_suffix, err);
    }

    cleanup_free char *upper = strdup(name);
    if (upper == NULL)
        return no_memory(err);
    for (char *c = upper; *c != '\0'; c++) {
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "autorest/azure: There is no cloud environment matching the name \"%s\"", upper);
}

char *cloud_scope(const char *resource)
{
    static const char ending[] = "/.default";
    size_t len = strlen(resource);
    char *scope = NULL;
    if (len >= sizeof(ending) - 1 && strcmp(resource + len - (sizeof(ending) - 1), ending) == 0)
        return strdup(resource);
    return asprintf(&scope, "%s%s", resource, ending) < 0 ? NULL : scope;
}

int cloud_copy(const struct cloud *from, struct cloud *ret_cloud, struct error **err)
{
    return fill(ret_cloud, from->name, from->authority, from->vault, from->vault_suffix, err);
}

void cloud_finish(struct cloud *cloud)
{
    free(cloud->name);
    free(cloud->authority);
    free(cloud->vault);
    free(cloud->vault_suffix);
    *cloud = (struct cloud){0};
}

char *url_host(const char *url, const char **ret_path, struct error **err)
{
    const char *start = strstr(url, "://");
    if (start != NULL)
        start += 3;
    size_t len = start != NULL ? strcspn(start, "/?#") : 0;
    /* User info in front of the host would make the rest of this function see the wrong host: such URLs are
     * refused. */
    if (len == 0 || memchr(start, '@', len) != NULL || memchr(start, '\\', len) != NULL) {
        error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not a URL with a plain host");
        return NULL;
    }
    if (ret_path != NULL)
        *ret_path = start + len;
    size_t host_len;
    if (start[0] == '[') {
        const char *close = memchr(start, ']', len);
        host_len = close != NULL ? (size_t)(close - start) + 1 : len;
    } else {
        const char *colon = memchr(start, ':', len);
        host_len = colon != NULL ? (size_t)(colon - start) : len;
    }
    char *host = strndup(start, host_len);
    if (host == NULL) {
        no_memory(err);
        return NULL;
    }
    for (char *c = host; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return host;
}

int vault_init(struct vault *vault, const char *name, const struct cloud *cloud, struct error **err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    size_t len = strlen(name);

    *vault = (struct vault){0};
    if (len < VAULT_NAME_MIN || len > VAULT_NAME_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "Invalid vault name: \"%s\", must be between 3 and 24 chars", name);
    if (strspn(name, allowed) != len)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "Invalid vault name: \"%s\", must match [-a-zA-Z0-9]{3,24}", name);

    struct vault made = {.name = strdup(name)};
    if (asprintf(&made.url, "https://%s.%s/", name, cloud->vault_suffix) < 0)
        made.url = NULL;
    if (made.name == NULL || made.url == NULL) {
        vault_finish(&made);
        return no_memory(err);
    }
    made.host = url_host(made.url, NULL, err);
    if (made.host == NULL) {
        vault_finish(&made);
        return -1;
    }
    *vault = made;
    return 0;
}

void vault_finish(struct vault *vault)
{
    free(vault->name);
    free(vault->url);
    free(vault->host);
    *vault = (struct vault){0};
}
