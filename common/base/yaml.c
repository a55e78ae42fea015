/*
 * yaml.c - YAML text to a small tree, on libyaml's event API.
 *
 * A recursive descent over the events, never deeper than YAML_MAX_DEPTH. Every node made counts against
 * YAML_MAX_NODES, and an alias counts as all the nodes that it stands for: a naive walk over the tree, which
 * visits shared nodes again and again, visits at most that many. Merge keys ("<<") stay in the tree:
 * yaml_get() follows them, and visits no more nodes than that.
 */
#include "common/base/yaml.h"

#include <string.h>
#include <yaml.h>

#include "common/base/secret.h"
#include "common/base/utf8.h"

enum { MAX_ANCHORS = 1000 }; /* searched one by one; real documents have fewer than a hundred */

struct node {
    struct yaml_node public;
    struct node *next; /* all nodes of the document, newest first */
};

struct yaml_document {
    struct node *nodes;
};

struct anchor {
    char *name;
    struct yaml_node *node; /* NULL while it is still being read: an alias inside it would be recursive */
    size_t weight;          /* nodes that an alias to it stands for */
};

struct reader {
    yaml_parser_t parser;
    struct secret *without_marks; /* NULL: the text has none */
    struct yaml_document *document;
    struct anchor *anchors; /* in order of appearance; the last one of a name counts */
    size_t n_anchors;
    size_t weight; /* nodes so far; an alias counts as the nodes that it stands for */
};

static struct yaml_node *read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                                   struct error **err);

/* --- errors --- */

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

static int refuse(unsigned line, const char *problem, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "yaml: line %u: %s", line, problem);
}

static int too_much(unsigned line, const char *limit, struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "yaml: line %u: %s", line, limit);
}

/* libyaml's own texts are constant strings: they show nothing of the content. */
static int parser_error(const yaml_parser_t *parser, struct error **err)
{
    const char *problem = parser->problem != NULL ? parser->problem : "syntax error";
    if (parser->error == YAML_MEMORY_ERROR)
        return error_no_memory(err, "YAML");
    if (parser->error == YAML_READER_ERROR)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "yaml: byte %zu: %s", parser->problem_offset,
                         problem);
    if (parser->context != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "yaml: line %zu: %s (%s)",
                         parser->problem_mark.line + 1, problem, parser->context);
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "yaml: line %zu: %s", parser->problem_mark.line + 1,
                     problem);
}

/* --- events --- */

/* libyaml's copy of a scalar may be a token out of a kubeconfig. */
static void release_event(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        secret_wipe(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}
#define cleanup_event CLEANUP(release_event)

static int next_event(struct reader *reader, yaml_event_t *ret_event, struct error **err)
{
    if (yaml_parser_parse(&reader->parser, ret_event) == 0)
        return parser_error(&reader->parser, err);
    return 0;
}

/* --- anchors --- */

/* Registers the anchor of a node that starts. *ret_index is its place, or the number of anchors when it has
 * no name. */
static int open_anchor(struct reader *reader, const yaml_char_t *name, unsigned line, size_t *ret_index,
                       struct error **err)
{
    *ret_index = reader->n_anchors;
    if (name == NULL)
        return 0;
    if (reader->n_anchors >= MAX_ANCHORS)
        return too_much(line, "too many anchors", err);
    if (reader->anchors == NULL) {
        reader->anchors = calloc(MAX_ANCHORS, sizeof(*reader->anchors));
        if (reader->anchors == NULL)
            return error_no_memory(err, "YAML");
    }
    char *copy = strdup((const char *)name);
    if (copy == NULL)
        return error_no_memory(err, "YAML");
    reader->anchors[reader->n_anchors++] = (struct anchor){.name = copy};
    return 0;
}

static struct yaml_node *resolve_alias(struct reader *reader, const yaml_event_t *event, struct error **err)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = reader->n_anchors; i > 0; i--) {
        const struct anchor *anchor = &reader->anchors[i - 1];
        if (strcmp(anchor->name, name) != 0)
            continue;
        if (anchor->node == NULL) {
            (void)refuse(line_of(event), "an alias refers to a node that contains it", err);
            return NULL;
        }
        if (anchor->weight > YAML_MAX_NODES - reader->weight) {
            (void)too_much(line_of(event), "too many nodes", err);
            return NULL;
        }
        reader->weight += anchor->weight;
        return anchor->node;
    }
    (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "yaml: line %u: unknown anchor '%s' referenced",
                    line_of(event), name);
    return NULL;
}

static void forget_anchors(struct reader *reader)
{
    for (size_t i = 0; i < reader->n_anchors; i++)
        free(reader->anchors[i].name);
    free(reader->anchors);
    reader->anchors = NULL;
    reader->n_anchors = 0;
}

/* --- nodes --- */

static struct yaml_node *new_node(struct reader *reader, enum yaml_kind kind, unsigned line,
                                  struct error **err)
{
    if (reader->weight >= YAML_MAX_NODES) {
        (void)too_much(line, "too many nodes", err);
        return NULL;
    }
    struct node *node = malloc(sizeof(*node));
    if (node == NULL) {
        (void)error_no_memory(err, "YAML");
        return NULL;
    }
    *node = (struct node){.public = {.kind = kind, .line = line}, .next = reader->document->nodes};
    reader->document->nodes = node;
    reader->weight++;
    return &node->public;
}

static int fill_scalar(struct yaml_node *node, const yaml_event_t *event, struct error **err)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(value, '\0', len) != NULL) /* only the escape "\0" gets through libyaml */
        return refuse(node->line, "NUL in a scalar", err);
    node->text = secret_strdup(value);
    if (node->text == NULL)
        return error_no_memory(err, "YAML");
    /* A tag sets the type, in place of the spelling: `!!str 1` and `! 1` are strings. */
    const char *tag = (const char *)event->data.scalar.tag;
    bool string_tag = tag != NULL && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !string_tag;
    node->literal = event->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
    return 0;
}

/* Reserves one more child: the arrays grow whenever n is a power of two. */
static int grow(struct yaml_node *node, struct error **err)
{
    if ((node->n & (node->n - 1)) != 0)
        return 0;
    size_t capacity = node->n > 0 ? node->n * 2 : 1;
    struct yaml_node **values = reallocarray(node->values, capacity, sizeof(*values));
    if (values == NULL)
        return error_no_memory(err, "YAML");
    node->values = values;
    if (node->kind != YAML_MAPPING)
        return 0;
    struct yaml_node **keys = reallocarray(node->keys, capacity, sizeof(*keys));
    if (keys == NULL)
        return error_no_memory(err, "YAML");
    node->keys = keys;
    return 0;
}

static int fill_sequence(struct reader *reader, struct yaml_node *node, unsigned depth, struct error **err)
{
    for (;;) {
        cleanup_event yaml_event_t event = {0};
        if (next_event(reader, &event, err) < 0)
            return -1;
        if (event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        struct yaml_node *item = read_node(reader, &event, depth + 1, err);
        if (item == NULL || grow(node, err) < 0)
            return -1;
        node->values[node->n++] = item;
    }
}

static int compare_keys(const void *a, const void *b)
{
    const struct yaml_node *const *left = a, *const *right = b;
    int order = strcmp((*left)->text, (*right)->text);
    if (order == 0)
        order = (*left)->line < (*right)->line ? -1 : (*left)->line > (*right)->line;
    return order;
}

static int check_duplicate_keys(const struct yaml_node *node, struct error **err)
{
    if (node->n < 2)
        return 0;
    cleanup_free struct yaml_node **keys = calloc(node->n, sizeof(*keys));
    if (keys == NULL)
        return error_no_memory(err, "YAML");
    memcpy(keys, node->keys, node->n * sizeof(*keys));
    qsort(keys, node->n, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < node->n; i++) {
        if (strcmp(keys[i - 1]->text, keys[i]->text) == 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "yaml: line %u: mapping key \"%s\" already defined at line %u", keys[i]->line,
                             keys[i]->text, keys[i - 1]->line);
    }
    return 0;
}

static int fill_mapping(struct reader *reader, struct yaml_node *node, unsigned depth, struct error **err)
{
    for (;;) {
        cleanup_event yaml_event_t key_event = {0};
        if (next_event(reader, &key_event, err) < 0)
            return -1;
        if (key_event.type == YAML_MAPPING_END_EVENT)
            return check_duplicate_keys(node, err);
        struct yaml_node *key = read_node(reader, &key_event, depth + 1, err);
        if (key == NULL)
            return -1;
        if (key->kind != YAML_SCALAR)
            return refuse(line_of(&key_event), "a mapping key must be a scalar", err);

        cleanup_event yaml_event_t value_event = {0};
        if (next_event(reader, &value_event, err) < 0)
            return -1;
        struct yaml_node *value = read_node(reader, &value_event, depth + 1, err);
        if (value == NULL || grow(node, err) < 0)
            return -1;
        node->keys[node->n] = key;
        node->values[node->n++] = value;
    }
}

/* Reads the node that `event` starts, to its end. */
static struct yaml_node *read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                                   struct error **err)
{
    enum yaml_kind kind = YAML_SCALAR;
    const yaml_char_t *anchor_name = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return resolve_alias(reader, event, err);
    case YAML_SCALAR_EVENT:
        anchor_name = event->data.scalar.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        kind = YAML_SEQUENCE;
        anchor_name = event->data.sequence_start.anchor;
        break;
    case YAML_MAPPING_START_EVENT:
        kind = YAML_MAPPING;
        anchor_name = event->data.mapping_start.anchor;
        break;
    default: /* libyaml's grammar does not let anything else through */
        (void)refuse(line_of(event), "unexpected event", err);
        return NULL;
    }
    if (depth > YAML_MAX_DEPTH) {
        (void)too_much(line_of(event), "nested too deep", err);
        return NULL;
    }

    size_t weight_before = reader->weight, anchor = 0;
    struct yaml_node *node = new_node(reader, kind, line_of(event), err);
    if (node == NULL || open_anchor(reader, anchor_name, node->line, &anchor, err) < 0)
        return NULL;
    node->column = (unsigned)event->start_mark.column + 1;
    int status = kind == YAML_SCALAR     ? fill_scalar(node, event, err)
                 : kind == YAML_SEQUENCE ? fill_sequence(reader, node, depth, err)
                                         : fill_mapping(reader, node, depth, err);
    if (status < 0)
        return NULL;
    if (anchor_name != NULL) {
        reader->anchors[anchor].node = node;
        reader->anchors[anchor].weight = reader->weight - weight_before;
    }
    return node;
}

/* --- documents --- */

/* A byte order mark stands at the beginning of a text, and of each document that was a file of its own.
 * libyaml counts it as a column: keys behind it are indented then, and what follows them is not theirs. So
 * marks at the beginning of lines are taken off. */
static int take_marks_off(struct reader *reader, const char **text, size_t *len, struct error **err)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t kept = 0;
    if (*len == 0 || memmem(*text, *len, mark, sizeof(mark) - 1) == NULL)
        return 0;
    reader->without_marks = secret_create(*len);
    if (reader->without_marks == NULL)
        return error_no_memory(err, "YAML");
    char *out = (char *)secret_data(reader->without_marks);
    for (size_t i = 0; i < *len; i++) {
        bool line_start = i == 0 || (*text)[i - 1] == '\n';
        size_t skip = line_start ? utf8_mark_len(*text + i, *len - i) : 0;
        i += skip;
        if (i < *len)
            out[kept++] = (*text)[i];
    }
    *text = out;
    *len = kept;
    return 0;
}

static int reader_init(struct reader *reader, const char *text, size_t len, size_t max_len,
                       struct error **err)
{
    *reader = (struct reader){0};
    if (len > max_len)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "yaml: %zu bytes, at most %zu are allowed", len,
                         max_len);
    if (take_marks_off(reader, &text, &len, err) < 0)
        return -1;
    if (yaml_parser_initialize(&reader->parser) == 0)
        return error_no_memory(err, "YAML");
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&reader->parser,
                             YAML_UTF8_ENCODING); /* else a byte order mark would choose UTF-16 */
    return 0;
}

/* Works on a reader that is all zero, too. */
static void reader_finish(struct reader *reader)
{
    forget_anchors(reader);
    yaml_parser_delete(&reader->parser);
    secret_destroy(reader->without_marks);
}

/* Reads the next document into a new object. *ret_root is NULL for an empty one. Returns 0 at the end of the
 * stream, 1 for a document, -1 on error. */
static int read_document(struct reader *reader, struct yaml_document **ret_document,
                         struct yaml_node **ret_root, struct error **err)
{
    cleanup_event yaml_event_t event = {0};
    do { /* skip the start of the stream and the end of the document before */
        release_event(&event);
        if (next_event(reader, &event, err) < 0)
            return -1;
        if (event.type == YAML_STREAM_END_EVENT)
            return 0;
    } while (event.type != YAML_DOCUMENT_START_EVENT);

    cleanup_yaml struct yaml_document *document = calloc(1, sizeof(*document));
    if (document == NULL)
        return error_no_memory(err, "YAML");
    reader->document = document;
    forget_anchors(reader); /* they do not reach across documents; the budget of nodes does */

    release_event(&event);
    if (next_event(reader, &event, err) < 0)
        return -1;
    struct yaml_node *root = read_node(reader, &event, /* depth= */ 1, err);
    if (root == NULL)
        return -1;
    bool empty = root->kind == YAML_SCALAR && root->plain && root->text[0] == '\0';
    *ret_root = empty ? NULL : root;
    *ret_document = steal_ptr(&document);
    return 1;
}

struct yaml_document *yaml_parse(const char *text, size_t len, size_t max_len,
                                 const struct yaml_node **ret_root, struct error **err)
{
    CLEANUP(reader_finish) struct reader reader = {0};
    if (reader_init(&reader, text, len, max_len, err) < 0)
        return NULL;
    struct yaml_document *document = NULL;
    struct yaml_node *root = NULL;
    int found = read_document(&reader, &document, &root, err);
    if (found < 0)
        return NULL;
    if (found == 0) {
        document = calloc(1, sizeof(*document));
        if (document == NULL) {
            (void)error_no_memory(err, "YAML");
            return NULL;
        }
    }
    *ret_root = root;
    return document;
}

int yaml_parse_all(const char *text, size_t len, size_t max_len,
                   int (*each)(const struct yaml_node *root, void *arg, struct error **err), void *arg,
                   struct error **err)
{
    CLEANUP(reader_finish) struct reader reader = {0};
    if (reader_init(&reader, text, len, max_len, err) < 0)
        return -1;
    for (;;) {
        cleanup_yaml struct yaml_document *document = NULL;
        struct yaml_node *root = NULL;
        int found = read_document(&reader, &document, &root, err);
        if (found <= 0)
            return found;
        if (root != NULL && each(root, arg, err) < 0)
            return -1;
    }
}

void yaml_document_free(struct yaml_document *document)
{
    if (document == NULL)
        return;
    while (document->nodes != NULL) {
        struct node *node = document->nodes;
        document->nodes = node->next;
        secret_free(node->public.text);
        free(node->public.keys);
        free(node->public.values);
        free(node);
    }
    free(document);
}

/* --- reading a tree --- */

const struct yaml_node *yaml_merged(const struct yaml_node *node, size_t i)
{
    const struct yaml_node *merged = NULL;
    for (size_t k = 0; node != NULL && node->kind == YAML_MAPPING && k < node->n; k++) {
        if (yaml_is_merge(node->keys[k]))
            merged = node->values[k];
    }
    if (merged != NULL && merged->kind == YAML_SEQUENCE)
        return i < merged->n ? merged->values[i] : NULL;
    return i == 0 ? merged : NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
    if (node == NULL || node->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->n; i++) {
        if (strcmp(node->keys[i]->text, key) == 0)
            return node->values[i];
    }
    const struct yaml_node *found = NULL, *merged = NULL;
    for (size_t i = 0; found == NULL && (merged = yaml_merged(node, i)) != NULL; i++)
        found = yaml_get(merged, key);
    return found;
}

bool yaml_is_merge(const struct yaml_node *key)
{
    return key->plain && strcmp(key->text, "<<") == 0;
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(nulls); i++) {
        if (strcmp(node->text, nulls[i]) == 0)
            return true;
    }
    return false;
}

const char *yaml_kind_name(const struct yaml_node *node)
{
    static const char *const names[] = {
        [YAML_SCALAR] = "scalar", [YAML_SEQUENCE] = "sequence", [YAML_MAPPING] = "mapping"};
    return node != NULL ? names[node->kind] : "nothing";
}
