/*
 * objects.c - reads and validates the `objects` parameter.
 */
#include "provider-azure/objects/objects.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/yaml.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/objects/object_path.h"

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

int object_wrap_error(const struct object_item *item, struct error **err)
{
    return error_wrap(err, "failed to get objectType:%s, objectName:%s, objectVersion:%s", item->type_text,
                      item->name, item->version_text);
}

/* --- YAML to fields --- */

static int wrong_shape(const struct yaml_node *node, const char *wanted, struct error **err)
{
    const char *tag = node->kind == YAML_SEQUENCE ? "!!seq" : node->kind == YAML_MAPPING ? "!!map" : "!!str";
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "yaml: unmarshal errors: line %u: cannot unmarshal %s into %s", node->line, tag, wanted);
}

/* A text field: the source text of any scalar, trimmed; null is "". */
static int read_text(const struct yaml_node *item, const char *field, char **ret, struct error **err)
{
    const struct yaml_node *node = yaml_get(item, field);
    if (node != NULL && node->kind != YAML_SCALAR)
        return wrong_shape(node, "string", err);
    *ret = parameter_text_trim(node == NULL || yaml_is_null(node) ? "" : node->text);
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

/* Text of a YAML integer without its sign and without '_'. Octal is written 0o17 or 017. */
static bool parse_digits(const char *text, int64_t *ret)
{
    static const struct {
        const char *prefix;
        int base;
    } bases[] = {{"0x", 16}, {"0X", 16}, {"0o", 8}, {"0O", 8}, {"0b", 2}, {"0B", 2}, {"0", 8}, {"", 10}};

    for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
        size_t skip = strlen(bases[i].prefix);
        const char *digits = text + skip;
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): strncmp() saw `skip` bytes */
        if (strncmp(text, bases[i].prefix, skip) != 0 || *digits == '\0' || strpbrk(digits, "+- \t") != NULL)
            continue;
        char *end = NULL;
        errno = 0;
        long long value = strtoll(digits, &end, bases[i].base);
        if (*end == '\0' && errno == 0) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* YAML's integer and float spellings, as the Go decoder turns them into an int32: floats are cut towards
 * zero. */
static bool parse_int32(const char *text, int32_t *ret)
{
    char plain[64];
    size_t n = 0;
    if (text[0] == '_') /* between digits and behind them, but a number does not begin with it */
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '_')
            continue;
        if (n == sizeof(plain) - 1)
            return false;
        plain[n++] = *c;
    }
    plain[n] = '\0';

    bool negative = plain[0] == '-';
    const char *digits = plain + (plain[0] == '-' || plain[0] == '+' ? 1 : 0);
    int64_t value = 0;
    if (!parse_digits(digits, &value)) {
        char *end = NULL;
        if (digits[strspn(digits, "0123456789.eE+-")] != '\0' || strpbrk(digits, "0123456789") == NULL ||
            digits[0] == '+' || digits[0] == '-')
            return false;
        double number = strtod(digits, &end);
        if (*end != '\0' || !isfinite(number) || number > (double)INT64_MAX / 2)
            return false;
        value = (int64_t)number;
    }
    if (negative)
        value = -value;
    if (value < INT32_MIN || value > INT32_MAX)
        return false;
    *ret = (int32_t)value;
    return true;
}

static int read_history(const struct yaml_node *item, int32_t *ret, struct error **err)
{
    const struct yaml_node *node = yaml_get(item, "objectVersionHistory");
    *ret = 0;
    if (yaml_is_null(node))
        return 0;
    if (node->kind != YAML_SCALAR)
        return wrong_shape(node, "int32", err);
    if (!node->plain || !parse_int32(node->text, ret))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "yaml: unmarshal errors: line %u: cannot unmarshal %s `%.64s` into int32",
                         node->line, node->plain ? "!!int" : "!!str", node->text);
    return 0;
}

static void warn_unknown_fields(const struct yaml_node *item, size_t index, struct log *log)
{
    static const char *const known[] = {"objectName",     "objectType",           "objectAlias",
                                        "objectVersion",  "objectFormat",         "objectEncoding",
                                        "filePermission", "objectVersionHistory", "objectNamePattern",
                                        "objectTags",     "objectOptional",       "objectSplit"};
    for (size_t i = 0; item != NULL && i < item->n; i++) {
        bool found = yaml_is_merge(item->keys[i]);
        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            found = found || strcmp(item->keys[i]->text, known[k]) == 0;
        if (!found)
            log_warning(log, "unknown field in objects, ignored", LOG_UINT("index", index),
                        LOG_STR("field", item->keys[i]->text));
    }
}

/* --- validation --- */

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

static int check_permission(const char *text, mode_t default_mode, mode_t *ret, struct error **err)
{
    *ret = default_mode;
    size_t len = strlen(text);
    if (len == 0)
        return 0;
    unsigned long mode = len <= 4 && strspn(text, "01234567") == len ? strtoul(text, NULL, 8) : ULONG_MAX;
    if (mode > 0777)
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

/* In a URL these mean another place, also when they are percent-encoded. */
static bool is_dots(const char *segment)
{
    return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

/* Sets what the item is called and where it goes, and checks that. */
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

/* The fields of an item that are checked after YAML had its way with them. */
struct fields {
    char *alias, *format, *encoding, *permission, *pattern, *tags, *optional, *split;
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
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (read_text(root, texts[i].name, texts[i].into, err) < 0)
            return -1;
    }
    return read_history(root, &item->history, err);
}

/* Reads one item. *ret_content says whether an error is one of the content, not of the YAML: the caller wraps
 * the two differently. */
static int parse_item(const char *text, size_t index, const struct object_defaults *defaults,
                      struct object_item *item, bool *ret_content, struct error **err)
{
    const struct yaml_node *root = NULL;
    cleanup_yaml struct yaml_document *document =
        yaml_parse(text, strlen(text), OBJECTS_MAX_BYTES, &root, err);
    cleanup_fields struct fields fields = {0};

    *ret_content = false;
    if (document == NULL)
        return -1;
    if (yaml_is_null(root))
        root = NULL;
    else if (root->kind != YAML_MAPPING)
        return wrong_shape(root, "a mapping of objectName, objectType, ...", err);
    if (read_fields(root, item, &fields, err) < 0)
        return -1;
    warn_unknown_fields(root, index, defaults->log);

    *ret_content = true;
    /* The word `latest` is understood everywhere; Key Vault itself knows only the empty version. */
    item->version = strcmp(item->version_text, "latest") == 0 ? "" : item->version_text;
    item->versions = item->history > 1 ? (size_t)item->history : 1;
    if (item->history > 1 && defaults->history == HISTORY_ONE_MORE)
        item->versions++;
    if (check_format(fields.format, item->type_text, &item->format, err) < 0 ||
        check_encoding(fields.encoding, item->type_text, &item->encoding, err) < 0 ||
        check_name(item, fields.alias, fields.pattern, fields.tags, err) < 0)
        return -1;
    if (*item->name == '\0')
        return invalid(err, "objectName must not be empty");
    if (is_dots(item->name) || is_dots(item->version))
        return invalid(err, "objectName and objectVersion must not be '.' or '..'");
    if (check_type(item->type_text, &item->type, err) < 0 ||
        check_permission(fields.permission, defaults->mode, &item->mode, err) < 0 ||
        check_optional(fields.optional, &item->optional, err) < 0 ||
        check_split(fields.split, item, &item->split, err) < 0)
        return -1;
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
    made.path = object_select_path(item->path, name);
    made.select = NULL;
    int result = made.name == NULL || made.type_text == NULL || made.version_text == NULL || made.path == NULL
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
    object_select_destroy(item->select);
}

void object_list_finish(struct object_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        object_item_finish(&list->items[i]);
    free(list->items);
    *list = (struct object_list){0};
}

/* --- paths of different items --- */

/* Before any network traffic: a history stands for its first file, which always exists. What a selection or a
 * split secret gives is not known yet; the mount checks all paths again. */
static int check_item_paths(const struct object_list *list, struct error **err)
{
    cleanup_free struct object_path *paths = calloc(list->n + 1, sizeof(*paths));
    cleanup_free char **firsts = calloc(list->n + 1, sizeof(*firsts));
    size_t n = 0;
    int result = 0;

    if (paths == NULL || firsts == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < list->n && result == 0; i++) {
        const struct object_item *item = &list->items[i];
        if (item->select != NULL || item->split != OBJECT_WHOLE)
            continue;
        if (item->history > 1 && asprintf(&firsts[i], "%s/0", item->path) < 0) {
            firsts[i] = NULL;
            result = error_no_memory(err, NULL);
        }
        paths[n++] =
            (struct object_path){.path = firsts[i] != NULL ? firsts[i] : item->path, .object = item->name};
    }
    if (result == 0)
        result = object_paths_check(paths, n, err);
    for (size_t i = 0; i < list->n; i++)
        free(firsts[i]);
    return result;
}

/* --- the array --- */

static int find_array(const struct yaml_node *root, const struct yaml_node **ret_array, struct error **err)
{
    if (!yaml_is_null(root) && root->kind != YAML_MAPPING)
        return wrong_shape(root, "a mapping with the key array", err);
    const struct yaml_node *array = yaml_get(root, "array");
    if (array == NULL) {
        /* The old provider mounted nothing then (for example for `Array:`): a mistake that stayed hidden. */
        return invalid(err, "yaml: the key array is missing");
    }
    if (yaml_is_null(array)) {
        *ret_array = NULL;
        return 0;
    }
    if (array->kind != YAML_SEQUENCE)
        return wrong_shape(array, "a sequence", err);
    for (size_t i = 0; i < array->n; i++) {
        const struct yaml_node *value = array->values[i];
        if (value->kind == YAML_MAPPING) {
            wrong_shape(value, "string", err);
            if (err != NULL && *err != NULL)
                return error_wrap(err, "each item must be text: write `- |` and the fields below it");
            return -1;
        }
        if (value->kind != YAML_SCALAR)
            return wrong_shape(value, "string", err);
    }
    *ret_array = array;
    return 0;
}

int objects_parse(const char *text, const struct object_defaults *defaults, struct object_list *ret_list,
                  struct error **err)
{
    const struct yaml_node *root = NULL;
    const struct yaml_node *array = NULL;
    errno = 0;
    cleanup_yaml struct yaml_document *document =
        yaml_parse(text, strlen(text), OBJECTS_MAX_BYTES, &root, err);

    if (document == NULL || find_array(root, &array, err) < 0) {
        error_recode(err, GRPC_STATUS_INVALID_ARGUMENT);
        error_wrap(err, "failed to yaml unmarshal objects, error");
        return error_check_memory(err, "objects");
    }
    size_t n = array != NULL ? array->n : 0;
    if (n > OBJECTS_MAX_ITEMS)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "failed to yaml unmarshal objects, error: %zu items, at most %d are allowed", n,
                         OBJECTS_MAX_ITEMS);

    struct object_list list = {.items = calloc(n + 1, sizeof(*list.items))};
    if (list.items == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < n; i++) {
        bool content = false;
        if (yaml_is_null(array->values[i]))
            continue; /* `- ~` is dropped silently */
        struct object_item *item = &list.items[list.n];
        size_t index = list.n++;
        if (parse_item(array->values[i]->text, index, defaults, item, &content, err) == 0)
            continue;
        if (content)
            object_wrap_error(item, err);
        else
            error_wrap(err, "unmarshal failed for keyVaultObjects at index %zu, error", index);
        object_list_finish(&list);
        return -1;
    }
    if (check_item_paths(&list, err) < 0) {
        object_list_finish(&list);
        return -1;
    }
    *ret_list = list;
    return 0;
}
