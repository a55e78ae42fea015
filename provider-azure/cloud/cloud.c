/*
 * cloud.c - clouds and URLs.
 */
#include "provider-azure/cloud/cloud.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "provider-azure/base/url.h"

/* A file written by hand or by a script from the cloud's metadata; real ones have 2 to 4 KiB. */
enum { CLOUD_FILE_MAX = 64 * 1024 };

#define BLANKS " \t\r\n"

static const struct known_cloud {
    const char *name;
    const char *alias; /* may be NULL */
    const char *authority;
    const char *vault;
    const char *vault_suffix;
    const char *hsm;
    const char *hsm_suffix;
} known_clouds[] = {
    {"AzurePublicCloud", "AzureCloud", "https://login.microsoftonline.com/", "https://vault.azure.net",
     "vault.azure.net", "https://managedhsm.azure.net", "managedhsm.azure.net"},
    {"AzureUSGovernmentCloud", "AzureUSGovernment", "https://login.microsoftonline.us/",
     "https://vault.usgovcloudapi.net", "vault.usgovcloudapi.net", "https://managedhsm.usgovcloudapi.net",
     "managedhsm.usgovcloudapi.net"},
    {"AzureChinaCloud", NULL, "https://login.chinacloudapi.cn/", "https://vault.azure.cn", "vault.azure.cn",
     "https://managedhsm.azure.cn", "managedhsm.azure.cn"},
    {"AzureGermanCloud", NULL, "https://login.microsoftonline.de/", "https://vault.microsoftazure.de",
     "vault.microsoftazure.de", "https://managedhsm.microsoftazure.de", "managedhsm.microsoftazure.de"},
};

/* A script that joins "…/" and "/" writes two. */
static void cut_slashes(char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        url[--len] = '\0';
}

static int fill(struct cloud *cloud, const struct known_cloud *from, struct error **err)
{
    cleanup_cloud struct cloud made = {
        .name = strdup(from->name),
        .vault = strdup(from->vault),
        .vault_suffix = strdup(from->vault_suffix),
        .hsm = strdup(from->hsm),
        .hsm_suffix = strdup(from->hsm_suffix),
    };
    cleanup_free char *authority = strdup(from->authority);
    if (authority != NULL)
        cut_slashes(authority);
    if (authority == NULL || asprintf(&made.authority, "%s/", authority) < 0)
        made.authority = NULL;
    if (made.name == NULL || made.authority == NULL || made.vault == NULL || made.vault_suffix == NULL ||
        made.hsm == NULL || made.hsm_suffix == NULL)
        return error_no_memory(err, NULL);
    cut_slashes(made.vault);
    cut_slashes(made.hsm);
    *cloud = made;
    made = (struct cloud){0};
    return 0;
}

static const char *trimmed(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL)
        text[--len] = '\0';
    return text + strspn(text, BLANKS);
}

/* The value of a string key compared without case, as the Go decoder does, without blanks at its ends; NULL
 * when absent or null. */
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
        *ret = trimmed(item->valuestring);
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

/* As a tool writes that a cloud does not have it. */
static bool is_absent(const char *value)
{
    return value == NULL || *value == '\0' || strcasecmp(value, "N/A") == 0;
}

static int check_https(const char *key, const char *url, struct error **err)
{
    cleanup_free char *host = NULL;
    if (strncasecmp(url, "https://", 8) != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is not an https URL", key);
    host = url_host(url, NULL, err);
    return host == NULL ? error_wrap(err, "%s", key) : 0;
}

static int check_suffix(const char *key, const char *suffix, struct error **err)
{
    if (suffix[0] == '.' || strpbrk(suffix, "/@?# \t\r\n\\") != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s must be a DNS name without a leading dot",
                         key);
    return 0;
}

/* The audience of vault tokens: keyVaultEndpoint, or without it the domain of all vaults.
 * *ret_made is what was allocated for it. */
static int read_vault(const cJSON *root, struct known_cloud *cloud, char **ret_made, struct error **err)
{
    if (any_case_string(root, "keyVaultEndpoint", &cloud->vault, err) < 0)
        return -1;
    if (!is_absent(cloud->vault))
        return check_https("keyVaultEndpoint", cloud->vault, err);
    if (asprintf(ret_made, "https://%s", cloud->vault_suffix) < 0) {
        *ret_made = NULL;
        return error_no_memory(err, NULL);
    }
    cloud->vault = *ret_made;
    return 0;
}

/* Both or none. */
static int read_hsm(const cJSON *root, struct known_cloud *cloud, struct error **err)
{
    static const char endpoint[] = "managedHSMEndpoint", suffix[] = "managedHSMDNSSuffix";
    if (any_case_string(root, endpoint, &cloud->hsm, err) < 0 ||
        any_case_string(root, suffix, &cloud->hsm_suffix, err) < 0)
        return -1;
    if (is_absent(cloud->hsm))
        cloud->hsm = "";
    if (is_absent(cloud->hsm_suffix))
        cloud->hsm_suffix = "";
    if (*cloud->hsm == '\0' || *cloud->hsm_suffix == '\0') {
        cloud->hsm = cloud->hsm_suffix = "";
        return 0;
    }
    return check_https(endpoint, cloud->hsm, err) < 0 ? -1 : check_suffix(suffix, cloud->hsm_suffix, err);
}

int cloud_parse(const char *json, size_t len, struct cloud *ret_cloud, struct error **err)
{
    cleanup_json cJSON *root = json_parse(json, len, CLOUD_FILE_MAX, err);
    cleanup_free char *audience = NULL;
    struct known_cloud cloud = {0};

    if (root == NULL)
        return -1;
    if (!cJSON_IsObject(root))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the cloud file is not a JSON object");
    if (any_case_string(root, "name", &cloud.name, err) < 0 ||
        required_string(root, "activeDirectoryEndpoint", &cloud.authority, err) < 0 ||
        required_string(root, "keyVaultDNSSuffix", &cloud.vault_suffix, err) < 0 ||
        check_https("activeDirectoryEndpoint", cloud.authority, err) < 0 ||
        check_suffix("keyVaultDNSSuffix", cloud.vault_suffix, err) < 0 ||
        read_vault(root, &cloud, &audience, err) < 0 || read_hsm(root, &cloud, err) < 0)
        return -1;
    if (cloud.name == NULL)
        cloud.name = CLOUD_CUSTOM_NAME;
    return fill(ret_cloud, &cloud, err);
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
        error_wrap(err, "%s", path);
        return error_check_memory(err, path);
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
            return fill(ret_cloud, known, err);
    }

    cleanup_free char *upper = strdup(name);
    if (upper == NULL)
        return error_no_memory(err, NULL);
    for (char *c = upper; *c != '\0'; c++) {
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
    return error_set(
        err, GRPC_STATUS_INVALID_ARGUMENT,
        "autorest/azure: There is no cloud environment matching the name \"%s\" [hint: the names are AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureGermanCloud, AzureStackCloud]",
        upper);
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
    const struct known_cloud same = {.name = from->name,
                                     .authority = from->authority,
                                     .vault = from->vault,
                                     .vault_suffix = from->vault_suffix,
                                     .hsm = from->hsm,
                                     .hsm_suffix = from->hsm_suffix};
    return fill(ret_cloud, &same, err);
}

void cloud_finish(struct cloud *cloud)
{
    free(cloud->name);
    free(cloud->authority);
    free(cloud->vault);
    free(cloud->vault_suffix);
    free(cloud->hsm);
    free(cloud->hsm_suffix);
    *cloud = (struct cloud){0};
}
