/*
 * object_item.c - reads and checks one item.
 */
#include "provider-azure/objects/object_item.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/utf8.h"
#include "common/lint/similar_name.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/objects/item_findings.h"
#include "provider-azure/objects/object_path.h"
#include "provider-azure/objects/value_path.h"
#include "provider-azure/objects/yaml_field.h"

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

const char *object_type_name(enum object_type type)
{
    static const char *const names[] = {
        [OBJECT_SECRET] = "secret", [OBJECT_KEY] = "key", [OBJECT_CERT] = "cert"};
    return names[type];
}

int object_item_wrap_error(const struct object_item *item, struct error **err)
{
    return error_wrap(err, "failed to get objectType:%s, objectName:%s, objectVersion:%s", item->type_text,
                      item->name, item->version_text);
}

/* --- checks --- */

static int check_format(const char *text, const char *type, enum object_format *ret, struct error **err)
{
    *ret = OBJECT_PEM;
    if (*text == '\0' || strcasecmp(text, "pem") == 0)
        return 0;
    if (strcasecmp(text, "pfx") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectFormat: %s, should be PEM or PFX",
                         text);
    if (strcmp(type, "secret") != 0)
        return invalid(err, "PFX format only supported for objectType: secret");
    *ret = OBJECT_PFX;
    return 0;
}

static int check_encoding(const char *text, const char *type, enum object_encoding *ret, struct error **err)
{
    *ret = OBJECT_UTF8;
    if (*text == '\0')
        return 0;
    if (strcmp(type, "secret") != 0)
        return invalid(err, "objectEncoding only supported for objectType: secret");
    if (strcasecmp(text, "utf-8") == 0)
        *ret = OBJECT_UTF8;
    else if (strcasecmp(text, "base64") == 0)
        *ret = OBJECT_BASE64;
    else if (strcasecmp(text, "hex") == 0)
        *ret = OBJECT_HEX;
    else
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "invalid objectEncoding: %s, should be hex, base64 or utf-8", text);
    return 0;
}

static int check_type(const char *text, enum object_type *ret, struct error **err)
{
    for (int type = OBJECT_SECRET; type <= OBJECT_CERT; type++) {
        if (strcmp(text, object_type_name((enum object_type)type)) == 0) {
            *ret = (enum object_type)type;
            return 0;
        }
    }
    return invalid(err, "Invalid vaultObjectTypes. Should be secret, key, or cert");
}

int object_permission_parse(const char *text, mode_t default_mode, mode_t *ret, struct error **err)
{
    *ret = default_mode;
    size_t len = strlen(text);
    if (len == 0)
        return 0;
    unsigned long mode = strspn(text, "01234567") == len ? strtoul(text, NULL, 8) : ULONG_MAX;
    if (mode > 0777) /* or ULONG_MAX: too many digits */
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "invalid filePermission: %s, should be octal digits from 0 to 0777", text);
    *ret = (mode_t)mode;
    return 0;
}

static int check_optional(const char *text, bool *ret, struct error **err)
{
    if (parameter_text_parse_bool(text, ret))
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectOptional: %s, should be true or false",
                     text);
}

static int check_split(const char *text, const struct object_item *item, enum object_split *ret,
                       struct error **err)
{
    *ret = OBJECT_WHOLE;
    if (*text == '\0')
        return 0;
    if (strcasecmp(text, "json") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectSplit: %s, should be json", text);
    if (item->type != OBJECT_SECRET || item->format != OBJECT_PEM)
        return invalid(err, "objectSplit only supported for objectType: secret, without objectFormat: pfx");
    *ret = OBJECT_SPLIT_JSON;
    return 0;
}

static int check_hidden(const char *text, bool *ret, struct error **err)
{
    if (parameter_text_parse_bool(text, ret))
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectHidden: %s, should be true or false",
                     text);
}

static int check_key(struct object_item *item, struct error **err)
{
    if (*item->key == '\0')
        return 0;
    if (item->type != OBJECT_SECRET || item->format != OBJECT_PEM || item->split != OBJECT_WHOLE)
        return invalid(
            err,
            "objectKey only supported for objectType: secret, without objectSplit and objectFormat: pfx");
    return value_path_check(item->key, err) < 0 ? error_wrap(err, "objectKey") : 0;
}

static int check_certificate(const char *text, const struct object_item *item, bool *ret, struct error **err)
{
    if (!parameter_text_parse_bool(text, ret))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "invalid objectCertificate: %s, should be true or false", text);
    if (*ret && (item->type != OBJECT_SECRET || item->split != OBJECT_WHOLE))
        return invalid(err, "objectCertificate only supported for objectType: secret, without objectSplit");
    return 0;
}

/* In a URL these mean another place, also when they are percent-encoded. */
static bool is_dots(const char *segment)
{
    return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

/* Sets name and path of the item, and checks them. */
static int check_name(struct object_item *item, const char *alias, const char *pattern, const char *tags,
                      struct error **err)
{
    bool one = *pattern == '\0' && *tags == '\0';
    if (one) {
        item->path = strdup(*alias != '\0' ? alias : item->name);
        return item->path == NULL ? error_no_memory(err, NULL) : object_path_check(item->path, err);
    }
    cleanup_free char *path = object_select_path(alias, "name");
    item->path = strdup(alias);
    item->select = object_select_create(pattern, tags, err);
    if (item->select == NULL)
        return -1;
    if (*item->name != '\0')
        return invalid(err, "objectName cannot be given together with objectNamePattern or objectTags");
    free(item->name);
    item->name = strdup(object_select_text(item->select));
    if (path == NULL || item->path == NULL || item->name == NULL)
        return error_no_memory(err, NULL);
    if (*item->version != '\0' || item->history > 1)
        return invalid(
            err,
            "objectVersion and objectVersionHistory cannot be given together with objectNamePattern or objectTags");
    return object_path_check(path, err);
}

/* --- one item --- */

/* Fields that are checked as texts. */
struct fields {
    char *alias, *format, *encoding, *permission, *pattern, *tags, *optional, *split, *certificate, *hidden;
};

static void fields_finish(struct fields *fields)
{
    free(fields->alias);
    free(fields->format);
    free(fields->encoding);
    free(fields->permission);
    free(fields->pattern);
    free(fields->tags);
    free(fields->optional);
    free(fields->split);
    free(fields->certificate);
    free(fields->hidden);
}
#define cleanup_fields CLEANUP(fields_finish)

static int read_fields(const struct yaml_node *root, struct object_item *item, struct fields *fields,
                       struct error **err)
{
    const struct {
        const char *name;
        char **into;
    } texts[] = {
        {"objectName", &item->name},
        {"objectType", &item->type_text},
        {"objectAlias", &fields->alias},
        {"objectVersion", &item->version_text},
        {"objectFormat", &fields->format},
        {"objectEncoding", &fields->encoding},
        {"filePermission", &fields->permission},
        {"objectNamePattern", &fields->pattern},
        {"objectTags", &fields->tags},
        {"objectOptional", &fields->optional},
        {"objectSplit", &fields->split},
        {"objectCertificate", &fields->certificate},
        {"objectKey", &item->key},
        {"objectHidden", &fields->hidden},
        {"keyvaultName", &item->vault_name},
        {"keyvaultURL", &item->vault_url},
        {"fallbackKeyvaults", &item->fallback_vaults},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (yaml_field_text(root, texts[i].name, texts[i].into, err) < 0)
            return -1;
    }
    return yaml_field_int32(root, "objectVersionHistory", &item->history, err);
}

static const char *const field_names[] = {
    "objectName",     "objectType",     "objectAlias",          "objectVersion",     "objectFormat",
    "objectEncoding", "filePermission", "objectVersionHistory", "objectNamePattern", "objectTags",
    "objectOptional", "objectSplit",    "objectCertificate",    "objectKey",         "objectHidden",
    "keyvaultName",   "keyvaultURL",    "fallbackKeyvaults"};
const struct field_names object_item_fields = {field_names, ARRAY_SIZE(field_names)};

/* NULL and no error: an empty item. */
static struct yaml_document *open_item(const char *text, const struct yaml_node **ret_root,
                                       struct error **err)
{
    cleanup_yaml struct yaml_document *document =
        yaml_parse(text, strlen(text), OBJECT_ITEM_MAX_BYTES, ret_root, err);

    if (document == NULL)
        return NULL;
    if (yaml_is_null(*ret_root)) {
        *ret_root = NULL;
    } else if ((*ret_root)->kind != YAML_MAPPING) {
        (void)yaml_field_wrong_shape(*ret_root, "a mapping of objectName, objectType, ...", err);
        return NULL;
    }
    return steal_ptr(&document);
}

/* The field that an error names is where it is. */
static void mark_field(const struct yaml_node *root, const struct error *error, struct findings *findings)
{
    static const struct {
        const char *text, *field;
    } other_words[] = {{"vaultObjectTypes", "objectType"}, {"file name", "objectAlias"}};
    const char *message = error_message(error);
    size_t best = 0;

    for (size_t i = 0; root != NULL && findings != NULL && i < root->n; i++) {
        const struct yaml_node *key = root->keys[i];
        size_t len = strlen(key->text);
        bool named = strstr(message, key->text) != NULL;
        for (size_t k = 0; k < ARRAY_SIZE(other_words); k++)
            named = named || (strcmp(key->text, other_words[k].field) == 0 &&
                              strstr(message, other_words[k].text) != NULL);
        if (len <= best || !named)
            continue;
        best = len; /* objectVersionHistory, and not objectVersion */
        findings_mark(findings, (struct text_place){key->line, key->column});
    }
}

static int check_item(const struct fields *fields, const struct object_defaults *defaults,
                      struct object_item *item, struct error **err)
{
    /* read_fields() has set every text, to an empty one if the field is missing. */
    assert(fields->format != NULL && fields->encoding != NULL && fields->pattern != NULL);
    /* The word `latest` is understood everywhere; Key Vault itself knows only the empty version. */
    item->version = strcmp(item->version_text, "latest") == 0 ? "" : item->version_text;
    item->versions = item->history > 1 ? (size_t)item->history : 1;
    if (item->history > 1 && defaults->history == HISTORY_ONE_MORE)
        item->versions++;
    if (check_format(fields->format, item->type_text, &item->format, err) < 0 ||
        check_encoding(fields->encoding, item->type_text, &item->encoding, err) < 0 ||
        check_name(item, fields->alias, fields->pattern, fields->tags, err) < 0)
        return -1;
    if (*item->name == '\0')
        return invalid(err, "objectName must not be empty");
    if (is_dots(item->name) || is_dots(item->version))
        return invalid(err, "objectName and objectVersion must not be '.' or '..'");
    if (check_type(item->type_text, &item->type, err) < 0 ||
        object_permission_parse(fields->permission, defaults->mode, &item->mode, err) < 0 ||
        check_optional(fields->optional, &item->optional, err) < 0)
        return -1;
    if (*item->vault_name != '\0' && *item->vault_url != '\0')
        return invalid(err, "only one of keyvaultName and keyvaultURL can be given");
    if (check_split(fields->split, item, &item->split, err) < 0 || check_key(item, err) < 0 ||
        check_hidden(fields->hidden, &item->hidden, err) < 0)
        return -1;
    return check_certificate(fields->certificate, item, &item->certificate, err);
}

/* The item of an empty name has only its place to be found by. */
static void add_hints(const char *text, const struct yaml_node *root, const struct object_item *item,
                      size_t index, struct error **error)
{
    static const char *const wanted[] = {"objectName"};
    char shown[SIMILAR_NAME_MAX + 1];

    if (root == NULL && strstr(text, "{{") != NULL) {
        (void)error_hint(error, "%s", OBJECTS_TEMPLATE_HINT);
        return;
    }
    if (item->name == NULL || item->select != NULL)
        return;
    if (strstr(item->name, "://") != NULL)
        (void)error_hint(
            error, "objectName is the name alone, and objectVersion the version: the last parts of the URL");
    if (*item->name != '\0')
        return;
    if (yaml_get(root, wanted[0]) != NULL) {
        (void)error_hint(error, "item %zu of array has an empty objectName", index + 1);
        return;
    }
    for (size_t i = 0; root != NULL && i < root->n; i++) {
        if (similar_field(root->keys[i]->text, wanted, ARRAY_SIZE(wanted)) == NULL)
            continue;
        utf8_quote_visibly(shown, sizeof(shown), root->keys[i]->text);
        (void)error_hint(error, "item %zu of array has no objectName, but %s", index + 1, shown);
        return;
    }
    (void)error_hint(error, "item %zu of array has no objectName", index + 1);
}

int object_item_parse(const char *text, size_t index, const struct object_defaults *defaults,
                      struct object_item *ret_item, struct error **err)
{
    const struct yaml_node *root = NULL;
    cleanup_fields struct fields fields = {0};
    cleanup_error struct error *error = NULL;

    *ret_item = (struct object_item){0};
    cleanup_yaml struct yaml_document *document = open_item(text, &root, &error);
    if (document == NULL || read_fields(root, ret_item, &fields, &error) < 0) {
        (void)error_wrap(&error, "unmarshal failed for keyVaultObjects at index %zu, error", index);
        if (document == NULL)
            add_hints(text, root, ret_item, index, &error);
        return error_move(err, &error);
    }
    const struct known_fields known = {.where = "an item of objects",
                                       .here = object_item_fields,
                                       .elsewhere = "spec.parameters",
                                       .others = defaults->class_parameters};
    field_names_check(root, &known, defaults->findings);
    if (check_item(&fields, defaults, ret_item, &error) < 0) {
        mark_field(root, error, defaults->findings);
        (void)object_item_wrap_error(ret_item, &error);
        add_hints(text, root, ret_item, index, &error);
        return error_move(err, &error);
    }
    item_findings_add(text, root, ret_item, defaults);
    return 0;
}

int object_item_select(const struct object_item *item, const char *name, struct object_item *ret_item,
                       struct error **err)
{
    struct object_item made = *item;
    made.name = strdup(name);
    made.type_text = strdup(item->type_text);
    made.version_text = strdup("");
    made.version = made.version_text;
    made.key = strdup(item->key != NULL ? item->key : "");
    made.path = object_select_path(item->path, name);
    made.select = NULL;
    made.vault_name = made.vault_url = made.fallback_vaults = NULL;
    int result = made.name == NULL || made.type_text == NULL || made.version_text == NULL ||
                         made.key == NULL || made.path == NULL
                     ? error_no_memory(err, NULL)
                     : object_path_check(made.path, err);
    if (result < 0)
        object_item_finish(&made);
    else
        *ret_item = made;
    return result;
}

void object_item_finish(struct object_item *item)
{
    free(item->name);
    free(item->type_text);
    free(item->version_text);
    free(item->path);
    free(item->key);
    free(item->vault_name);
    free(item->vault_url);
    free(item->fallback_vaults);
    object_select_unref(item->select);
}
