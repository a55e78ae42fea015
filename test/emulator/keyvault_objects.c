/*
 * keyvault_objects.c - /secrets, /keys and /certificates of a vault: get, list, list versions; set a secret.
 */
#include <stdint.h>

#include "test/emulator/keyvault.h"
#include "test/emulator/memory.h"

static const struct {
    const char *not_found;                               /* code of a 404 */
    const char *disabled;                                /* inner code of a 403 */
    const char *get_latest, *get, *list_versions, *list; /* for the counters */
} texts[KIND_COUNT] = {
    [KIND_SECRET] = {"SecretNotFound", "SecretDisabled", "/secrets/{name}", "/secrets/{name}/{version}",
                     "/secrets/{name}/versions", "/secrets"},
    [KIND_KEY] = {"KeyNotFound", "KeyDisabled", "/keys/{name}", "/keys/{name}/{version}",
                  "/keys/{name}/versions", "/keys"},
    [KIND_CERTIFICATE] = {"CertificateNotFound", "CertificateDisabled", "/certificates/{name}",
                          "/certificates/{name}/{version}", "/certificates/{name}/versions", "/certificates"},
};

/* A list entry; with an id of its own for the object as a whole. */
static cJSON *list_item(enum vault_kind kind, const struct object_version *version, const char *id)
{
    cJSON *item = cJSON_Duplicate(version->json, 1);
    if (id != NULL)
        cJSON_ReplaceItemInObjectCaseSensitive(item, kind == KIND_KEY ? "kid" : "id", cJSON_CreateString(id));
    return item;
}

static void not_found(struct vault_call *call, enum vault_kind kind, const char *name, const char *version)
{
    keyvault_error(
        call->response, 404, texts[kind].not_found, NULL,
        "A %s with (name/id) %s%s%s was not found in this key vault. If you recently deleted this %s you may be able to recover it using the correct recovery command. For help resolving this issue, "
        "please see https://go.microsoft.com/fwlink/?linkid=2125182",
        vault_kind_noun(kind), name, version[0] != '\0' ? "/" : "", version, vault_kind_noun(kind));
}

static bool check_names(struct vault_call *call, const char *name, const char *version)
{
    if (!vault_name_is_valid(name)) {
        keyvault_error(call->response, 400, "BadParameter", NULL,
                       "The request URI contains an invalid name: %s", name);
        return false;
    }
    if (version[0] != '\0' && (!only_characters(version, "") || strlen(version) > VAULT_MAX_NAME)) {
        keyvault_error(call->response, 400, "BadParameter", NULL,
                       "The request URI contains an invalid version: %s", version);
        return false;
    }
    return true;
}

static void get_object(struct vault_call *call, enum vault_kind kind, const char *name,
                       const char *version_name)
{
    call->response->route = version_name[0] == '\0' ? texts[kind].get_latest : texts[kind].get;
    if (!check_names(call, name, version_name) || !keyvault_allow(call, kind, "get", PERMISSION_GET))
        return;
    const struct object *object = vault_find_object(call->vault, kind, name);
    const struct object_version *version = NULL;
    if (object != NULL)
        version = version_name[0] == '\0' ? object->latest : vault_find_version(object, version_name);
    if (version == NULL)
        not_found(call, kind, name, version_name);
    else if (!version->enabled)
        keyvault_error(call->response, 403, "Forbidden", texts[kind].disabled,
                       "Operation get is not allowed on a disabled %s.", vault_kind_noun(kind));
    else
        response_copy(call->response, 200, version->body, version->body_len);
}

static void list_versions(struct vault_call *call, enum vault_kind kind, const char *name)
{
    size_t first;
    size_t end;
    call->response->route = texts[kind].list_versions;
    if (!check_names(call, name, "") || !keyvault_allow(call, kind, "list", PERMISSION_LIST))
        return;
    const struct object *object = vault_find_object(call->vault, kind, name);
    size_t total = object == NULL ? 0 : object->n_versions;
    if (!keyvault_page(call, total, &first, &end))
        return;
    cJSON *value =
        cJSON_CreateArray(); /* of an unknown name the service has no versions, which is no error */
    for (size_t i = first; object != NULL && i < end; i++)
        cJSON_AddItemToArray(value, list_item(kind, object->versions[i], NULL));
    keyvault_respond_page(call, value, end, total);
}

static void list_objects(struct vault_call *call, enum vault_kind kind)
{
    const struct collection *collection = &call->vault->collections[kind];
    size_t first;
    size_t end;
    call->response->route = texts[kind].list;
    if (!keyvault_allow(call, kind, "list", PERMISSION_LIST) ||
        !keyvault_page(call, collection->n_listed, &first, &end))
        return;
    cJSON *value = cJSON_CreateArray();
    for (size_t i = first; i < end; i++) {
        const struct object *object = collection->listed[i];
        char *id = format_text("https://%s/%s/%s", call->vault->authority, vault_kind_collection(kind),
                               object->name);
        cJSON_AddItemToArray(value, list_item(kind, object->latest, id));
        free(id);
    }
    keyvault_respond_page(call, value, end, collection->n_listed);
}

/* PUT {value, contentType?, tags?, attributes: {enabled?, nbf?, exp?}?} */
static void set_secret(struct vault_call *call, const char *name)
{
    call->response->route = "/secrets/{name}";
    if (!check_names(call, name, "") || !keyvault_allow(call, KIND_SECRET, "set", PERMISSION_SET))
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
    const struct object_version *version =
        vault_put_object(call->vault, KIND_SECRET, name, description, &error);
    if (version == NULL)
        keyvault_error(call->response, 400, "BadParameter", NULL, "Property has invalid value: %s", error);
    else
        response_copy(call->response, 200, version->body, version->body_len);
    cJSON_Delete(description);
    cJSON_Delete(json);
}

void keyvault_serve_objects(struct vault_call *call, enum vault_kind kind)
{
    const struct url *url = &call->request->url;
    bool get = request_is(call->request, "GET");
    const char *name = url->n > 1 ? url->segments[1] : "";
    const char *version = url->n > 2 ? url->segments[2] : "";
    if (url->n > 3)
        keyvault_error(call->response, 404, "NotFound", NULL, "There is nothing at this path.");
    else if (get && name[0] == '\0' && version[0] == '\0')
        list_objects(call, kind);
    else if (get && strcmp(version, "versions") == 0)
        list_versions(call, kind, name);
    else if (get)
        get_object(call, kind, name, version);
    else if (kind == KIND_SECRET && request_is(call->request, "PUT") && version[0] == '\0')
        set_secret(call, name);
    else
        keyvault_error(call->response, 405, "MethodNotAllowed", NULL,
                       "The HTTP method %s is not allowed here.", call->request->method);
}
