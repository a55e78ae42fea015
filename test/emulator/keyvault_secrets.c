/*
 * keyvault_secrets.c - /secrets of a vault: get, list, list versions, set.
 */
#include <stdint.h>

#include "test/emulator/keyvault.h"
#include "test/emulator/memory.h"

/* A list entry: everything but the value, with the given id. */
static cJSON *list_item(const struct secret_version *version, const char *id)
{
    cJSON *item = cJSON_Duplicate(version->json, 1);
    cJSON_DeleteItemFromObjectCaseSensitive(item, "kid");
    if (id != NULL)
        cJSON_ReplaceItemInObjectCaseSensitive(item, "id", cJSON_CreateString(id));
    return item;
}

static void not_found(struct vault_call *call, const char *name, const char *version)
{
    keyvault_error(
        call->answer, 404, "SecretNotFound", NULL,
        "A secret with (name/id) %s%s%s was not found in this key vault. If you recently deleted this secret "
        "you may be able to recover it using the correct recovery command. For help resolving this issue, "
        "please see https://go.microsoft.com/fwlink/?linkid=2125182",
        name, version[0] != '\0' ? "/" : "", version);
}

static bool check_names(struct vault_call *call, const char *name, const char *version)
{
    if (!vault_name_is_valid(name)) {
        keyvault_error(call->answer, 400, "BadParameter", NULL,
                       "The request URI contains an invalid name: %s", name);
        return false;
    }
    if (version[0] != '\0' && (!only_characters(version, "") || strlen(version) > VAULT_MAX_NAME)) {
        keyvault_error(call->answer, 400, "BadParameter", NULL,
                       "The request URI contains an invalid version: %s", version);
        return false;
    }
    return true;
}

static void get_secret(struct vault_call *call, const char *name, const char *version_name)
{
    call->answer->route = version_name[0] == '\0' ? "/secrets/{name}" : "/secrets/{name}/{version}";
    if (!check_names(call, name, version_name) || !keyvault_allow(call, "secrets", "get", PERMISSION_GET))
        return;
    const struct secret *secret = vault_find_secret(call->vault, name);
    const struct secret_version *version = NULL;
    if (secret != NULL)
        version = version_name[0] == '\0' ? secret->latest : vault_find_version(secret, version_name);
    if (version == NULL)
        not_found(call, name, version_name);
    else if (!version->enabled)
        keyvault_error(call->answer, 403, "Forbidden", "SecretDisabled",
                       "Operation get is not allowed on a disabled secret.");
    else
        answer_copy(call->answer, 200, version->body, version->body_len);
}

static void list_versions(struct vault_call *call, const char *name)
{
    size_t first;
    size_t end;
    call->answer->route = "/secrets/{name}/versions";
    if (!check_names(call, name, "") || !keyvault_allow(call, "secrets", "list", PERMISSION_LIST))
        return;
    const struct secret *secret = vault_find_secret(call->vault, name);
    size_t total = secret == NULL ? 0 : secret->n_versions;
    if (!keyvault_page(call, total, &first, &end))
        return;
    cJSON *value =
        cJSON_CreateArray(); /* of an unknown name the service has no versions, which is no error */
    for (size_t i = first; secret != NULL && i < end; i++)
        cJSON_AddItemToArray(value, list_item(secret->versions[i], NULL));
    keyvault_answer_page(call, value, end, total);
}

static void list_secrets(struct vault_call *call)
{
    size_t first;
    size_t end;
    call->answer->route = "/secrets";
    if (!keyvault_allow(call, "secrets", "list", PERMISSION_LIST) ||
        !keyvault_page(call, call->vault->n_listed, &first, &end))
        return;
    cJSON *value = cJSON_CreateArray();
    for (size_t i = first; i < end; i++) {
        const struct secret *secret = call->vault->listed[i];
        char *id = format_text("https://%s." VAULT_SUFFIX ":%u/secrets/%s", call->vault->name,
                               call->emulator->tls_port, secret->name);
        cJSON_AddItemToArray(value, list_item(secret->latest, id));
        free(id);
    }
    keyvault_answer_page(call, value, end, call->vault->n_listed);
}

/* PUT {value, contentType?, tags?, attributes: {enabled?, nbf?, exp?}?} */
static void set_secret(struct vault_call *call, const char *name)
{
    call->answer->route = "/secrets/{name}";
    if (!check_names(call, name, "") || !keyvault_allow(call, "secrets", "set", PERMISSION_SET))
        return;
    static const char *const own[] = {"value", "contentType", "tags"};
    static const char *const of_attributes[] = {"enabled", "nbf", "exp"};
    cJSON *json = request_json(call->request);
    const cJSON *attributes = cJSON_GetObjectItemCaseSensitive(json, "attributes");
    cJSON *description = cJSON_CreateObject(); /* only what a caller of the service may choose */
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(json, own[i]);
        if (item != NULL)
            cJSON_AddItemToObject(description, own[i], item);
    }
    for (size_t i = 0; i < ARRAY_SIZE(of_attributes); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(attributes, of_attributes[i]);
        if (item != NULL)
            cJSON_AddItemToObject(description, of_attributes[i], cJSON_Duplicate(item, 1));
    }
    const char *error;
    const struct secret_version *version =
        vault_put_secret(call->emulator->vaults, call->vault, name, description, &error);
    if (version == NULL)
        keyvault_error(call->answer, 400, "BadParameter", NULL, "Property has invalid value: %s", error);
    else
        answer_copy(call->answer, 200, version->body, version->body_len);
    cJSON_Delete(description);
    cJSON_Delete(json);
}

void keyvault_serve_secrets(struct vault_call *call)
{
    const struct url *url = &call->request->url;
    bool get = request_is(call->request, "GET");
    const char *name = url->n > 1 ? url->segments[1] : "";
    const char *version = url->n > 2 ? url->segments[2] : "";
    if (url->n > 3)
        keyvault_error(call->answer, 404, "NotFound", NULL, "There is nothing at this path.");
    else if (get && name[0] == '\0' && version[0] == '\0')
        list_secrets(call);
    else if (get && strcmp(version, "versions") == 0)
        list_versions(call, name);
    else if (get)
        get_secret(call, name, version);
    else if (request_is(call->request, "PUT") && version[0] == '\0')
        set_secret(call, name);
    else
        keyvault_error(call->answer, 405, "MethodNotAllowed", NULL, "The HTTP method %s is not allowed here.",
                       call->request->method);
}
