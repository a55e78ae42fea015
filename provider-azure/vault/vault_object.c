/*
 * vault_object.c - secrets, keys and certificates from Key Vault's JSON.
 */
#include "provider-azure/vault/vault_object.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "provider-azure/vault/vault_json.h"

static int missing(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s", text);
}

/* The version of an object is part of its id. */
static int take_version(struct vault_object *object, const char *id, struct error **err)
{
    object->version = vault_id_segment(id, VAULT_ID_VERSION, err);
    return object->version == NULL ? -1 : 0;
}

static int take_value(struct vault_object *object, const char *text, size_t len, struct error **err)
{
    object->value = secret_from_bytes(text, len);
    return object->value == NULL ? error_no_memory(err, NULL) : 0;
}

static int opt_copy(const cJSON *object, const char *key, char **ret, struct error **err)
{
    const char *text = NULL;
    if (json_opt_string(object, key, &text, err) < 0)
        return -1;
    *ret = strdup(text != NULL ? text : "");
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

static int parse_secret(const cJSON *root, struct vault_object *object, struct error **err)
{
    const char *value = NULL;
    const char *id = NULL;
    const char *kid = NULL;
    size_t len = 0;

    if (json_opt_bytes(root, "value", &value, &len, err) < 0 || json_opt_string(root, "id", &id, err) < 0 ||
        json_opt_string(root, "kid", &kid, err) < 0 ||
        opt_copy(root, "contentType", &object->content_type, err) < 0)
        return -1;
    if (value == NULL)
        return missing(err, "secret value is nil");
    if (id == NULL)
        return missing(err, "secret id is nil");
    object->certificate = kid != NULL && *kid != '\0';
    return take_value(object, value, len, err) < 0 || take_version(object, id, err) < 0 ? -1 : 0;
}

static int key_number(const cJSON *key, const char *name, struct secret **ret, struct error **err)
{
    const char *text = NULL;
    if (json_opt_string(key, name, &text, err) < 0)
        return -1;
    if (text == NULL)
        return 0;
    *ret = base64url_decode(text, strlen(text), err);
    return *ret == NULL ? error_wrap(err, "key parameter %s", name) : 0;
}

static int parse_key(const cJSON *root, struct vault_object *object, struct error **err)
{
    const cJSON *key = NULL;
    const char *kid = NULL;

    if (json_opt_object(root, "key", &key, err) < 0)
        return -1;
    if (key == NULL)
        return missing(err, "key value is nil");
    if (json_opt_string(key, "kid", &kid, err) < 0)
        return -1;
    if (kid == NULL)
        return missing(err, "key id is nil");
    if (take_version(object, kid, err) < 0 || opt_copy(key, "kty", &object->kty, err) < 0 ||
        opt_copy(key, "crv", &object->crv, err) < 0 || key_number(key, "n", &object->n, err) < 0 ||
        key_number(key, "e", &object->e, err) < 0 || key_number(key, "x", &object->x, err) < 0 ||
        key_number(key, "y", &object->y, err) < 0)
        return -1;
    return 0;
}

static int parse_cert(const cJSON *root, struct vault_object *object, struct error **err)
{
    const char *cer = NULL;
    const char *id = NULL;

    if (json_opt_string(root, "cer", &cer, err) < 0 || json_opt_string(root, "id", &id, err) < 0)
        return -1;
    if (cer == NULL)
        return missing(err, "certificate value is nil");
    if (id == NULL)
        return missing(err, "certificate id is nil");
    return take_value(object, cer, strlen(cer), err) < 0 || take_version(object, id, err) < 0 ? -1 : 0;
}

int vault_object_parse(enum object_type type, const char *json, size_t len, struct vault_object *ret_object,
                       struct error **err)
{
    static const char *const members[][5] = {
        [OBJECT_SECRET] = {"value", "id", "kid", "contentType"},
        [OBJECT_KEY] = {"key"},
        [OBJECT_CERT] = {"cer", "id"},
    };
    cleanup_json cJSON *root = vault_json_parse(json, len, members[type], JSON_KEEP_NUL, err);

    *ret_object = (struct vault_object){0};
    if (root == NULL)
        return -1;
    int result = type == OBJECT_SECRET ? parse_secret(root, ret_object, err)
                 : type == OBJECT_KEY  ? parse_key(root, ret_object, err)
                                       : parse_cert(root, ret_object, err);
    if (result == 0)
        return 0;
    vault_object_finish(ret_object);
    return vault_json_attribute(err);
}

void vault_object_finish(struct vault_object *object)
{
    free(object->version);
    free(object->content_type);
    free(object->kty);
    free(object->crv);
    secret_destroy(object->value);
    secret_destroy(object->n);
    secret_destroy(object->e);
    secret_destroy(object->x);
    secret_destroy(object->y);
    *object = (struct vault_object){0};
}
