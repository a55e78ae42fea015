/*
 * value_path.c - one value of a JSON or YAML text, found by its path.
 */
#include "provider-azure/objects/value_path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "common/base/yaml.h"

enum { NAMES_SHOWN_MAX = 300, INDEX_DIGITS_MAX = 6, VALUES_MAX = 20000 };

/* One step: a name, or else an index. */
struct step {
    char name[VALUE_PATH_MAX];
    bool is_index;
    size_t index;
};

/* --- the path --- */

static int bad_path(const char *path, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "invalid path '%.128s', should be like a.b[0].c or [\"x.y\"].z", path);
}

static bool take_index(const char **at, struct step *step)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > INDEX_DIGITS_MAX || (*at)[digits] != ']')
        return false;
    step->is_index = true;
    step->index = strtoul(*at, /* endptr= */ NULL, 10);
    *at += digits + 1;
    return true;
}

static bool take_name(const char **at, size_t len, size_t skip, struct step *step)
{
    if (len == 0 || len >= sizeof(step->name))
        return false;
    step->is_index = false;
    memcpy(step->name, *at, len);
    step->name[len] = '\0';
    *at += len + skip;
    return true;
}

/* Takes the step at *at. False when there is none that is well-formed. */
static bool take_step(const char **at, bool first, struct step *step)
{
    if (**at == '[') {
        (*at)++;
        if (**at != '"')
            return take_index(at, step);
        (*at)++;
        size_t len = strcspn(*at, "\"");
        return strncmp(*at + len, "\"]", 2) == 0 && take_name(at, len, 2, step);
    }
    if (!first && *(*at)++ != '.')
        return false;
    return take_name(at, strcspn(*at, ".[]\""), 0, step);
}

int value_path_check(const char *path, struct error **err)
{
    const char *at = path;
    struct step step;
    if (*path == '\0' || strlen(path) >= VALUE_PATH_MAX)
        return bad_path(path, err);
    for (size_t n = 0; *at != '\0'; n++)
        if (n == VALUE_PATH_STEPS_MAX || !take_step(&at, n == 0, &step))
            return bad_path(path, err);
    return 0;
}

/* --- errors --- */

struct names {
    struct buffer text;
    bool cut;
};

static void add_name(struct names *names, const char *name)
{
    if (names->cut || names->text.len + strlen(name) + 2 > NAMES_SHOWN_MAX) {
        names->cut = true;
        return;
    }
    (void)buffer_printf(&names->text, /* err= */ NULL, "%s%s", names->text.len > 0 ? ", " : "", name);
}

static int no_member(const char *path, const struct step *step, struct names *names, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "path %s: there is no '%s' (has: %s%s)", path,
                     step->name, buffer_str(&names->text), names->cut ? ", ..." : "");
}

static int cannot_read(const char *path, struct error **err)
{
    error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
    return error_wrap(err, "path %s", path);
}

static int no_element(const char *path, const struct step *step, size_t n, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "path %s: there is no [%zu], %zu elements", path,
                     step->index, n);
}

static int wrong_kind(const char *path, const struct step *step, struct error **err)
{
    if (step->is_index)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "path %s: no array in front of [%zu]", path,
                         step->index);
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "path %s: no object in front of '%s'", path,
                     step->name);
}

/* --- JSON --- */

static const struct json_options shallow = {
    .max_len = VALUE_TEXT_MAX, .max_values = VALUES_MAX, .flags = JSON_KEEP_NUL | JSON_SHALLOW};

/* The position of the child that the step leads to. */
static int find_json_child(const char *path, const cJSON *json, const struct step *step, size_t *ret,
                           struct error **err)
{
    size_t n = (size_t)cJSON_GetArraySize(json), at = 0;
    if (step->is_index != (bool)cJSON_IsArray(json) || !(cJSON_IsArray(json) || cJSON_IsObject(json)))
        return wrong_kind(path, step, err);
    if (step->is_index) {
        *ret = step->index;
        return step->index < n ? 0 : no_element(path, step, n, err);
    }
    struct names names = {.text = {.ceiling = NAMES_SHOWN_MAX}};
    for (const cJSON *child = json->child; child != NULL; child = child->next, at++) {
        if (strcmp(child->string, step->name) == 0) {
            buffer_finish(&names.text);
            *ret = at;
            return 0;
        }
        add_name(&names, child->string);
    }
    (void)no_member(path, step, &names, err);
    buffer_finish(&names.text);
    return -1;
}

/* Goes from *text, a value, to the child's text. */
static int descend(const char *path, const struct step *step, struct json_text *text, struct error **err)
{
    cleanup_json cJSON *json = json_parse_options(text->at, text->len, &shallow, err);
    size_t at = 0;
    if (json == NULL)
        return cannot_read(path, err);
    if (find_json_child(path, json, step, &at, err) < 0)
        return -1;
    cleanup_free struct json_text *children = calloc(at + 1, sizeof(*children));
    if (children == NULL)
        return error_no_memory(err, NULL);
    json_child_texts(text->at, text->len, children, at + 1);
    *text = children[at];
    return 0;
}

static int append_json(const struct json_text *text, struct buffer *out, struct error **err)
{
    if (text->len == 0 || text->at[0] != '"')
        return buffer_append(out, text->at, text->len, err);
    cleanup_json cJSON *json = json_parse_options(text->at, text->len, &shallow, err);
    if (json == NULL)
        return -1;
    size_t len = json_restore_nul(json->valuestring);
    return buffer_append(out, json->valuestring, len, err);
}

static int find_json(const char *path, const char *text, size_t len, struct buffer *out, struct error **err)
{
    struct json_text value = {.at = text, .len = len};
    struct step step;
    for (const char *at = path; *at != '\0';) {
        bool first = at == path;
        if (!take_step(&at, first, &step))
            return bad_path(path, err);
        if (descend(path, &step, &value, err) < 0)
            return -1;
    }
    return append_json(&value, out, err);
}

/* --- YAML --- */

static const struct yaml_node *find_yaml_child(const char *path, const struct yaml_node *node,
                                               const struct step *step, struct error **err)
{
    struct names names = {.text = {.ceiling = NAMES_SHOWN_MAX}};
    enum yaml_kind wanted = step->is_index ? YAML_SEQUENCE : YAML_MAPPING;
    if (node == NULL || node->kind != wanted) {
        (void)wrong_kind(path, step, err);
        return NULL;
    }
    if (step->is_index) {
        if (step->index < node->n)
            return node->values[step->index];
        (void)no_element(path, step, node->n, err);
        return NULL;
    }
    const struct yaml_node *child = yaml_get(node, step->name);
    if (child == NULL) {
        for (size_t i = 0; i < node->n; i++)
            add_name(&names, node->keys[i]->text);
        (void)no_member(path, step, &names, err);
        buffer_finish(&names.text);
    }
    return child;
}

static int find_yaml(const char *path, const char *text, size_t len, struct buffer *out, struct error **err)
{
    const struct yaml_node *node = NULL;
    struct step step;
    cleanup_yaml struct yaml_document *document = yaml_parse(text, len, VALUE_TEXT_MAX, &node, err);
    if (document == NULL)
        return cannot_read(path, err);
    for (const char *at = path; *at != '\0';) {
        bool first = at == path;
        if (!take_step(&at, first, &step))
            return bad_path(path, err);
        node = find_yaml_child(path, node, &step, err);
        if (node == NULL)
            return -1;
    }
    if (node->kind != YAML_SCALAR)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "path %s leads to a %s, not to a value", path,
                         yaml_kind_name(node));
    return yaml_is_null(node) ? 0 : buffer_append_str(out, node->text, err);
}

int value_path_find(const char *path, const char *text, size_t len, struct buffer *out, struct error **err)
{
    size_t blanks = utf8_mark_len(text, len);
    while (blanks < len && strchr(" \t\r\n", text[blanks]) != NULL && text[blanks] != '\0')
        blanks++;
    bool is_json = blanks < len && (text[blanks] == '{' || text[blanks] == '[');
    return is_json ? find_json(path, text + blanks, len - blanks, out, err)
                   : find_yaml(path, text, len, out, err);
}
