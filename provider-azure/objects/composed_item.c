/*
 * composed_item.c - reads and checks an item that makes a file out of others.
 */
#include "provider-azure/objects/composed_item.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/yaml.h"
#include "provider-azure/objects/object_path.h"
#include "provider-azure/objects/value_path.h"
#include "provider-azure/objects/yaml_field.h"

static const char *const format_names[] = {
    [COMPOSED_ENV] = "env",
    [COMPOSED_DOCKER_ENV] = "docker-env",
    [COMPOSED_PROPERTIES] = "properties",
    [COMPOSED_JSON] = "json",
    [COMPOSED_YAML] = "yaml",
    [COMPOSED_PKCS12] = "pkcs12",
    [COMPOSED_TRUST_STORE] = "pkcs12-truststore",
};
static const char *const function_names[] = {
    [REFERENCE_BASE64] = "base64", [REFERENCE_TRIM] = "trim", [REFERENCE_JSON] = "json"};

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

/* --- references --- */

static int bad_reference(const char *text, size_t len, const char *why, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "invalid reference '%.*s': %s, should be NAME, NAME#path or NAME@version, and functions",
                     (int)(len < 128 ? len : 128), text, why);
}

/* The words behind '|', from the end. Cuts them off. */
static int take_functions(char *text, struct reference *ret, struct error **err)
{
    size_t len = strlen(text);
    for (char *bar = strchr(text, '|'); bar != NULL; bar = strchr(bar, '|')) {
        *bar++ = '\0';
        size_t word = strcspn(bar, "|"), function = 0;
        while (function < ARRAY_SIZE(function_names) && (strlen(function_names[function]) != word ||
                                                         strncmp(bar, function_names[function], word) != 0))
            function++;
        if (function == ARRAY_SIZE(function_names) || ret->n_functions == REFERENCE_FUNCTIONS_MAX)
            return bad_reference(bar, len - (size_t)(bar - text), "unknown or too many functions", err);
        ret->functions[ret->n_functions++] = (enum reference_function)function;
        bar += word;
    }
    return 0;
}

int reference_parse(const char *text, size_t len, struct reference *ret, struct error **err)
{
    static const char version[] = "@version";
    *ret = (struct reference){0};
    if (len == 0 || len > REFERENCE_MAX || memchr(text, '\0', len) != NULL)
        return bad_reference(text, len, "empty or too long", err);
    ret->name = strndup(text, len);
    if (ret->name == NULL)
        return error_no_memory(err, NULL);
    if (take_functions(ret->name, ret, err) < 0)
        return -1;
    size_t name_len = strlen(ret->name), suffix = sizeof(version) - 1;
    if (name_len > suffix && strcmp(ret->name + name_len - suffix, version) == 0) {
        ret->version = true;
        ret->name[name_len - suffix] = '\0';
    }
    char *hash = strchr(ret->name, '#');
    if (hash != NULL) {
        *hash = '\0';
        ret->path = strdup(hash + 1);
        if (ret->path == NULL)
            return error_no_memory(err, NULL);
    }
    if (*ret->name == '\0' || (ret->path != NULL && (*ret->path == '\0' || ret->version)))
        return bad_reference(text, len, "no name, or a path together with @version", err);
    return ret->path != NULL ? value_path_check(ret->path, err) : 0;
}

void reference_finish(struct reference *reference)
{
    free(reference->name);
    free(reference->path);
    *reference = (struct reference){0};
}

/* --- the item --- */

bool composed_item_is(const char *text)
{
    return strstr(text, "format") != NULL || strstr(text, "template") != NULL;
}

static const char *const field_names[] = {"format",         "template",    "items",    "objectAlias",
                                          "filePermission", "certificate", "password", "certificatePassword",
                                          "friendlyName",   "profile"};

static int read_entries(const struct yaml_node *items, struct composed_item *item, struct error **err)
{
    if (yaml_is_null(items))
        return 0;
    if (items->kind != YAML_MAPPING)
        return yaml_field_wrong_shape(items, "a mapping of keys to items", err);
    if (items->n > COMPOSED_ENTRIES_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%zu items, at most %d are allowed", items->n,
                         COMPOSED_ENTRIES_MAX);
    item->entries = calloc(items->n + 1, sizeof(*item->entries));
    if (item->entries == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < items->n; i++) {
        const struct yaml_node *value = items->values[i];
        if (value->kind != YAML_SCALAR)
            return yaml_field_wrong_shape(value, "a reference to an item", err);
        struct composed_entry *entry = &item->entries[item->n_entries++];
        entry->key = strdup(items->keys[i]->text);
        if (entry->key == NULL)
            return error_no_memory(err, NULL);
        if (reference_parse(value->text, strlen(value->text), &entry->reference, err) < 0)
            return -1;
    }
    return 0;
}

static int check_format(const char *text, struct composed_item *item, struct error **err)
{
    for (size_t i = 0; i < ARRAY_SIZE(format_names); i++) {
        if (format_names[i] != NULL && strcasecmp(text, format_names[i]) == 0) {
            item->format = (enum composed_format)i;
            return 0;
        }
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "invalid format: %.64s, should be env, docker-env, properties, json, yaml, pkcs12 or "
                     "pkcs12-truststore",
                     text);
}

static int read_template(const struct yaml_node *node, struct composed_item *item, struct error **err)
{
    if (node->kind != YAML_SCALAR)
        return yaml_field_wrong_shape(node, "string", err);
    item->format = COMPOSED_TEMPLATE;
    item->template = strdup(node->text);
    return item->template == NULL ? error_no_memory(err, NULL) : 0;
}

/* --- PKCS#12 --- */

static bool is_pkcs12(const struct composed_item *item)
{
    return item->format == COMPOSED_PKCS12 || item->format == COMPOSED_TRUST_STORE;
}

static int read_reference(const struct yaml_node *root, const char *field, struct reference *ret,
                          struct error **err)
{
    cleanup_free char *text = NULL;
    if (yaml_field_text(root, field, &text, err) < 0)
        return -1;
    if (*text == '\0')
        return 0;
    return reference_parse(text, strlen(text), ret, err) < 0 ? error_wrap(err, "%s", field) : 0;
}

static int read_profile(const struct yaml_node *root, bool *ret_legacy, struct error **err)
{
    cleanup_free char *text = NULL;
    if (yaml_field_text(root, "profile", &text, err) < 0)
        return -1;
    *ret_legacy = strcasecmp(text, "legacy") == 0;
    if (*ret_legacy || *text == '\0' || strcasecmp(text, "modern") == 0)
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid profile: %.64s, should be modern or legacy",
                     text);
}

static int check_pkcs12(const struct yaml_node *root, const struct composed_item *item, struct error **err)
{
    const struct composed_pkcs12 *fields = &item->pkcs12;
    if (fields->password.name == NULL)
        return invalid(err, "password must name the item that holds the password of the file");
    if (item->format == COMPOSED_PKCS12) {
        if (fields->certificate.name == NULL || yaml_get(root, "items") != NULL)
            return invalid(err, "format: pkcs12 needs certificate, and has no items");
        return 0;
    }
    if (item->n_entries == 0)
        return invalid(err, "format: pkcs12-truststore needs items: a name and a reference for each");
    if (fields->certificate.name != NULL || fields->certificate_password.name != NULL ||
        *fields->friendly_name != '\0')
        return invalid(err,
                       "certificate, certificatePassword and friendlyName only supported for format: pkcs12");
    return 0;
}

static int read_pkcs12(const struct yaml_node *root, struct composed_item *item, struct error **err)
{
    static const char *const own[] = {"certificate", "password", "certificatePassword", "friendlyName",
                                      "profile"};
    struct composed_pkcs12 *fields = &item->pkcs12;
    for (size_t i = 0; i < ARRAY_SIZE(own) && !is_pkcs12(item); i++)
        if (yaml_get(root, own[i]) != NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "%s only supported for format: pkcs12 and pkcs12-truststore", own[i]);
    if (!is_pkcs12(item))
        return 0;
    if (read_reference(root, "certificate", &fields->certificate, err) < 0 ||
        read_reference(root, "password", &fields->password, err) < 0 ||
        read_reference(root, "certificatePassword", &fields->certificate_password, err) < 0 ||
        yaml_field_text(root, "friendlyName", &fields->friendly_name, err) < 0 ||
        read_profile(root, &fields->legacy, err) < 0)
        return -1;
    return check_pkcs12(root, item, err);
}

static int read_composed(const struct yaml_node *root, mode_t default_mode, struct composed_item *item,
                         struct error **err)
{
    const struct yaml_node *template = yaml_get(root, "template");
    cleanup_free char *format = NULL;
    cleanup_free char *permission = NULL;

    if (yaml_field_text(root, "format", &format, err) < 0 ||
        yaml_field_text(root, "objectAlias", &item->path, err) < 0 ||
        yaml_field_text(root, "filePermission", &permission, err) < 0)
        return -1;
    if (!yaml_is_null(template) && (*format != '\0' || yaml_get(root, "items") != NULL))
        return invalid(err, "template cannot be given together with format or items");
    if ((!yaml_is_null(template) ? read_template(template, item, err) : check_format(format, item, err)) < 0)
        return -1;
    if (yaml_get(root, "objectName") != NULL)
        return invalid(err, "objectName cannot be given together with format or template");
    if (*item->path == '\0')
        return invalid(err, "objectAlias must name the file");
    if (object_path_check(item->path, err) < 0 ||
        object_permission_parse(permission, default_mode, &item->mode, err) < 0)
        return -1;
    if (read_entries(yaml_get(root, "items"), item, err) < 0)
        return -1;
    return read_pkcs12(root, item, err);
}

int composed_item_parse(const char *text, size_t index, const struct object_defaults *defaults,
                        struct composed_item *ret, bool *ret_composed, struct error **err)
{
    const struct known_fields known = {.where = "a composed item of objects",
                                       .here = {field_names, ARRAY_SIZE(field_names)},
                                       .elsewhere = "the items of its sources",
                                       .others = object_item_fields};
    const struct yaml_node *root = NULL;
    *ret = (struct composed_item){0};
    *ret_composed = false;
    cleanup_yaml struct yaml_document *document =
        yaml_parse(text, strlen(text), OBJECT_ITEM_MAX_BYTES, &root, /* err= */ NULL);
    if (document == NULL || (yaml_get(root, "format") == NULL && yaml_get(root, "template") == NULL))
        return 0; /* not one of these; whoever reads it next reports what is wrong with it */
    *ret_composed = true;
    field_names_check(root, &known, defaults->findings);
    if (read_composed(root, defaults->mode, ret, err) == 0)
        return 0;
    return error_wrap(err, "unmarshal failed for keyVaultObjects at index %zu, error: composed file %s",
                      index, ret->path != NULL ? ret->path : "");
}

void composed_item_finish(struct composed_item *item)
{
    for (size_t i = 0; i < item->n_entries; i++) {
        free(item->entries[i].key);
        reference_finish(&item->entries[i].reference);
    }
    free(item->entries);
    reference_finish(&item->pkcs12.certificate);
    reference_finish(&item->pkcs12.certificate_password);
    reference_finish(&item->pkcs12.password);
    free(item->pkcs12.friendly_name);
    free(item->template);
    free(item->path);
    *item = (struct composed_item){0};
}
