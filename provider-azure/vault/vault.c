/*
 * vault.c - vault names and vault URLs.
 */
#include "provider-azure/vault/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "provider-azure/base/url.h"

enum { VAULT_NAME_MIN = 3, VAULT_NAME_MAX = 24 };

static int check_name(const char *name, size_t len, struct error **err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    int shown = len > 256 ? 256 : (int)len;
    const char *hint = "";
    if (strstr(name, "{{") != NULL || strstr(name, "${") != NULL || strstr(name, "$(") != NULL)
        hint = " [hint: templates and variables have to be replaced before the class is applied]";
    else if (strpbrk(name, ".:/") != NULL)
        hint =
            " [hint: keyvaultName is the first part of the vault's host name; a URL belongs into keyvaultURL]";

    if (len < VAULT_NAME_MIN || len > VAULT_NAME_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "Invalid vault name: \"%.*s\", must be between 3 and 24 chars%s", shown, name, hint);
    if (strspn(name, allowed) < len)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "Invalid vault name: \"%.*s\", must match [-a-zA-Z0-9]{3,24}%s", shown, name, hint);
    return 0;
}

/* The parts are checked. */
static int make(struct vault *vault, const char *name, size_t name_len, const char *suffix,
                const char *audience, bool hsm, struct error **err)
{
    struct vault made = {.name = strndup(name, name_len), .audience = strdup(audience), .hsm = hsm};
    if (made.name == NULL || asprintf(&made.url, "https://%s.%s/", made.name, suffix) < 0)
        made.url = NULL;
    if (made.url != NULL)
        made.host = url_host(made.url, NULL, NULL);
    if (made.audience == NULL || made.host == NULL) {
        vault_finish(&made);
        return error_no_memory(err, NULL);
    }
    *vault = made;
    return 0;
}

int vault_init(struct vault *vault, const char *name, const struct cloud *cloud, struct error **err)
{
    size_t len = strlen(name);
    *vault = (struct vault){0};
    if (check_name(name, len, err) < 0)
        return -1;
    return make(vault, name, len, cloud->vault_suffix, cloud->vault, /* hsm= */ false, err);
}

/* The length of `authority` without the dot and `suffix` it ends with; 0 when it does not. */
static size_t label_len(const char *authority, size_t len, const char *suffix)
{
    size_t suffix_len = strlen(suffix);
    if (suffix_len == 0 || len <= suffix_len + 1)
        return 0;
    size_t label = len - suffix_len - 1;
    return authority[label] == '.' && strncasecmp(authority + label + 1, suffix, suffix_len) == 0 ? label : 0;
}

int vault_init_url(struct vault *vault, const char *url, const struct cloud *cloud, struct error **err)
{
    static const char scheme[] = "https://", port[] = ":443";
    const struct {
        const char *suffix;
        const char *audience;
        bool hsm;
    } kinds[] = {{cloud->vault_suffix, cloud->vault, false}, {cloud->hsm_suffix, cloud->hsm, true}};

    *vault = (struct vault){0};
    if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "keyvaultURL must begin with https://");
    const char *authority = url + sizeof(scheme) - 1;
    size_t len = strcspn(authority, "/?#");
    const char *rest = authority + len;
    if (*rest == '/')
        rest++;
    if (*rest != '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "keyvaultURL must end with the host name: no path, no query");
    if (len > sizeof(port) - 1 && memcmp(authority + len - (sizeof(port) - 1), port, sizeof(port) - 1) == 0)
        len -= sizeof(port) - 1;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t label = label_len(authority, len, kinds[i].suffix);
        if (label == 0)
            continue;
        if (check_name(authority, label, err) < 0) /* refuses further dots and user info, too */
            return -1;
        return make(vault, authority, label, kinds[i].suffix, kinds[i].audience, kinds[i].hsm, err);
    }
    /* A token of this cloud must not leave it. */
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "keyvaultURL must end with .%s%s%s in cloud %s",
                     cloud->vault_suffix, *cloud->hsm_suffix != '\0' ? " or ." : "", cloud->hsm_suffix,
                     cloud->name);
}

bool vault_host_is_below(const char *host, const char *resource)
{
    cleanup_free char *above = url_host(resource, NULL, NULL);
    if (above == NULL)
        return false;
    size_t above_len = strlen(above);
    size_t len = strlen(host);
    return len > above_len + 1 && host[len - above_len - 1] == '.' &&
           strcasecmp(host + (len - above_len), above) == 0;
}

void vault_finish(struct vault *vault)
{
    free(vault->name);
    free(vault->url);
    free(vault->host);
    free(vault->audience);
    *vault = (struct vault){0};
}
