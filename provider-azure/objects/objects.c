/*
 * objects.c - the list of items, and the paths of all of them.
 */
#include "provider-azure/objects/objects.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/utf8.h"
#include "common/base/yaml.h"
#include "provider-azure/objects/item_findings.h"
#include "provider-azure/objects/object_path.h"
#include "provider-azure/objects/yaml_field.h"

#define COMPOSED_OBJECT "(composed)"

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

void object_list_finish(struct object_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        object_item_finish(&list->items[i]);
    free(list->items);
    for (size_t i = 0; i < list->n_composed; i++)
        composed_item_finish(&list->composed[i]);
    free(list->composed);
    *list = (struct object_list){0};
}

/* --- paths of different items --- */

/* Before any network traffic: a history stands for its first file, which always exists. What a selection or a
 * split secret gives is not known yet; the mount checks all paths again. */
static int check_item_paths(const struct object_list *list, struct error **err)
{
    cleanup_free struct object_path *paths = calloc(list->n + list->n_composed + 1, sizeof(*paths));
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
    for (size_t i = 0; i < list->n_composed; i++)
        paths[n++] = (struct object_path){.path = list->composed[i].path, .object = COMPOSED_OBJECT};
    if (result == 0)
        result = object_paths_check(paths, n, err);
    for (size_t i = 0; i < list->n; i++)
        free(firsts[i]);
    return result;
}

/* --- the array --- */

/* A text that is nearly one of `objects`: the list alone, as other providers have it, or one `|` too many. */
static int wrong_root(const struct yaml_node *root, struct error **err)
{
    (void)yaml_field_wrong_shape(root, "a mapping with the key array", err);
    if (root->kind == YAML_SEQUENCE)
        return error_hint(err, "the list belongs below a line with array: alone");
    return strncmp(root->text, "array:", strlen("array:")) == 0
               ? error_hint(err, "the bar in front of the text is one too many")
               : -1;
}

static int missing_array(const struct yaml_node *root, struct error **err)
{
    char shown[64];

    /* The old provider mounted nothing then (for example for `Array:`): a mistake that stayed hidden. */
    (void)invalid(err, "yaml: the key array is missing");
    if (root == NULL || root->kind != YAML_MAPPING || root->n == 0)
        return -1;
    utf8_quote_visibly(shown, sizeof(shown), root->keys[0]->text);
    return error_hint(err, "there is %s instead", shown);
}

static int find_array(const struct yaml_node *root, const struct yaml_node **ret_array, struct error **err)
{
    if (!yaml_is_null(root) && root->kind != YAML_MAPPING)
        return wrong_root(root, err);
    const struct yaml_node *array = yaml_get(root, "array");
    if (array == NULL)
        return missing_array(root, err);
    if (yaml_is_null(array)) {
        *ret_array = NULL;
        return 0;
    }
    if (array->kind != YAML_SEQUENCE) {
        (void)yaml_field_wrong_shape(array, "a sequence", err);
        return error_hint(err, "array: stands alone on its line, with a list below it");
    }
    for (size_t i = 0; i < array->n; i++) {
        const struct yaml_node *value = array->values[i];
        if (value->kind == YAML_MAPPING) {
            (void)yaml_field_wrong_shape(value, "string", err);
            return error_wrap(err, "each item must be text: write `- |` and the fields below it");
        }
        if (value->kind != YAML_SCALAR)
            return yaml_field_wrong_shape(value, "string", err);
    }
    *ret_array = array;
    return 0;
}

static bool has_items(const struct yaml_node *array)
{
    for (size_t i = 0; array != NULL && i < array->n; i++) {
        if (!yaml_is_null(array->values[i]))
            return true;
    }
    return false;
}

static int count_document(const struct yaml_node *root, void *arg, struct error **err)
{
    size_t *n = arg;
    (void)root;
    (void)err;
    (*n)++;
    return 0;
}

/* An empty list is meant where the array is empty and all that there is. Otherwise the items were lost, for
 * example by their indentation: a document ends where its text does not fit. */
static int check_empty(const char *text, const struct yaml_node *root, struct error **err)
{
    const struct yaml_node *array = yaml_get(root, "array");
    bool meant = root->n == 1 && (array->kind != YAML_SEQUENCE || array->n == 0);
    size_t documents = 0;
    if (yaml_parse_all(text, strlen(text), OBJECTS_MAX_BYTES, count_document, &documents, err) < 0)
        return -1;
    if (!meant || documents > 1)
        return invalid(
            err,
            "yaml: there are no items in array, but more than comments in the text (is it indented well?)");
    return 0;
}

/* Adds a composed item to the list. *ret is false, and nothing is added, when the text is that of another
 * item. */
static int parse_composed(const char *text, size_t index, const struct object_defaults *defaults,
                          struct object_list *list, bool *ret, struct error **err)
{
    *ret = false;
    if (!composed_item_is(text))
        return 0;
    struct composed_item *grown = reallocarray(list->composed, list->n_composed + 1, sizeof(*list->composed));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    list->composed = grown;
    struct composed_item *item = &list->composed[list->n_composed];
    int result = composed_item_parse(text, index, defaults, item, ret, err);
    list->n_composed += *ret ? 1 : 0;
    return result;
}

/* Adds one item to the list, which has space for it. After an error there is nothing of it in the list. */
static int parse_one(const char *text, size_t index, const struct object_defaults *defaults,
                     struct object_list *list, struct error **err)
{
    bool composed = false;
    int result = parse_composed(text, index, defaults, list, &composed, err);

    if (composed && result < 0)
        composed_item_finish(&list->composed[--list->n_composed]);
    if (composed || result < 0)
        return result;
    result = object_item_parse(text, index, defaults, &list->items[list->n], err);
    if (result < 0)
        object_item_finish(&list->items[list->n]);
    else
        list->n++;
    return result;
}

static int parse_items(const struct yaml_node *array, size_t n, const char *text,
                       const struct object_defaults *defaults, struct object_list *list, struct error **err)
{
    struct findings *findings = defaults->findings;
    const struct text_frame outer = findings != NULL ? findings->frame : TEXT_FRAME_WHOLE;
    size_t index = 0;

    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *item = array->values[i];
        cleanup_error struct error *error = NULL;

        if (yaml_is_null(item))
            continue;                                   /* `- ~` is dropped silently */
        if (findings != NULL && findings->takes_errors) /* nobody else reads places */
            findings_enter(findings, findings->parameter, text_frame_of_scalar(&outer, text, item));
        if (parse_one(item->text, index++, defaults, list, &error) < 0 &&
            !findings_take(findings, &lint_rule_refused, &error))
            return error_move(err, &error);
    }
    if (findings != NULL)
        findings_enter(findings, findings->parameter, outer);
    return 0;
}

/* --- what is probably not meant --- */

static const struct lint_rule empty_rule = {"no-objects", FINDING_ERROR};
static const struct lint_rule hidden_rule = {"hidden-unused", FINDING_WARNING};

/* Keys beside `array`. */
static void check_keys(const struct yaml_node *root, const struct object_defaults *defaults)
{
    static const char *const array[] = {"array"};
    const struct known_fields of_items = {.where = "objects",
                                          .here = {array, 1},
                                          .elsewhere = "an item of array",
                                          .others = object_item_fields};
    const struct known_fields of_class = {.where = "objects",
                                          .here = {array, 1},
                                          .elsewhere = "spec.parameters",
                                          .others = defaults->class_parameters};

    for (size_t i = 0; root != NULL && i < root->n; i++) {
        const struct yaml_node *key = root->keys[i];
        bool of_the_class = field_names_has(&of_class.others, key->text);
        if (yaml_is_merge(key) || strcmp(key->text, array[0]) == 0)
            continue;
        field_names_unknown(key->text, of_the_class ? &of_class : &of_items,
                            (struct text_place){key->line, key->column}, defaults->findings);
    }
}

/* A file of the item with this path, or a file below it. */
static bool refers_to(const struct reference *reference, const char *path)
{
    size_t len = strlen(path);

    return reference->name != NULL && strncmp(reference->name, path, len) == 0 &&
           (reference->name[len] == '\0' || reference->name[len] == '/');
}

static bool is_source(const struct composed_item *composed, const char *path)
{
    const struct composed_pkcs12 *pkcs12 = &composed->pkcs12;

    if (composed->format == COMPOSED_TEMPLATE)
        return strstr(composed->template, path) != NULL;
    for (size_t i = 0; i < composed->n_entries; i++)
        if (refers_to(&composed->entries[i].reference, path))
            return true;
    if (pkcs12->password.name != NULL)
        return refers_to(&pkcs12->certificate, path) || refers_to(&pkcs12->certificate_password, path) ||
               refers_to(&pkcs12->password, path);
    return composed->n_entries == 0; /* all files */
}

static void check_list(const struct object_list *list, const struct object_defaults *defaults)
{
    if (list->n + list->n_composed == 0)
        findings_add(defaults->findings, &empty_rule, (struct text_place){0},
                     "objects has no items: there is nothing to mount, and drivers refuse such a response");
    for (size_t i = 0; i < list->n; i++) {
        const struct object_item *item = &list->items[i];
        bool used = !item->hidden || item->select != NULL || item->split != OBJECT_WHOLE;
        for (size_t k = 0; k < list->n_composed && !used; k++)
            used = is_source(&list->composed[k], item->path);
        if (!used)
            findings_add(defaults->findings, &hidden_rule, (struct text_place){0},
                         "%s is hidden (objectHidden), and no composed file is made of it", item->path);
    }
}

/* Files that nobody sees are read in vain, and a composed one needs something to be made of. */
static int check_composed(const struct object_list *list, struct error **err)
{
    size_t hidden = 0;
    for (size_t i = 0; i < list->n; i++)
        hidden += list->items[i].hidden ? 1 : 0;
    if (list->n == 0 && list->n_composed > 0)
        return invalid(err, "objects has composed files, but no object of a vault to make them of");
    if (list->n > 0 && hidden == list->n && list->n_composed == 0)
        return invalid(err, "all objects are hidden (objectHidden), and no file is composed of them");
    return 0;
}

/* Reads the array, which has `n` items. */
static int fill_list(const struct yaml_node *array, size_t n, const char *text,
                     const struct object_defaults *defaults, struct object_list *list, struct error **err)
{
    cleanup_error struct error *error = NULL;

    if (parse_items(array, n, text, defaults, list, err) < 0)
        return -1;
    if ((check_item_paths(list, &error) < 0 || check_composed(list, &error) < 0) &&
        !findings_take(defaults->findings, &lint_rule_refused, &error))
        return error_move(err, &error);
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

    if (document == NULL || find_array(root, &array, err) < 0 ||
        (!has_items(array) && check_empty(text, root, err) < 0)) {
        error_recode(err, GRPC_STATUS_INVALID_ARGUMENT);
        error_wrap(err, "failed to yaml unmarshal objects, error");
        if (document == NULL && strstr(text, "{{") != NULL)
            error_hint(err, "%s", OBJECTS_TEMPLATE_HINT);
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
    if (fill_list(array, n, text, defaults, &list, err) < 0) {
        object_list_finish(&list);
        return -1;
    }
    check_keys(root, defaults);
    item_findings_add_rest(text, defaults->findings);
    if (!has_items(array) || list.n + list.n_composed > 0)
        check_list(&list, defaults);
    *ret_list = list;
    return 0;
}
