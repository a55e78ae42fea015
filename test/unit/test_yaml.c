/*
 * test_yaml.c - the YAML that users write, the bounds, and the refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/yaml.h"

enum { MAX = 1 << 20 };

static struct yaml_document *parse(const char *text, const struct yaml_node **root, struct error **err)
{
    return yaml_parse(text, strlen(text), MAX, root, err);
}

/* Writes a tree as a compact text: plain scalars bare, others in quotes. */
static void dump(const struct yaml_node *node, struct buffer *out)
{
    if (node == NULL) {
        assert_int_equal(buffer_append_str(out, "nothing", NULL), 0);
        return;
    }
    if (node->kind == YAML_SCALAR) {
        assert_int_equal(buffer_printf(out, NULL, node->plain ? "%s" : "'%s'", node->text), 0);
        return;
    }
    bool mapping = node->kind == YAML_MAPPING;
    assert_int_equal(buffer_append_str(out, mapping ? "{" : "[", NULL), 0);
    for (size_t i = 0; i < node->n; i++) {
        if (i > 0)
            assert_int_equal(buffer_append_str(out, ",", NULL), 0);
        if (mapping) {
            dump(node->keys[i], out);
            assert_int_equal(buffer_append_str(out, ":", NULL), 0);
        }
        dump(node->values[i], out);
    }
    assert_int_equal(buffer_append_str(out, mapping ? "}" : "]", NULL), 0);
}

/* Of files that were put together, each has one. In the middle of a line it is text. */
static void byte_order_marks_are_taken_off(void **state)
{
    (void)state;
#define MARK "\xef\xbb\xbf"
    static const struct {
        const char *text, *tree;
    } rows[] = {
        {MARK, "nothing"},
        {MARK "a: 1\nb:\n- x\n", "{a:1,b:[x]}"},
        {MARK "b:\n- x\na: 1\n", "{b:[x],a:1}"},
        {MARK "# comment\n" MARK "a: |\n  text\n", "{a:'text\n'}"},
        {"---\n" MARK "a:\n- x\n", "{a:[x]}"},
        {"# comment\n" MARK "---\na:\n- x\n", "{a:[x]}"},
        {MARK "a: 1\r\nb:\r\n- x\r\n", "{a:1,b:[x]}"},
        {"a: x" MARK "y\n", "{a:x" MARK "y}"},
        {"a: |\n  " MARK "x\n", "{a:'" MARK "x\n'}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct yaml_node *root = NULL;
        cleanup_error struct error *error = NULL;
        cleanup_buffer struct buffer tree = {.ceiling = 1000};
        cleanup_yaml struct yaml_document *document = parse(rows[i].text, &root, &error);
        if (document == NULL)
            fail_msg("row %zu: %s", i, error_message(error));
        dump(root, &tree);
        assert_string_equal(buffer_str(&tree), rows[i].tree);
    }
}

static void common_documents_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *tree;
    } rows[] = {
        {"", "nothing"},
        {"# only a comment\n", "nothing"},
        {"---\n", "nothing"},
        {"---\n# comment\n...\n", "nothing"},
        {"''", "''"},
        {"~", "~"},
        {"plain", "plain"},
        {"array:\n  - |\n    objectName: a\n    objectType: secret\n  - |\n    x\n",
         "{array:['objectName: a\nobjectType: secret\n','x\n']}"},
        {"a: >-\n  folded\n  text\n", "{a:'folded text'}"},
        {"{\"array\": [\"{\\\"objectName\\\": \\\"x\\\"}\"]}", "{'array':['{\"objectName\": \"x\"}']}"},
        {"objectName:\tsecret1\nobjectType: \tsecret\n", "{objectName:secret1,objectType:secret}"},
        {"a: 0755\nb: 1e3\nc: no\nd: 2001-01-01\ne: ~\nf:\n", "{a:0755,b:1e3,c:no,d:2001-01-01,e:~,f:}"},
        {"a: 'it''s'\nb: \"\\x41\\u00e9\\n\"\n", "{a:'it's',b:'A\xc3\xa9\n'}"},
        {"a: x # gr\xc3\xbc\xc3\x9f\n# \xe2\x82\xac\nb: y\n", "{a:x,b:y}"},
        {"a: &x [1, 2]\nb: *x\n", "{a:[1,2],b:[1,2]}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{a:1,b:2,c:2}"},
        {"a: &x 1\nb: &y [*x]\nc: *y\n", "{a:1,b:[1],c:[1]}"},
        {"&k key: v\nb: *k\n", "{key:v,b:key}"},
        {"a: &x {b: 1}\nc:\n  <<: *x\n", "{a:{b:1},c:{<<:{b:1}}}"},
        {"a: !!str 1\nb: ! 2\nc: !!int 3\n", "{a:'1',b:'2',c:3}"},
        {"first: 1\n---\nsecond: 2\n", "{first:1}"},
        {"\xef\xbb\xbf"
         "a: 1\n",
         "{a:1}"},
        {"a: 1\r\nb: 2\r\n", "{a:1,b:2}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *err = NULL;
        const struct yaml_node *root = NULL;
        cleanup_yaml struct yaml_document *document = parse(rows[i].text, &root, &err);
        if (document == NULL)
            fail_msg("%s: %s", rows[i].text, error_message(err));
        cleanup_buffer struct buffer out;
        buffer_init(&out, MAX);
        dump(root, &out);
        assert_string_equal(buffer_str(&out), rows[i].tree);
    }
}

static void bad_input_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* NULL: only that it starts with "yaml: " */
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "yaml: line 3: mapping key \"a\" already defined at line 1"},
        {"a: 1\n'a': 3\n", "yaml: line 2: mapping key \"a\" already defined at line 1"},
        {"a:\n  b: &x [*x]\n", "yaml: line 2: an alias refers to a node that contains it"},
        {"&a {k: {k: *a}}", "yaml: line 1: an alias refers to a node that contains it"},
        {"a: *nope", "yaml: line 1: unknown anchor 'nope' referenced"},
        {"a: 1\n? [1, 2]\n: x\n", "yaml: line 2: a mapping key must be a scalar"},
        {"{{a: b}: c}", "yaml: line 1: a mapping key must be a scalar"},
        {"a: &x {}\n*x : 1\n", "yaml: line 2: a mapping key must be a scalar"},
        {"a: \"x\\0y\"", "yaml: line 1: NUL in a scalar"},
        {"\"a\\0\": 1", "yaml: line 1: NUL in a scalar"},
        {"a: [1, 2", NULL},
        {"a: 1\n b: 2\n", NULL},
        {"\ta: 1\n", NULL},
        {"a: 'x", NULL},
        {"a: \x01", NULL},
        {"a: \xff", NULL},
        {"\xff\xfe"
         "a\0",
         NULL}, /* UTF-16 */
        {"%YAML 9.9\n--- a\n", NULL},
        {"a: b: c\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *err = NULL;
        const struct yaml_node *root = NULL;
        struct yaml_document *document = parse(rows[i].text, &root, &err);
        if (document != NULL)
            fail_msg("%s was taken", rows[i].text);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        assert_memory_equal(error_message(err), "yaml: ", 6);
        if (rows[i].message != NULL)
            assert_string_equal(error_message(err), rows[i].message);
        assert_null(root);
    }
}

static void a_key_is_found_in_a_merged_mapping(void **state)
{
    static const struct {
        const char *text, *value; /* of the key "k"; NULL: there is none */
    } rows[] = {
        {"<<: {k: merged}", "merged"},
        {"{<<: {k: merged}, k: own}", "own"},
        {"{k: own, <<: {k: merged}}", "own"},
        {"base: &b {k: merged}\n<<: *b\n", "merged"},
        {"<<: [{x: 1}, {k: first}, {k: second}]", "first"},
        {"<<: {<<: {k: deep}}", "deep"},
        {"<<: {x: {k: inside}}", NULL},
        {"'<<': {k: quoted}", NULL},
        {"<<: k", NULL},
        {"<<: [k]", NULL},
        {"<<: ~", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct yaml_node *root = NULL;
        cleanup_yaml struct yaml_document *document = parse(rows[i].text, &root, NULL);
        assert_non_null(document);
        const struct yaml_node *found = yaml_get(root, "k");
        const char *value = found != NULL ? found->text : NULL;
        if ((value == NULL) != (rows[i].value == NULL) ||
            (value != NULL && strcmp(value, rows[i].value) != 0))
            fail_msg("row %zu: %s", i, value != NULL ? value : "nothing");
    }
}

static void nodes_know_their_line_and_kind(void **state)
{
    (void)state;
    const struct yaml_node *root = NULL;
    cleanup_yaml struct yaml_document *document = parse("a: 1\nb:\n  - x\n  - {}\n", &root, NULL);
    assert_non_null(document);
    const struct yaml_node *b = yaml_get(root, "b");
    assert_string_equal(yaml_kind_name(root), "mapping");
    assert_string_equal(yaml_kind_name(b), "sequence");
    assert_string_equal(yaml_kind_name(b->values[0]), "scalar");
    assert_int_equal(b->values[1]->line, 4);
    assert_null(yaml_get(root, "c"));
    assert_null(yaml_get(b, "a"));
    assert_null(yaml_get(NULL, "a"));
}

static void null_is_a_plain_scalar_of_five_spellings(void **state)
{
    (void)state;
    static const bool expected[] = {true, true, true, true, true, false, false, false, false, false, false};
    const struct yaml_node *root = NULL;
    cleanup_yaml struct yaml_document *document = parse(
        "- ~\n- null\n- Null\n- NULL\n-\n- ''\n- 'null'\n- nUll\n- []\n- !!str\n- \"~\"\n", &root, NULL);
    assert_non_null(document);
    assert_int_equal(root->n, ARRAY_SIZE(expected));
    for (size_t i = 0; i < root->n; i++)
        assert_int_equal(yaml_is_null(root->values[i]), expected[i]);
    assert_true(yaml_is_null(NULL));
}

static void nesting_ends_exactly_at_the_limit(void **state)
{
    (void)state;
    for (size_t depth = YAML_MAX_DEPTH; depth <= YAML_MAX_DEPTH + 1; depth++) {
        char text[2 * YAML_MAX_DEPTH + 3] = {0};
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        const struct yaml_node *root = NULL;
        cleanup_error struct error *err = NULL;
        cleanup_yaml struct yaml_document *document = parse(text, &root, &err);
        assert_int_equal(document != NULL, depth == YAML_MAX_DEPTH);
        assert_int_equal(error_code(err), document != NULL ? GRPC_STATUS_OK : GRPC_STATUS_RESOURCE_EXHAUSTED);
    }
}

static void the_number_of_nodes_ends_exactly_at_the_limit(void **state)
{
    (void)state;
    for (size_t items = YAML_MAX_NODES - 1; items <= YAML_MAX_NODES; items++) {
        cleanup_buffer struct buffer text;
        buffer_init(&text, MAX);
        for (size_t i = 0; i < items; i++)
            assert_int_equal(buffer_append_str(&text, "- x\n", NULL), 0);
        const struct yaml_node *root = NULL;
        cleanup_error struct error *err = NULL;
        cleanup_yaml struct yaml_document *document = parse(buffer_str(&text), &root, &err);
        assert_int_equal(document != NULL, items == YAML_MAX_NODES - 1);
        assert_int_equal(error_code(err), document != NULL ? GRPC_STATUS_OK : GRPC_STATUS_RESOURCE_EXHAUSTED);
    }
}

/* Ten to the ninth leaves in a few hundred bytes. */
static void aliases_cannot_blow_up(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text;
    buffer_init(&text, MAX);
    assert_int_equal(buffer_append_str(&text, "n0: &n0 x\n", NULL), 0);
    for (int i = 1; i < 10; i++) {
        assert_int_equal(buffer_printf(&text, NULL, "n%d: &n%d [", i, i), 0);
        for (int k = 0; k < 10; k++)
            assert_int_equal(buffer_printf(&text, NULL, "*n%d,", i - 1), 0);
        assert_int_equal(buffer_append_str(&text, "]\n", NULL), 0);
    }
    const struct yaml_node *root = NULL;
    cleanup_error struct error *err = NULL;
    assert_null(parse(buffer_str(&text), &root, &err));
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error_message(err), "too many nodes"));
}

static void anchors_are_bounded(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text;
    buffer_init(&text, MAX);
    for (int i = 0; i < 1001; i++)
        assert_int_equal(buffer_printf(&text, NULL, "- &a%d x\n", i), 0);
    const struct yaml_node *root = NULL;
    cleanup_error struct error *err = NULL;
    assert_null(parse(buffer_str(&text), &root, &err));
    assert_string_equal(error_message(err), "yaml: line 1001: too many anchors");
}

static void a_text_longer_than_allowed_is_refused(void **state)
{
    (void)state;
    const struct yaml_node *root = NULL;
    cleanup_error struct error *err = NULL;
    assert_null(yaml_parse("a: 1", 4, 3, &root, &err));
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static int note(const struct yaml_node *root, void *arg, struct error **err)
{
    struct buffer *out = arg;
    const struct yaml_node *fail = yaml_get(root, "fail");
    if (fail != NULL)
        return error_set(err, GRPC_STATUS_ABORTED, "stop");
    dump(root, out);
    return buffer_append_str(out, ";", err);
}

static void a_stream_gives_each_document_that_is_not_empty(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seen, *message;
    } rows[] = {
        {"", "", NULL},
        {"a: 1\n", "{a:1};", NULL},
        {"---\na: 1\n---\n# none\n---\n[2]\n...\n---\n~\n", "{a:1};[2];~;", NULL},
        {"a: 1\n---\nfail: x\n---\nb: 2\n", "{a:1};", "stop"},
        {"a: &x 1\n---\nb: *x\n", "{a:1};", "yaml: line 3: unknown anchor 'x' referenced"},
        {"a: 1\n---\n[\n", "{a:1};", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer out;
        cleanup_error struct error *err = NULL;
        buffer_init(&out, MAX);
        int status = yaml_parse_all(rows[i].text, strlen(rows[i].text), MAX, note, &out, &err);
        assert_string_equal(buffer_str(&out), rows[i].seen);
        assert_int_equal(status, i < 3 ? 0 : -1);
        if (rows[i].message != NULL)
            assert_string_equal(error_message(err), rows[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_order_marks_are_taken_off),
        cmocka_unit_test(common_documents_are_read),
        cmocka_unit_test(bad_input_is_refused_with_its_line),
        cmocka_unit_test(a_key_is_found_in_a_merged_mapping),
        cmocka_unit_test(nodes_know_their_line_and_kind),
        cmocka_unit_test(null_is_a_plain_scalar_of_five_spellings),
        cmocka_unit_test(nesting_ends_exactly_at_the_limit),
        cmocka_unit_test(the_number_of_nodes_ends_exactly_at_the_limit),
        cmocka_unit_test(aliases_cannot_blow_up),
        cmocka_unit_test(anchors_are_bounded),
        cmocka_unit_test(a_text_longer_than_allowed_is_refused),
        cmocka_unit_test(a_stream_gives_each_document_that_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
