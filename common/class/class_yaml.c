/*
 * class_yaml.c - SecretProviderClasses in YAML.
 */
#include <string.h>

#include "common/base/yaml.h"
#include "common/class/class.h"

/* Plain scalars that YAML 1.1 as Kubernetes reads it takes for bools and numbers; these would not reach the
 * API as strings. */
static bool is_typed(const char *text)
{
    static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE", ".inf", ".nan",
                                        "yes",  "Yes",  "YES",  "no",    "No",    "NO",    "on",   "On",
                                        "ON",   "off",  "Off",  "OFF",   "y",     "Y",     "n",    "N"};
    const char *at = text;
    size_t digits;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    if (*at == '+' || *at == '-')
        at++;
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'o'))
        return at[2] != '\0' && at[2 + strspn(at + 2, "0123456789abcdefABCDEF_")] == '\0';
    digits = strspn(at, "0123456789_");
    if (digits == 0 || at[0] == '_') {
        if (!(at[0] == '.' && at[1] >= '0' && at[1] <= '9'))
            return false;
    }
    at += digits;
    if (*at == '.')
        at += 1 + strspn(at + 1, "0123456789_");
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-')
            at++;
        if (*at < '0' || *at > '9')
            return false;
        at += strspn(at, "0123456789");
    }
    return *at == '\0';
}

static enum class_node_kind yaml_kind(const void *node)
{
    const struct yaml_node *yaml = node;

    if (yaml_is_null(yaml))
        return CLASS_NODE_NULL;
    switch (yaml->kind) {
    case YAML_SEQUENCE:
        return CLASS_NODE_LIST;
    case YAML_MAPPING:
        return CLASS_NODE_MAP;
    case YAML_SCALAR:
        break;
    }
    return yaml->plain && is_typed(yaml->text) ? CLASS_NODE_OTHER_SCALAR : CLASS_NODE_STRING;
}

static const char *yaml_text(const void *node)
{
    return ((const struct yaml_node *)node)->text;
}

static size_t yaml_count(const void *node)
{
    return ((const struct yaml_node *)node)->n;
}

static const void *yaml_item(const void *node, size_t i)
{
    return ((const struct yaml_node *)node)->values[i];
}

static const char *yaml_key(const void *node, size_t i)
{
    const struct yaml_node *key = ((const struct yaml_node *)node)->keys[i];

    return yaml_is_merge(key) ? NULL : key->text;
}

static const void *merged_node(const void *node, size_t i)
{
    return yaml_merged(node, i);
}

static const void *yaml_member(const void *node, const char *key)
{
    return yaml_get(node, key);
}

static unsigned yaml_line(const void *node)
{
    return ((const struct yaml_node *)node)->line;
}

static const struct class_tree yaml_tree = {
    .kind = yaml_kind,
    .text = yaml_text,
    .count = yaml_count,
    .item = yaml_item,
    .key = yaml_key,
    .merged = merged_node,
    .get = yaml_member,
    .line = yaml_line,
};

enum class_decode_result class_yaml_decode(const struct yaml_node *root, const char *default_namespace,
                                           struct secret_provider_class **ret, struct error **err)
{
    return class_decode(&yaml_tree, root, default_namespace, ret, err);
}

struct stream {
    const char *default_namespace;
    class_found *found;
    void *arg;
};

static int decode_document(const struct yaml_node *root, void *arg, struct error **err)
{
    const struct stream *stream = arg;
    struct secret_provider_class *class = NULL;

    switch (class_yaml_decode(root, stream->default_namespace, &class, err)) {
    case CLASS_DECODED:
        return stream->found(class, stream->arg, err);
    case CLASS_OTHER_KIND:
        return 0;
    case CLASS_INVALID:
        break;
    }
    return -1;
}

int class_yaml_each(const char *text, size_t len, const char *default_namespace, class_found *found,
                    void *arg, struct error **err)
{
    struct stream stream = {.default_namespace = default_namespace, .found = found, .arg = arg};

    return yaml_parse_all(text, len, CLASS_TEXT_MAX, decode_document, &stream, err);
}
