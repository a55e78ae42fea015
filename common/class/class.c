/*
 * class.c - a SecretProviderClass, decoded from a neutral tree.
 */
#include "common/class/class.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

static void secret_object_finish(struct secret_object *object)
{
    free(object->secret_name);
    free(object->type);
    string_map_finish(&object->labels);
    string_map_finish(&object->annotations);
    for (size_t i = 0; i < object->n_data; i++) {
        free(object->data[i].object_name);
        free(object->data[i].key);
    }
    free(object->data);
}

struct secret_provider_class *secret_provider_class_ref(struct secret_provider_class *class)
{
    class->sharers++;
    return class;
}

void secret_provider_class_free(struct secret_provider_class *class)
{
    if (class == NULL)
        return;
    if (class->sharers > 0) {
        class->sharers--;
        return;
    }
    free(class->name);
    free(class->ns);
    free(class->uid);
    free(class->resource_version);
    free(class->rotation_interval);
    free(class->refresh);
    free(class->update_in_place);
    free(class->spec_hash);
    free(class->provider);
    string_map_finish(&class->parameters);
    for (size_t i = 0; i < class->n_secret_objects; i++)
        secret_object_finish(&class->secret_objects[i]);
    free(class->secret_objects);
    free(class);
}

bool secret_provider_class_is_same(const struct secret_provider_class *a,
                                   const struct secret_provider_class *b)
{
    return a->resource_version != NULL && a->resource_version[0] != '\0' && b->resource_version != NULL &&
           strcmp(a->resource_version, b->resource_version) == 0 && strcmp(a->uid, b->uid) == 0;
}

enum { ALLOCATION_OVERHEAD = 16 };

/* NULL takes nothing. */
static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 + ALLOCATION_OVERHEAD : 0;
}

static size_t map_size(const struct string_map *map)
{
    size_t size = map->n * sizeof(*map->entries);

    for (size_t i = 0; i < map->n; i++)
        size += text_size(map->entries[i].key) + text_size(map->entries[i].value);
    return size;
}

static size_t secret_object_size(const struct secret_object *object)
{
    size_t size = sizeof(*object) + text_size(object->secret_name) + text_size(object->type) +
                  map_size(&object->labels) + map_size(&object->annotations);

    for (size_t i = 0; i < object->n_data; i++)
        size +=
            sizeof(object->data[i]) + text_size(object->data[i].object_name) + text_size(object->data[i].key);
    return size;
}

size_t secret_provider_class_size(const struct secret_provider_class *class)
{
    size_t size = sizeof(*class) + text_size(class->name) + text_size(class->ns) + text_size(class->uid) +
                  text_size(class->resource_version) + text_size(class->rotation_interval) +
                  text_size(class->refresh) + text_size(class->update_in_place) + text_size(class->provider) +
                  map_size(&class->parameters);

    for (size_t i = 0; i < class->n_secret_objects; i++)
        size += secret_object_size(&class->secret_objects[i]);
    return size;
}

bool class_name_valid(const char *name)
{
    size_t len = strnlen(name, CLASS_NAME_MAX + 1);

    if (len == 0 || len > CLASS_NAME_MAX || name[0] == '.' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len && strstr(name, "..") == NULL;
}

int class_updates_in_place(const struct secret_provider_class *class, bool *ret, struct error **err)
{
    const char *text = class->update_in_place != NULL ? class->update_in_place : "";

    *ret = strcmp(text, "true") == 0;
    if (*ret || text[0] == '\0' || strcmp(text, "false") == 0)
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "annotation " CLASS_ANNOTATION_IN_PLACE
                     " of secretproviderclass %s/%s: '%.64s' is neither 'true' nor 'false'",
                     class->ns, class->name, text);
}

/* --- reading the tree --- */

struct reader {
    const struct class_tree *tree;
    struct error **err;
};

static enum class_node_kind kind_of(const struct reader *reader, const void *node)
{
    return node == NULL ? CLASS_NODE_NULL : reader->tree->kind(node);
}

/* Names and indents that people get wrong. */
static const char *hint_for(enum class_node_kind kind, const char *field, const char *expected)
{
    if (kind == CLASS_NODE_OTHER_SCALAR && strcmp(expected, "a string") == 0)
        return " (quote it)";
    if (strcmp(field, "secretObjects") == 0 && strcmp(expected, "a string") == 0)
        return " (this list belongs into spec, beside parameters)";
    if (strcmp(field, "array") == 0 && strcmp(expected, "a string") == 0)
        return " (this list belongs below objects, indented further)";
    if (strcmp(field, "objects") == 0 && strcmp(expected, "a string") == 0)
        return " (a bar behind its colon makes text of the lines below)";
    return "";
}

static int wrong_kind(const struct reader *reader, const void *node, const char *field, const char *expected)
{
    unsigned line = reader->tree->line(node);
    const char *hint = hint_for(kind_of(reader, node), field, expected);

    if (line > 0)
        return error_set(reader->err, GRPC_STATUS_INVALID_ARGUMENT, "line %u: %s must be %s%s", line, field,
                         expected, hint);
    return error_set(reader->err, GRPC_STATUS_INVALID_ARGUMENT, "%s must be %s%s", field, expected, hint);
}

static int copy_text(const struct reader *reader, const char *text, char **ret)
{
    *ret = alloc_text(text, reader->err);
    return *ret == NULL ? -1 : 0;
}

/* A string member, "" when it is missing or null. */
static int read_string(const struct reader *reader, const void *map, const char *key, const char *field,
                       char **ret)
{
    const void *node = reader->tree->get(map, key);

    switch (kind_of(reader, node)) {
    case CLASS_NODE_NULL:
        return copy_text(reader, "", ret);
    case CLASS_NODE_STRING:
        return copy_text(reader, reader->tree->text(node), ret);
    default:
        return wrong_kind(reader, node, field, "a string");
    }
}

/* A member that is a map or a list; NULL when it is missing or null. */
static int read_collection(const struct reader *reader, const void *map, const char *key, const char *field,
                           enum class_node_kind kind, const void **ret)
{
    const void *node = reader->tree->get(map, key);

    *ret = NULL;
    if (kind_of(reader, node) == CLASS_NODE_NULL)
        return 0;
    if (kind_of(reader, node) != kind)
        return wrong_kind(reader, node, field, kind == CLASS_NODE_MAP ? "a map" : "a list");
    *ret = node;
    return 0;
}

static int read_members(const struct reader *reader, const void *map, const char *field,
                        struct string_map *ret);

/* The last one first: what comes later replaces it. */
static int read_merged(const struct reader *reader, const void *map, const char *field,
                       struct string_map *ret)
{
    size_t n = 0;

    while (reader->tree->merged(map, n) != NULL)
        n++;
    while (n-- > 0) {
        const void *merged = reader->tree->merged(map, n);

        if (kind_of(reader, merged) != CLASS_NODE_MAP) {
            (void)wrong_kind(reader, merged, "<<", "a map");
            return error_wrap(reader->err, "%s", field);
        }
        if (read_members(reader, merged, field, ret) < 0)
            return -1;
    }
    return 0;
}

static int read_members(const struct reader *reader, const void *node, const char *field,
                        struct string_map *ret)
{
    if (read_merged(reader, node, field, ret) < 0)
        return -1;
    for (size_t i = 0; i < reader->tree->count(node); i++) {
        const void *value = reader->tree->item(node, i);
        enum class_node_kind kind = kind_of(reader, value);

        if (reader->tree->key(node, i) == NULL)
            continue;
        if (kind != CLASS_NODE_STRING && kind != CLASS_NODE_NULL) {
            (void)wrong_kind(reader, value, reader->tree->key(node, i), "a string");
            return error_wrap(reader->err, "%s", field);
        }
        if (string_map_set(ret, reader->tree->key(node, i),
                           kind == CLASS_NODE_NULL ? "" : reader->tree->text(value), reader->err) < 0)
            return -1;
    }
    return 0;
}

static int read_string_map(const struct reader *reader, const void *map, const char *key, const char *field,
                           struct string_map *ret)
{
    const void *node;

    if (read_collection(reader, map, key, field, CLASS_NODE_MAP, &node) < 0)
        return -1;
    return node == NULL ? 0 : read_members(reader, node, field, ret);
}

/* Checks the list `key` of maps and allocates `*ret_n` zeroed elements of `size` for it. */
static int read_list(const struct reader *reader, const void *map, const char *key, const char *field,
                     size_t size, const void **ret_list, void **ret_elements, size_t *ret_n)
{
    size_t n;

    *ret_n = 0;
    if (read_collection(reader, map, key, field, CLASS_NODE_LIST, ret_list) < 0)
        return -1;
    if (*ret_list == NULL || reader->tree->count(*ret_list) == 0)
        return 0;
    n = reader->tree->count(*ret_list);
    if (n > CLASS_SECRET_OBJECTS_MAX)
        return error_set(reader->err, GRPC_STATUS_INVALID_ARGUMENT, "%s has more than %d entries", field,
                         CLASS_SECRET_OBJECTS_MAX);
    for (size_t i = 0; i < n; i++)
        if (kind_of(reader, reader->tree->item(*ret_list, i)) != CLASS_NODE_MAP)
            return wrong_kind(reader, reader->tree->item(*ret_list, i), field, "a list of maps");
    *ret_elements = calloc(n, size);
    if (*ret_elements == NULL)
        return error_no_memory(reader->err, NULL);
    *ret_n = n;
    return 0;
}

static int read_secret_object(const struct reader *reader, const void *node, struct secret_object *object)
{
    const void *list;
    void *data = NULL;

    if (read_string(reader, node, "secretName", "secretObjects[].secretName", &object->secret_name) < 0 ||
        read_string(reader, node, "type", "secretObjects[].type", &object->type) < 0 ||
        read_string_map(reader, node, "labels", "secretObjects[].labels", &object->labels) < 0 ||
        read_string_map(reader, node, "annotations", "secretObjects[].annotations", &object->annotations) <
            0 ||
        read_list(reader, node, "data", "secretObjects[].data", sizeof(*object->data), &list, &data,
                  &object->n_data) < 0)
        return -1;
    object->data = data;
    for (size_t i = 0; i < object->n_data; i++) {
        const void *item = reader->tree->item(list, i);

        if (read_string(reader, item, "objectName", "secretObjects[].data[].objectName",
                        &object->data[i].object_name) < 0 ||
            read_string(reader, item, "key", "secretObjects[].data[].key", &object->data[i].key) < 0)
            return -1;
    }
    return 0;
}

static int read_annotations(const struct reader *reader, const void *metadata,
                            struct secret_provider_class *class)
{
    const void *annotations;

    if (read_collection(reader, metadata, "annotations", "metadata.annotations", CLASS_NODE_MAP,
                        &annotations) < 0)
        return -1;
    if (annotations == NULL)
        return 0;
    if (read_string(reader, annotations, CLASS_ANNOTATION_INTERVAL, "metadata.annotations[]",
                    &class->rotation_interval) < 0)
        return -1;
    if (read_string(reader, annotations, CLASS_ANNOTATION_REFRESH, "metadata.annotations[]",
                    &class->refresh) < 0)
        return -1;
    return read_string(reader, annotations, CLASS_ANNOTATION_IN_PLACE, "metadata.annotations[]",
                       &class->update_in_place);
}

static int read_metadata(const struct reader *reader, const void *root, const char *default_namespace,
                         struct secret_provider_class *class)
{
    const void *metadata;

    if (read_collection(reader, root, "metadata", "metadata", CLASS_NODE_MAP, &metadata) < 0)
        return -1;
    if (metadata == NULL)
        return wrong_kind(reader, root, "metadata.name", "set");
    if (read_string(reader, metadata, "name", "metadata.name", &class->name) < 0 ||
        read_string(reader, metadata, "namespace", "metadata.namespace", &class->ns) < 0 ||
        read_string(reader, metadata, "uid", "metadata.uid", &class->uid) < 0 ||
        read_string(reader, metadata, "resourceVersion", "metadata.resourceVersion",
                    &class->resource_version) < 0 ||
        read_annotations(reader, metadata, class) < 0)
        return -1;
    if (class->ns[0] == '\0') {
        free(class->ns);
        class->ns = NULL;
        if (copy_text(reader, default_namespace, &class->ns) < 0)
            return -1;
    }
    if (!class_name_valid(class->name))
        return wrong_kind(reader, metadata, "metadata.name", "a Kubernetes object name");
    if (!class_name_valid(class->ns))
        return wrong_kind(reader, metadata, "metadata.namespace", "a Kubernetes object name");
    return 0;
}

static int read_spec(const struct reader *reader, const void *root, struct secret_provider_class *class)
{
    const void *spec;
    const void *list;
    void *objects = NULL;

    if (read_collection(reader, root, "spec", "spec", CLASS_NODE_MAP, &spec) < 0)
        return -1;
    if (spec == NULL)
        return copy_text(reader, "", &class->provider);
    if (read_string(reader, spec, "provider", "spec.provider", &class->provider) < 0 ||
        read_string_map(reader, spec, "parameters", "spec.parameters", &class->parameters) < 0 ||
        read_list(reader, spec, "secretObjects", "spec.secretObjects", sizeof(*class->secret_objects), &list,
                  &objects, &class->n_secret_objects) < 0)
        return -1;
    class->secret_objects = objects;
    for (size_t i = 0; i < class->n_secret_objects; i++)
        if (read_secret_object(reader, reader->tree->item(list, i), &class->secret_objects[i]) < 0)
            return -1;
    return 0;
}

/* Is it one of ours? A member that is not a string is no match. */
static bool is_class(const struct reader *reader, const void *root)
{
    const void *version = reader->tree->get(root, "apiVersion");
    const void *kind = reader->tree->get(root, "kind");
    const char *text;

    if (kind_of(reader, version) != CLASS_NODE_STRING || kind_of(reader, kind) != CLASS_NODE_STRING)
        return false;
    text = reader->tree->text(version);
    return (strcmp(text, CLASS_API_GROUP "/v1") == 0 || strcmp(text, CLASS_API_GROUP "/v1alpha1") == 0) &&
           strcmp(reader->tree->text(kind), CLASS_KIND) == 0;
}

enum class_decode_result class_decode(const struct class_tree *tree, const void *root,
                                      const char *default_namespace, struct secret_provider_class **ret,
                                      struct error **err)
{
    cleanup_class struct secret_provider_class *class = NULL;
    const struct reader reader = {.tree = tree, .err = err};

    if (kind_of(&reader, root) == CLASS_NODE_NULL)
        return CLASS_OTHER_KIND;
    if (kind_of(&reader, root) != CLASS_NODE_MAP) {
        (void)wrong_kind(&reader, root, "the document", "a map");
        return CLASS_INVALID;
    }
    if (!is_class(&reader, root))
        return CLASS_OTHER_KIND;
    class = alloc_zeroed(sizeof(*class), err);
    if (class == NULL)
        return CLASS_INVALID;
    if (read_metadata(&reader, root, default_namespace, class) < 0 || read_spec(&reader, root, class) < 0)
        return CLASS_INVALID;
    *ret = steal_ptr(&class);
    return CLASS_DECODED;
}
